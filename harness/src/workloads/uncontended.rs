//! Acquire and release with nobody else about: batches of 20 000 pairs by one pinned process, ns per pair.
//!
//! Check: before it is measured, two processes hammer the peer together over a counter that is loaded, then stored.
//! A peer that excludes nobody loses updates. (The measured pairs have an empty section: a plain store in it would make
//! the release wait for the store, which is not the peer's cost.)

use super::{Case, Column, Extent, Group, Pace, Workload};
use crate::crew::{self, Context, Placement, Team};
use crate::params::{Params, Value};
use crate::peers::{LockPeer, PlMutex, PthreadMutex, PthreadRobust, Sem, StdMutex, TwoAtomics};
use crate::peers::{ShmLock, ShmMutex, ShmRLock, ShmSemaphore};
use crate::sample::{Measure, Sample};
use shmsync::wait::{Futex, KernelRobust, PosixSem};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use zerocopy::FromZeros;

const BATCH: u64 = 20_000;
const PROOF: u64 = 10_000;

/// See the head of the file.
pub const WORKLOAD: Workload = Workload {
    name: "uncontended",
    about: "acquire and release, one process, nobody else",
    latency: "one acquire + release, mean of a batch of 20,000",
    operations: "pairs",
    measure: Measure::Time,
    sem_t: Some("sem_t"),
    pthread: Some("pthread mutex"),
    columns: &[Column::Robust, Column::Limit],
    on_request: false,
    groups,
};

fn groups(extent: Extent) -> Vec<Group> {
    let pace = Pace::millis(extent.pick(5, 15));
    let params = Params(vec![("processes", Value::Number(1))]);
    let cases = vec![
        case::<ShmLock<Futex>>(),
        case::<ShmLock<PosixSem>>(),
        case::<ShmLock<KernelRobust>>(),
        case::<ShmMutex<Futex>>(),
        case::<ShmMutex<KernelRobust>>(),
        case::<ShmRLock<Futex>>(),
        case::<ShmRLock<KernelRobust>>(),
        case::<ShmSemaphore<Futex>>(),
        case::<ShmSemaphore<PosixSem>>(),
        case::<Sem>(),
        case::<PthreadMutex>(),
        case::<PthreadRobust>(),
        case::<StdMutex>(),
        case::<PlMutex>(),
        case::<TwoAtomics>(),
    ];
    vec![Group { params, cpus: 1, members: 2, pace, cases }]
}

fn case<P: LockPeer + 'static>() -> Case {
    Case::new::<P>(sample::<P>)
}

#[repr(C)]
#[derive(Debug, FromZeros)]
struct Data {
    here: AtomicU64,
    counter: AtomicU64,
}

/// One sample.
///
/// # Errors
/// The peer hung, failed or excluded nobody.
pub fn sample<P: LockPeer>(context: &Context) -> Result<Sample, String> {
    let Context { clock, .. } = *context;
    let team = Team { members: 2, size: 1, placement: Placement::Apart };
    let done = crew::run::<P, Data>(context, team, |seat| {
        let data = seat.data;
        data.here.fetch_add(1, Relaxed);
        while data.here.load(Relaxed) < 2 {
            std::thread::yield_now();
        }
        for _ in 0..PROOF {
            seat.peer.with(|| data.counter.store(data.counter.load(Relaxed) + 1, Relaxed));
        }
        seat.begin();
        if seat.index > 0 {
            return;
        }
        let mut pairs = 0;
        while !seat.stopped() {
            let start = clock.now();
            batch(seat.peer);
            let ticks = clock.since(start);
            pairs += BATCH;
            seat.publish(pairs);
            if seat.measuring() {
                seat.record(ticks);
            }
        }
    })?;
    super::contended::check_counter(done.data().counter.load(Relaxed), PROOF * 2)?;
    let sample = done.sample(1, clock.ns_per_tick() / BATCH as f64);
    let rate = if sample.is_empty() { 0.0 } else { 1e9 / sample.mean_ns() }; // A batch is long beside a sample.
    Ok(sample.with_ops_per_s(rate))
}

/// Not inlined, so that the loop has the registers to itself, whatever surrounds it: what the compiler kept on the stack
/// instead made one peer slower by a third.
#[inline(never)]
fn batch<P: LockPeer>(peer: &P) {
    for _ in 0..BATCH {
        peer.with(|| ());
    }
}
