//! The workloads: one file each. What the crew does, how its result is checked, and with which peers and parameters.
//!
//! A result that is not what it must be (a lost update, a fifth process in a pool of four, a signal without its
//! message) is an error of the peer, reported like a hang and never averaged away.

pub mod barrier;
pub mod contended;
pub mod notify_all;
pub mod ping_pong;
pub mod pool;
pub mod uncontended;

mod laps;

use crate::crew::Context;
use crate::params::Params;
use crate::peers::Peer;
use crate::sample::{Measure, Sample};
use std::fmt;

/// Something that is measured, in one or more groups.
#[derive(Debug, Clone, Copy)]
pub struct Workload {
    /// Its name on the command line and in records.
    pub name: &'static str,
    /// What is done.
    pub about: &'static str,
    /// What median and p99 are of.
    pub latency: &'static str,
    /// What is counted in a second.
    pub operations: &'static str,
    /// What makes a peer faster than another.
    pub measure: Measure,
    /// Milliseconds of a sample, in a quick run and in a full one.
    pub sample_ms: [u64; 2],
    /// The peer that `ratio` is to, if it is a semaphore.
    pub sem_t: Option<&'static str>,
    /// The pthread peer.
    pub pthread: Option<&'static str>,
    /// Its groups.
    pub groups: fn() -> Vec<Group>,
}

/// The workloads, in the order in which they are run and shown.
pub const ALL: [Workload; 6] = [
    uncontended::WORKLOAD,
    contended::WORKLOAD,
    ping_pong::WORKLOAD,
    pool::WORKLOAD,
    notify_all::WORKLOAD,
    barrier::WORKLOAD,
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
