//! A recursive lock that belongs to a thread: the [owned word](super::owned) and how often its holder re-entered.
//!
//! | word | reentries | meaning | who may leave it |
//! |---|---|---|---|
//! | free | anything | free | anybody |
//! | token | 0 | held once | its thread |
//! | token | n | held n + 1 deep | its thread |
//! | dead | anything | as deep as it was left | a recoverer, who sets the reentries to 0 |
//!
//! Only the holder touches the reentries, so they need no order of their own: the word's edges carry them. A holder
//! always leaves them at zero before it frees the word, and a recoverer sets them; killed in between, it is dead, too,
//! and the next recoverer sets them again.

use std::fmt;

use super::guard::guarded;
use super::owned::OwnedWord;
use super::verbs::acquiring_verbs;
use crate::atomic::{AtomicU32, Ordering, constructor};
use crate::error::{AcquireError, ReleaseError};
use crate::owner::Owner;
use crate::time::Patience;
use crate::wait::{Platform, Wait};

/// A recursive lock between processes: Python's `multiprocessing.RLock` in sixteen bytes.
///
/// It belongs to a thread of a process. That thread may acquire it again, and must release it as often; nobody else
/// can release it, and a forked child is somebody else. All-zero bytes are a fresh, unlocked one.
///
/// # Errors of the acquiring verbs
/// `OwnerDied` from all of them, without acquiring; `TooDeep` beyond 2³² levels. `WouldDeadlock` from those that wait, if
/// the caller is one of two or more threads that wait in a circle for locks of one region which the next one holds.
///
/// # Example
/// ```
/// use shmsync::{RLock, ReleaseError};
///
/// let rlock = RLock::new();
/// let outer = rlock.lock()?;
/// let inner = rlock.lock()?;
/// assert_eq!(rlock.depth(), 2);
/// std::thread::scope(|scope| {
///     scope.spawn(|| assert!(matches!(rlock.release(), Err(ReleaseError::NotOwner(Some(_))))));
/// });
/// drop((inner, outer));
/// assert_eq!(rlock.depth(), 0);
/// # Ok::<(), shmsync::AcquireError>(())
/// ```
#[cfg_attr(not(loom), derive(zerocopy::FromBytes))]
#[repr(C)]
pub struct RLock<W: Wait = Platform> {
    word: OwnedWord<W>,
    reentries: AtomicU32,
}

impl RLock {
    constructor! {
        /// An unlocked lock.
        #[must_use]
        pub fn new() -> Self {
            Self::new_in()
        }
    }
}

impl<W: Wait> RLock<W> {
    constructor! {
        /// An unlocked lock on the backend `W`.
        #[must_use]
        pub fn new_in() -> Self {
            Self { word: OwnedWord::new(), reentries: AtomicU32::new(0) }
        }
    }

    acquiring_verbs!("the lock, once more if this thread holds it");

    #[inline]
    fn take_now(&self) -> bool {
        self.word.take_free().is_ok()
    }

    #[inline]
    fn acquire_with(&self, patience: Patience) -> Result<(), AcquireError> {
        match self.word.take_free() {
            Ok(()) => Ok(()),
            Err(_) => self.acquire_again(patience),
        }
    }

    fn acquire_again(&self, patience: Patience) -> Result<(), AcquireError> {
        if self.is_mine() { self.reenter() } else { self.word.acquire_contended(patience) }
    }

    #[inline]
    fn try_once(&self) -> Result<(), AcquireError> {
        if self.is_mine() { self.reenter() } else { self.word.try_acquire() }
    }

    fn reenter(&self) -> Result<(), AcquireError> {
        let deeper = self.reentries.load(Ordering::Relaxed).checked_add(1).ok_or(AcquireError::TooDeep)?;
        self.reentries.store(deeper, Ordering::Relaxed);
        Ok(())
    }

    /// Releases the lock once; at the last time it is free, and one waiter is woken.
    ///
    /// What the caller did before the last release happens before the next acquire by another thread returns.
    ///
    /// # Errors
    /// `NotLocked`, or `NotOwner` if another thread holds it.
    #[inline]
    pub fn release(&self) -> Result<(), ReleaseError> {
        match self.reentries.load(Ordering::Relaxed) {
            0 => self.word.release_own(),
            deep => self.release_inner(deep),
        }
    }

    fn release_inner(&self, deep: u32) -> Result<(), ReleaseError> {
        if !self.is_mine() {
            return Err(self.word.not_mine());
        }
        self.reentries.store(deep - 1, Ordering::Relaxed);
        Ok(())
    }

    /// Takes the lock over from a holder that died. Of all who try, one succeeds, and holds the lock one deep.
    ///
    /// # Errors
    /// `WouldBlock` if there is nothing to recover: it is free, or its holder is not known to be dead.
    pub fn recover(&self) -> Result<(), AcquireError> {
        self.word.recover()?;
        self.reentries.store(0, Ordering::Relaxed);
        Ok(())
    }

    /// How often its holder has acquired it; zero when it is free. Exact for the holder, a glimpse for others.
    #[must_use]
    pub fn depth(&self) -> u32 {
        if self.word.token().is_free() { 0 } else { self.reentries.load(Ordering::Relaxed).saturating_add(1) }
    }

    /// Whether the calling thread holds it.
    #[inline]
    #[must_use]
    pub fn is_mine(&self) -> bool {
        self.word.is_mine()
    }

    /// Who holds it; `None` when it is free. Out of date as soon as it is known, but for the holder itself.
    #[must_use]
    pub fn holder(&self) -> Option<Owner> {
        self.word.holder()
    }

    fn release_whole(&self) -> u32 {
        if !self.is_mine() {
            return 0; // released under the guard; it may be another's by now
        }
        let deep = self.reentries.load(Ordering::Relaxed);
        self.reentries.store(0, Ordering::Relaxed);
        // An error would mean that scribbled bytes took the lock from under the guard.
        let _ = self.word.release();
        deep
    }

    #[inline]
    fn release_guarded(&self) {
        match self.reentries.load(Ordering::Relaxed) {
            0 => self.word.release_guarded(),
            deep => _ = self.release_inner(deep),
        }
    }

    #[inline]
    fn is_held_here(&self) -> bool {
        self.is_mine()
    }

    fn recover_whole(&self, deep: u32) -> Result<(), AcquireError> {
        self.recover()?;
        self.reentries.store(deep, Ordering::Relaxed);
        Ok(())
    }

    fn acquire_whole(&self, deep: u32) -> Result<(), AcquireError> {
        if self.is_mine() {
            return self.reenter(); // an outer guard has taken it back already, or it was acquired beside the guards
        }
        self.word.acquire(Patience::FOREVER)?;
        self.reentries.store(deep, Ordering::Relaxed);
        Ok(())
    }
}

guarded!(RLock, RLockGuard);

impl<W: Wait> Default for RLock<W> {
    fn default() -> Self {
        Self::new_in()
    }
}

impl<W: Wait> fmt::Debug for RLock<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RLock").field("state", &self.word.describe()).field("depth", &self.depth()).finish()
    }
}
