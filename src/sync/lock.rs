//! A non-recursive lock that anybody may release. Its states are those of the [owned word](super::owned).

use std::fmt;

use super::guard::guarded;
use super::owned::OwnedWord;
use super::verbs::acquiring_verbs;
use crate::atomic::constructor;
use crate::error::{AcquireError, ReleaseError};
use crate::owner::Owner;
use crate::time::Patience;
use crate::wait::{Platform, Wait};

/// A lock between processes: Python's `multiprocessing.Lock` in eight bytes.
///
/// It may be released by another thread or process than acquired it, so it also serves for handing over. All-zero
/// bytes are a fresh, unlocked one. It knows its holder: when that thread dies without releasing, everybody who
/// waits, and everybody who comes later, gets [`AcquireError::OwnerDied`], and one of them may
/// [`recover`](Self::recover).
///
/// # Errors of the acquiring verbs
/// `OwnerDied` from all of them, without acquiring. `WouldDeadlock` from those that wait, if the caller is one of two or
/// more threads that wait in a circle for locks of one region which the next one holds. (Who waits for its own lock waits,
/// because another may release it; so may any thread of a circle. Who means that says so with [`disown`](Self::disown).)
///
/// # Example
/// ```
/// use shmsync::{AcquireError, Lock, ReleaseError};
///
/// let lock = Lock::new();
/// lock.acquire()?;
/// assert_eq!(lock.try_acquire(), Err(AcquireError::WouldBlock));
/// std::thread::scope(|scope| scope.spawn(|| lock.release()).join()).unwrap()?; // anybody may
/// assert_eq!(lock.release(), Err(ReleaseError::NotLocked));
///
/// let guard = lock.lock()?;
/// assert!(lock.holder().is_some());
/// drop(guard);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[cfg_attr(not(loom), derive(zerocopy::FromBytes))]
#[repr(C)]
pub struct Lock<W: Wait = Platform> {
    word: OwnedWord<W>,
}

impl Lock {
    constructor! {
        /// An unlocked lock.
        #[must_use]
        pub fn new() -> Self {
            Self::new_in()
        }
    }
}

impl<W: Wait> Lock<W> {
    constructor! {
        /// An unlocked lock on the backend `W`.
        #[must_use]
        pub fn new_in() -> Self {
            Self { word: OwnedWord::new() }
        }
    }

    acquiring_verbs!("the lock");

    #[inline]
    fn take_now(&self) -> bool {
        self.word.take_free().is_ok()
    }

    #[inline]
    fn acquire_with(&self, patience: Patience) -> Result<(), AcquireError> {
        self.word.acquire(patience)
    }

    #[inline]
    fn try_once(&self) -> Result<(), AcquireError> {
        self.word.try_acquire()
    }

    /// Releases the lock, whoever holds it, and wakes one waiter.
    ///
    /// Async-signal-safe: a handler may call it in the middle of any verb of the same lock, and finds `errno` unchanged. (The
    /// acquire that it interrupts may have taken the lock just now; that is released, then.) Not so with
    /// [`KernelRobust`](crate::wait::KernelRobust), where only the holder may release. What the caller did before happens
    /// before the next acquire returns.
    ///
    /// # Errors
    /// `NotLocked`.
    #[inline]
    pub fn release(&self) -> Result<(), ReleaseError> {
        self.word.release()
    }

    /// Takes the lock over from a holder that died. Of all who try, one succeeds, and holds the lock.
    ///
    /// What the lock guards may be torn: whoever recovers, repairs.
    ///
    /// # Errors
    /// `WouldBlock` if there is nothing to recover: it is free, or its holder is not known to be dead.
    ///
    /// # Example
    /// ```
    /// # use shmsync::{AcquireError, Lock};
    /// fn enter(lock: &Lock, repair: impl Fn()) -> Result<(), AcquireError> {
    ///     loop {
    ///         match lock.acquire() {
    ///             Err(AcquireError::OwnerDied(_)) => match lock.recover() {
    ///                 Ok(()) => return Ok(repair()),
    ///                 Err(_) => continue, // another was faster
    ///             },
    ///             other => return other,
    ///         }
    ///     }
    /// }
    /// # let lock = Lock::new();
    /// # enter(&lock, || unreachable!()).unwrap();
    /// ```
    pub fn recover(&self) -> Result<(), AcquireError> {
        self.word.recover().map(drop)
    }

    /// Says that somebody else will release the lock: from now on it is held by nobody in particular, who dies only
    /// with the machine (in a region that is a file and outlives it).
    ///
    /// For locks that are acquired here and released there, by a thread or process that may outlive this one. Does
    /// nothing to a free lock, nor to one whose holder is found dead: of that everybody learns all the same.
    pub fn disown(&self) {
        self.word.disown();
    }

    /// Whether it is held, by anybody, dead or alive. Out of date as soon as it is known.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        !self.word.token().is_free()
    }

    /// Who holds it; `None` when it is free, or disowned. Out of date as soon as it is known.
    #[must_use]
    pub fn holder(&self) -> Option<Owner> {
        self.word.holder()
    }

    #[inline]
    fn release_guarded(&self) {
        self.word.release_guarded();
    }

    #[inline]
    fn is_held_here(&self) -> bool {
        self.word.is_mine()
    }

    fn release_whole(&self) -> u32 {
        // NotLocked: somebody released it under the guard. The wait goes on, and takes it at the end.
        let _ = self.release();
        0
    }

    fn recover_whole(&self, _depth: u32) -> Result<(), AcquireError> {
        self.recover()
    }

    fn acquire_whole(&self, _depth: u32) -> Result<(), AcquireError> {
        self.acquire()
    }
}

guarded!(Lock, LockGuard);

impl<W: Wait> Default for Lock<W> {
    fn default() -> Self {
        Self::new_in()
    }
}

impl<W: Wait> fmt::Debug for Lock<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lock").field("state", &self.word.describe()).finish()
    }
}
