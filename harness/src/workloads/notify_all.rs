//! Storms: one process notifies 2, 8 or 32 that wait for a condition, with the lock held or just after it is released.
//!
//! Latency is from the notification until the last waiter has been through the lock, and is written down by that last
//! waiter. Before each storm all are waiting, for 100 µs at least: most will have gone to sleep.
//!
//! With the lock held there are two of ours: `notify_all_on_unlock`, which is the verb for that, and plain `notify_all`.
//!
//! For comparison there is the pthread peer with waits that end by themselves after 3 ms, which is what any sleep in slices
//! must pay, and with the lock held two prototypes that wake one and move the others to the lock (DESIGN.md has what
//! they teach).
//!
//! Check: between two notifications every waiter passes exactly once.

use super::{Case, Extent, Group, Pace, Workload};
use crate::clock::Clock;
use crate::crew::{self, Context, Placement, Team};
use crate::params::{Params, Value};
use crate::peers::{
    Eagerly, MonitorPeer, Notify, OneByOne, PlMonitor, PthreadMonitor, RequeueMonitor, ShmMonitor, StdMonitor,
};
use crate::sample::{Measure, Sample};
use shmsync::wait::{Futex, PosixSem};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::Duration;
use zerocopy::FromZeros;

const SETTLE: Duration = Duration::from_micros(100);

/// See the head of the file.
pub const WORKLOAD: Workload = Workload {
    name: "notify-all",
    about: "notify_all to N waiting processes, with the lock held or after it was released",
    latency: "from the call until the last waiter has been through the lock",
    operations: "storms, with the pauses before them",
    measure: Measure::Time,
    sem_t: None,
    pthread: Some("pthread cond+mutex"),
    columns: &[],
    on_request: false,
    groups,
};

fn groups(extent: Extent) -> Vec<Group> {
    let pace = Pace::millis(extent.pick(18, 65));
    let each = |waiters| [Notify::Held, Notify::AfterUnlock].map(|when| group(pace, waiters, when, extent));
    [2, 8, 32].into_iter().flat_map(each).collect()
}

fn group(pace: Pace, waiters: usize, when: Notify, extent: Extent) -> Group {
    let word = match when {
        Notify::Held => "lock_held",
        Notify::AfterUnlock => "after_unlock",
    };
    let params = Params(vec![("waiters", Value::Number(waiters as u64)), ("notify", Value::Word(word))]);
    let mut cases = vec![
        case::<ShmMonitor<Futex>>(waiters, when),
        case::<ShmMonitor<PosixSem>>(waiters, when),
        case::<PthreadMonitor>(waiters, when),
        case::<StdMonitor>(waiters, when),
        case::<PlMonitor>(waiters, when),
    ];
    if when == Notify::Held {
        cases.insert(1, case::<ShmMonitor<Futex, true>>(waiters, when));
    }
    if extent == Extent::Full {
        cases.push(case::<PthreadMonitor<true>>(waiters, when));
    }
    if when == Notify::Held && extent == Extent::Full {
        cases.push(case::<RequeueMonitor<OneByOne>>(waiters, when));
        cases.push(case::<RequeueMonitor<Eagerly>>(waiters, when));
    }
    Group { params, cpus: 1, members: waiters + 1, pace, cases }
}

fn case<P: MonitorPeer + 'static>(waiters: usize, when: Notify) -> Case {
    Case::new::<P>(move |context| sample::<P>(context, waiters, when))
}

/// Changed under the peer's lock only, with plain loads and stores; `waiting` is also looked at from outside.
#[repr(C)]
#[derive(Debug, FromZeros)]
struct Data {
    storm: AtomicU64,
    waiting: AtomicU64,
    passed: AtomicU64,
    end: AtomicU64,
    started: AtomicU64,
    finished: AtomicU64,
}

/// One sample.
///
/// # Errors
/// The peer hung, failed or left a waiter out.
pub fn sample<P: MonitorPeer>(context: &Context, waiters: usize, when: Notify) -> Result<Sample, String> {
    let all = waiters as u64;
    let team = Team { members: waiters + 1, size: 0, placement: Placement::Free };
    let done = crew::run::<P, Data>(context, team, |seat| {
        let (peer, data) = (seat.peer, seat.data);
        seat.begin();
        match seat.index {
            0 => notify(peer, data, all, when, || (seat.measuring(), seat.stopped()), &seat_report(seat)),
            _ => wait(peer, data, all),
        }
    })?;
    let (storms, passed) = (done.data().storm.load(Relaxed), done.data().passed.load(Relaxed));
    if storms == 0 || passed != all {
        return Err(format!("after {storms} storms {passed} of {all} waiters passed the last one"));
    }
    Ok(done.sample(1, 1.0)) // The clock of all processes is in nanoseconds already.
}

/// How the notifier tells what it measured: the number of storms, and the last one's length if it counts.
fn seat_report<'a, P, S>(seat: &'a crew::Seat<'_, P, S>) -> impl Fn(u64, Option<u64>) + 'a {
    |storms, ns| {
        seat.publish(storms);
        if let Some(ns) = ns {
            seat.record(ns);
        }
    }
}

fn notify<P: MonitorPeer>(
    peer: &P,
    data: &Data,
    all: u64,
    when: Notify,
    phase: impl Fn() -> (bool, bool),
    report: &impl Fn(u64, Option<u64>),
) {
    let all_wait = || {
        while data.waiting.load(Relaxed) < all {
            thread::sleep(SETTLE / 2);
        }
    };
    for storm in 0.. {
        all_wait();
        thread::sleep(SETTLE);
        let (counts, end) = phase();
        peer.broadcast(
            || {
                let passed = data.passed.load(Relaxed);
                assert!(storm == 0 || passed == all, "{passed} of {all} waiters passed storm {storm}");
                data.passed.store(0, Relaxed);
                data.waiting.store(0, Relaxed);
                data.storm.store(storm + 1, Relaxed);
                data.end.store(end.into(), Relaxed);
                data.started.store(Clock::monotonic_ns(), Relaxed);
            },
            when,
        );
        if end {
            return;
        }
        all_wait(); // So the last has passed and written down when.
        let ns = data.finished.load(Relaxed) - data.started.load(Relaxed);
        report(storm + 1, counts.then_some(ns));
    }
}

fn wait<P: MonitorPeer>(peer: &P, data: &Data, all: u64) {
    for storm in 1.. {
        let add_one = |count: &AtomicU64| {
            let sum = count.load(Relaxed) + 1;
            count.store(sum, Relaxed);
            sum
        };
        let mut end = false;
        peer.wait_until(
            || {
                add_one(&data.waiting);
            },
            || data.storm.load(Relaxed) == storm,
            || {
                end = data.end.load(Relaxed) == 1;
                if add_one(&data.passed) == all {
                    data.finished.store(Clock::monotonic_ns(), Relaxed);
                }
            },
        );
        if end {
            return;
        }
    }
}
