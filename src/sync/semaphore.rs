//! A counting semaphore in one 64-bit word.
//!
//! | bits | what |
//! |---|---|
//! | 0 | `WAITERS`: somebody may sleep. In the half that the futex compares, so that nobody falls asleep unannounced |
//! | 1–31 | the count |
//! | 32 | zero: where the count may carry to, see below |
//! | 33–39 | zero |
//! | 40–47 | CPU of the last release, plus one |
//! | 48–63 | zero |
//!
//! | state | who may leave it, to where |
//! |---|---|
//! | count > 0 | an acquirer: count − 1. A releaser: count + n, or of one permit by an addition |
//! | count = 0 | a waiter: + `WAITERS`, then it sleeps on exactly this low half. A releaser, as above |
//! | `WAITERS` | a releaser wakes one sleeper per permit; if nobody slept, it clears the bit, and wakes all |
//!
//! Acquirers keep `WAITERS`; only a releaser whose wake found nobody clears it, or every later release would make a
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

use std::fmt;

use super::verbs::acquiring_verbs;
use crate::atomic::{AtomicU64, Ordering, constructor, fresh};
use crate::error::{AcquireError, ReleaseError};
use crate::owner::Cpu;
use crate::time::Patience;
use crate::wait::sleep::{Sleeper, Slept};
use crate::wait::spin::Spin;
use crate::wait::{Platform, Wait, Word};

/// The highest value of a semaphore, as POSIX calls it: 2³¹ − 1.
pub const SEM_VALUE_MAX: u32 = i32::MAX as u32;

#[derive(Clone, Copy, PartialEq, Eq)]
struct State(u64);

impl State {
    const WAITERS: u64 = 1;
    const ONE: u64 = 2;
    const CPU_SHIFT: u32 = 40;
    const CPU_MASK: u64 = 0xff << Self::CPU_SHIFT;
    /// Where additions end: as far from the maximum as can be.
    const ADD_BELOW: u32 = 1 << 30;

    #[inline]
    const fn of(count: u32) -> Self {
        Self(count as u64 * Self::ONE)
    }

    #[inline]
    fn count(self) -> u32 {
        (self.0 >> 1) as u32
    }

    fn has_waiters(self) -> bool {
        self.0 & Self::WAITERS != 0
    }

    fn with_waiters(self) -> Self {
        Self(self.0 | Self::WAITERS)
    }

    /// One permit less, unless there is none.
    #[inline]
    fn taken(self) -> Option<Self> {
        (self.count() > 0).then(|| Self(self.0.wrapping_sub(Self::ONE)))
    }

    /// `n` permits more, by a release on this CPU, unless that is too many.
    #[inline]
    fn released(self, n: u32, maximum: u32) -> Option<Self> {
        if n > maximum.saturating_sub(self.count()) {
            return None;
        }
        let here = u64::from(Cpu::mine().0) << Self::CPU_SHIFT;
        Some(Self((self.0 & !Self::CPU_MASK | here) + Self::of(n).0))
    }

    /// Whether a permit can be added as it is.
    #[inline]
    fn takes_one_more(self) -> bool {
        self.count() < Self::ADD_BELOW && self.releaser_cpu() == Cpu::mine()
    }

    fn low(self) -> u32 {
        self.0 as u32
    }

    #[inline]
    fn releaser_cpu(self) -> Cpu {
        Cpu((self.0 >> Self::CPU_SHIFT) as u8)
    }
}

/// A counting semaphore between processes: Python's `multiprocessing.Semaphore` in eight bytes.
///
/// All-zero bytes are one with the value zero. Permits belong to nobody: a process that dies takes those it holds
/// with it.
///
/// # Example
/// ```
/// use shmsync::{AcquireError, ReleaseError, SEM_VALUE_MAX, Semaphore};
///
/// let sem = Semaphore::new(2);
/// sem.acquire()?;
/// sem.acquire()?;
/// assert_eq!(sem.try_acquire(), Err(AcquireError::WouldBlock));
/// sem.release_many(2)?;
/// assert_eq!(sem.value(), 2);
/// assert_eq!(sem.release_many(SEM_VALUE_MAX), Err(ReleaseError::Overflow)); // and nothing changed
/// assert_eq!(sem.value(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[cfg_attr(not(loom), derive(zerocopy::FromBytes))]
#[repr(C)]
pub struct Semaphore<W: Wait = Platform> {
    word: AtomicU64,
    wait: W,
}

impl Semaphore {
    constructor! {
        /// A semaphore with `value` permits.
        ///
        /// # Panics
        /// If `value` exceeds [`SEM_VALUE_MAX`].
        #[must_use]
        pub fn new(value: u32) -> Self {
            Self::new_in(value)
        }
    }
}

impl<W: Wait> Semaphore<W> {
    constructor! {
        /// A semaphore with `value` permits on the backend `W`.
        ///
        /// # Panics
        /// If `value` exceeds [`SEM_VALUE_MAX`].
        #[must_use]
        pub fn new_in(value: u32) -> Self {
            assert!(value <= SEM_VALUE_MAX, "a semaphore's value is at most 2^31 - 1");
            Self { word: AtomicU64::new(State::of(value).0), wait: fresh!(W) }
        }
    }

    acquiring_verbs!("one permit");

    #[inline]
    pub(super) fn acquire_with(&self, patience: Patience) -> Result<(), AcquireError> {
        if self.take_now() { Ok(()) } else { self.acquire_contended(patience) }
    }

    #[inline]
    pub(super) fn try_once(&self) -> Result<(), AcquireError> {
        if self.take_now() { Ok(()) } else { Err(AcquireError::WouldBlock) }
    }

    /// Takes a permit if there is one.
    #[inline]
    pub(super) fn take_now(&self) -> bool {
        let mut seen = State(self.word.load(Ordering::Relaxed));
        while let Some(taken) = seen.taken() {
            // edge: release -> acquire (Acquire end). Every change of the word is a read-modify-write, so this reads
            // from the release sequence of each release whose permit may be the one taken.
            match self.word.compare_exchange_weak(seen.0, taken.0, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(now) => seen = State(now),
            }
        }
        false
    }

    #[cold]
    fn acquire_contended(&self, patience: Patience) -> Result<(), AcquireError> {
        let mut sleeper = Sleeper::new(patience);
        let mut spin = Spin::new();
        while !sleeper.only_looks() {
            let Some(empty) = self.take_or_announce(&mut spin) else { return Ok(()) };
            match sleeper.sleep(&self.wait, Word::low_half(&self.word), empty.low()) {
                Slept::Woken => spin = Spin::new(),
                Slept::SliceEnded => {}
                // Leaving swallows no wake: `WAITERS` stays, and a permit that came is there for the next to look.
                Slept::Expired => break,
                Slept::Interrupted => return Err(AcquireError::Interrupted),
            }
        }
        if self.take_now() { Ok(()) } else { Err(AcquireError::TimedOut) }
    }

    /// Spins until a permit is taken (`None`), or returns the empty state in which sleepers are announced.
    fn take_or_announce(&self, spin: &mut Spin) -> Option<State> {
        loop {
            if self.take_now() {
                return None;
            }
            let seen = State(self.word.load(Ordering::Relaxed));
            if seen.count() > 0 || spin.again(seen.releaser_cpu()) {
                continue;
            }
            if seen.has_waiters() {
                return Some(seen);
            }
            // Needs no order: the futex compares the low half again under its own lock.
            let announced = seen.with_waiters();
            if self.word.compare_exchange(seen.0, announced.0, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
                return Some(announced);
            }
        }
    }

    /// Gives one permit back, and wakes one waiter.
    ///
    /// Async-signal-safe: a handler may call it in the middle of any verb of the same semaphore, and finds `errno`
    /// unchanged. What the caller did before happens before the return of the acquire that takes the permit.
    ///
    /// # Errors
    /// `Overflow` beyond [`SEM_VALUE_MAX`]; nothing is changed then. (Beside a [`release_many`](Self::release_many) of more
    /// than half of that it may be let through; then no permit is lost either.)
    #[inline]
    pub fn release(&self) -> Result<(), ReleaseError> {
        if !State(self.word.load(Ordering::Relaxed)).takes_one_more() {
            return self.release_up_to(1, SEM_VALUE_MAX);
        }
        // edge: release -> acquire (Release end)
        let seen = State(self.word.fetch_add(State::ONE, Ordering::Release));
        if seen.has_waiters() {
            self.wake(1);
        }
        Ok(())
    }

    /// Gives `n` permits back at once, and wakes as many waiters.
    ///
    /// Async-signal-safe, as [`release`](Self::release) is.
    ///
    /// # Errors
    /// `Overflow` beyond [`SEM_VALUE_MAX`]; nothing is changed then.
    pub fn release_many(&self, n: u32) -> Result<(), ReleaseError> {
        self.release_up_to(n, SEM_VALUE_MAX)
    }

    #[inline]
    pub(super) fn release_up_to(&self, n: u32, maximum: u32) -> Result<(), ReleaseError> {
        let mut seen = State(self.word.load(Ordering::Relaxed));
        loop {
            let released = seen.released(n, maximum).ok_or(ReleaseError::Overflow)?;
            // edge: release -> acquire (Release end)
            match self.word.compare_exchange_weak(seen.0, released.0, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => {
                    if seen.has_waiters() {
                        self.wake(n);
                    }
                    return Ok(());
                }
                Err(now) => seen = State(now),
            }
        }
    }

    #[cold]
    fn wake(&self, n: u32) {
        let word = Word::low_half(&self.word);
        if n > 0 && self.wait.wake(word, n) == 0 {
            // Relaxed: whoever misses the clear keeps the bit, which costs a wake.
            self.word.fetch_and(!State::WAITERS, Ordering::Relaxed);
            self.wait.wake(word, u32::MAX); // see the top of the file
        }
    }

    /// The number of permits at this moment. Out of date as soon as it is known.
    #[inline]
    #[must_use]
    pub fn value(&self) -> u32 {
        State(self.word.load(Ordering::Relaxed)).count().min(SEM_VALUE_MAX)
    }

    pub(super) fn has_waiters(&self) -> bool {
        State(self.word.load(Ordering::Relaxed)).has_waiters()
    }
}

impl<W: Wait> Default for Semaphore<W> {
    fn default() -> Self {
        Self::new_in(0)
    }
}

impl<W: Wait> fmt::Debug for Semaphore<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Semaphore").field("value", &self.value()).field("waited_for", &self.has_waiters()).finish()
    }
}
