//! How readers enter, wait, and leave.

use std::cell::Cell;

use super::{Awaited, Gate, Turn, in_order};
use crate::atomic::{Ordering, thread_local};
use crate::error::AcquireError;
use crate::owner::liveness;
use crate::owner::{Cpu, Token};
use crate::sync::deadlock;
use crate::sync::rwlock::slots::{Place, Slots};
use crate::time::{Deadline, Patience};
use crate::wait::sleep::{Sleeper, Slept};
use crate::wait::spin::Spin;
use crate::wait::{Wait, Word};

/// What keeps a reader out.
#[derive(Clone, Copy)]
enum Obstacle {
    Writer(Token),
    /// All slots are taken; the preferred one's holder was last seen here.
    Full(Cpu),
}

impl Obstacle {
    fn cpu(self) -> Cpu {
        match self {
            Self::Writer(writer) => writer.cpu(),
            Self::Full(cpu) => cpu,
        }
    }
}

impl<const N: usize, W: Wait> Gate<N, W> {
    /// Enters for reading, waiting as long as `patience` lasts.
    #[inline]
    pub(in crate::sync::rwlock) fn read(&self, patience: Patience) -> Result<Place, AcquireError> {
        let place = Slots::<N>::preferred();
        if self.slots.claim(place) && self.may_stay(place).is_ok() {
            return Ok(place);
        }
        self.read_contended(patience)
    }

    /// Looks for a writer from a slot that was just taken; if there is one, leaves the slot again.
    #[inline]
    fn may_stay(&self, place: Place) -> Result<(), Obstacle> {
        in_order();
        let writer = self.writer.token_in_order(); // edge: slot taken <-> writer there (the reader's load)
        if writer.is_free() {
            self.slots.begin_read(place); // invariant 2
            return Ok(());
        }
        self.leave(place);
        Err(Obstacle::Writer(writer))
    }

    fn try_enter(&self) -> Result<Place, Obstacle> {
        // A look first: who takes a slot only to leave it holds the writer up.
        let writer = self.writer.token();
        if !writer.is_free() {
            return Err(Obstacle::Writer(writer));
        }
        let Some(place) = self.slots.claim_any() else {
            return Err(Obstacle::Full(self.slots.token(Slots::<N>::preferred().slot).cpu()));
        };
        self.may_stay(place).map(|()| place)
    }

    #[cold]
    fn read_contended(&self, patience: Patience) -> Result<Place, AcquireError> {
        let mut obstacle = match self.try_enter() {
            Ok(place) => return Ok(place),
            Err(obstacle) => obstacle,
        };
        if self.writer.is_mine() {
            return Err(deadlock::of_one("holds it for writing"));
        }
        if let Some(place) = self.slots.nest() {
            return Ok(place); // The slot that this thread holds keeps every writer out: to wait would be to deadlock.
        }
        let mut sleeper = Sleeper::new(patience);
        let mut spin = Spin::new();
        loop {
            if sleeper.only_looks() {
                self.overcome_polled(obstacle)?;
            } else if matches!(obstacle, Obstacle::Writer(writer) if writer.is_marked_dead()) {
                self.overcome(obstacle);
            } else if !spin.again(obstacle.cpu()) {
                if let Some(turn) = self.announce(obstacle) {
                    match sleeper.sleep(&self.readers_wait, Word::whole(&self.turn), turn.0) {
                        Slept::Woken => spin = Spin::new(),
                        Slept::SliceEnded => self.overcome(obstacle),
                        Slept::Expired => return self.last_look(),
                        Slept::Interrupted => return Err(AcquireError::Interrupted),
                    }
                }
            }
            obstacle = match self.try_enter() {
                Ok(place) => return Ok(place),
                Err(obstacle) => obstacle,
            };
        }
    }

    /// After the deadline, which may come before the first slice ends: who asks again and again for short times must learn
    /// of a death, too.
    #[cold]
    fn last_look(&self) -> Result<Place, AcquireError> {
        match self.try_enter() {
            Ok(place) => Ok(place),
            Err(obstacle) => {
                self.overcome_polled(obstacle)?;
                self.try_enter().map_err(|_| AcquireError::TimedOut)
            }
        }
    }

    /// Says that a reader is going to sleep, and looks once more: `None` if what kept it out has gone.
    fn announce(&self, obstacle: Obstacle) -> Option<Turn> {
        match obstacle {
            Obstacle::Writer(seen) => {
                // Relaxed: published by `announce`, for the writer to see when it vacates.
                let turn = Turn(self.turn.fetch_or(Turn::SLEEPERS, Ordering::Relaxed) | Turn::SLEEPERS);
                self.writer.announce(seen).then_some(turn)
            }
            Obstacle::Full(_) => {
                let flags = Turn::SLEEPERS | Turn::FULL;
                // edge: slot freed <-> full (the waiting reader's store)
                let turn = Turn(self.turn.fetch_or(flags, Ordering::SeqCst) | flags);
                in_order();
                self.slots.are_full().then_some(turn)
            }
        }
    }

    /// Leaves the slot, which may not be the last read of this thread, and wakes who waits for that.
    #[inline]
    pub(in crate::sync::rwlock) fn leave(&self, place: Place) {
        // A slot that holds something else means that scribbled bytes took it from under the guard.
        if self.slots.end_read(place) && self.slots.free(place) {
            self.tell_of_free(place.slot);
        }
    }

    #[inline]
    pub(super) fn tell_of_free(&self, slot: usize) {
        in_order();
        // edge: slot freed <-> awaited (the leaver's load)
        if Awaited(self.awaited.load(Ordering::SeqCst)).is(slot) {
            self.wake_drainer(slot);
        }
        // edge: slot freed <-> full (the leaver's load)
        if Turn(self.turn.load(Ordering::SeqCst)).waits_for_slot() {
            self.wake_readers();
        }
    }

    #[cold]
    fn wake_drainer(&self, slot: usize) {
        let mut seen = Awaited(self.awaited.load(Ordering::Relaxed));
        while seen.is(slot) {
            // Relaxed: the drainer looks at the slot itself. This only keeps it from falling asleep after the wake.
            match self.awaited.compare_exchange(seen.0, seen.next().0, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => {
                    self.drainer_wait.wake(Word::whole(&self.awaited), 1);
                    return;
                }
                Err(now) => seen = Awaited(now),
            }
        }
    }

    /// Wakes all readers that sleep, for whatever reason: each looks anew.
    #[cold]
    pub(super) fn wake_readers(&self) {
        let mut seen = Turn(self.turn.load(Ordering::Relaxed));
        while seen.has_sleepers() {
            // Relaxed: readers look at the writer's word and at the slots. This only keeps them from falling asleep.
            match self.turn.compare_exchange(seen.0, seen.next().0, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => {
                    self.readers_wait.wake(Word::whole(&self.turn), u32::MAX);
                    return;
                }
                Err(now) => seen = Turn(now),
            }
        }
    }

    fn overcome(&self, obstacle: Obstacle) {
        match obstacle {
            Obstacle::Writer(_) => self.bury_writer(),
            Obstacle::Full(_) => self.reclaim_dead(),
        }
    }

    /// `overcome`, for readers that do not wait but may come again and again; an error if there is nothing to be done.
    fn overcome_polled(&self, obstacle: Obstacle) -> Result<(), AcquireError> {
        let believed_alive = match obstacle {
            Obstacle::Writer(writer) => !liveness::is_dead_cached(writer),
            Obstacle::Full(_) => self.all_believed_alive(),
        };
        if believed_alive {
            return Err(AcquireError::TimedOut);
        }
        self.overcome(obstacle);
        Ok(())
    }

    /// Whether none of the readers inside is dead. To ask after each takes its time, so "none" is believed for a
    /// millisecond: who polls a full lock need not learn of a death sooner than who sleeps.
    fn all_believed_alive(&self) -> bool {
        const BELIEVED_NANOS: u64 = 1_000_000;
        thread_local! {
            static LAST: Cell<(usize, Deadline)> = const { Cell::new((0, Deadline::PAST)) };
        }
        let (here, now) = (std::ptr::from_ref(self).addr(), Deadline::now());
        LAST.with(|last| {
            let (known, until) = last.get();
            if known == here && now < until {
                return true;
            }
            let all_alive = self.slots.dead().next().is_none();
            if all_alive {
                last.set((here, now.plus(BELIEVED_NANOS)));
            }
            all_alive
        })
    }
}
