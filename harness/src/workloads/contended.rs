//! N processes fight for one lock around a section of a given length, with nothing or some work outside it.
//!
//! Latency is the wait for the lock, of every 16th acquisition (every 4th around long sections), with the cost of a
//! timestamp in it: 10 ns means at once. A lock that lets the last holder in again has a median of just that; its
//! throughput, its p99 and the shares tell the rest. Shares are of the length of a sample: where that is shorter than the
//! scheduler's turns for all, some have had none.
//!
//! Check: the section loads a counter at its beginning and stores one more at its end, with plain moves. Whoever else
//! was inside at any time in between loses an update, and in the end the counter is not the sum of what everybody did.
//! The counter has a cache line of its own, so that every peer pays for the same two lines.

use super::{Case, Column, Extent, Group, Pace, Workload};
use crate::crew::{self, Context, Placement, Team};
use crate::params::{Params, Value};
use crate::peers::{LockPeer, PlMutex, PthreadMutex, PthreadRobust, Sem, ShmLock, ShmMutex, StdMutex, TwoAtomics};
use crate::sample::{Measure, Sample};
use crate::work;
use shmsync::wait::{Futex, KernelRobust, PosixSem};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use zerocopy::FromZeros;

/// See the head of the file.
pub const WORKLOAD: Workload = Workload {
    name: "contended",
    about: "N processes, one lock, a section of a given length; 2 are pinned to two CPUs, more run where they may",
    latency: "one wait for the lock",
    operations: "sections",
    measure: Measure::Throughput,
    sem_t: Some("sem_t"),
    pthread: Some("pthread mutex"),
    columns: &[Column::CpuPerOp, Column::Shares, Column::Limit],
    on_request: false,
    groups,
};

/// How many, and what they do: nanoseconds inside the lock, nanoseconds outside.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// The processes.
    pub processes: usize,
    /// The section.
    pub section_ns: u64,
    /// What each does between two sections.
    pub outside_ns: u64,
}

impl Load {
    pub(super) fn group(self, pace: Pace, cases: Vec<Case>) -> Group {
        let Self { processes, section_ns, outside_ns } = self;
        let params = Params(vec![
            ("processes", Value::Number(processes as u64)),
            ("section_ns", Value::Number(section_ns)),
            ("outside_ns", Value::Number(outside_ns)),
        ]);
        Group { params, cpus: if processes == 2 { 2 } else { 1 }, members: processes, pace, cases }
    }
}

fn groups(extent: Extent) -> Vec<Group> {
    let few = Pace::millis(extent.pick(8, 34));
    let many = Pace { warm: Duration::from_millis(50), sample: Duration::from_millis(300), rounds: 2 };
    let window = Pace { sample: Duration::from_secs(2), ..many }; // Long enough for shares that mean something.
    let mut groups = Vec::new();
    // One alone: where nothing is done outside, no number of processes has more throughput; and none has less CPU time for
    // each section, since nobody waits.
    let alone = |(section_ns, outside_ns)| Load { processes: 1, section_ns, outside_ns };
    if extent == Extent::Full {
        groups.extend([(100, 0), (1000, 0), (1000, 1000)].map(alone).map(|load| load.group(few, limits(load))));
    }
    for (section_ns, outside_ns) in [(0, 0), (100, 0), (1000, 0), (1000, 1000)] {
        let load = |processes| Load { processes, section_ns, outside_ns };
        let numbers: &[usize] = match extent {
            Extent::Quick => &[2, 8],
            Extent::Full if outside_ns > 0 => &[2, 4, 16], // 8 are among those that have a longer window.
            Extent::Full => &[2, 4, 8, 16],
        };
        groups.extend(numbers.iter().map(|&processes| load(processes).group(few, peers(load(processes), extent))));
        if extent == Extent::Full && (section_ns, outside_ns) != (1000, 0) {
            let pace = if outside_ns > 0 { window } else { many };
            let numbers: &[usize] = if outside_ns > 0 { &[8, 64, 256] } else { &[64, 256] };
            groups.extend(numbers.iter().map(|&n| load(n).group(pace, fewer_peers(load(n)))));
        }
    }
    groups
}

fn peers(load: Load, extent: Extent) -> Vec<Case> {
    let mut peers = vec![
        case::<ShmLock<Futex>>(load),
        case::<ShmLock<PosixSem>>(load),
        case::<ShmLock<KernelRobust>>(load),
        case::<ShmMutex<Futex>>(load),
        case::<Sem>(load),
        case::<PthreadMutex>(load),
        case::<PthreadRobust>(load),
        case::<StdMutex>(load),
        case::<PlMutex>(load),
    ];
    if load.processes == 2 && extent == Extent::Full {
        peers.push(case::<TwoAtomics>(load));
    }
    peers
}

fn limits(load: Load) -> Vec<Case> {
    vec![
        case::<ShmLock<Futex>>(load),
        case::<Sem>(load),
        case::<PthreadMutex>(load),
        case::<PthreadRobust>(load),
        case::<TwoAtomics>(load),
    ]
}

fn fewer_peers(load: Load) -> Vec<Case> {
    vec![
        case::<ShmLock<Futex>>(load),
        case::<ShmLock<PosixSem>>(load),
        case::<Sem>(load),
        case::<PthreadMutex>(load),
        case::<PthreadRobust>(load),
    ]
}

pub(super) fn case<P: LockPeer + 'static>(load: Load) -> Case {
    Case::new::<P>(move |context| sample::<P>(context, load))
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
pub fn sample<P: LockPeer>(context: &Context, load: Load) -> Result<Sample, String> {
    let Load { processes, section_ns, outside_ns } = load;
    let Context { clock, work, .. } = *context;
    let (steps, outside) = (work.steps(section_ns), work.steps(outside_ns));
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
            if outside > 0 {
                work::run(outside);
            }
        }
    })?;
    check_counter(done.data().counter.load(Relaxed), done.total())?;
    Ok(done.sample(processes, clock.ns_per_tick()).with_shares(&done.ops).with_cpu_per_op(done.cpu_per_op()))
}

/// The counter under a lock against the number of times that somebody added one to it.
pub(super) fn check_counter(counter: u64, sections: u64) -> Result<(), String> {
    match counter == sections {
        true => Ok(()),
        false => Err(format!("it let two in at once: the counter is {counter} after {sections} sections")),
    }
}
