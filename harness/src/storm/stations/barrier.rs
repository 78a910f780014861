//! `Barrier`: parties that are killed while they wait, or before; somebody gives up, and somebody resets. With members,
//! a death alone breaks it.

use super::Named;
use crate::storm::desk::Desk;
use crate::storm::station::Station;
use shmsync::{Barrier, BarrierError};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

const PARTIES: u32 = 2;

/// A barrier, how often somebody was about to arrive, and how often a round was completed.
#[derive(Debug)]
pub(in crate::storm) struct BarrierStation<W: Named, const MEMBERS: usize = 0> {
    barrier: Barrier<W, MEMBERS>,
    arrivals: AtomicU64,
    rounds: AtomicU64,
}

impl<W: Named, const MEMBERS: usize> BarrierStation<W, MEMBERS> {
    pub(in crate::storm) fn new() -> Self {
        Self { barrier: Barrier::with_members(PARTIES), arrivals: AtomicU64::new(0), rounds: AtomicU64::new(0) }
    }
}

impl<W: Named, const MEMBERS: usize> Station for BarrierStation<W, MEMBERS> {
    fn name(&self) -> String {
        format!("Barrier{} ({})", if MEMBERS > 0 { " with members" } else { "" }, W::NAME)
    }

    fn work(&self, desk: &mut Desk<'_>) -> bool {
        if desk.dice.u32(0..64) == 0 {
            self.barrier.abort();
            return true;
        }
        let _member = if desk.dice.u32(0..4) > 0 { self.barrier.join() } else { None };
        self.arrivals.fetch_add(1, SeqCst);
        // Two workers may wait at two barriers: then one of them must give up.
        let passed = match desk.dice.u32(0..4) {
            0 => self.barrier.wait(),
            _ => self.barrier.wait_timeout(desk.moment(4)),
        };
        match passed {
            Ok(passed) => {
                if passed.index() >= PARTIES || passed.is_leader() != (passed.index() + 1 == PARTIES) {
                    desk.violated(&format!("{passed:?} of {PARTIES} parties"));
                }
                if passed.is_leader() {
                    let rounds = self.rounds.fetch_add(1, SeqCst) + 1;
                    let arrivals = self.arrivals.load(SeqCst);
                    if rounds * u64::from(PARTIES) > arrivals {
                        desk.violated(&format!("{rounds} rounds of {PARTIES} with {arrivals} arrivals"));
                    }
                }
                true
            }
            Err(BarrierError::Broken | BarrierError::TimedOut) => {
                self.barrier.reset();
                false
            }
        }
    }

    fn check(&self, _desk: &mut Desk<'_>, _bound: Duration) -> Result<(), String> {
        self.barrier.reset();
        if self.barrier.is_broken() || self.barrier.n_waiting() > 0 {
            return Err(String::from("not fresh after a reset"));
        }
        // The dead leave their places.
        let all: Vec<_> = (0..MEMBERS).map_while(|_| self.barrier.join()).collect();
        if all.len() < MEMBERS {
            return Err(format!("{} of {MEMBERS} could join", all.len()));
        }
        drop(all);
        self.barrier.reset(); // By joining, somebody may have been found dead.
        Ok(())
    }

    fn let_all_go(&self) {
        self.barrier.abort();
    }

    fn state(&self) -> String {
        format!("{self:?}")
    }
}
