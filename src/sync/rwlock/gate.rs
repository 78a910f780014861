//! Who may enter: everything of the lock but the data. The states and edges are told in [`super`].

mod readers;
mod writers;

use super::slots::{Place, Slots};
use crate::atomic::{AtomicU32, AtomicU64, Ordering, constructor, fence, fresh};
use crate::owner::Token;
use crate::sync::owned::OwnedWord;
use crate::sync::poison::PoisonCause;
use crate::wait::Wait;

#[cfg_attr(not(loom), derive(zerocopy::FromBytes))]
#[repr(C)]
pub(super) struct Gate<const N: usize, W> {
    pub(super) writer: OwnedWord<W>,
    poison: AtomicU64,
    turn: AtomicU32,
    awaited: AtomicU32,
    writing: AtomicU32,
    /// Where readers sleep, on `turn`.
    readers_wait: W,
    /// Where the writer sleeps that waits for readers to leave, on `awaited`.
    drainer_wait: W,
    pub(super) slots: Slots<N>,
}

/// The word on which readers sleep.
#[derive(Clone, Copy)]
struct Turn(u32);

impl Turn {
    /// Some reader may sleep.
    const SLEEPERS: u32 = 1;
    /// Some reader may sleep because all slots are taken.
    const FULL: u32 = 2;
    const ONE: u32 = 4;

    fn has_sleepers(self) -> bool {
        self.0 & Self::SLEEPERS != 0
    }

    fn waits_for_slot(self) -> bool {
        self.0 & Self::FULL != 0
    }

    /// The next, in which nobody sleeps.
    fn next(self) -> Self {
        Self((self.0 & !(Self::SLEEPERS | Self::FULL)).wrapping_add(Self::ONE))
    }
}

/// The word on which the draining writer sleeps.
#[derive(Clone, Copy)]
struct Awaited(u32);

impl Awaited {
    const SLOT: u32 = 0xffff;
    const ONE: u32 = 0x1_0000;

    #[inline]
    fn is(self, slot: usize) -> bool {
        self.0 & Self::SLOT == slot as u32 + 1
    }

    fn with(self, slot: usize) -> Self {
        Self(self.0 & !Self::SLOT | (slot as u32 + 1))
    }

    fn next(self) -> Self {
        Self((self.0 & !Self::SLOT).wrapping_add(Self::ONE))
    }
}

/// Stands between the two accesses of either side of a `<->` edge. Both are `SeqCst`, which is enough and on x86 costs
/// nothing; loom takes that for `AcqRel`, so there a fence says it again.
#[inline]
fn in_order() {
    if cfg!(loom) {
        fence(Ordering::SeqCst);
    }
}

impl<const N: usize, W: Wait> Gate<N, W> {
    constructor! {
        pub(super) fn new() -> Self {
            Self {
                writer: OwnedWord::new(),
                poison: AtomicU64::new(0),
                turn: AtomicU32::new(0),
                awaited: AtomicU32::new(0),
                writing: AtomicU32::new(0),
                readers_wait: fresh!(W),
                drainer_wait: fresh!(W),
                slots: Slots::new(),
            }
        }
    }

    /// Takes the word over from a dead writer and frees it again, the poison written.
    fn bury_writer(&self) {
        if let Ok(dead) = self.writer.recover() {
            self.blame(dead);
            self.give_back();
        }
    }

    /// With the word taken over from `dead`: poisons, if it was writing and not just waiting for readers to leave.
    fn blame(&self, dead: Token) {
        if self.writing.load(Ordering::Relaxed) != 0 {
            self.set_poison(PoisonCause::Died(dead.dead_owner()));
            // Release: not before the poison, should this thread be killed between the two.
            self.writing.store(0, Ordering::Release);
        }
    }

    fn reclaim_dead(&self) {
        self.slots.dead().for_each(|place| self.reclaim(place));
    }

    /// Frees the slot of a reader that was proven dead.
    fn reclaim(&self, place: Place) {
        if self.slots.free(place) {
            self.tell_of_free(place.slot);
        }
    }

    // Poison. Relaxed: written with the writers' word held, whose next release publishes it.

    #[inline]
    pub(super) fn poison(&self) -> Option<PoisonCause> {
        PoisonCause::from_word(self.poison.load(Ordering::Relaxed))
    }

    pub(super) fn set_poison(&self, cause: PoisonCause) {
        self.poison.store(cause.into_word(), Ordering::Relaxed);
    }

    pub(super) fn clear_poison(&self) {
        self.poison.store(0, Ordering::Relaxed);
    }
}
