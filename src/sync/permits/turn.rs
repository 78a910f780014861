//! The turn: the word of a permit pool that waiters sleep on.
//!
//! | bits | what |
//! |---|---|
//! | 0–29 | number of passes, modulo 2³⁰: releases that found waiters |
//! | 30 | `NEWCOMER`: somebody announced itself after the last pass |
//! | 31 | `SLEEPERS`: somebody may sleep. A releaser that does not see it makes no system call |
//! | 32–51 | the slot that was freed with the last pass |
//!
//! | state | who may leave it, to where |
//! |---|---|
//! | neither | a waiter: + `SLEEPERS` + `NEWCOMER` |
//! | `SLEEPERS`, `NEWCOMER` | a releaser passes: one pass more, without `NEWCOMER`; then it wakes one sleeper |
//! | `SLEEPERS` | a releaser passes, as above. A waiter: + `NEWCOMER`. A releaser that woke nobody: − `SLEEPERS` |
//!
//! Waiters sleep only on a turn with `NEWCOMER`. So the releaser that passed, found nobody to wake, and still finds the
//! very turn that it made, may clear `SLEEPERS`: who announced itself before that pass was found asleep by the wake, or
//! never falls asleep on what it knows; and who announced itself afterwards has set `NEWCOMER`. Without that bit it
//! breaks: a waiter that finds `SLEEPERS` set falls asleep between the wake and the clear, and is forgotten. Passes are
//! counted, so no turn comes back but after 2³⁰ of them. What a killed waiter leaves behind costs one needless wake.

use crate::atomic::{AtomicU64, Ordering, fence};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Turn(pub(super) u64);

impl Turn {
    const PASSES: u64 = NEWCOMER - 1;
    const SLOT_SHIFT: u32 = 32;
    pub(super) const MOST_SLOTS: usize = 1 << 20;

    pub(super) fn has_sleepers(self) -> bool {
        self.0 & SLEEPERS != 0
    }

    /// The half that the futex compares.
    pub(super) fn low(self) -> u32 {
        self.0 as u32
    }

    /// A slot that was free not long ago.
    pub(super) fn last_freed(self) -> usize {
        (self.0 >> Self::SLOT_SHIFT) as usize % Self::MOST_SLOTS
    }

    fn announced(self) -> Self {
        Self(self.0 | SLEEPERS | NEWCOMER)
    }

    fn passed(self, slot: usize) -> Self {
        Self((slot as u64) << Self::SLOT_SHIFT | SLEEPERS | self.0.wrapping_add(1) & Self::PASSES)
    }

    /// Says that somebody will sleep, and on what.
    pub(super) fn announce(turn: &AtomicU64) -> Self {
        // edge: slot freed <-> waiter announced (the waiter's end). Who finds the announcement made has read it, or
        // what was made of it, in the one order, which is as good as writing it.
        let mut seen = Self(turn.load(Ordering::SeqCst));
        while seen != seen.announced() {
            match turn.compare_exchange_weak(seen.0, seen.announced().0, Ordering::SeqCst, Ordering::SeqCst) {
                Ok(_) => seen = seen.announced(),
                Err(now) => seen = Self(now),
            }
        }
        fence_in_models();
        seen
    }

    /// One pass more: nobody who has looked so far falls asleep any more. Returns what it wrote.
    pub(super) fn pass(turn: &AtomicU64, slot: usize) -> Self {
        let mut seen = Self(turn.load(Ordering::Relaxed));
        loop {
            // edge: slot freed <-> waiter announced: who announces itself on top of this finds the slot free.
            match turn.compare_exchange_weak(seen.0, seen.passed(slot).0, Ordering::SeqCst, Ordering::Relaxed) {
                Ok(_) => return seen.passed(slot),
                Err(now) => seen = Self(now),
            }
        }
    }

    /// Takes `SLEEPERS` back after a wake found nobody, if nothing has happened since this turn was made.
    pub(super) fn clear(self, turn: &AtomicU64) {
        // Relaxed: says nothing but that nobody sleeps, and who would sleep reads it first.
        let _ = turn.compare_exchange(self.0, self.0 & !SLEEPERS, Ordering::Relaxed, Ordering::Relaxed);
    }
}

const NEWCOMER: u64 = 1 << 30;
const SLEEPERS: u64 = 1 << 31;

/// The one order of the `SeqCst` accesses, said again for loom, which knows it of fences only.
#[inline]
pub(super) fn fence_in_models() {
    if cfg!(loom) {
        fence(Ordering::SeqCst);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn what_a_turn_tells_is_told_apart() {
        for slot in [0, 1, 5, Turn::MOST_SLOTS - 1] {
            for passes in [0, 1, 6, Turn::PASSES] {
                let before = Turn(passes | 3 << Turn::SLOT_SHIFT);
                assert!(!before.has_sleepers());
                let announced = before.announced();
                assert!(announced.has_sleepers() && announced == announced.announced());
                assert_eq!((announced.last_freed(), announced.0 & Turn::PASSES), (3, passes));
                assert_ne!(announced.low(), before.low());
                for seen in [before, announced] {
                    let passed = seen.passed(slot);
                    assert!(passed.has_sleepers() && passed != passed.announced(), "no newcomer");
                    assert_eq!(passed.last_freed(), slot);
                    assert_eq!(passed.0 & Turn::PASSES, (passes + 1) & Turn::PASSES);
                }
            }
        }
    }

    #[test]
    fn only_the_turn_that_was_made_is_cleared() {
        let turn = AtomicU64::new(0);
        let announced = Turn::announce(&turn);
        assert_eq!(turn.load(Ordering::Relaxed), announced.0);
        let passed = Turn::pass(&turn, 7);
        assert_eq!(turn.load(Ordering::Relaxed), passed.0);
        Turn::announce(&turn);
        passed.clear(&turn);
        assert!(Turn(turn.load(Ordering::Relaxed)).has_sleepers());
        let passed = Turn::pass(&turn, 8);
        passed.clear(&turn);
        let cleared = Turn(turn.load(Ordering::Relaxed));
        assert!(!cleared.has_sleepers() && cleared.last_freed() == 8);
    }
}
