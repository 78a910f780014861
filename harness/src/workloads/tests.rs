//! Every workload accepts a peer that is right and tells of one that is wrong, or hangs.

use super::{barrier, contended, notify_all, ping_pong, pool, uncontended};
use crate::crew::{Context, Placement};
use crate::peers::faulty::{Deaf, DeafThreads, Forgetful, Mortal, MortalThreads, Open, OpenThreads, Selective};
use crate::peers::{Court, MonitorCourt, Notify, PlMonitor, PlMutex, PthreadBarrier, PthreadMonitor};
use crate::peers::{PthreadMutex, PthreadRobust, Sem, StdBarrier, StdMonitor, StdMutex, TwoAtomics};
use crate::sample::Sample;
use std::time::{Duration, Instant};

fn context() -> Context {
    Context { grace: Duration::from_secs(20), ..Context::calibrate(Duration::from_millis(20)) }
}

/// For peers that are to hang.
fn impatient() -> Context {
    Context { grace: Duration::from_millis(300), ..context() }
}

fn good(sample: Result<Sample, String>) {
    let sample = sample.unwrap();
    assert!(!sample.is_empty() && sample.ops_per_s() > 0.0, "{sample:?}");
    assert!(sample.median_ns() > 0.0, "{}", sample.median_ns());
}

fn bad(sample: Result<Sample, String>, words: &str) {
    let error = sample.unwrap_err();
    assert!(error.contains(words), "expected {words:?} in: {error}");
}

#[test]
fn right_locks_pass() {
    let context = context();
    good(uncontended::sample::<Sem>(&context));
    good(uncontended::sample::<PthreadRobust>(&context));
    good(uncontended::sample::<PlMutex>(&context));
    good(uncontended::sample::<TwoAtomics>(&context));
    for (processes, section_ns) in [(2, 0), (4, 100), (8, 1000)] {
        good(contended::sample::<Sem>(&context, processes, section_ns));
        good(contended::sample::<PthreadMutex>(&context, processes, section_ns));
        good(contended::sample::<StdMutex>(&context, processes, section_ns));
    }
}

#[test]
fn right_signals_pass() {
    let context = context();
    for placement in [Placement::Apart, Placement::Together] {
        good(ping_pong::sample::<Court<Sem>>(&context, placement));
        good(ping_pong::sample::<MonitorCourt<PthreadMonitor>>(&context, placement));
        good(ping_pong::sample::<MonitorCourt<PlMonitor>>(&context, placement));
    }
}

#[test]
fn right_pools_monitors_and_barriers_pass() {
    let context = context();
    good(pool::sample::<Sem>(&context, 4, 8, 1000));
    for when in [Notify::Held, Notify::AfterUnlock] {
        good(notify_all::sample::<PthreadMonitor>(&context, 8, when));
        good(notify_all::sample::<StdMonitor>(&context, 2, when));
        good(notify_all::sample::<PlMonitor>(&context, 2, when));
    }
    good(barrier::sample::<PthreadBarrier>(&context, 2));
    good(barrier::sample::<StdBarrier>(&context, 4));
}

#[test]
fn a_lock_that_excludes_nobody_is_caught_by_the_counter() {
    let context = context();
    bad(contended::sample::<Open>(&context, 4, 1000), "let two in at once");
    bad(contended::sample::<OpenThreads>(&context, 4, 100), "let two in at once");
}

#[test]
fn a_pool_that_lets_everybody_in_is_caught() {
    bad(pool::sample::<Open>(&context(), 4, 8, 100_000), "inside, of 4 permits");
    bad(
        pool::sample::<Sem>(&context(), 3, 3, 100).and_then(|_| pool::sample::<Open>(&context(), 3, 3, 100)),
        "4 or more of 3",
    );
}

#[test]
fn a_signal_without_a_message_is_caught() {
    bad(ping_pong::sample::<Court<Open>>(&context(), Placement::Apart), "a signal without its message");
}

#[test]
fn a_barrier_that_lets_one_through_early_is_caught() {
    bad(barrier::sample::<Open>(&context(), 4), "has arrived");
}

#[test]
fn a_waiter_left_out_is_a_hang() {
    bad(notify_all::sample::<Selective>(&impatient(), 4, Notify::Held), "it hangs");
}

#[test]
fn hanging_peers_are_named_and_killed() {
    let context = impatient();
    let start = Instant::now();
    bad(contended::sample::<Deaf>(&context, 2, 0), "it hangs");
    bad(contended::sample::<DeafThreads>(&context, 2, 0), "it hangs");
    bad(contended::sample::<Forgetful>(&context, 4, 0), "killed");
    bad(uncontended::sample::<Deaf>(&context), "before the start: 0 of 2 members ready");
    assert!(start.elapsed() < Duration::from_secs(20), "the grace was not kept: {:?}", start.elapsed());
}

#[test]
fn a_panic_is_reported_and_ends_the_rest() {
    let start = Instant::now();
    bad(contended::sample::<Mortal>(&context(), 4, 0), "out of order");
    bad(contended::sample::<MortalThreads>(&context(), 4, 0), "out of order");
    assert!(start.elapsed() < Duration::from_secs(15), "the others were waited for");
}
