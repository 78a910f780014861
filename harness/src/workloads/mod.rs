//! The workloads: one file each. What the crew does, how its result is checked, and with which peers and parameters.
//!
//! A result that is not what it must be (a lost update, a fifth process in a pool of four, a signal without its
//! message) is an error of the peer, reported like a hang and never averaged away.

pub mod barrier;
pub mod contended;
pub mod idle;
pub mod notify_all;
pub mod ping_pong;
pub mod pool;
pub mod recovery;
pub mod rwlock;
pub mod spin;
pub mod starvation;
pub mod uncontended;

mod laps;

use crate::crew::Context;
use crate::params::Params;
use crate::peers::Peer;
use crate::sample::{Measure, Sample};
use std::fmt;
use std::time::Duration;

/// Something that is measured, in one or more groups.
#[derive(Debug, Clone, Copy)]
pub struct Workload {
    /// Its name on the command line and in records.
    pub name: &'static str,
    /// What is done.
    pub about: &'static str,
    /// What median and p99 are of.
    pub latency: &'static str,
    /// What is counted in a second; empty if nothing is.
    pub operations: &'static str,
    /// What makes a peer faster than another.
    pub measure: Measure,
    /// The peer that `ratio` is to, if it is a semaphore.
    pub sem_t: Option<&'static str>,
    /// The pthread peer.
    pub pthread: Option<&'static str>,
    /// What else its tables show.
    pub columns: &'static [Column],
    /// Whether it is run only when asked for by name, because it takes long.
    pub on_request: bool,
    /// Its groups.
    pub groups: fn(Extent) -> Vec<Group>,
}

/// What some tables show beside median, p99, rate and ratios.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column {
    /// The 99.9th percentile.
    P999,
    /// The longest latency.
    Max,
    /// CPU time of all members for one operation.
    CpuPerOp,
    /// CPU time of all members, in percent of one core.
    CpuPercent,
    /// The least and the largest member's share.
    Shares,
    /// The ratio to the robust pthread mutex.
    Robust,
    /// The ratio to the limit, two bare atomic operations.
    Limit,
}

/// A run's length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// Seconds.
    Quick,
    /// Minutes.
    Full,
}

impl Extent {
    /// One or the other.
    #[must_use]
    pub fn pick<T>(self, quick: T, full: T) -> T {
        match self {
            Self::Quick => quick,
            Self::Full => full,
        }
    }
}

/// How long the samples of a group are, and how often they are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// How long the crew works before it is measured.
    pub warm: Duration,
    /// How long it is measured.
    pub sample: Duration,
    /// How many rounds there are at most, unless the caller has said how many there are to be.
    pub rounds: u32,
}

impl Pace {
    /// Short samples, in every round.
    #[must_use]
    pub fn millis(sample: u64) -> Self {
        Self { warm: Duration::from_millis(1), sample: Duration::from_millis(sample), rounds: u32::MAX }
    }

    /// In some rounds only.
    #[must_use]
    pub fn rounds(self, rounds: u32) -> Self {
        Self { rounds, ..self }
    }
}

/// The workloads, in the order in which they are run and shown.
pub const ALL: [Workload; 11] = [
    uncontended::WORKLOAD,
    contended::WORKLOAD,
    rwlock::WORKLOAD,
    ping_pong::WORKLOAD,
    pool::WORKLOAD,
    notify_all::WORKLOAD,
    barrier::WORKLOAD,
    recovery::WORKLOAD,
    idle::WORKLOAD,
    starvation::WORKLOAD,
    spin::WORKLOAD,
];

/// A workload with its parameters, and the peers to be compared on it.
#[derive(Debug)]
pub struct Group {
    /// The parameters.
    pub params: Params,
    /// How many CPUs it makes sense on.
    pub cpus: usize,
    /// How many processes are forked for a sample.
    pub members: usize,
    /// How long and how often.
    pub pace: Pace,
    /// The peers.
    pub cases: Vec<Case>,
}

type Run = dyn Fn(&Context) -> Result<Sample, String>;

/// One peer in a group.
pub struct Case {
    /// Its name.
    pub peer: String,
    run: Box<Run>,
}

impl Case {
    /// A peer and how it is measured.
    pub fn new<P: Peer>(run: impl Fn(&Context) -> Result<Sample, String> + 'static) -> Self {
        Self { peer: P::name(), run: Box::new(run) }
    }

    /// Measures one sample.
    ///
    /// # Errors
    /// The peer hung, failed, or gave a wrong result.
    pub fn run(&self, context: &Context) -> Result<Sample, String> {
        (self.run)(context)
    }
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Case").field(&self.peer).finish()
    }
}

#[cfg(test)]
mod tests;
