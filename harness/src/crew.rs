//! A crew: N processes (or threads) on one peer, led through the phases of a sample by a parent that never touches it.
//!
//! | phase | members | parent |
//! |---|---|---|
//! | gather | pin themselves, prepare, call [`Seat::begin`] | waits until all have |
//! | warm | work | sleeps |
//! | measure | work and record | reads everybody's operation count, CPU time and the clock, sleeps, reads again |
//! | stop | finish the operation at hand and end | waits; a member that does not end in time is a hang |
//!
//! So throughput is what was done between two readings, whoever was late to start or to stop. Members that are threads
//! are threads of one child, not of the parent: a reference peer that hangs can be killed like any other.
#![allow(unsafe_code)]

mod bell;
mod watch;

use crate::clock::Clock;
use crate::histogram::Histogram;
use crate::peers::{Peer, Place};
use crate::process::{self, Child};
use crate::region::Region;
use crate::sample::Sample;
use crate::work::Work;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};
use zerocopy::FromZeros;

/// The most members of a crew.
pub const MAX_MEMBERS: usize = 1001;

const WARM: u32 = 1;
const MEASURE: u32 = 2;
const STOP: u32 = 3;

/// What every sample of a run shares.
#[derive(Debug, Clone, Copy)]
pub struct Context {
    /// The clock.
    pub clock: Clock,
    /// The critical sections.
    pub work: Work,
    /// How long the crew works before it is measured.
    pub warm: Duration,
    /// How long it is measured.
    pub sample: Duration,
    /// How long it may take to gather, and to end, before it counts as hanging.
    pub grace: Duration,
}

impl Context {
    /// Calibrates clock and work for samples of the given length.
    #[must_use]
    pub fn calibrate(sample: Duration) -> Self {
        let clock = Clock::calibrate();
        let (warm, grace) = (Duration::from_millis(1), Duration::from_secs(10));
        Self { clock, work: Work::calibrate(&clock), warm, sample, grace }
    }
}

/// On which CPUs the members run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    /// Wherever the system puts them.
    Free,
    /// Each pinned to a CPU of its own, as far as there are enough.
    Apart,
    /// All pinned to one.
    Together,
}

/// Who works on the peer.
#[derive(Debug, Clone, Copy)]
pub struct Team {
    /// How many.
    pub members: usize,
    /// The peer's permits or parties.
    pub size: u32,
    /// Where.
    pub placement: Placement,
}

/// A value alone on its cache lines (two: the prefetcher brings the neighbour).
#[repr(C, align(128))]
#[derive(Debug, FromZeros)]
pub struct Padded<T>(pub T);

#[repr(C)]
struct Site<P, S> {
    ready: Padded<AtomicU32>,
    phase: Padded<AtomicU32>,
    peer: Padded<P>,
    data: Padded<S>,
}

#[repr(C)]
#[derive(FromZeros)]
struct Book {
    ops: Padded<AtomicU64>,
    histogram: Histogram,
}

type Books = [Book; MAX_MEMBERS];

/// A member's view of the crew.
#[derive(Debug)]
pub struct Seat<'a, P, S> {
    /// Which member it is, from 0.
    pub index: usize,
    /// The peer.
    pub peer: &'a P,
    /// The workload's own shared data, zeros at first.
    pub data: &'a S,
    ready: &'a AtomicU32,
    phase: &'a AtomicU32,
    ops: &'a AtomicU64,
    histogram: &'a Histogram,
}

impl<P, S> Seat<'_, P, S> {
    /// Says that this member is prepared and sleeps until everybody is.
    pub fn begin(&self) {
        self.ready.fetch_add(1, Relaxed);
        bell::await_change(self.phase, 0);
    }

    /// Whether what is done now is to be recorded.
    #[inline]
    #[must_use]
    pub fn measuring(&self) -> bool {
        self.phase.load(Relaxed) == MEASURE
    }

    /// Whether it is time to end.
    #[inline]
    #[must_use]
    pub fn stopped(&self) -> bool {
        self.phase.load(Relaxed) == STOP
    }

    /// Says how many operations this member has done so far.
    #[inline]
    pub fn publish(&self, ops: u64) {
        self.ops.store(ops, Relaxed);
    }

    /// Records a latency.
    #[inline]
    pub fn record(&self, value: u64) {
        self.histogram.record(value);
    }
}

/// What a crew has done.
pub struct Done<P, S> {
    site: Region<Site<P, S>>,
    books: Region<Books>,
    /// Each member's operations while it was measured.
    pub ops: Vec<u64>,
    /// Each child's CPU time while it was measured, in nanoseconds. (Members that are threads are one child.)
    pub cpu_ns: Vec<u64>,
    /// How long that was.
    pub seconds: f64,
}

impl<P, S> std::fmt::Debug for Done<P, S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Done").field("ops", &self.ops).field("seconds", &self.seconds).finish_non_exhaustive()
    }
}

impl<P, S> Done<P, S> {
    /// The workload's data, as the crew left it.
    #[must_use]
    pub fn data(&self) -> &S {
        &self.site.data.0
    }

    /// The peer, as the crew left it.
    #[must_use]
    pub fn peer(&self) -> &P {
        &self.site.peer.0
    }

    /// All the operations of all members, measured or not.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.books[..self.ops.len()].iter().map(|book| book.ops.0.load(Relaxed)).sum()
    }

    /// The CPU time of all members for one operation, in nanoseconds; `None` if there was none.
    #[must_use]
    pub fn cpu_per_op(&self) -> Option<f64> {
        let ops: u64 = self.ops.iter().sum();
        (ops > 0).then(|| self.cpu_ns.iter().sum::<u64>() as f64 / ops as f64)
    }

    /// The figures, from the latencies of the first `recorders` members.
    #[must_use]
    pub fn sample(&self, recorders: usize, ns_per_unit: f64) -> Sample {
        let histograms = self.books[..recorders].iter().map(|book| &book.histogram);
        Sample::new(histograms, ns_per_unit, &self.ops, self.seconds)
    }
}

/// Runs `body` in every member on a fresh `P`, through the phases of one sample.
///
/// # Errors
/// A member ended badly (the message of its panic is in the text) or hung. None is left behind.
pub fn run<P, S>(context: &Context, team: Team, body: impl Fn(&Seat<'_, P, S>) + Sync) -> Result<Done<P, S>, String>
where
    P: Peer,
    S: FromZeros + Sync,
{
    assert!(team.members <= MAX_MEMBERS, "a crew of {} is too large", team.members);
    let no_memory = |error| format!("no shared memory: {error}");
    let books = Region::<Books>::zeroed().map_err(no_memory)?;
    let site = Region::new(Site {
        ready: Padded(AtomicU32::new(0)),
        phase: Padded(AtomicU32::new(0)),
        peer: Padded(P::new(team.size)),
        data: Padded(S::new_zeroed()),
    });
    let site = site.map_err(no_memory)?;
    // SAFETY: it is in its region for good, and nobody has been forked yet.
    unsafe { site.peer.0.init(team.size) };

    let member = |index: usize| {
        match team.placement {
            Placement::Free => {}
            Placement::Apart => process::pin_to(index),
            Placement::Together => process::pin_to(0),
        }
        let Book { ops, histogram } = &books[index];
        let (ready, phase, peer, data) = (&site.ready.0, &site.phase.0, &site.peer.0, &site.data.0);
        body(&Seat { index, peer, data, ready, phase, ops: &ops.0, histogram });
    };
    let mut children: Vec<Child> = match P::PLACE {
        Place::Processes => (0..team.members).map(|index| process::fork(|| member(index))).collect(),
        Place::Threads => vec![process::fork(|| in_threads(team.members, &member))],
    };

    watch::gather(&site.ready.0, team.members, &mut children, context.grace)?;
    bell::ring(&site.phase.0, WARM);
    thread::sleep(context.warm);
    let count = || books[..team.members].iter().map(|book| book.ops.0.load(Relaxed)).collect::<Vec<u64>>();
    let cpu = |children: &[Child]| children.iter().map(|child| Clock::cpu_ns(child.pid())).collect::<Vec<u64>>();
    let (start, ops_before, cpu_before) = (Instant::now(), count(), cpu(&children));
    site.phase.0.store(MEASURE, Relaxed);
    thread::sleep(context.sample);
    let (seconds, ops, cpu_ns) = (start.elapsed().as_secs_f64(), count(), cpu(&children));
    site.phase.0.store(STOP, Relaxed);
    watch::join_all(&mut children, context.grace)?;
    let since = |now: Vec<u64>, before: Vec<u64>| {
        now.iter().zip(before).map(|(now, before)| now.saturating_sub(before)).collect::<Vec<u64>>()
    };
    let (ops, cpu_ns) = (since(ops, ops_before), since(cpu_ns, cpu_before));
    Ok(Done { site, books, ops, cpu_ns, seconds })
}

/// The members as threads of this child. If one panics the child ends at once: the others may be waiting for it.
fn in_threads(members: usize, member: &(impl Fn(usize) + Sync)) {
    thread::scope(|scope| {
        for index in 0..members {
            scope.spawn(move || {
                if panic::catch_unwind(AssertUnwindSafe(|| member(index))).is_err() {
                    // SAFETY: always allowed; the panic hook has already told the parent.
                    unsafe { libc::_exit(101) };
                }
            });
        }
    });
}
