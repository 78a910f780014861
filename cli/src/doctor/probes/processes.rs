//! Trials with processes and threads: they wake each other, die while they hold something, and wait in a circle.

use super::{Finding, fails, limited, works};
use shmsync::wait::Wait;
use shmsync::{AcquireError, Lock, Semaphore, Shared};
use shmsync_harness::process;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};
use zerocopy::FromBytes;

/// Far more than any of these takes.
const LIMIT: Duration = Duration::from_secs(5);

/// Ten times as long as a waiter needs at most to learn what can be learned.
const ENOUGH: Duration = Duration::from_secs(1);

/// A process that sleeps is woken, and wakes in its turn.
pub(super) fn waking() -> Finding {
    let what = "shared futex";
    let means = "waiting between processes does not work: a sandbox that forbids futexes, or one without shared memory";
    let pair = match Shared::anonymous([const { Semaphore::new(0) }; 2]) {
        Ok(pair) => pair,
        Err(error) => return fails(what, error.to_string(), means),
    };
    let mut other = process::fork(|| {
        while pair[0].acquire_for(LIMIT).is_ok() {
            let _ = pair[1].release();
        }
    });
    let mut best = None;
    for _ in 0..5 {
        thread::sleep(Duration::from_millis(20)); // Asleep by now, most likely.
        let began = Instant::now();
        let _ = pair[0].release();
        if pair[1].acquire_for(LIMIT).is_err() {
            other.kill();
            return fails(what, format!("a sleeping process was not woken in {LIMIT:?}"), means);
        }
        best = Some(best.unwrap_or(Duration::MAX).min(began.elapsed()));
    }
    other.kill();
    works(what, format!("a sleeping process woken, and back, in {:.1?}", best.unwrap_or_default()))
}

/// How long it takes a waiter to learn that the holder was killed.
pub(super) fn death<W: Wait + Sync + FromBytes>(what: &'static str, means: &str) -> Finding {
    let lock = match Shared::anonymous((Lock::<W>::new_in(), Semaphore::new(0)).into()) {
        Ok(shared) => shared,
        Err(error) => return fails(what, error.to_string(), means),
    };
    let _: &Held<W> = &lock;
    let mut holder = process::fork(|| {
        let _ = lock.lock.acquire();
        let _ = lock.held.release();
        thread::sleep(2 * LIMIT);
    });
    if lock.held.acquire_for(LIMIT).is_err() {
        return fails(what, "no process could be started that holds a lock", means);
    }
    let learn = |end: &mut dyn FnMut()| {
        thread::scope(|scope| {
            let waiter = scope.spawn(|| (lock.lock.acquire_for(ENOUGH), Instant::now()));
            thread::sleep(Duration::from_millis(20));
            let ended = Instant::now();
            end();
            let (told, when) = waiter.join().unwrap_or((Err(AcquireError::TimedOut), ended));
            matches!(told, Err(AcquireError::OwnerDied(_))).then(|| when - ended)
        })
    };
    let as_zombie = learn(&mut || holder.kill());
    if let Some(after) = as_zombie {
        return works(what, format!("a waiter learned of the holder's death in {after:.1?}"));
    }
    match learn(&mut || _ = holder.wait_exit(LIMIT)) {
        Some(_) => {
            limited(what, "a waiter learned of the holder's death only when its parent had waited for it", means)
        }
        None => limited(what, "a waiter did not learn of the holder's death", means),
    }
}

#[derive(FromBytes)]
#[repr(C)]
struct Held<W: Wait> {
    held: Semaphore,
    lock: Lock<W>,
}

impl<W: Wait> From<(Lock<W>, Semaphore)> for Held<W> {
    fn from((lock, held): (Lock<W>, Semaphore)) -> Self {
        Self { held, lock }
    }
}

/// Two threads that each want what the other holds.
pub(super) fn deadlock() -> Finding {
    let what = "deadlocks";
    let means = "two processes that wait for each other's locks wait for ever: process_vm_readv is not allowed here";
    let locks = match Shared::anonymous([const { Lock::new() }; 2]) {
        Ok(locks) => locks,
        Err(error) => return fails(what, error.to_string(), means),
    };
    let (both, began) = (Barrier::new(2), Instant::now());
    let cross = |mine: usize| {
        let _ = locks[mine].acquire();
        both.wait();
        let told = locks[1 - mine].acquire_for(Duration::from_secs(1));
        let _ = locks[mine].release();
        told == Err(AcquireError::WouldDeadlock)
    };
    let found = thread::scope(|scope| {
        let other = scope.spawn(|| cross(1));
        cross(0) | other.join().unwrap_or(false)
    });
    if found {
        works(what, format!("one of two that waited for each other was told in {:.1?}", began.elapsed()))
    } else {
        limited(what, "two that waited for each other were not told", means)
    }
}
