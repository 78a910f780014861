//! Every workload accepts a peer that is right and tells of one that is wrong, or hangs.

use super::{barrier, contended, idle, notify_all, ping_pong, pool, recovery, rwlock, uncontended};
use crate::crew::{Context, Placement};
use crate::peers::faulty::{
    Deaf, DeafThreads, Forgetful, Forgotten, Mortal, MortalThreads, Open, OpenThreads, Selective,
};
use crate::peers::{
    AfterLosses, AfterMillis, BareSlices, Court, Eagerly, LockGate, MonitorCourt, MonitorGate, Notify, OneByOne,
    PlMonitor, PlMutex, Prototype, PthreadBarrier,
};
use crate::peers::{
    PthreadMonitor, PthreadMutex, PthreadRobust, PthreadRwLock, RequeueMonitor, Sem, ShmEvent, ShmLock, ShmMutex,
    ShmPermitPool,
};
use crate::peers::{StdBarrier, StdMonitor, StdMutex, StdRwLock, TwoAtomics};
use crate::sample::Sample;
use shmsync::wait::{Futex, KernelRobust};
use std::time::{Duration, Instant};

fn load(processes: usize, section_ns: u64) -> contended::Load {
    contended::Load { processes, section_ns, outside_ns: 0 }
}

fn context() -> Context {
    Context { grace: Duration::from_secs(20), ..Context::calibrate(Duration::from_millis(40)) }
}

/// For peers that are to hang.
fn impatient() -> Context {
    Context { grace: Duration::from_millis(300), ..context() }
}

fn good(sample: Result<Sample, String>) {
    let sample = sample.unwrap();
    assert!(!sample.is_useless(), "{} latencies, {:?} operations a second", sample.len(), sample.ops_per_s());
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
        good(contended::sample::<Sem>(&context, load(processes, section_ns)));
        good(contended::sample::<PthreadMutex>(&context, load(processes, section_ns)));
        good(contended::sample::<StdMutex>(&context, load(processes, section_ns)));
        good(contended::sample::<Prototype<AfterLosses>>(&context, load(processes, section_ns)));
        good(contended::sample::<Prototype<AfterMillis>>(&context, load(processes, section_ns)));
    }
    for processes in [1, 2] {
        good(contended::sample::<TwoAtomics>(&context, load(processes, 100)));
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
        good(notify_all::sample::<RequeueMonitor<OneByOne>>(&context, 4, when));
        good(notify_all::sample::<RequeueMonitor<Eagerly>>(&context, 8, when));
    }
    good(barrier::sample::<PthreadBarrier>(&context, 2));
    good(barrier::sample::<StdBarrier>(&context, 4));
}

#[test]
fn right_reader_writer_locks_pass() {
    let context = context();
    for load in [rwlock::Load::Readers(1), rwlock::Load::Readers(2), rwlock::Load::Mixed(4)] {
        good(rwlock::sample::<PthreadRwLock>(&context, load));
        good(rwlock::sample::<StdRwLock>(&context, load));
    }
}

#[test]
fn right_heirs_pass_and_learn_in_time() {
    let context = Context { sample: Duration::from_millis(150), ..context() };
    good(recovery::sample::<PthreadRobust>(&context, 0..10, 1));
    good(recovery::sample::<ShmLock<KernelRobust>>(&context, 0..10, 2));
    good(recovery::sample::<ShmMutex<Futex>>(&context, 30..60, 2));
}

#[test]
fn an_heir_that_is_told_nothing_is_a_hang_and_one_that_is_let_in_is_caught() {
    let context = Context { sample: Duration::from_millis(50), ..impatient() };
    bad(recovery::sample::<Forgotten>(&context, 0..10, 1), "it hangs");
    bad(recovery::sample::<Open>(&context, 5..10, 1), "taken from a holder that lived");
}

#[test]
fn waiters_use_some_cpu_time_or_none_and_none_is_let_through() {
    let context = Context { warm: Duration::from_millis(50), sample: Duration::from_millis(200), ..context() };
    let used = |sample: Result<Sample, String>| sample.unwrap().cpu_percent.unwrap();
    assert_eq!(used(idle::sample::<MonitorGate<PthreadMonitor>>(&context, 4)), 0.0, "it sleeps until it is woken");
    for percent in [
        used(idle::sample::<LockGate<ShmLock<Futex>>>(&context, 4)),
        used(idle::sample::<ShmEvent<Futex>>(&context, 4)),
        used(idle::sample::<BareSlices>(&context, 4)),
        used(idle::sample::<ShmPermitPool<8, Futex>>(&context, 4)),
    ] {
        assert!(percent > 0.0 && percent < 50.0, "{percent} %");
    }
    bad(idle::sample::<LockGate<Open>>(&context, 2), "let somebody through while it was held");
}

#[test]
fn a_reader_let_in_beside_a_writer_is_caught() {
    bad(rwlock::sample::<Open>(&context(), rwlock::Load::Readers(2)), "two in at once");
}

#[test]
fn a_lock_that_excludes_nobody_is_caught_by_the_counter() {
    let context = context();
    bad(contended::sample::<Open>(&context, load(4, 1000)), "let two in at once");
    bad(contended::sample::<OpenThreads>(&context, load(4, 100)), "let two in at once");
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
    bad(contended::sample::<Deaf>(&context, load(2, 0)), "it hangs");
    bad(contended::sample::<DeafThreads>(&context, load(2, 0)), "it hangs");
    bad(contended::sample::<Forgetful>(&context, load(4, 0)), "killed");
    bad(uncontended::sample::<Deaf>(&context), "before the start: 0 of 2 members ready");
    assert!(start.elapsed() < Duration::from_secs(20), "the grace was not kept: {:?}", start.elapsed());
}

#[test]
fn a_panic_is_reported_and_ends_the_rest() {
    let start = Instant::now();
    bad(contended::sample::<Mortal>(&context(), load(4, 0)), "out of order");
    bad(contended::sample::<MortalThreads>(&context(), load(4, 0)), "out of order");
    assert!(start.elapsed() < Duration::from_secs(15), "the others were waited for");
}
