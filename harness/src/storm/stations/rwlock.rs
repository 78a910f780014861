//! `RwLock<T>`: readers that die and are forgotten, writers that die and poison.

use super::Named;
use crate::storm::desk::Desk;
use crate::storm::ledger::{Ledger, Taken};
use crate::storm::station::Station;
use shmsync::{PoisonCause, RwLock, TryLockError, TryLockResult};
use std::time::Duration;

/// Fewer slots than workers, so that readers wait for slots, too.
const READERS: usize = 3;

/// A lock round a number, and a ledger that writers change and readers look into.
#[derive(Debug)]
pub(in crate::storm) struct RwLockStation<W: Named> {
    lock: RwLock<[u64; 2], READERS, W>,
    ledger: Ledger,
}

impl<W: Named> RwLockStation<W> {
    pub(in crate::storm) fn new() -> Self {
        Self { lock: RwLock::new_in([0, 0]), ledger: Ledger::default() }
    }

    fn read(&self, desk: &mut Desk<'_>) -> bool {
        let moment = desk.moment(4);
        let read = match desk.dice.u32(0..6) {
            0..3 => self.lock.read().map_err(TryLockError::Poisoned),
            3 => self.lock.try_read(),
            _ => self.lock.try_read_for(moment),
        };
        match read {
            Ok(guard) => {
                self.ledger.look(desk);
                if guard[1] != 2 * guard[0] {
                    desk.violated(&format!("a reader found {:?} without poison", *guard));
                }
                true
            }
            Err(TryLockError::Poisoned(_)) => true, // Torn, perhaps: a writer will repair it.
            Err(TryLockError::TimedOut | TryLockError::WouldBlock) => false,
            Err(other) => desk.violated(&format!("read: {other:?}")),
        }
    }

    fn write(&self, desk: &mut Desk<'_>) -> bool {
        let moment = desk.moment(4);
        match desk.dice.u32(0..6) {
            0..3 => {
                let result = self.lock.write().map_err(TryLockError::Poisoned);
                self.change(desk, result)
            }
            3 => self.change(desk, self.lock.try_write()),
            _ => self.change(desk, self.lock.try_write_for(moment)),
        }
    }

    fn change(
        &self,
        desk: &mut Desk<'_>,
        written: TryLockResult<shmsync::RwLockWriteGuard<'_, [u64; 2], READERS, W>>,
    ) -> bool {
        let mut guard = match written {
            Ok(guard) => {
                self.ledger.enter(desk, Taken::Clean);
                guard
            }
            Err(TryLockError::Poisoned(poison)) => {
                if let PoisonCause::Died(owner) = poison.cause() {
                    desk.recovered_from(owner);
                }
                self.ledger.enter(desk, Taken::Torn);
                let mut guard = poison.into_inner();
                guard[1] = 2 * guard[0];
                self.lock.clear_poison();
                guard
            }
            Err(TryLockError::TimedOut | TryLockError::WouldBlock) => return false,
            Err(other) => desk.violated(&format!("write: {other:?}")),
        };
        if guard[1] != 2 * guard[0] {
            desk.violated(&format!("a writer found {:?} without poison", *guard));
        }
        guard[0] += 1;
        self.ledger.change(desk);
        guard[1] += 2;
        self.ledger.leave();
        true
    }
}

impl<W: Named> Station for RwLockStation<W> {
    fn name(&self) -> String {
        format!("RwLock ({})", W::NAME)
    }

    fn work(&self, desk: &mut Desk<'_>) -> bool {
        if desk.dice.u32(0..3) > 0 { self.read(desk) } else { self.write(desk) }
    }

    fn check(&self, desk: &mut Desk<'_>, bound: Duration) -> Result<(), String> {
        if !self.change(desk, self.lock.try_write_for(bound)) {
            return Err(String::from("a writer cannot enter in a calm"));
        }
        match self.lock.try_read_for(bound) {
            Ok(_) => Ok(()),
            Err(error) => Err(format!("a reader cannot enter in a calm: {error:?}")),
        }
    }

    fn state(&self) -> String {
        format!("{self:?}")
    }
}
