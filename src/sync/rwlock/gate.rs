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
        if self.writer.is_dead_again() {
            if let Ok(dead) = self.writer.recover() {
                self.blame(dead);
                self.give_back();
            }
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

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_turn_counts_and_forgets_who_slept_on_the_last() {
        for flags in 0..4 {
            let turn = Turn(flags);
            assert_eq!(turn.has_sleepers(), flags & 1 != 0);
            assert_eq!(turn.waits_for_slot(), flags & 2 != 0);
            let (mut next, mut before) = (turn, turn.0);
            for _ in 0..9 {
                next = next.next();
                assert!(!next.has_sleepers() && !next.waits_for_slot());
                assert_ne!(next.0 & !3, before & !3);
                before = next.0;
            }
            assert_eq!(next.0, 9 * Turn::ONE);
        }
        assert_eq!(Turn(u32::MAX).next().0, 0);
    }

    #[test]
    fn one_slot_is_awaited_or_none() {
        let mut awaited = Awaited(0);
        for slot in [0, 1, 2, 7, 0xfffe] {
            awaited = awaited.with(slot);
            assert!((0..0xffff).all(|other| awaited.is(other) == (other == slot)));
            let count = awaited.0 >> 16;
            awaited = awaited.with(3);
            assert!(awaited.is(3) && awaited.0 >> 16 == count, "another instead");
            awaited = awaited.next();
            assert_eq!(awaited.0 >> 16, count + 1);
            assert!((0..0xffff).all(|slot| !awaited.is(slot)), "none");
        }
        assert_eq!(Awaited(u32::MAX).next().0, 0);
    }
}
