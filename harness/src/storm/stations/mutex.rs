//! `Mutex<T>`: data inside, and poison by death and by panic.

use super::Named;
use crate::storm::desk::Desk;
use crate::storm::ledger::{Ledger, Taken};
use crate::storm::station::Station;
use shmsync::{LockResult, Mutex, MutexGuard, PoisonCause, TryLockError};
use std::panic::{self, AssertUnwindSafe};
use std::time::Duration;

/// A mutex round two numbers of which the second is always the first's double, unless it is poisoned.
#[derive(Debug)]
pub(in crate::storm) struct MutexStation<W: Named> {
    mutex: Mutex<[u64; 2], W>,
    ledger: Ledger,
}

impl<W: Named> MutexStation<W> {
    pub(in crate::storm) fn new() -> Self {
        Self { mutex: Mutex::new_in([0, 0]), ledger: Ledger::default() }
    }

    /// The guard, in good order, with the station entered.
    fn enter<'a>(
        &'a self,
        desk: &Desk<'_>,
        locked: LockResult<MutexGuard<'a, [u64; 2], W>>,
    ) -> MutexGuard<'a, [u64; 2], W> {
        match locked {
            Ok(guard) => {
                if guard[1] != 2 * guard[0] {
                    desk.violated(&format!("{:?} without poison", *guard));
                }
                self.ledger.enter(desk, Taken::Clean);
                guard
            }
            Err(poison) => {
                if let PoisonCause::Died(owner) = poison.cause() {
                    desk.recovered_from(owner);
                }
                let mut guard = poison.into_inner();
                self.ledger.enter(desk, Taken::Torn);
                guard[1] = 2 * guard[0];
                self.mutex.clear_poison();
                guard
            }
        }
    }

    fn change(&self, desk: &mut Desk<'_>, guard: &mut MutexGuard<'_, [u64; 2], W>) {
        guard[0] += 1;
        self.ledger.change(desk);
        guard[1] += 2;
    }

    fn lock(&self, desk: &mut Desk<'_>) -> Option<MutexGuard<'_, [u64; 2], W>> {
        let moment = desk.moment(3);
        let tried = match desk.dice.u32(0..6) {
            0..3 => {
                let locked = self.mutex.lock();
                return Some(self.enter(desk, locked));
            }
            3 => self.mutex.try_lock(),
            _ => self.mutex.try_lock_for(moment),
        };
        match tried {
            Ok(guard) => Some(self.enter(desk, Ok(guard))),
            Err(TryLockError::Poisoned(poison)) => Some(self.enter(desk, Err(poison))),
            Err(TryLockError::WouldBlock | TryLockError::TimedOut) => None,
            Err(other) => desk.violated(&format!("try_lock: {other:?}")),
        }
    }
}

impl<W: Named> Station for MutexStation<W> {
    fn name(&self) -> String {
        format!("Mutex ({})", W::NAME)
    }

    fn work(&self, desk: &mut Desk<'_>) -> bool {
        let Some(mut guard) = self.lock(desk) else { return false };
        self.change(desk, &mut guard);
        self.ledger.leave();
        if desk.dice.u32(0..32) == 0 {
            // A panic with the data torn; without the panic hook, which would tell the parent.
            let unwound = panic::catch_unwind(AssertUnwindSafe(|| {
                let mut guard = guard;
                guard[0] += 1;
                panic::resume_unwind(Box::new(()));
            }));
            assert!(unwound.is_err());
        }
        true
    }

    fn check(&self, desk: &mut Desk<'_>, bound: Duration) -> Result<(), String> {
        let mut guard = match self.mutex.try_lock_for(bound) {
            Ok(guard) => self.enter(desk, Ok(guard)),
            Err(TryLockError::Poisoned(poison)) => self.enter(desk, Err(poison)),
            Err(error) => {
                return Err(format!("cannot be locked in a calm: {error:?}, held by {:?}", self.mutex.holder()));
            }
        };
        self.change(desk, &mut guard);
        self.ledger.leave();
        drop(guard);
        if self.mutex.is_poisoned() { Err(String::from("poisoned after it was cleared")) } else { Ok(()) }
    }

    fn state(&self) -> String {
        format!("{self:?}")
    }
}
