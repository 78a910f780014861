//! The guard of a [`Mutex`]: the data while it is held, and the release.
#![allow(unsafe_code)]

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

use super::Mutex;
use crate::error::AcquireError;
use crate::sync::guard::{Guard, Held, Owes};
use crate::sync::owed::{Owed, Sleepers};
use crate::sync::poison::PoisonCause;
use crate::wait::{Platform, Wait};

/// Holds a [`Mutex`] and gives access to its data, until it is dropped. A forked child's copy releases nothing, and must
/// not be used: the data is the parent's.
///
/// It is shared between threads only if the data is:
///
/// ```compile_fail
/// fn shared<T: Sync>(_: T) {}
/// let mutex = shmsync::Mutex::new(std::cell::Cell::new(0));
/// shared(mutex.lock().unwrap());
/// ```
#[must_use = "dropping the guard unlocks at once"]
pub struct MutexGuard<'a, T, W: Wait = Platform> {
    mutex: &'a Mutex<T, W>,
    /// Whether the thread was panicking when it locked: then a panic at the end is not this guard's.
    panicking: bool,
    /// Whether it holds the mutex: not while it waits for a condition, nor if that ended with a panic.
    held: bool,
    owed: Owed<'a>,
    /// As std's: to be dropped by the thread that locked, but shared freely.
    stays: PhantomData<std::sync::MutexGuard<'a, T>>,
}

impl<T, W: Wait> Deref for MutexGuard<'_, T, W> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        self.assert_held();
        // SAFETY: this guard holds the word, so nobody else has a guard of this mutex that does.
        unsafe { &*self.mutex.data.get() }
    }
}

impl<T, W: Wait> DerefMut for MutexGuard<'_, T, W> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        self.assert_held();
        // SAFETY: as in `deref`, and this guard is borrowed exclusively.
        unsafe { &mut *self.mutex.data.get() }
    }
}

impl<'a, T, W: Wait> MutexGuard<'a, T, W> {
    /// Of a mutex that the calling thread has just locked.
    #[inline]
    pub(super) fn new(mutex: &'a Mutex<T, W>) -> Self {
        Self { mutex, panicking: std::thread::panicking(), held: true, owed: Owed::nothing(), stays: PhantomData }
    }

    /// A wait that panicked leaves its caller the guard, but not the mutex.
    #[inline]
    fn assert_held(&self) {
        assert!(self.held, "shmsync: this guard has lost its mutex: a condition's wait panicked");
    }

    #[inline]
    fn unlock(&mut self) {
        if !self.panicking && std::thread::panicking() {
            self.mutex.poison_if_mine();
        }
        self.held = false;
        self.mutex.word.release_guarded();
        self.owed.pay();
    }
}

impl<T, W: Wait> Drop for MutexGuard<'_, T, W> {
    #[inline]
    fn drop(&mut self) {
        if self.held {
            self.unlock();
        }
    }
}

impl<T, W: Wait> Guard for MutexGuard<'_, T, W> {
    type Data = T;

    fn data(&mut self) -> &mut T {
        self
    }
}

/// A mutex's guard holds it at the end of every wait that does not panic, since a dead holder is poison and not a reason
/// to go without.
impl<T, W: Wait> Held for MutexGuard<'_, T, W> {
    fn hold(&mut self) -> Result<(), AcquireError> {
        if self.held { Ok(()) } else { self.take_back() }
    }

    fn let_go(&mut self) {
        self.unlock();
    }

    fn take_back(&mut self) -> Result<(), AcquireError> {
        if self.mutex.word.take_free().is_err() {
            self.mutex.lock_contended();
        }
        self.held = true;
        match self.mutex.poison() {
            Some(PoisonCause::Died(owner)) => Err(AcquireError::OwnerDied(owner)),
            // There is no word for a panic among the errors of a wait; `is_poisoned` tells.
            Some(PoisonCause::Panicked(_)) | None => Ok(()),
        }
    }
}

impl<'a, T, W: Wait> Owes<'a> for MutexGuard<'a, T, W> {
    fn wake_on_unlock(&mut self, sleepers: &'a dyn Sleepers, n: u32) {
        self.owed.add(sleepers, n);
        if !self.held {
            self.owed.pay();
        }
    }
}

impl<T: fmt::Debug, W: Wait> fmt::Debug for MutexGuard<'_, T, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: fmt::Display, W: Wait> fmt::Display for MutexGuard<'_, T, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
