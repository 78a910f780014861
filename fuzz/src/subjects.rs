//! The primitives' verbs, all but those that rightly wait for ever: whatever the bytes are, each comes to an end, and what
//! one thread can tell for certain is so.

mod condition;
mod once;

use std::fmt::Debug;
use std::time::{Duration, Instant};

use arbitrary::Arbitrary;
use shmsync::wait::Wait;
use shmsync::{
    Barrier, BarrierError, BoundedSemaphore, Event, Lock, Mutex, MutexGuard, PermitPool, RLock, RwLock, SEM_VALUE_MAX,
    Semaphore, TryLockError, TryLockResult,
};
use zerocopy::FromBytes;

use condition::{crowd, owe};

/// One verb: which, how many, and for how long.
#[derive(Arbitrary, Debug, Clone, Copy)]
pub struct Step {
    pub verb: u8,
    pub n: u32,
    pub micros: u8,
}

impl Step {
    fn timeout(self) -> Duration {
        Duration::from_micros(u64::from(self.micros % 32))
    }

    fn deadline(self) -> Instant {
        Instant::now() + self.timeout()
    }
}

/// A primitive, and its verbs.
pub trait Subject: FromBytes + Sync + Debug + 'static {
    /// `alone`: nobody else does anything to it meanwhile.
    fn step(&self, step: Step, alone: bool);
}

impl<W: Wait + 'static> Subject for Lock<W> {
    fn step(&self, step: Step, alone: bool) {
        match step.verb % 10 {
            0 => _ = self.try_acquire(),
            1 => _ = self.acquire_for(step.timeout()),
            2 => _ = self.acquire_until(step.deadline()),
            3 => _ = self.acquire_interruptible(Some(step.timeout())),
            4 => {
                if self.release().is_ok() && alone {
                    assert!(!self.is_locked(), "it was released");
                }
            }
            5 => {
                if self.recover().is_ok() && alone {
                    assert!(self.holder().is_some_and(|holder| holder.is_alive()), "it was taken over");
                }
            }
            6 => self.disown(),
            7 => _ = self.lock_for(step.timeout()).map(drop),
            8 => {
                let crowds = [crowd::<W>(), crowd()];
                _ = self.lock_for(step.timeout()).map(|mut guard| owe(&crowds, &mut guard, step.n));
            }
            _ => _ = (self.is_locked(), self.holder().map(|holder| (holder.to_string(), holder.is_alive()))),
        }
    }
}

impl<W: Wait + 'static> Subject for RLock<W> {
    fn step(&self, step: Step, alone: bool) {
        match step.verb % 9 {
            0 => {
                if self.try_acquire().is_ok() && alone {
                    assert!(self.is_mine());
                }
            }
            1 => _ = self.acquire_for(step.timeout()),
            2 => _ = self.acquire_until(step.deadline()),
            3 => _ = self.acquire_interruptible(Some(step.timeout())),
            4 => _ = self.release(),
            5 => _ = self.recover(),
            6 => _ = self.lock_for(step.timeout()).map(drop),
            7 => {
                let crowds = [crowd::<W>(), crowd()];
                let mut guards = [self.lock_for(step.timeout()), self.try_lock()];
                guards.iter_mut().flatten().for_each(|guard| owe(&crowds, guard, step.n));
            }
            _ => _ = (self.depth(), self.is_mine(), self.holder().map(|holder| holder.is_alive())),
        }
    }
}

impl<W: Wait + 'static> Subject for Mutex<u64, W> {
    fn step(&self, step: Step, _alone: bool) {
        let used = |outcome: TryLockResult<MutexGuard<'_, u64, W>>| match outcome {
            Ok(mut data) => *data = data.wrapping_add(1),
            Err(TryLockError::Poisoned(error)) => _ = (error.to_string(), error.cause(), *error.into_inner()),
            Err(other) => _ = other.to_string(),
        };
        match step.verb % 7 {
            0 => used(self.try_lock()),
            1 => used(self.try_lock_for(step.timeout())),
            2 => used(self.try_lock_until(step.deadline())),
            3 => self.clear_poison(),
            4 => {
                let crowds = [crowd::<W>(), crowd()];
                match self.try_lock_for(step.timeout()) {
                    Ok(mut data) => owe(&crowds, &mut data, step.n),
                    Err(TryLockError::Poisoned(error)) => owe(&crowds, &mut error.into_inner(), step.n),
                    Err(other) => _ = other.to_string(),
                }
            }
            // As a thread that ends while it holds one, or never ends.
            5 => _ = self.try_lock().map(std::mem::forget).map_err(|error| error.to_string()),
            _ => _ = (self.is_poisoned(), self.holder().map(|holder| holder.is_alive())),
        }
    }
}

impl<W: Wait + 'static> Subject for RwLock<u64, 4, W> {
    fn step(&self, step: Step, _alone: bool) {
        match step.verb % 9 {
            0 => _ = self.try_read().map(|data| *data).map_err(|error| error.to_string()),
            1 => _ = self.try_read_for(step.timeout()).map(|data| *data).map_err(|error| error.to_string()),
            2 => _ = self.try_write().map(|mut data| *data ^= 1).map_err(|error| error.to_string()),
            3 => _ = self.try_write_for(step.timeout()).map(|mut data| *data ^= 1).map_err(|error| error.to_string()),
            4 => _ = self.try_read_until(step.deadline()).map(std::mem::forget).map_err(drop),
            5 => _ = self.try_write_until(step.deadline()).map(std::mem::forget).map_err(drop),
            6 => self.clear_poison(),
            7 => _ = (self.is_poisoned(), self.writer().map(|writer| writer.is_alive())),
            _ => assert!(self.readers().filter(|reader| !reader.to_string().is_empty()).count() <= 4),
        }
    }
}

impl<W: Wait + 'static> Subject for Semaphore<W> {
    fn step(&self, step: Step, alone: bool) {
        let before = self.value();
        assert!(before <= SEM_VALUE_MAX);
        // A scribbled count may be higher than the value that is shown.
        let alone = alone && before < SEM_VALUE_MAX;
        match step.verb % 7 {
            0 => {
                let taken = self.try_acquire().is_ok();
                assert!(!alone || (taken == (before > 0) && self.value() == before - u32::from(taken)));
            }
            1 => _ = self.acquire_for(step.timeout()),
            2 => _ = self.acquire_until(step.deadline()),
            3 => _ = self.acquire_interruptible(Some(step.timeout())),
            4 => {
                let given = self.release().is_ok();
                assert!(!alone || self.value() == before + u32::from(given));
            }
            5 => {
                let given = self.release_many(step.n).is_ok();
                assert!(!alone || given == before.checked_add(step.n).is_some_and(|sum| sum <= SEM_VALUE_MAX));
                assert!(!alone || self.value() == before + if given { step.n } else { 0 });
            }
            _ => {}
        }
    }
}

impl<W: Wait + 'static> Subject for BoundedSemaphore<W> {
    fn step(&self, step: Step, alone: bool) {
        let before = self.value();
        match step.verb % 6 {
            0 => _ = self.try_acquire(),
            1 => _ = self.acquire_for(step.timeout()),
            2 => _ = self.acquire_interruptible(Some(step.timeout())),
            3 => {
                let given = self.release().is_ok();
                assert!(!alone || !given || self.value() == before + 1);
            }
            4 => {
                let given = self.release_many(step.n).is_ok();
                assert!(!alone || !given || step.n == 0 || self.value() <= self.bound(), "{self:?}");
            }
            _ => _ = self.bound(),
        }
    }
}

impl<W: Wait + 'static> Subject for PermitPool<4, W> {
    fn step(&self, step: Step, _alone: bool) {
        match step.verb % 7 {
            0 => _ = self.try_acquire().map(|permit| (permit.index() < 4, permit.reclaimed())),
            1 => _ = self.acquire_for(step.timeout()).map(|permit| assert!(permit.index() < 4)),
            2 => _ = self.acquire_until(step.deadline()).map(std::mem::forget),
            3 => _ = self.acquire_interruptible(Some(step.timeout())).map(drop),
            4 => _ = self.recover().map(|permit| permit.reclaimed()),
            5 => _ = self.holder(step.n as usize % 4).map(|holder| holder.is_alive()),
            _ => assert!(self.available() <= 4 && self.holders().count() <= 4 && self.capacity() == 4),
        }
    }
}

impl<W: Wait + 'static> Subject for Event<W> {
    fn step(&self, step: Step, alone: bool) {
        match step.verb % 5 {
            0 => {
                self.set();
                assert!(!alone || (self.is_set() && self.wait_timeout(Duration::ZERO)));
            }
            1 => {
                self.clear();
                assert!(!alone || (!self.is_set() && !self.wait_timeout(step.timeout())));
            }
            2 => _ = self.wait_timeout(step.timeout()),
            3 => _ = self.wait_interruptible(Some(step.timeout())),
            _ => _ = self.is_set(),
        }
    }
}

/// What barriers with and without members have in common.
fn barrier<W: Wait, const MEMBERS: usize>(barrier: &Barrier<W, MEMBERS>, step: Step, alone: bool) {
    assert!(barrier.parties() >= 1);
    match step.verb % 5 {
        0 => {
            let arrived = barrier.wait_timeout(step.timeout());
            if let Ok(place) = arrived {
                assert!(!alone || place.index() < barrier.parties());
            }
        }
        1 => {
            barrier.abort();
            assert!(!alone || barrier.wait_with(|| ()) == Err(BarrierError::Broken));
        }
        2 => {
            barrier.reset();
            assert!(!alone || !barrier.is_broken());
        }
        3 => _ = barrier.n_waiting(),
        _ => _ = barrier.is_broken(),
    }
}

impl<W: Wait + 'static> Subject for Barrier<W> {
    fn step(&self, step: Step, alone: bool) {
        barrier(self, step, alone);
    }
}

impl<W: Wait + 'static> Subject for Barrier<W, 4> {
    fn step(&self, step: Step, alone: bool) {
        match step.verb % 4 {
            0 => _ = self.join().map(|member| member.wait_timeout(step.timeout())),
            1 => _ = self.join().map(std::mem::forget),
            _ => barrier(self, Step { verb: step.verb / 4, ..step }, alone),
        }
    }
}
