//! How writers enter, wait for readers to leave, and pass the lock on.

use std::sync::atomic::compiler_fence;

use super::{Awaited, Gate, Turn, in_order};
use crate::atomic::{Ordering, fence};
use crate::error::AcquireError;
use crate::owner::liveness;
use crate::sync::deadlock;
use crate::time::{Deadline, Patience};
use crate::wait::sleep::{Sleeper, Slept};
use crate::wait::spin::Spin;
use crate::wait::{Wait, Word};

impl<const N: usize, W: Wait> Gate<N, W> {
    /// Enters for writing, waiting as long as `patience` lasts.
    #[inline]
    pub(in crate::sync::rwlock) fn write(&self, patience: Patience) -> Result<(), AcquireError> {
        if patience.deadline == Deadline::PAST {
            // A look first: who takes the word only to give it back holds readers up.
            self.peek()?;
        }
        // edge: slot taken <-> writer there (the writer's store)
        if self.writer.take_free_in_order() {
            in_order();
        } else {
            self.take_contended(patience)?;
        }
        // edge: slot taken <-> writer there (the writer's loads)
        if self.slots.first_taken(0).is_some() {
            self.drain_or_give_up(patience)?;
        }
        self.writing.store(1, Ordering::Relaxed);
        // Invariant 4: a thread is killed between two instructions, so it is their order that counts.
        compiler_fence(Ordering::Release);
        Ok(())
    }

    /// Takes the writers' word, from a dead one if need be.
    #[cold]
    fn take_contended(&self, patience: Patience) -> Result<(), AcquireError> {
        if self.writer.is_mine() || self.slots.mine().is_some() {
            return Err(deadlock::of_one("holds it already"));
        }
        loop {
            match self.writer.acquire_contended(patience) {
                Err(AcquireError::OwnerDied(_)) => {}
                Err(other) => return Err(other),
                Ok(()) => break,
            }
            if let Ok(dead) = self.writer.recover() {
                self.blame(dead);
                break;
            }
        }
        fence(Ordering::SeqCst); // edge: slot taken <-> writer there (between the writer's store and its loads)
        Ok(())
    }

    /// Whether a writer that does not wait (any more) could enter, as far as readers are concerned.
    fn peek(&self) -> Result<(), AcquireError> {
        while let Some(reader) = self.slots.first_taken(0) {
            if self.slots.mine().is_some() {
                return Err(deadlock::of_one("holds it already"));
            }
            if !liveness::is_dead_cached(reader.token) {
                return Err(AcquireError::TimedOut);
            }
            self.reclaim(reader);
        }
        Ok(())
    }

    #[cold]
    fn drain_or_give_up(&self, patience: Patience) -> Result<(), AcquireError> {
        self.drain(patience).inspect_err(|_| self.give_back())
    }

    /// With the word taken, waits until every slot was seen free once (invariant 1).
    fn drain(&self, patience: Patience) -> Result<(), AcquireError> {
        if self.slots.mine().is_some() {
            return Err(deadlock::of_one("holds it already"));
        }
        let mut sleeper = Sleeper::new(patience);
        let mut spin = Spin::new();
        let mut from = 0;
        while let Some(reader) = self.slots.first_taken(from) {
            from = reader.slot; // Those before were seen free: who takes one from now on sees the writer.
            if sleeper.only_looks() {
                self.peek()?;
            } else if !spin.again(reader.token.cpu()) {
                let Some(awaited) = self.await_free(reader.slot) else { continue };
                match sleeper.sleep(&self.drainer_wait, Word::whole(&self.awaited), awaited.0) {
                    Slept::Woken => spin = Spin::new(),
                    Slept::SliceEnded => self.reclaim_dead(),
                    // The deadline may come before the first slice ends, and the reader be dead all the same.
                    Slept::Expired => return self.peek(),
                    Slept::Interrupted => return Err(AcquireError::Interrupted),
                }
            }
        }
        Ok(())
    }

    /// Asks the slot's holder for a wake, and looks once more: `None` if it has left.
    fn await_free(&self, slot: usize) -> Option<Awaited> {
        let mut seen = Awaited(self.awaited.load(Ordering::Relaxed));
        // edge: slot freed <-> awaited (the drainer's store)
        while let Err(now) =
            self.awaited.compare_exchange(seen.0, seen.with(slot).0, Ordering::SeqCst, Ordering::Relaxed)
        {
            seen = Awaited(now);
        }
        in_order();
        let taken = self.slots.first_taken(slot)?;
        (taken.slot == slot).then_some(seen.with(slot))
    }

    /// Leaves, as a writer that is through with the data.
    #[inline]
    pub(in crate::sync::rwlock) fn release(&self) {
        // Release: so that who finds a dead writer's word with this at zero finds the data whole (invariant 4).
        self.writing.store(0, Ordering::Release);
        self.give_back();
    }

    #[inline]
    pub(super) fn give_back(&self) {
        self.writer.vacate(|held| {
            // The look at `turn` catches readers whose announcement went to an earlier writer. If it misses some, they
            // sleep until their slice ends.
            if held.has_waiters() || Turn(self.turn.load(Ordering::Relaxed)).has_sleepers() {
                self.pass_on();
            }
        });
    }

    /// A writer goes first; it wakes the readers when it leaves, for it knows that there may be sleepers.
    #[cold]
    fn pass_on(&self) {
        if !self.writer.wake_one() {
            self.wake_readers();
        }
    }
}
