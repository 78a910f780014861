//! A semaphore in one 64-bit word: the count, whether somebody waits, and who is on the way.
//!
//! | bits | what |
//! |---|---|
//! | 0 | `WAITERS`: somebody may sleep. In the half that the futex compares, so that nobody falls asleep unannounced |
//! | 1–31 | the count |
//! | 32 | zero: where the count may carry to, see below |
//! | 33–39 | called: how many were woken, and have neither taken a permit nor gone back to sleep; 127 stands for more |
//! | 40–47 | CPU of the last release, plus one |
//! | 48–63 | zero |
//!
//! | state | who may leave it, to where |
//! |---|---|
//! | count > 0 | an acquirer: count − 1. A releaser: count + n, or of one permit by an addition |
//! | count = 0 | a waiter: + `WAITERS`, then it sleeps on exactly this low half. A releaser, as above |
//! | `WAITERS` | a releaser calls a sleeper for each permit that nobody is on the way to; if too few slept, it clears the bit, and wakes all |
//! | called > 0 | one who was called and found a permit: count − 1, called − 1; or found none: called − 1, and it sleeps again |
//!
//! *No more are called than there are permits.* If each release woke another, all would soon be awake: eight processes that
//! share four permits on two CPUs. The CPUs are taken from those who hold the permits, and most who woke find none and go
//! back to sleep, ten thousand times a second. So a release calls only if the count exceeds the called. A `called` that is
//! too low costs a needless wake. One that is too high would lose wakes; so whoever was called counts itself off in the very
//! compare-and-swap that takes a permit or finds none, and a releaser takes back the calls that reached nobody. Only a
//! killed thread leaves its call behind. All calls are taken back by who finds a permit at the end of a slice or of its time,
//! where it should have been called; by who gives up; and by who has waited for a while, and finds none since others are faster.
//!
//! Acquirers keep `WAITERS`; only a releaser whose wake found too few clears it, or every later release would make a
//! needless system call. To clear alone would lose a sleeper: release (1, W) – its wake finds nobody – another takes the
//! permit (0, W) – a waiter that announced itself long ago falls asleep on (0, W) – the late clear (0) – and no release
//! knows of the sleeper. So after the clear everybody is woken: who fell asleep before it is awake and announces itself
//! anew, and after it nobody falls asleep on a word with `WAITERS`, because there is none. The bit that a killed waiter
//! leaves behind is cleared by the next release, for two needless wakes.
//!
//! A release of one permit on the CPU of the last release is an addition, which need not wait for what was just loaded:
//! a fifth less for a pair. That the count has room is known only for the moment of the load; so it adds only to counts that
//! are 2³⁰ away from the maximum, and if somebody releases all those at once in between, the count passes the maximum by one
//! for each thread that does so. Bit 32 has room for that many; no permit is lost, and `value` does not show it. (At 2³¹
//! permits the half that the futex compares reads as empty: who falls asleep on it then wakes when its slice ends.)

use crate::owner::Cpu;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct State(pub(super) u64);

impl State {
    const WAITERS: u64 = 1;
    pub(super) const ONE: u64 = 2;
    const CALLED_SHIFT: u32 = 33;
    const CALLED_MASK: u64 = 0x7f << Self::CALLED_SHIFT;
    const CPU_SHIFT: u32 = 40;
    const CPU_MASK: u64 = 0xff << Self::CPU_SHIFT;
    pub(super) const MOST_CALLED: u32 = 0x7f;
    /// Where additions end: as far from the maximum as can be.
    const ADD_BELOW: u32 = 1 << 30;

    #[inline]
    pub(super) const fn of(count: u32) -> Self {
        Self(count as u64 * Self::ONE)
    }

    #[inline]
    pub(super) fn count(self) -> u32 {
        (self.0 >> 1) as u32
    }

    pub(super) fn has_waiters(self) -> bool {
        self.0 & Self::WAITERS != 0
    }

    pub(super) const fn with_waiters(self) -> Self {
        Self(self.0 | Self::WAITERS)
    }

    pub(super) fn called(self) -> u32 {
        ((self.0 & Self::CALLED_MASK) >> Self::CALLED_SHIFT) as u32
    }

    pub(super) fn calling(self, n: u32) -> Self {
        let called = (self.called() + n).min(Self::MOST_CALLED);
        Self(self.0 & !Self::CALLED_MASK | u64::from(called) << Self::CALLED_SHIFT)
    }

    #[inline]
    pub(super) fn without_called(self, n: u32) -> Self {
        Self(self.0 - (u64::from(n.min(self.called())) << Self::CALLED_SHIFT))
    }

    /// Permits that nobody is on the way to.
    pub(super) fn unclaimed(self) -> u32 {
        self.count().saturating_sub(self.called())
    }

    pub(super) fn without_waiters(self) -> Self {
        Self(self.0 & !Self::WAITERS)
    }

    /// One permit less, unless there is none.
    #[inline]
    pub(super) fn taken(self) -> Option<Self> {
        (self.count() > 0).then(|| Self(self.0.wrapping_sub(Self::ONE)))
    }

    /// `n` permits more, by a release on this CPU, unless that is too many.
    #[inline]
    pub(super) fn released(self, n: u32, maximum: u32) -> Option<Self> {
        if n > maximum.saturating_sub(self.count()) {
            return None;
        }
        let here = u64::from(Cpu::mine().0) << Self::CPU_SHIFT;
        Some(Self((self.0 & !Self::CPU_MASK | here) + Self::of(n).0))
    }

    /// Whether a permit can be added as it is.
    #[inline]
    pub(super) fn takes_one_more(self) -> bool {
        self.count() < Self::ADD_BELOW && self.releaser_cpu() == Cpu::mine()
    }

    pub(super) fn low(self) -> u32 {
        self.0 as u32
    }

    #[inline]
    pub(super) fn releaser_cpu(self) -> Cpu {
        Cpu((self.0 >> Self::CPU_SHIFT) as u8)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_as_far_as_they_can_be_and_touch_nothing_else() {
        let before = State::of(5).with_waiters();
        for (n, called) in [(0, 0), (1, 1), (126, 126), (127, 127), (128, 127), (u32::MAX >> 1, 127)] {
            let calling = before.calling(n);
            assert_eq!((calling.called(), calling.count(), calling.has_waiters()), (called, 5, true));
            assert_eq!((calling.low(), calling.releaser_cpu()), (before.low(), Cpu(0)));
            assert_eq!(calling.unclaimed(), 5_u32.saturating_sub(called));
            assert!(calling.without_called(called) == before && calling.without_called(u32::MAX) == before);
        }
        assert_eq!(before.calling(3).calling(2).without_called(1).called(), 4);
        assert_eq!(State(u64::MAX).calling(1).called(), State::MOST_CALLED);
        assert!(before.without_waiters() == State::of(5) && State::of(5).without_waiters() == State::of(5));
    }
}
