//! `Lock` and `RLock`: exclusion, and a death that is told to whoever acquires.

use super::Named;
use crate::storm::desk::Desk;
use crate::storm::ledger::{Ledger, Taken};
use crate::storm::station::Station;
use shmsync::{AcquireError, Lock, RLock};
use std::time::{Duration, Instant};

macro_rules! lock_station {
    ($station:ident, $lock:ident, $what:literal, $deepest:expr) => {
        #[doc = concat!("A `", stringify!($lock), "` and what it guards.")]
        #[derive(Debug)]
        pub(in crate::storm) struct $station<W: Named> {
            lock: $lock<W>,
            ledger: Ledger,
        }

        impl<W: Named> $station<W> {
            pub(in crate::storm) fn new() -> Self {
                Self { lock: $lock::new_in(), ledger: Ledger::default() }
            }

            /// What a user does with the result of an acquiring verb; `None` if the lock was not acquired.
            fn come_by(&self, desk: &Desk<'_>, result: Result<(), AcquireError>) -> Option<Taken> {
                match result {
                    Ok(()) => Some(Taken::Clean),
                    Err(AcquireError::OwnerDied(owner)) => match self.lock.recover() {
                        Ok(()) => {
                            desk.recovered_from(owner);
                            Some(Taken::Torn)
                        }
                        Err(AcquireError::WouldBlock) => None, // Another was faster.
                        Err(other) => desk.violated(&format!("recover: {other:?}")),
                    },
                    Err(AcquireError::TimedOut | AcquireError::WouldBlock) => None,
                    Err(other) => desk.violated(&format!("acquire: {other:?}")),
                }
            }

            fn acquire(&self, desk: &mut Desk<'_>) -> Option<Taken> {
                let moment = desk.moment(3);
                let result = match desk.dice.u32(0..8) {
                    0..3 => self.lock.acquire(),
                    3 => self.lock.try_acquire(),
                    4 => self.lock.acquire_for(moment),
                    5 => self.lock.acquire_until(Instant::now() + moment),
                    _ => self.lock.acquire_interruptible(Some(moment)),
                };
                self.come_by(desk, result)
            }

            fn release(&self, desk: &Desk<'_>) {
                if let Err(error) = self.lock.release() {
                    desk.violated(&format!("release by the holder: {error:?}; {:?}", self.lock));
                }
            }
        }

        impl<W: Named> Station for $station<W> {
            fn name(&self) -> String {
                format!(concat!($what, " ({})"), W::NAME)
            }

            fn work(&self, desk: &mut Desk<'_>) -> bool {
                if desk.dice.u32(0..4) == 0 {
                    // The RAII form.
                    let moment = desk.moment(3);
                    let guard = if desk.dice.bool() { self.lock.lock() } else { self.lock.lock_for(moment) };
                    let Ok(_guard) = guard else { return false };
                    self.ledger.visit(desk, Taken::Clean);
                    return true;
                }
                let Some(taken) = self.acquire(desk) else { return false };
                let deeper = desk.dice.u32(0..$deepest);
                for _ in 0..deeper {
                    if let Err(error) = self.lock.acquire() {
                        desk.violated(&format!("acquire by the holder: {error:?}"));
                    }
                }
                self.ledger.visit(desk, taken);
                for _ in 0..=deeper {
                    self.release(desk);
                }
                true
            }

            fn check(&self, desk: &mut Desk<'_>, bound: Duration) -> Result<(), String> {
                let deadline = Instant::now() + bound;
                loop {
                    let result = self.lock.acquire_until(deadline);
                    if matches!(result, Err(AcquireError::TimedOut)) {
                        return Err(format!("cannot be acquired in a calm, nor recovered; {:?}", self.lock.holder()));
                    }
                    if let Some(taken) = self.come_by(desk, result) {
                        self.ledger.visit(desk, taken);
                        self.release(desk);
                        return Ok(());
                    }
                }
            }

            fn state(&self) -> String {
                format!("{self:?}")
            }
        }
    };
}
lock_station!(LockStation, Lock, "Lock", 1);
lock_station!(RLockStation, RLock, "RLock", 3);
