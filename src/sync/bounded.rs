//! A semaphore that remembers its initial value, and takes more releases than acquires for the error that they are.

use std::fmt;

use super::semaphore::Semaphore;
use super::verbs::acquiring_verbs;
use crate::atomic::{AtomicU32, Ordering, constructor};
use crate::error::{AcquireError, ReleaseError};
use crate::time::Patience;
use crate::wait::{Platform, Wait};

/// A counting semaphore that never rises above its initial value: Python's `multiprocessing.BoundedSemaphore`.
///
/// All-zero bytes are one with the bound zero, of no use.
///
/// # Example
/// ```
/// use shmsync::{BoundedSemaphore, ReleaseError};
///
/// let sem = BoundedSemaphore::new(1);
/// sem.acquire()?;
/// sem.release()?;
/// assert_eq!(sem.release(), Err(ReleaseError::Overflow));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[cfg_attr(not(loom), derive(zerocopy::FromBytes))]
#[repr(C)]
pub struct BoundedSemaphore<W: Wait = Platform> {
    semaphore: Semaphore<W>,
    /// Never written after the creation; atomic because other processes' bytes must not be plain memory.
    bound: AtomicU32,
}

impl BoundedSemaphore {
    constructor! {
        /// A semaphore with `value` permits, and never more.
        ///
        /// # Panics
        /// If `value` exceeds [`SEM_VALUE_MAX`](crate::SEM_VALUE_MAX).
        #[must_use]
        pub fn new(value: u32) -> Self {
            Self::new_in(value)
        }
    }
}

impl<W: Wait> BoundedSemaphore<W> {
    constructor! {
        /// A semaphore with `value` permits, and never more, on the backend `W`.
        ///
        /// # Panics
        /// If `value` exceeds [`SEM_VALUE_MAX`](crate::SEM_VALUE_MAX).
        #[must_use]
        pub fn new_in(value: u32) -> Self {
            Self { semaphore: Semaphore::new_in(value), bound: AtomicU32::new(value) }
        }
    }

    acquiring_verbs!("one permit");

    #[inline]
    fn take_now(&self) -> bool {
        self.semaphore.take_now()
    }

    #[inline]
    fn acquire_with(&self, patience: Patience) -> Result<(), AcquireError> {
        self.semaphore.acquire_with(patience)
    }

    #[inline]
    fn try_once(&self) -> Result<(), AcquireError> {
        self.semaphore.try_once()
    }

    /// Gives one permit back, and wakes one waiter.
    ///
    /// Async-signal-safe, as [`Semaphore::release`] is.
    ///
    /// # Errors
    /// `Overflow` if no permit is out; nothing is changed then.
    #[inline]
    pub fn release(&self) -> Result<(), ReleaseError> {
        self.release_many(1)
    }

    /// Gives `n` permits back at once, and wakes as many waiters.
    ///
    /// Async-signal-safe, as [`Semaphore::release`] is.
    ///
    /// # Errors
    /// `Overflow` if fewer are out; nothing is changed then.
    #[inline]
    pub fn release_many(&self, n: u32) -> Result<(), ReleaseError> {
        self.semaphore.release_up_to(n, self.bound())
    }

    /// The number of permits at this moment. Out of date as soon as it is known.
    #[must_use]
    pub fn value(&self) -> u32 {
        self.semaphore.value()
    }

    /// The initial value, which the semaphore never exceeds.
    #[must_use]
    pub fn bound(&self) -> u32 {
        self.bound.load(Ordering::Relaxed).min(super::SEM_VALUE_MAX)
    }
}

impl<W: Wait> Default for BoundedSemaphore<W> {
    fn default() -> Self {
        Self::new_in(0)
    }
}

impl<W: Wait> fmt::Debug for BoundedSemaphore<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoundedSemaphore")
            .field("value", &self.value())
            .field("bound", &self.bound())
            .field("waited_for", &self.semaphore.has_waiters())
            .finish()
    }
}
