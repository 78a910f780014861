//! `PermitPool`: permits that come back by themselves, each with something that its holder alone may touch.

use super::Named;
use crate::storm::desk::Desk;
use crate::storm::ledger::{Ledger, Taken};
use crate::storm::station::Station;
use shmsync::{AcquireError, Permit, PermitPool};
use std::time::{Duration, Instant};

const PERMITS: usize = 4;

/// A pool and what its permits stand for.
#[derive(Debug)]
pub(in crate::storm) struct PoolStation<W: Named> {
    pool: PermitPool<PERMITS, W>,
    ledgers: [Ledger; PERMITS],
}

impl<W: Named> PoolStation<W> {
    pub(in crate::storm) fn new() -> Self {
        Self { pool: PermitPool::new_in(), ledgers: Default::default() }
    }

    fn use_permit(&self, desk: &mut Desk<'_>, permit: &Permit<'_, PERMITS, W>) {
        let taken = match permit.reclaimed() {
            Some(owner) => {
                desk.recovered_from(owner);
                Taken::Torn
            }
            None => Taken::Clean,
        };
        self.ledgers[permit.index()].visit(desk, taken);
    }
}

impl<W: Named> Station for PoolStation<W> {
    fn name(&self) -> String {
        format!("PermitPool ({})", W::NAME)
    }

    fn work(&self, desk: &mut Desk<'_>) -> bool {
        let moment = desk.moment(5);
        let permit = match desk.dice.u32(0..6) {
            0 => self.pool.try_acquire(),
            1 => self.pool.acquire_for(moment),
            _ => self.pool.acquire(), // No worker holds one permit while it waits for another.
        };
        match permit {
            Ok(permit) => self.use_permit(desk, &permit),
            Err(AcquireError::TimedOut | AcquireError::WouldBlock) => return false,
            Err(other) => desk.violated(&format!("acquire: {other:?}")),
        }
        true
    }

    fn check(&self, desk: &mut Desk<'_>, bound: Duration) -> Result<(), String> {
        let deadline = Instant::now() + bound;
        let mut all = Vec::new();
        for taken in 0..PERMITS {
            let permit = self.pool.acquire_until(deadline);
            let permit = permit.map_err(|error| format!("{taken} of {PERMITS} permits could be taken: {error:?}"))?;
            self.use_permit(desk, &permit);
            all.push(permit);
        }
        match self.pool.try_acquire() {
            Err(AcquireError::WouldBlock) => Ok(()),
            other => Err(format!("one permit too many: {other:?}")),
        }
    }

    fn state(&self) -> String {
        format!("{self:?}, held by {:?}", self.pool.holders().collect::<Vec<_>>())
    }
}
