//! A counting semaphore: take a permit, or announce, sleep, and be called. Its word is told in [`state`].

mod state;

use std::fmt;

use super::verbs::acquiring_verbs;
use crate::atomic::{AtomicU64, Ordering, constructor, fresh};
use crate::error::{AcquireError, ReleaseError};
use crate::time::Patience;
use crate::wait::sleep::{Sleeper, Slept};
use crate::wait::spin::Spin;
use crate::wait::{Platform, Wait, Word};
use state::State;

/// The highest value of a semaphore, as POSIX calls it: 2³¹ − 1.
pub const SEM_VALUE_MAX: u32 = i32::MAX as u32;

/// Who has waited for so long without being called takes it that those who were are dead. Longer than the living take to get
/// a CPU unless there is a crowd, in which a few needless wakes make no difference; and a quarter of what a wake that was
/// lost with a killed thread may take to be noticed.
const FORGET_NANOS: u64 = 24_000_000;

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
        self.take(0)
    }

    /// Takes a permit if there is one, and then takes `called` calls back, or all if there are fewer.
    #[inline]
    fn take(&self, called: u32) -> bool {
        let mut seen = State(self.word.load(Ordering::Relaxed));
        while let Some(taken) = seen.taken() {
            let taken = taken.without_called(called);
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
        let mut sleeper = Sleeper::for_a_wake(patience);
        let mut spin = Spin::new();
        let mut called = 0;
        while !sleeper.only_looks() {
            let Some(empty) = self.take_or_announce(&mut spin, called) else { return Ok(()) };
            called = 0;
            match sleeper.sleep(&self.wait, Word::low_half(&self.word), empty.low()) {
                Slept::Woken => (spin, called) = (Spin::new(), sleeper.was_called().into()),
                // A permit is there, and nobody woke this one for it: who was called for it is late, or dead.
                Slept::SliceEnded if self.take(State::MOST_CALLED) => return Ok(()),
                Slept::SliceEnded if sleeper.waited() >= FORGET_NANOS => self.forget_called(),
                Slept::SliceEnded => {}
                // Leaving swallows no wake: this one is not called, and a permit that came is there for the last look.
                Slept::Expired if self.take(State::MOST_CALLED) => return Ok(()),
                // Who waits for short times, again and again, never waits for long enough to forget calls above.
                Slept::Expired => {
                    self.forget_called();
                    return Err(AcquireError::TimedOut);
                }
                Slept::Interrupted => {
                    self.forget_called();
                    return Err(AcquireError::Interrupted);
                }
            }
        }
        if self.take_now() { Ok(()) } else { Err(AcquireError::TimedOut) }
    }

    /// Spins until a permit is taken (`None`), or returns the empty state in which sleepers are announced. Either takes the
    /// calls back of which the caller is one.
    fn take_or_announce(&self, spin: &mut Spin, called: u32) -> Option<State> {
        loop {
            if self.take(called) {
                return None;
            }
            let seen = State(self.word.load(Ordering::Relaxed));
            if seen.count() > 0 || spin.again(seen.releaser_cpu()) {
                continue;
            }
            let announced = seen.with_waiters().without_called(called);
            if announced == seen {
                return Some(seen);
            }
            // Needs no order: the futex compares the low half again under its own lock.
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

    /// Calls `n` sleepers at the most, no more than there are permits that nobody is on the way to.
    #[cold]
    fn wake(&self, n: u32) {
        // Whoever has taken the permit meanwhile releases it, too.
        let calls = |seen: State| if seen.has_waiters() { seen.unclaimed().min(n) } else { 0 };
        let called = calls(self.update(|seen| seen.calling(calls(seen))));
        if called == 0 {
            return;
        }
        let word = Word::low_half(&self.word);
        let woken = self.wait.wake(word, called);
        if woken < called {
            self.update(|seen| seen.without_called(called - woken).without_waiters());
            self.wait.wake(word, u32::MAX); // see `state`
        }
    }

    /// Takes all calls back.
    fn forget_called(&self) {
        self.update(|seen| seen.without_called(State::MOST_CALLED));
    }

    /// Makes of the state what `change` says; what it was before.
    fn update(&self, change: impl Fn(State) -> State) -> State {
        let mut seen = State(self.word.load(Ordering::Relaxed));
        while change(seen) != seen {
            // Relaxed: calls order nothing, and whoever misses that `WAITERS` is gone keeps the bit, which costs a wake.
            match self.word.compare_exchange_weak(seen.0, change(seen).0, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => break,
                Err(now) => seen = State(now),
            }
        }
        seen
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

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::wait::{Futex, PosixSem};
    use std::thread;
    use std::time::Duration;

    const ANNOUNCED: State = State(0).with_waiters();

    fn with(state: State) -> Semaphore {
        Semaphore { word: AtomicU64::new(state.0), wait: Futex }
    }

    fn state(semaphore: &Semaphore) -> (u32, u32, bool) {
        let state = State(semaphore.word.load(Ordering::Relaxed));
        (state.count(), state.called(), state.has_waiters())
    }

    #[test]
    fn nobody_is_called_for_a_permit_that_one_is_on_the_way_to() {
        let semaphore = with(ANNOUNCED.calling(2));
        semaphore.release().unwrap();
        semaphore.release().unwrap();
        assert_eq!(state(&semaphore), (2, 2, true), "a wake would have found that nobody sleeps");
        semaphore.release().unwrap();
        assert_eq!(state(&semaphore), (3, 2, false));
    }

    #[test]
    fn calls_that_reach_nobody_are_taken_back() {
        let semaphore = with(ANNOUNCED.calling(1));
        semaphore.release_many(5).unwrap();
        assert_eq!(state(&semaphore), (5, 1, false));
    }

    #[test]
    fn a_dead_ones_call_costs_a_slice() {
        let semaphore = with(State(0).calling(1));
        thread::scope(|scope| {
            let waiter = scope.spawn(|| semaphore.acquire_for(Duration::from_secs(60)));
            while !semaphore.has_waiters() {
                thread::yield_now();
            }
            thread::sleep(Duration::from_millis(1));
            semaphore.release().unwrap();
            assert_eq!(waiter.join().unwrap(), Ok(()));
        });
        assert_eq!(state(&semaphore).1, 0);
    }

    #[test]
    fn the_calls_of_the_dead_are_forgotten() {
        let semaphore = with(State(0).calling(State::MOST_CALLED));
        assert_eq!(semaphore.acquire_for(Duration::from_millis(1)), Err(AcquireError::TimedOut));
        assert_eq!(state(&semaphore), (0, 0, true), "by who gives up");
        semaphore.word.store(State(0).calling(State::MOST_CALLED).0, Ordering::Relaxed);
        thread::scope(|scope| {
            let waiter = scope.spawn(|| semaphore.acquire_for(Duration::from_secs(60)));
            while state(&semaphore) != (0, 0, true) {
                thread::yield_now();
            }
            semaphore.release().unwrap();
            assert_eq!(waiter.join().unwrap(), Ok(()));
        });
    }

    /// Nobody is on the way when all have come: each who was called has counted itself off, and only once.
    fn all_who_are_called_come<W: Wait>() {
        for round in 0..200 {
            let semaphore = Semaphore::<W>::new_in(0);
            thread::scope(|scope| {
                let takers = [(); 8].map(|()| scope.spawn(|| (0..50).for_each(|_| semaphore.acquire().unwrap())));
                let givers = [(); 4].map(|()| scope.spawn(|| (0..25).for_each(|_| semaphore.release_many(4).unwrap())));
                // Joined where ThreadSanitizer sees it.
                takers.into_iter().chain(givers).for_each(|thread| thread.join().unwrap());
            });
            let state = State(semaphore.word.load(Ordering::Relaxed));
            assert_eq!((state.count(), state.called()), (0, 0), "round {round}");
        }
    }

    #[test]
    fn all_who_are_called_by_a_futex_come() {
        all_who_are_called_come::<Futex>();
    }

    #[test]
    fn all_who_are_called_by_posts_come() {
        all_who_are_called_come::<PosixSem>();
    }
}
