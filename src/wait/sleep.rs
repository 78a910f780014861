//! Every sleep is a slice (D4): the one place that decides how long a sleep may be before the sleeper looks again.
//!
//! Whoever was to wake a sleeper may be killed before it does, at any instruction. So nobody sleeps without bound: at
//! a slice's end the sleeper looks at the word, and for owned words whether the holder lives. That heals every lost
//! wake-up on every backend, and no protocol above has to be perfect about kills.

use super::{Wait, Woken, Word};
use crate::time::{Deadline, Patience};

/// The first slice: a waiter that came recently learns of a death within 1.5 ms at the median. Not shorter, because a
/// timeout that comes before the kernel's next tick (1 to 4 ms away, mostly) makes it program its timer anew, at every
/// sleep. Under a hypervisor that is an exit: hand-overs by sleeping, on one core, took 5.5 µs with a slice of 1 ms, 4.1
/// with 2, 3.3 with 3, and 2.8 with 4 or 10; sem_t, which has no timeout, 2.15. With 4 ms the median would be 2 ms.
const FIRST_SLICE_NANOS: u64 = 3_000_000;
/// The longest: ten looks a second, 0.02 to 0.05 % of a core.
const LAST_SLICE_NANOS: u64 = 100_000_000;
/// The first slice of who looks for a lost wake-up only, not for a dead holder. It is longer than a tick of any kernel (1, 4 or
/// 10 ms), which then need not program its timer for it: storms of notifications took 10 to 15 % less time than with 3 ms.
const FIRST_SLICE_UNOWNED_NANOS: u64 = 12_000_000;
/// The slice after a look that told only that there must be another: after a long slice or a short one, and after one in between.
/// In a crowd all are such, and each look takes a CPU from the few who work. Of 256 processes at one lock, 12 ms and not 3 were a
/// tenth of the throughput, and 24 and not 12 were 4 % more (the median of eight rounds, 0.95 to 1.28).
const SOON_NANOS: u64 = 12_000_000;
const SOON_IN_A_CROWD_NANOS: u64 = 24_000_000;
/// So that after the first slice it is 12 ms: who has not waited for long is told of a death soon after all.
const SLICES_PER_SOON: u64 = 4;
/// Slices of this length and longer end at a multiple of 4 ms on the clock of all, a little early: idle waiters in whatever
/// processes then wake in batches, and not each with cold caches and an interrupt of its own. A thousand took 33 % of a core
/// before, and 27 with it, when each look still went to /proc. Shorter slices would be cut by more than an eighth.
const BATCHED_NANOS: u64 = 8 * BATCH_NANOS;
const BATCH_NANOS: u64 = 4_000_000;
/// Slices are an eighth of the time waited so far: once that is longer than the first, nobody learns of anything more than an
/// eighth too late.
const WAITED_PER_SLICE: u64 = 8;

/// Why a sleep ended, as far as the sleeper must act on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Slept {
    /// Look at the word again.
    Woken,
    /// Look at the word, and whether whoever should change it still lives.
    SliceEnded,
    /// The caller's deadline has passed. Nothing was slept if it had passed before.
    Expired,
    /// A signal handler ran, and the caller wants to know.
    Interrupted,
}

/// One caller's wait, from its first sleep to its last.
pub(crate) struct Sleeper {
    patience: Patience,
    /// When it first slept.
    began: Option<Deadline>,
    /// When the present slice ends; unset between two. Signals and needless wakes do not lengthen a slice, and it begins
    /// with a sleep, so that a caller whose looks take longer than a slice sleeps at all.
    end: Option<Deadline>,
    /// How long it is, or was.
    length: u64,
    /// The shortest slice and the longest; and whether the next is to be a short one.
    shortest: u64,
    longest: u64,
    soon: bool,
    /// Whether the last sleep ended because a waker chose this sleeper.
    called: bool,
}

impl Sleeper {
    pub(crate) fn new(patience: Patience) -> Self {
        let (shortest, longest) = (FIRST_SLICE_NANOS, LAST_SLICE_NANOS);
        Self { patience, began: None, end: None, length: 0, shortest, longest, soon: false, called: false }
    }

    /// One that may be told to `look_soon`: a slice of its and the soon one after it are together not longer than another's
    /// longest.
    pub(crate) fn with_soon_looks(patience: Patience) -> Self {
        Self { longest: LAST_SLICE_NANOS - SOON_NANOS, ..Self::new(patience) }
    }

    /// One that waits for nobody who holds something.
    pub(crate) fn for_a_wake(patience: Patience) -> Self {
        Self { shortest: FIRST_SLICE_UNOWNED_NANOS, ..Self::new(patience) }
    }

    /// Whether the caller would not sleep at all.
    pub(crate) fn only_looks(&self) -> bool {
        self.patience.deadline == Deadline::PAST
    }

    /// Has the next slice end after 24 ms at most, however long the caller has waited.
    pub(crate) fn look_soon(&mut self) {
        self.soon = true;
    }

    /// Whether the last sleep ended because somebody woke this sleeper, and not for another reason.
    pub(crate) fn was_called(&self) -> bool {
        self.called
    }

    /// Nanoseconds since the first sleep.
    pub(crate) fn waited(&self) -> u64 {
        self.began.map_or(0, |began| Deadline::now().since(began))
    }

    /// Sleeps while `word` holds `expected`, until the end of the slice or of the caller's patience.
    pub(crate) fn sleep<W: Wait>(&mut self, wait: &W, word: Word<'_>, expected: u32) -> Slept {
        self.called = false;
        if self.only_looks() {
            return Slept::Expired;
        }
        let now = Deadline::now();
        if now >= self.patience.deadline {
            return Slept::Expired;
        }
        let waited = now.since(*self.began.get_or_insert(now));
        let grown = (waited / WAITED_PER_SLICE).clamp(self.shortest, self.longest);
        let end = *self.end.get_or_insert_with(|| {
            let soon = std::mem::take(&mut self.soon);
            let end = if soon { now.plus(soon_after(self.length)) } else { in_a_batch(now.plus(grown), grown) };
            self.length = end.since(now);
            end
        });
        if now >= end {
            self.end = None;
            return Slept::SliceEnded;
        }
        let woken = wait.wait(word, expected, end.min(self.patience.deadline));
        self.called = woken == Woken::Called;
        match woken {
            Woken::Called | Woken::Look => Slept::Woken,
            Woken::Interrupted if self.patience.interruptible => Slept::Interrupted,
            Woken::Interrupted => Slept::Woken,
            Woken::TimedOut => {
                self.end = None;
                if Deadline::now() >= self.patience.deadline { Slept::Expired } else { Slept::SliceEnded }
            }
        }
    }
}

/// How long a soon slice is, after one of this length.
fn soon_after(length: u64) -> u64 {
    let most = SOON_IN_A_CROWD_NANOS.min(SLICES_PER_SOON * length);
    most.min(LAST_SLICE_NANOS.saturating_sub(length)).max(SOON_NANOS)
}

/// When a slice ends that has grown to this length and could last until `end`.
fn in_a_batch(end: Deadline, grown: u64) -> Deadline {
    if grown < BATCHED_NANOS { end } else { Deadline::PAST.plus(end.nanos() / BATCH_NANOS * BATCH_NANOS) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::atomic::{AtomicU32, Ordering};
    use crate::wait::Futex;
    use std::time::Duration;

    #[test]
    fn slices_grow_from_three_milliseconds_and_end_the_wait_in_time() {
        let word = AtomicU32::new(0);
        // 8 of 3 ms, then each an eighth longer: 8 + 7 looks reach 50 ms. Late wakes make them fewer, so the best counts.
        let mut most = 0;
        for _ in 0..20 {
            let began = Deadline::now();
            let mut sleeper = Sleeper::new(Patience::until(Deadline::after(Duration::from_millis(50))));
            let mut looks = 0;
            while sleeper.sleep(&Futex, Word::whole(&word), 0) != Slept::Expired {
                looks += 1;
            }
            let waited = Deadline::now().since(began);
            assert!(waited >= 50_000_000, "returned after {waited} ns");
            assert!(looks <= 17, "{looks} looks");
            most = most.max(looks);
            if most >= 8 {
                return;
            }
        }
        panic!("never more than {most} looks");
    }

    #[test]
    fn who_looks_for_a_wake_only_looks_less_often() {
        let word = AtomicU32::new(0);
        let began = Deadline::now();
        let mut sleeper = Sleeper::for_a_wake(Patience::FOREVER);
        assert_eq!(sleeper.sleep(&Futex, Word::whole(&word), 0), Slept::SliceEnded);
        let waited = Deadline::now().since(began);
        assert!(waited >= FIRST_SLICE_UNOWNED_NANOS, "looked after {waited} ns");
    }

    #[test]
    fn a_slice_and_the_soon_one_after_it_are_no_longer_than_the_longest() {
        let sleeper = Sleeper::with_soon_looks(Patience::FOREVER);
        for length in (sleeper.shortest..=sleeper.longest).step_by(99_991) {
            assert!(length + soon_after(length) <= LAST_SLICE_NANOS, "{length}");
        }
        let soon = [sleeper.shortest, 5_000_000, SOON_IN_A_CROWD_NANOS, sleeper.longest].map(soon_after);
        assert_eq!(soon, [SOON_NANOS, 20_000_000, SOON_IN_A_CROWD_NANOS, SOON_NANOS]);
    }

    #[test]
    fn long_slices_end_together_and_never_late() {
        for grown in [FIRST_SLICE_NANOS, SOON_NANOS, BATCHED_NANOS - 1] {
            assert_eq!(in_a_batch(Deadline::PAST.plus(grown + 1), grown), Deadline::PAST.plus(grown + 1), "{grown} ns");
        }
        for grown in [BATCHED_NANOS, BATCHED_NANOS + 1, LAST_SLICE_NANOS] {
            for began in (0..3 * BATCH_NANOS).step_by(99_991) {
                let (due, end) =
                    (Deadline::PAST.plus(began + grown), in_a_batch(Deadline::PAST.plus(began + grown), grown));
                assert_eq!(end.nanos() % BATCH_NANOS, 0, "{began} + {grown}");
                assert!(end <= due && due.since(end) < BATCH_NANOS && due.since(end) <= grown / WAITED_PER_SLICE);
            }
        }
    }

    #[test]
    fn a_word_that_changed_is_looked_at_at_once() {
        let word = AtomicU32::new(1);
        let mut sleeper = Sleeper::new(Patience::FOREVER);
        assert_eq!(sleeper.sleep(&Futex, Word::whole(&word), 0), Slept::Woken);
        word.store(0, Ordering::Relaxed);
        assert_eq!(sleeper.sleep(&Futex, Word::whole(&word), 0), Slept::SliceEnded);
    }
}
