//! A holder is killed with SIGKILL while somebody waits: how long until the waiter owns what the dead one held.
//!
//! Latency is from just before `kill(2)` until the waiter has the death told *and* the lock in hand, on the monotonic
//! clock of all processes. What it had waited before is a parameter, because a waiter that has waited longer looks less
//! often; the moment of the kill is drawn evenly from a range, lest it always fall at the same place in a slice.
//!
//! Each kill has a holder of its own, forked by a killer. In the group that waits long several such rigs work side by
//! side, for they mostly sleep. Their kills must not meet: a dying process stays in the kernel for a quarter of a
//! millisecond, in which it lets nobody else on its CPU, and the waiter may be woken there. With 16 kills in 100 ms, and not
//! in 500, a third of the waiters waited for that, which is as much as the whole, and of which peer was left to chance.
//!
//! Check: the waiter is told of a death, of the one that died and not before it was killed; the lock can be used after.

use super::{Case, Column, Extent, Group, Pace, Workload};
use crate::clock::Clock;
use crate::crew::{self, Context, Placement, Seat, Team};
use crate::params::{Params, Value};
use crate::peers::{HeirPeer, PthreadRobust, Rigs, ShmLock, ShmMutex};
use crate::process;
use crate::sample::{Measure, Sample};
use shmsync::wait::{Futex, KernelRobust, PosixSem};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::thread;
use std::time::Duration;
use zerocopy::FromZeros;

/// See the head of the file.
pub const WORKLOAD: Workload = Workload {
    name: "recovery",
    about: "a holder is killed with SIGKILL while another process waits, that has waited for a while already",
    latency: "from just before the kill until the waiter owns the lock",
    operations: "",
    measure: Measure::Time,
    sem_t: None,
    pthread: Some("pthread robust mutex"),
    columns: &[Column::P999, Column::Max],
    on_request: false,
    groups,
};

/// A waiter must be told within a slice, which is 100 ms at most. The rest is for a machine that has other things to do.
const BOUND: Duration = Duration::from_secs(1);

/// How often the two sides look whether it is their turn, outside of what is timed.
const LOOK: Duration = Duration::from_micros(100);

/// How often a killer looks whether the sample is over. Sixteen that looked every 5 ms were 3 % of the machine.
const NAP: Duration = Duration::from_millis(50);

fn groups(extent: Extent) -> Vec<Group> {
    let short = group(Pace::millis(extent.pick(80, 250)).rounds(8), "0_to_10_ms", 0..10, 1);
    let long = group(Pace::millis(1700).rounds(3), "500_to_1000_ms", 500..1000, Rigs::<()>::MOST);
    match extent {
        Extent::Quick => vec![short],
        Extent::Full => vec![short, long],
    }
}

fn group(pace: Pace, words: &'static str, waited_ms: Range<u64>, rigs: usize) -> Group {
    let params = Params(vec![("waited", Value::Word(words)), ("rigs", Value::Number(rigs as u64))]);
    let mut cases = vec![
        case::<ShmLock<Futex>>(&waited_ms, rigs),
        case::<ShmLock<PosixSem>>(&waited_ms, rigs),
        case::<ShmLock<KernelRobust>>(&waited_ms, rigs),
        case::<ShmMutex<KernelRobust>>(&waited_ms, rigs),
        case::<PthreadRobust>(&waited_ms, rigs),
    ];
    if rigs == 1 {
        // Slices are the same whatever is waited for, and long samples are dear.
        cases.extend([case::<ShmMutex<Futex>>(&waited_ms, rigs), case::<ShmMutex<PosixSem>>(&waited_ms, rigs)]);
    }
    Group { params, cpus: 1, members: 2 * rigs, pace, cases }
}

fn case<P: HeirPeer + 'static>(waited_ms: &Range<u64>, rigs: usize) -> Case {
    let waited_ms = waited_ms.clone();
    Case::new::<P>(move |context| sample::<P>(context, waited_ms.clone(), rigs))
}

/// What killer, holder and waiter of a rig tell each other; 0 is "not yet".
#[repr(C, align(128))]
#[derive(Debug, FromZeros)]
struct Rig {
    /// Who holds the lock.
    holder: AtomicU64,
    /// Since when the waiter has waited.
    waiting: AtomicU64,
    /// Whether this kill is the last one.
    last: AtomicU64,
    /// When the waiter owned the lock.
    owned: AtomicU64,
}

type Data = [Rig; Rigs::<()>::MOST];

/// One sample.
///
/// # Errors
/// The peer hung, failed, or told of a death late or wrongly.
pub fn sample<P: HeirPeer>(context: &Context, waited_ms: Range<u64>, rigs: usize) -> Result<Sample, String> {
    let team = Team { members: 2 * rigs, size: 1, placement: Placement::Free };
    let done = crew::run::<Rigs<P>, Data>(context, team, |seat| {
        let place = seat.index % rigs;
        let (peer, rig) = (seat.peer.at(place), &seat.data[place]);
        seat.begin();
        if seat.index < rigs {
            kill(seat, peer, rig, &waited_ms);
        } else {
            inherit(peer, rig);
        }
    })?;
    Ok(done.sample(rigs, 1.0).without_rate())
}

fn kill<P: HeirPeer>(seat: &Seat<'_, Rigs<P>, Data>, peer: &P, rig: &Rig, waited_ms: &Range<u64>) {
    let mut random = fastrand::Rng::with_seed(Clock::monotonic_ns());
    for kills in 1.. {
        rig.waiting.store(0, SeqCst);
        rig.owned.store(0, SeqCst);
        let mut holder = process::fork(|| {
            peer.hold();
            rig.holder.store(u64::from(std::process::id()), SeqCst);
            loop {
                thread::sleep(BOUND);
            }
        });
        let since = until_set(&rig.waiting);
        let due = since + random.u64(waited_ms.start * 1_000_000..waited_ms.end * 1_000_000);
        let ended = sleep_until(due, || seat.stopped());
        let counts = seat.measuring();
        rig.last.store(ended.into(), SeqCst);

        let killed = Clock::monotonic_ns();
        holder.signal(libc::SIGKILL);
        let _ = holder.join(BOUND); // "It was killed."
        let owned = until_set(&rig.owned);
        assert!(owned >= killed, "it was taken from a holder that lived");
        let took = Duration::from_nanos(owned - killed);
        assert!(took <= BOUND, "the waiter was told of the death after {took:?}");
        if counts {
            seat.record(owned - killed);
        }
        seat.publish(kills);
        if ended {
            return;
        }
    }
}

fn inherit<P: HeirPeer>(peer: &P, rig: &Rig) {
    loop {
        let holder = until_set(&rig.holder);
        rig.waiting.store(Clock::monotonic_ns(), SeqCst);
        let owned = peer.inherit(holder as u32);
        let last = rig.last.load(SeqCst) == 1;
        rig.holder.store(0, SeqCst); // Before it says so, lest it take this one for the next.
        rig.owned.store(owned, SeqCst);
        if last {
            return;
        }
    }
}

/// Sleeps until it is time, or until `stop`; says which.
fn sleep_until(due: u64, stop: impl Fn() -> bool) -> bool {
    loop {
        let left = due.saturating_sub(Clock::monotonic_ns());
        if left == 0 || stop() {
            return stop();
        }
        thread::sleep(Duration::from_nanos(left).min(NAP));
    }
}

fn until_set(value: &AtomicU64) -> u64 {
    loop {
        match value.load(SeqCst) {
            0 => thread::sleep(LOOK),
            value => return value,
        }
    }
}
