//! A flag that processes set, clear and wait for, in one 32-bit word.
//!
//! | bits | what |
//! |---|---|
//! | 0 | `SET` |
//! | 1 | `SLEEPERS`: somebody may sleep on the word |
//! | 2–9 | CPU of the last `set`, plus one |
//! | 10–31 | number of sets, modulo 2²² |
//!
//! | state | who may leave it, to where |
//! |---|---|
//! | not set | a setter: `SET`, sets + 1, no `SLEEPERS`. A waiter: + `SLEEPERS`, then it sleeps on this very word |
//! | set | a clearer: without `SET`. A setter: sets + 1 |
//!
//! A waiter goes on when the flag is set *or the number of sets has changed*: so a `set` releases everybody who waits,
//! even if a `clear` follows before they look. And every `set` writes (D14): if it returned early because the flag is
//! set already, a waiter that just decided to clear it and wait again would sleep on through this set.
//!
//! `SLEEPERS` is taken back by the next `set`, whoever left it. A setter killed before its wake leaves sleepers on a
//! word that has changed; they see it when their slice ends.

use std::fmt;
use std::time::Duration;

use crate::atomic::{AtomicU32, Ordering, constructor, fresh};
use crate::error::AcquireError;
use crate::owner::Cpu;
use crate::time::{Deadline, Patience};
use crate::wait::sleep::{Sleeper, Slept};
use crate::wait::spin::Spin;
use crate::wait::{Platform, Wait, Word};

#[derive(Clone, Copy, PartialEq, Eq)]
struct State(u32);

impl State {
    const SET: u32 = 1;
    const SLEEPERS: u32 = 2;
    const CPU_SHIFT: u32 = 2;
    const SETS_SHIFT: u32 = 10;

    #[inline]
    fn is_set(self) -> bool {
        self.0 & Self::SET != 0
    }

    fn has_sleepers(self) -> bool {
        self.0 & Self::SLEEPERS != 0
    }

    fn with_sleepers(self) -> Self {
        Self(self.0 | Self::SLEEPERS)
    }

    fn sets(self) -> u32 {
        self.0 >> Self::SETS_SHIFT
    }

    /// Set once more, on this CPU.
    fn set(self) -> Self {
        let sets = self.sets().wrapping_add(1) << Self::SETS_SHIFT;
        Self(sets | u32::from(Cpu::mine().0) << Self::CPU_SHIFT | Self::SET)
    }

    fn setter_cpu(self) -> Cpu {
        Cpu((self.0 >> Self::CPU_SHIFT) as u8)
    }

    /// Whether somebody who began to wait in the state `before` may go on.
    fn releases(self, before: Self) -> bool {
        self.is_set() || self.sets() != before.sets()
    }
}

/// A flag to wait for, between processes: Python's `multiprocessing.Event` in four bytes.
///
/// All-zero bytes are one that is not set. A [`set`](Self::set) releases everybody who is waiting at that moment, even
/// if it is cleared again at once.
///
/// # Example
/// ```
/// use std::time::Duration;
/// use shmsync::Event;
///
/// let event = Event::new();
/// assert!(!event.wait_timeout(Duration::ZERO));
/// std::thread::scope(|scope| {
///     scope.spawn(|| event.wait());
///     event.set();
/// });
/// assert!(event.is_set());
/// event.clear();
/// ```
#[cfg_attr(not(loom), derive(zerocopy::FromBytes))]
#[repr(C)]
pub struct Event<W: Wait = Platform> {
    word: AtomicU32,
    wait: W,
}

impl Event {
    constructor! {
        /// An event that is not set.
        #[must_use]
        pub fn new() -> Self {
            Self::new_in()
        }
    }
}

impl<W: Wait> Event<W> {
    constructor! {
        /// An event that is not set, on the backend `W`.
        #[must_use]
        pub fn new_in() -> Self {
            Self { word: AtomicU32::new(0), wait: fresh!(W) }
        }
    }

    /// Sets the flag and releases everybody who waits.
    ///
    /// Async-signal-safe: a handler may call it in the middle of any verb of the same event, and finds `errno` unchanged.
    /// What the caller did before happens before the return of every wait that this releases, and of every `is_set` that
    /// sees it.
    #[inline]
    pub fn set(&self) {
        let mut seen = State(self.word.load(Ordering::Relaxed));
        loop {
            // edge: set -> wait, set -> clear (Release end)
            match self.word.compare_exchange_weak(seen.0, seen.set().0, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => break,
                Err(now) => seen = State(now),
            }
        }
        if seen.has_sleepers() {
            self.wake_all();
        }
    }

    #[cold]
    fn wake_all(&self) {
        self.wait.wake(Word::whole(&self.word), u32::MAX);
    }

    /// Takes the flag back. Whoever was released is not held up.
    ///
    /// Async-signal-safe, as [`set`](Self::set) is.
    #[inline]
    pub fn clear(&self) {
        // A read-modify-write: it goes on the release sequence of the set before it, so that a waiter that sees only the
        // changed number of sets still has its edge.
        // edge: set -> clear (Acquire end): who clears, then looks for work, and waits if there is none, finds what was
        // made before the set that it took back. That set wakes nobody any more.
        self.word.fetch_and(!State::SET, Ordering::Acquire);
    }

    /// Whether it is set.
    #[inline]
    #[must_use]
    pub fn is_set(&self) -> bool {
        State(self.word.load(Ordering::Acquire)).is_set() // edge: set -> wait
    }

    /// Waits until it is set, as long as it takes.
    #[inline]
    pub fn wait(&self) {
        if !self.is_set() {
            // Forever and uninterruptible: it ends with the event.
            let _ = self.wait_contended(Patience::FOREVER);
        }
    }

    /// Waits until it is set, for at most `timeout` of monotonic time; whether it was set. A zero timeout looks once.
    pub fn wait_timeout(&self, timeout: Duration) -> bool {
        self.is_set() || self.wait_contended(Patience::until(Deadline::after(timeout))).is_ok()
    }

    /// Waits like `wait_timeout`, or for ever with `None`, or until a signal handler has run during the sleep.
    ///
    /// # Errors
    /// `Interrupted`; never anything else.
    pub fn wait_interruptible(&self, timeout: Option<Duration>) -> Result<bool, AcquireError> {
        if self.is_set() {
            return Ok(true);
        }
        match self.wait_contended(Patience::interruptible(timeout)) {
            Ok(()) => Ok(true),
            Err(AcquireError::Interrupted) => Err(AcquireError::Interrupted),
            Err(_) => Ok(false),
        }
    }

    #[cold]
    fn wait_contended(&self, patience: Patience) -> Result<(), AcquireError> {
        let before = State(self.word.load(Ordering::Acquire)); // edge: set -> wait (Acquire end)
        if before.is_set() {
            return Ok(());
        }
        let mut sleeper = Sleeper::for_a_wake(patience);
        let mut spin = Spin::new();
        loop {
            let seen = State(self.word.load(Ordering::Acquire)); // edge: set -> wait (Acquire end)
            if seen.releases(before) {
                return Ok(());
            }
            if sleeper.only_looks() {
                return Err(AcquireError::TimedOut);
            }
            if spin.again(seen.setter_cpu()) {
                continue;
            }
            let asleep = seen.with_sleepers();
            // Needs no order: the futex compares the word again under its own lock, and every set changes it.
            if !seen.has_sleepers()
                && self.word.compare_exchange(seen.0, asleep.0, Ordering::Relaxed, Ordering::Relaxed).is_err()
            {
                continue;
            }
            match sleeper.sleep(&self.wait, Word::whole(&self.word), asleep.0) {
                Slept::Woken | Slept::SliceEnded => {}
                Slept::Expired => {
                    // The set may have come with the last tick.
                    let last = State(self.word.load(Ordering::Acquire)); // edge: set -> wait
                    return if last.releases(before) { Ok(()) } else { Err(AcquireError::TimedOut) };
                }
                Slept::Interrupted => return Err(AcquireError::Interrupted),
            }
        }
    }
}

impl<W: Wait> Default for Event<W> {
    fn default() -> Self {
        Self::new_in()
    }
}

impl<W: Wait> fmt::Debug for Event<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = State(self.word.load(Ordering::Relaxed));
        f.debug_struct("Event").field("set", &state.is_set()).field("waited_for", &state.has_sleepers()).finish()
    }
}
