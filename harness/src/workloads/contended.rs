//! N processes fight for one lock around a section of a given length, with nothing outside it.
//!
//! Latency is the wait for the lock, of every 16th acquisition (every 4th around long sections), with the cost of a
//! timestamp in it: 10 ns means at once. A lock that lets the last holder in again has a median of just that; its
//! throughput and its p99 tell the rest.
//!
//! Check: the section loads a counter at its beginning and stores one more at its end, with plain moves. Whoever else
//! was inside at any time in between loses an update, and in the end the counter is not the sum of what everybody did.
//! The counter has a cache line of its own, so that every peer pays for the same two lines.

use super::{Case, Group, Workload};
use crate::crew::{self, Context, Placement, Team};
use crate::params::{Params, Value};
use crate::peers::{LockPeer, PlMutex, PthreadMutex, PthreadRobust, Sem, ShmLock, StdMutex};
use crate::sample::{Measure, Sample};
use crate::work;
use shmsync::wait::{Futex, PosixSem};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use zerocopy::FromZeros;

/// See the head of the file.
pub const WORKLOAD: Workload = Workload {
    name: "contended",
    about: "N processes, one lock, a section of a given length; 2 are pinned to two CPUs, more run where they may",
    latency: "one wait for the lock",
    operations: "sections",
    measure: Measure::Throughput,
    sample_ms: [10, 34],
    sem_t: Some("sem_t"),
    pthread: Some("pthread mutex"),
    groups,
};

fn groups() -> Vec<Group> {
    let each = |section_ns| [2, 4, 8, 16].map(|processes| group(processes, section_ns));
    [0, 100, 1000].into_iter().flat_map(each).collect()
}

fn group(processes: usize, section_ns: u64) -> Group {
    let params =
        Params(vec![("processes", Value::Number(processes as u64)), ("section_ns", Value::Number(section_ns))]);
    let cases = vec![
        case::<ShmLock<Futex>>(processes, section_ns),
        case::<ShmLock<PosixSem>>(processes, section_ns),
        case::<Sem>(processes, section_ns),
        case::<PthreadMutex>(processes, section_ns),
        case::<PthreadRobust>(processes, section_ns),
        case::<StdMutex>(processes, section_ns),
        case::<PlMutex>(processes, section_ns),
    ];
    Group { params, cpus: if processes == 2 { 2 } else { 1 }, members: processes, cases }
}

fn case<P: LockPeer + 'static>(processes: usize, section_ns: u64) -> Case {
    Case::new::<P>(move |context| sample::<P>(context, processes, section_ns))
}

#[repr(C)]
#[derive(Debug, FromZeros)]
struct Data {
    counter: AtomicU64,
}

/// One sample.
///
/// # Errors
/// The peer hung, failed or let two in at once.
pub fn sample<P: LockPeer>(context: &Context, processes: usize, section_ns: u64) -> Result<Sample, String> {
    let Context { clock, work, .. } = *context;
    let steps = work.steps(section_ns);
    let every = if section_ns >= 1000 { 4 } else { 16 };
    let placement = if processes == 2 { Placement::Apart } else { Placement::Free };
    let team = Team { members: processes, size: 1, placement };
    let done = crew::run::<P, Data>(context, team, |seat| {
        seat.begin();
        let counter = &seat.data.counter;
        let section = || {
            let before = counter.load(Relaxed);
            if steps > 0 {
                work::run(steps);
            }
            counter.store(before + 1, Relaxed);
        };
        let mut sections = 0_u64;
        while !seat.stopped() {
            if sections % every == 0 {
                let start = clock.now();
                let waited = seat.peer.with(|| {
                    let waited = clock.elapsed(start);
                    section();
                    waited
                });
                if seat.measuring() {
                    seat.record(waited);
                }
            } else {
                seat.peer.with(section);
            }
            sections += 1;
            seat.publish(sections);
        }
    })?;
    check_counter(done.data().counter.load(Relaxed), done.total())?;
    Ok(done.sample(processes, clock.ns_per_tick()).with_shares(&done.ops))
}

/// The counter under a lock against the number of times that somebody added one to it.
pub(super) fn check_counter(counter: u64, sections: u64) -> Result<(), String> {
    match counter == sections {
        true => Ok(()),
        false => Err(format!("it let two in at once: the counter is {counter} after {sections} sections")),
    }
}
