//! Reading under a reader-writer lock: alone, by two on two CPUs, and by eight of whom each writes once in 100.
//!
//! Latency is one read, the mean of a batch of 64 (with what was written in between).
//!
//! Check: the writers step two counters one after the other, the readers look whether they are the same, and in the end
//! both are what was written. Where nobody writes, two processes first do so in turn with reading, each until both have
//! done so for long enough, and now and then one gives its CPU away between the two counters: a lock that lets two in is
//! then found out on any machine, however it times the two.

use super::{Case, Column, Extent, Group, Pace, Workload};
use crate::crew::{self, Context, Padded, Placement, Team};
use crate::params::{Params, Value};
use crate::peers::{PlRwLock, PthreadRwLock, RwPeer, ShmRwLock, StdRwLock};
use crate::sample::{Measure, Sample};
use shmsync::wait::{Futex, PosixSem};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use zerocopy::FromZeros;

const BATCH: u64 = 64;
const PROOF: u64 = 10_000;

/// See the head of the file.
pub const WORKLOAD: Workload = Workload {
    name: "rwlock",
    about: "N processes read under a reader-writer lock; some also write, once in 100 times",
    latency: "one read, mean of a batch of 64",
    operations: "reads and writes",
    measure: Measure::Throughput,
    sem_t: None,
    pthread: Some("pthread rwlock"),
    columns: &[Column::CpuPerOp],
    on_request: false,
    groups,
};

/// How many, and how often each writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Load {
    /// So many read.
    Readers(usize),
    /// So many read 99 times, then write once.
    Mixed(usize),
}

fn groups(extent: Extent) -> Vec<Group> {
    let pace = Pace::millis(extent.pick(8, 25));
    [Load::Readers(1), Load::Readers(2), Load::Mixed(8)].into_iter().map(|load| group(pace, load)).collect()
}

fn group(pace: Pace, load: Load) -> Group {
    let (processes, writes) = match load {
        Load::Readers(processes) => (processes, "none"),
        Load::Mixed(processes) => (processes, "1_in_100"),
    };
    let params = Params(vec![("processes", Value::Number(processes as u64)), ("writes", Value::Word(writes))]);
    let cases = vec![
        case::<ShmRwLock<Futex>>(load),
        case::<ShmRwLock<PosixSem>>(load),
        case::<PthreadRwLock>(load),
        case::<StdRwLock>(load),
        case::<PlRwLock>(load),
    ];
    Group { params, cpus: if processes == 2 { 2 } else { 1 }, members: processes.max(2), pace, cases }
}

fn case<P: RwPeer + 'static>(load: Load) -> Case {
    Case::new::<P>(move |context| sample::<P>(context, load))
}

#[repr(C)]
#[derive(Debug, FromZeros)]
struct Data {
    /// How many have come; they begin together.
    here: AtomicU64,
    /// Equal, except while somebody writes.
    counters: [AtomicU64; 2],
    /// How often somebody has written.
    written: Padded<AtomicU64>,
    /// How many have done their part of the proof.
    proved: AtomicU64,
}

/// One sample.
///
/// # Errors
/// The peer hung, failed, or let a writer in with others.
pub fn sample<P: RwPeer>(context: &Context, load: Load) -> Result<Sample, String> {
    let Context { clock, .. } = *context;
    let (workers, mixed) = match load {
        Load::Readers(workers) => (workers, false),
        Load::Mixed(workers) => (workers, true),
    };
    let placement = if workers <= 2 { Placement::Apart } else { Placement::Free };
    let team = Team { members: workers.max(2), size: 0, placement };
    let done = crew::run::<P, Data>(context, team, |seat| {
        let data = seat.data;
        let read = || {
            let [one, other] = [0, 1].map(|i| data.counters[i].load(Relaxed));
            assert!(one == other, "it let two in at once: a reader sees {one} and {other}");
        };
        let step = |i: usize| data.counters[i].store(data.counters[i].load(Relaxed) + 1, Relaxed);
        let write = || [0, 1].into_iter().for_each(step);
        let slow_write = || {
            step(0);
            std::thread::yield_now();
            step(1);
        };
        let mut written = 0;
        data.here.fetch_add(1, Relaxed);
        while (data.here.load(Relaxed) as usize) < workers.max(2) {
            std::thread::yield_now();
        }
        while !mixed && (data.proved.load(Relaxed) as usize) < workers.max(2) {
            match written % 64 {
                0 => seat.peer.write(slow_write),
                _ => seat.peer.write(write),
            }
            seat.peer.read(read);
            written += 1;
            if written == PROOF {
                data.proved.fetch_add(1, Relaxed);
            }
        }
        seat.begin();
        let mut done = 0_u64;
        while seat.index < workers && !seat.stopped() {
            let start = clock.now();
            for _ in 0..BATCH {
                done += 1;
                if mixed && done % 100 == 0 {
                    seat.peer.write(write);
                    written += 1;
                } else {
                    seat.peer.read(read);
                }
            }
            let ticks = clock.since(start);
            seat.publish(done);
            if seat.measuring() {
                seat.record(ticks);
            }
        }
        data.written.0.fetch_add(written, Relaxed);
    })?;
    let data = done.data();
    let (written, counters) = (data.written.0.load(Relaxed), [0, 1].map(|i| data.counters[i].load(Relaxed)));
    if counters != [written; 2] {
        return Err(format!("it let two in at once: the counters are {counters:?} after {written} writes"));
    }
    Ok(done.sample(workers, clock.ns_per_tick() / BATCH as f64).with_cpu_per_op(done.cpu_per_op()))
}
