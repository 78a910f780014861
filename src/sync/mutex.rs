//! A lock with the data it guards: std's `Mutex` between processes. The [owned word](super::owned), and a poison word.
//!
//! | poison | meaning | who may leave it |
//! |---|---|---|
//! | 0 | clean | a holder that panics, or takes over from a dead one |
//! | token | that thread panicked while holding it | `clear_poison`; whoever takes over from a dead holder |
//! | token + `OWNER_DIED` | that thread died while holding it | `clear_poison`; whoever takes over from a dead holder |
//!
//! The poison is written by the holder before it frees the word, so the word's edge carries it. A recoverer that is
//! killed between taking the word and writing the poison is itself a dead holder, and so the poison comes all the same.
#![allow(unsafe_code)]

mod guard;

use std::cell::UnsafeCell;
use std::fmt;
use std::time::{Duration, Instant};

use super::deadlock;
use super::owned::OwnedWord;
use super::poison::{LockResult, PoisonCause, PoisonError, TryLockError, TryLockResult};
use crate::atomic::{AtomicU64, Ordering, constructor};
use crate::error::AcquireError;
use crate::owner::{Owner, Token};
use crate::time::{Deadline, Patience};
use crate::wait::{Platform, Wait};
pub use guard::MutexGuard;

/// A mutex between processes, with the manners of std's.
///
/// A holder that panics *or dies* poisons it: the next to lock gets the guard inside a [`PoisonError`] that says who
/// and how. std's idioms work unchanged; `lock().unwrap()` passes a death on as a panic. All-zero bytes are a fresh,
/// unlocked one round zeroed data.
///
/// The data must be plain when it lives in shared memory: no pointers, no handles ([`Shared`](crate::Shared) asks for
/// `zerocopy::FromBytes`). What it guards is as safe as all who map it are honest: a process that writes zeros over a
/// held mutex lets a second holder in.
///
/// # Example
/// ```
/// use shmsync::{Mutex, Shared};
///
/// let account = Shared::anonymous(Mutex::new([100_u64, 0]))?;
/// {
///     let mut balances = account.lock().unwrap();
///     balances[0] -= 10;
///     balances[1] += 10;
/// }
/// let torn = account.lock().unwrap_or_else(|poisoned| {
///     eprintln!("{poisoned}"); // "poisoned lock: tid 4711 died while holding it"
///     account.clear_poison();
///     poisoned.into_inner()
/// });
/// assert_eq!(torn.iter().sum::<u64>(), 100);
/// # Ok::<(), shmsync::Error>(())
/// ```
#[cfg_attr(not(loom), derive(zerocopy::FromBytes))]
#[repr(C)]
pub struct Mutex<T, W: Wait = Platform> {
    word: OwnedWord<W>,
    poison: AtomicU64,
    data: UnsafeCell<T>,
}

// SAFETY: the data is reached through a guard only, and one guard exists at a time; so sharing the mutex sends `T`
// from holder to holder.
unsafe impl<T: Send, W: Wait> Sync for Mutex<T, W> {}

impl<T> Mutex<T> {
    constructor! {
        /// An unlocked mutex round `data`.
        pub fn new(data: T) -> Self {
            Self::new_in(data)
        }
    }
}

impl<T, W: Wait> Mutex<T, W> {
    constructor! {
        /// An unlocked mutex round `data` on the backend `W`.
        pub fn new_in(data: T) -> Self {
            Self { word: OwnedWord::new(), poison: AtomicU64::new(0), data: UnsafeCell::new(data) }
        }
    }

    /// Locks, waiting as long as it takes.
    ///
    /// What the last holder did before it let go happens before this returns.
    ///
    /// # Errors
    /// The guard inside a [`PoisonError`] if a holder died or panicked since the last `clear_poison`.
    ///
    /// # Panics
    /// If the calling thread holds it already. Or if it is one of a circle of threads that wait for what the next one
    /// holds (see [`AcquireError::WouldDeadlock`]) and none of them waits in a form that has an error to return: the
    /// panic lets go of what this one holds.
    #[inline]
    pub fn lock(&self) -> LockResult<MutexGuard<'_, T, W>> {
        if self.word.take_free().is_err() {
            self.lock_contended();
        }
        self.guard()
    }

    #[cold]
    fn lock_contended(&self) {
        match self.acquire_contended(Patience::UNFAILING) {
            Ok(()) => {}
            Err(error @ AcquireError::WouldDeadlock) => panic!("shmsync: Mutex::lock: {error}"),
            Err(other) => unreachable!("a patient wait ended with {other}"),
        }
    }

    /// Locks if that is possible without waiting.
    ///
    /// # Errors
    /// `WouldBlock`; `Poisoned` with the guard; `WouldDeadlock` if the calling thread holds it.
    #[inline]
    pub fn try_lock(&self) -> TryLockResult<MutexGuard<'_, T, W>> {
        if self.word.take_free().is_err() {
            self.acquire_contended(Patience::NONE).map_err(|error| match error {
                AcquireError::TimedOut => TryLockError::WouldBlock,
                other => try_lock_error(other),
            })?;
        }
        Ok(self.guard()?)
    }

    /// Locks, waiting for at most `timeout` of monotonic time. A zero timeout tries once.
    ///
    /// # Errors
    /// `TimedOut`; `Poisoned` with the guard; `WouldDeadlock` if the calling thread holds it, or is one of a circle of
    /// threads that wait for what the next one holds.
    pub fn try_lock_for(&self, timeout: Duration) -> TryLockResult<MutexGuard<'_, T, W>> {
        self.try_lock_with(Deadline::after(timeout))
    }

    /// Locks, waiting until `deadline` at most. A past deadline tries once.
    ///
    /// # Errors
    /// As `try_lock_for`.
    pub fn try_lock_until(&self, deadline: Instant) -> TryLockResult<MutexGuard<'_, T, W>> {
        self.try_lock_with(Deadline::at(deadline))
    }

    fn try_lock_with(&self, deadline: Deadline) -> TryLockResult<MutexGuard<'_, T, W>> {
        if self.word.take_free().is_err() {
            self.acquire_contended(Patience::until(deadline)).map_err(try_lock_error)?;
        }
        Ok(self.guard()?)
    }

    /// Takes the word, from a dead holder if need be: that is poison, not an error.
    #[cold]
    fn acquire_contended(&self, patience: Patience) -> Result<(), AcquireError> {
        if self.word.is_mine() {
            return Err(deadlock::of_one("holds it already"));
        }
        loop {
            match self.word.acquire_contended(patience) {
                Err(AcquireError::OwnerDied(_)) => {}
                other => return other,
            }
            if let Ok(dead) = self.word.recover() {
                // Relaxed: the word's next release publishes it.
                self.poison.store(PoisonCause::Died(dead.dead_owner()).into_word(), Ordering::Relaxed);
                return Ok(());
            }
        }
    }

    /// The guard of the word just taken, inside an error if there is poison.
    #[inline]
    fn guard(&self) -> LockResult<MutexGuard<'_, T, W>> {
        let guard = MutexGuard::new(self);
        match self.poison() {
            None => Ok(guard),
            Some(cause) => Err(PoisonError::new(guard, cause)),
        }
    }

    /// After a panic; unless this is a forked child's copy of its parent's guard, or bytes were scribbled.
    #[cold]
    fn poison_if_mine(&self) {
        if self.word.is_mine() {
            if let Some(me) = Token::mine().owner() {
                self.poison.store(PoisonCause::Panicked(me).into_word(), Ordering::Relaxed);
            }
        }
    }

    #[inline]
    fn poison(&self) -> Option<PoisonCause> {
        PoisonCause::from_word(self.poison.load(Ordering::Relaxed))
    }

    /// Whether a holder is known to have died or panicked. A death is not known before somebody tries to lock.
    #[must_use]
    pub fn is_poisoned(&self) -> bool {
        self.poison().is_some()
    }

    /// Declares the data sound again.
    pub fn clear_poison(&self) {
        self.poison.store(0, Ordering::Relaxed);
    }

    /// Who holds it; `None` when it is free. Out of date as soon as it is known, but for the holder itself.
    #[must_use]
    pub fn holder(&self) -> Option<Owner> {
        self.word.holder()
    }

    /// The data, without locking: the exclusive borrow proves that nobody else in this process can.
    ///
    /// # Errors
    /// The data inside a [`PoisonError`] if it may be torn.
    pub fn get_mut(&mut self) -> LockResult<&mut T> {
        match self.poison() {
            None => Ok(self.data.get_mut()),
            Some(cause) => Err(PoisonError::new(self.data.get_mut(), cause)),
        }
    }

    /// The data of a mutex that is not needed any more.
    ///
    /// # Errors
    /// The data inside a [`PoisonError`] if it may be torn.
    pub fn into_inner(self) -> LockResult<T> {
        match self.poison() {
            None => Ok(self.data.into_inner()),
            Some(cause) => Err(PoisonError::new(self.data.into_inner(), cause)),
        }
    }
}

pub(super) fn try_lock_error<G>(error: AcquireError) -> TryLockError<G> {
    match error {
        AcquireError::TimedOut => TryLockError::TimedOut,
        AcquireError::WouldDeadlock => TryLockError::WouldDeadlock,
        _ => TryLockError::WouldBlock,
    }
}

impl<T: Default, W: Wait> Default for Mutex<T, W> {
    fn default() -> Self {
        Self::new_in(T::default())
    }
}

impl<T> From<T> for Mutex<T> {
    fn from(data: T) -> Self {
        Self::new(data)
    }
}

/// Shows the state, not the data: looking at that would mean waiting.
impl<T, W: Wait> fmt::Debug for Mutex<T, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mutex")
            .field("state", &self.word.describe())
            .field("poison", &self.poison())
            .finish_non_exhaustive()
    }
}
