//! The storm: workers of every primitive in one region, killed at random moments, and everything checked after.
//!
//! | who | does |
//! |---|---|
//! | a worker | goes from station to station (a primitive on a backend), does a random verb, checks what it finds there |
//! | a veteran | the same, but is never killed: it is who must not hang |
//! | the killer | ends a random worker at a random moment with SIGKILL, hires another, watches that all go on |
//! | the calm | now and then all workers stand aside, and a fresh checker goes through every station |
//!
//! What must hold, whoever was killed wherever:
//! 1. *Nobody waits for ever.* Every veteran and every station goes on within the bound, all the time. A verb without a
//!    timeout is used wherever a primitive has one that a death may not block.
//! 2. *Exclusion.* Whoever enters finds nobody inside but one that was doomed before; and that only after `recover`, or
//!    with poison, never silently.
//! 3. *Nothing torn.* Two counters that a holder changes one after the other are equal, unless its death was told.
//! 4. *No permit is lost or made.* A pool's permits can all be taken in every calm. A plain semaphore's permits belong to
//!    nobody: a killed holder's is gone, as documented. So workers write down what they hold, the killer gives it back,
//!    and in the calm the count is exact: what is missing is at least what the dead certainly held, and at most what
//!    they may have held, being killed between taking and writing it down.
//!
//! [`peers`] is the same storm against `sem_t` and pthread; [`sweep`] kills at every single instruction instead.

mod calm;
mod desk;
mod killer;
mod ledger;
pub mod peers;
pub mod report;
mod site;
mod station;
mod stations;
pub mod sweep;

pub use killer::run;
pub use report::Report;

use std::time::Duration;

/// The most workers.
pub const MAX_WORKERS: usize = 64;

/// How long, how many, how random.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// How long to kill.
    pub time: Duration,
    /// How many kills at the most.
    pub kills: u64,
    /// How many workers, veterans included: 2 to [`MAX_WORKERS`].
    pub workers: usize,
    /// Of every die that is cast, in the killer and in the workers. What the scheduler does it does not repeat.
    pub seed: u64,
    /// What takes longer than this is a hang.
    pub bound: Duration,
}

impl Default for Options {
    fn default() -> Self {
        let (time, bound) = (Duration::from_secs(10), Duration::from_secs(2));
        Self { time, kills: u64::MAX, workers: 8, seed: 1, bound }
    }
}
