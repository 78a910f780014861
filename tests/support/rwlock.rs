//! A RwLock<T> over two equal numbers: children inside or blocked, every form of entering, and times.

use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use shmsync::wait::Wait;
use shmsync::{PoisonCause, RwLock, TryLockError};

use super::*;

/// Two numbers that are equal whenever no writer is inside.
pub type Pair<W, const N: usize = 16> = RwLock<[u64; 2], N, W>;

pub fn shared<W: Wait>() -> Shm<Pair<W>> {
    Shm::new(RwLock::new_in([0; 2]))
}

/// A child that has entered in one way or the other, and stays until it is killed.
pub fn inside<G>(enter: impl FnOnce() -> G) -> Child {
    let entered = Shm::new(Tally::new());
    let child = fork(|| {
        let _guard = enter();
        entered.up();
        until_killed();
    });
    entered.reaches(1);
    child
}

/// A child that is inside until `leave` counts one.
pub fn inside_until<G>(leave: &Tally, enter: impl FnOnce() -> G) -> Child {
    let entered = Shm::new(Tally::new());
    let child = fork(|| {
        let _guard = enter();
        entered.up();
        leave.reaches(1);
    });
    entered.reaches(1);
    child
}

/// A child that sleeps in `enter`, and then ends.
pub fn blocked<R>(enter: impl FnOnce() -> R) -> Child {
    let about = Shm::new(Tally::new());
    let child = fork(|| {
        about.up();
        enter();
    });
    about.reaches(1);
    asleep(child.pid());
    child
}

pub fn die_writing<W: Wait, const N: usize>(lock: &Pair<W, N>, change: impl FnOnce(&mut [u64; 2])) -> Child {
    die_after(|| {
        let mut guard = lock.write().unwrap();
        change(&mut guard);
        std::mem::forget(guard);
    })
}

pub fn die_reading<W: Wait, const N: usize>(lock: &Pair<W, N>) -> Child {
    die_after(|| std::mem::forget(lock.read().unwrap()))
}

/// Adds one to both, with a moment between.
pub fn bump(pair: &mut [u64; 2]) {
    for number in pair {
        // SAFETY: borrowed exclusively. Volatile, so that there is a moment between the two.
        unsafe { std::ptr::from_mut(number).write_volatile(*number + 1) };
    }
}

pub fn assert_whole(pair: &[u64; 2]) {
    // SAFETY: borrowed. Volatile, so that they are read one after the other.
    let [one, other] = [0, 1].map(|i| unsafe { std::ptr::from_ref(&pair[i]).read_volatile() });
    assert_eq!(one, other, "torn, and nobody said so");
}

/// The thread that a cause names, and whether it died.
pub fn culprit(cause: PoisonCause) -> (u32, bool) {
    match cause {
        PoisonCause::Died(owner) => (owner.tid(), true),
        PoisonCause::Panicked(owner) => (owner.tid(), false),
    }
}

pub fn unwinding(f: impl FnOnce()) {
    let unwound = panic::catch_unwind(AssertUnwindSafe(|| {
        f();
        panic::resume_unwind(Box::new(())); // Without a word on the terminal.
    }));
    assert!(unwound.is_err());
}

/// Each form of entering, the timed ones with `timeout`: the errors in words.
pub fn reading<W: Wait, const N: usize>(lock: &Pair<W, N>, timeout: Duration) -> [Option<String>; 3] {
    let text = |error: TryLockError<_>| format!("{error:?}");
    [
        lock.try_read().map(drop).map_err(text).err(),
        lock.try_read_for(timeout).map(drop).map_err(text).err(),
        lock.try_read_until(Instant::now() + timeout).map(drop).map_err(text).err(),
    ]
}

pub fn writing<W: Wait, const N: usize>(lock: &Pair<W, N>, timeout: Duration) -> [Option<String>; 3] {
    let text = |error: TryLockError<_>| format!("{error:?}");
    [
        lock.try_write().map(drop).map_err(text).err(),
        lock.try_write_for(timeout).map(drop).map_err(text).err(),
        lock.try_write_until(Instant::now() + timeout).map(drop).map_err(text).err(),
    ]
}

pub const FREE: [Option<String>; 3] = [None, None, None];

pub fn errors(words: [&str; 3]) -> [Option<String>; 3] {
    words.map(|word| Some(String::from(word)))
}

pub fn is_held() -> [Option<String>; 3] {
    errors(["WouldBlock", "TimedOut", "TimedOut"])
}

/// Nanoseconds on a clock that all processes share.
pub fn nanos() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writes that local.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut now) };
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// How long it takes from `event` until a child that has been blocked in `enter` for `waited` comes through.
pub fn until_through(waited: Duration, enter: impl FnOnce(), event: impl FnOnce()) -> Duration {
    let through = Shm::new(AtomicU64::new(0));
    let child = blocked(|| {
        enter();
        through.store(nanos(), SeqCst);
    });
    thread::sleep(waited);
    let began = nanos();
    event();
    join([child]);
    Duration::from_nanos(through.load(SeqCst).saturating_sub(began))
}
