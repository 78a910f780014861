//! `Condition` with each kind of guard: waiters and notifiers that are killed, and locks that come back or are told dead.

use super::Named;
use crate::storm::desk::Desk;
use crate::storm::ledger::{Ledger, Taken};
use crate::storm::station::Station;
use shmsync::{AcquireError, Condition, Lock, Mutex, PoisonCause, RLock};
use std::time::{Duration, Instant};

/// Three locks, each with a condition and what the lock guards.
#[derive(Debug)]
pub(in crate::storm) struct ConditionStation<W: Named> {
    lock: Lock<W>,
    rlock: RLock<W>,
    mutex: Mutex<u64, W>,
    changed: [Condition<W>; 3],
    ledgers: [Ledger; 3],
}

/// The same words for both guards without data.
macro_rules! with_lock {
    ($wait:ident, $check:ident, $lock:ident, $at:literal) => {
        fn $wait(&self, desk: &mut Desk<'_>) -> bool {
            let (condition, ledger) = (&self.changed[$at], &self.ledgers[$at]);
            let mut guard = match self.$lock.lock() {
                Ok(guard) => guard,
                Err(AcquireError::OwnerDied(owner)) => {
                    if self.$lock.recover().is_ok() {
                        desk.recovered_from(owner);
                        ledger.visit(desk, Taken::Torn);
                        let _ = self.$lock.release();
                    }
                    return true;
                }
                Err(other) => desk.violated(&format!("lock: {other:?}")),
            };
            ledger.visit(desk, Taken::Clean);
            let moment = desk.moment(4);
            let waited = match desk.dice.u32(0..4) {
                0 => condition.wait(&mut guard), // The killer notifies everybody now and then.
                _ => condition.wait_timeout(&mut guard, moment).map(drop),
            };
            match waited {
                Ok(()) => ledger.visit(desk, Taken::Clean),
                Err(AcquireError::OwnerDied(owner)) => {
                    if guard.recover().is_ok() {
                        desk.recovered_from(owner);
                        ledger.visit(desk, Taken::Torn);
                    }
                }
                Err(other) => desk.violated(&format!("wait: {other:?}")),
            }
            true
        }

        fn $check(&self, desk: &mut Desk<'_>, deadline: Instant) -> Result<(), String> {
            loop {
                let taken = match self.$lock.acquire_until(deadline) {
                    Ok(()) => Taken::Clean,
                    Err(AcquireError::OwnerDied(_)) if self.$lock.recover().is_ok() => Taken::Torn,
                    Err(AcquireError::OwnerDied(_)) => continue,
                    Err(other) => return Err(format!("in a calm: {other:?}")),
                };
                self.ledgers[$at].visit(desk, taken);
                return self.$lock.release().map_err(|error| format!("release: {error:?}"));
            }
        }
    };
}

impl<W: Named> ConditionStation<W> {
    pub(in crate::storm) fn new() -> Self {
        Self {
            lock: Lock::new_in(),
            rlock: RLock::new_in(),
            mutex: Mutex::new_in(0),
            changed: std::array::from_fn(|_| Condition::new_in()),
            ledgers: Default::default(),
        }
    }

    with_lock!(wait_with_lock, check_lock, lock, 0);
    with_lock!(wait_with_rlock, check_rlock, rlock, 1);

    fn repaired(&self, desk: &mut Desk<'_>, cause: PoisonCause) {
        if let PoisonCause::Died(owner) = cause {
            desk.recovered_from(owner);
        }
        self.ledgers[2].visit(desk, Taken::Torn);
        self.mutex.clear_poison();
    }

    fn wait_with_mutex(&self, desk: &mut Desk<'_>) -> bool {
        let (condition, ledger) = (&self.changed[2], &self.ledgers[2]);
        let mut guard = self.mutex.lock().unwrap_or_else(|poison| {
            self.repaired(desk, poison.cause());
            poison.into_inner()
        });
        ledger.visit(desk, Taken::Clean);
        *guard += 1;
        let (moment, before) = (desk.moment(4), *guard);
        let waited = match desk.dice.u32(0..4) {
            0 => condition.wait(&mut guard),
            1 => condition.wait_timeout_while(&mut guard, moment, |now| *now == before).map(drop),
            _ => condition.wait_timeout(&mut guard, moment).map(drop),
        };
        match waited {
            Ok(()) => ledger.visit(desk, Taken::Clean),
            // The guard holds it even so.
            Err(AcquireError::OwnerDied(owner)) => self.repaired(desk, PoisonCause::Died(owner)),
            Err(other) => desk.violated(&format!("wait: {other:?}")),
        }
        true
    }
}

impl<W: Named> Station for ConditionStation<W> {
    fn name(&self) -> String {
        format!("Condition ({})", W::NAME)
    }

    fn work(&self, desk: &mut Desk<'_>) -> bool {
        match desk.dice.u32(0..8) {
            0..2 => self.wait_with_lock(desk),
            2..4 => self.wait_with_rlock(desk),
            4..6 => self.wait_with_mutex(desk),
            some => {
                let condition = &self.changed[desk.dice.usize(0..3)];
                match some {
                    6 => condition.notify(desk.dice.u32(1..3)),
                    _ => condition.notify_all(),
                }
                true
            }
        }
    }

    fn check(&self, desk: &mut Desk<'_>, bound: Duration) -> Result<(), String> {
        let deadline = Instant::now() + bound;
        self.check_lock(desk, deadline)?;
        self.check_rlock(desk, deadline)?;
        match self.mutex.try_lock_until(deadline) {
            Ok(_guard) => self.ledgers[2].visit(desk, Taken::Clean),
            Err(shmsync::TryLockError::Poisoned(poison)) => {
                self.repaired(desk, poison.cause());
                drop(poison);
            }
            Err(other) => return Err(format!("in a calm: {other:?}")),
        }
        Ok(())
    }

    fn tick(&self) {
        self.changed.iter().for_each(Condition::notify_all);
    }

    fn state(&self) -> String {
        format!("{self:?}")
    }
}
