//! What gives access to the data, and ends it.

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

use super::RwLock;
use super::slots::Place;
use crate::owner::Token;
use crate::sync::poison::PoisonCause;
use crate::wait::{Platform, Wait};

/// Reads what a [`RwLock`] guards, until it is dropped.
#[must_use = "dropping the guard unlocks at once"]
pub struct RwLockReadGuard<'a, T, const READERS: usize = 16, W: Wait = Platform> {
    lock: &'a RwLock<T, READERS, W>,
    place: Place,
    /// As std's: to be dropped by the thread that entered, which the slot names, but shared freely.
    stays: PhantomData<std::sync::MutexGuard<'a, ()>>,
}

impl<'a, T, const READERS: usize, W: Wait> RwLockReadGuard<'a, T, READERS, W> {
    /// # Safety
    /// The thread has entered for reading, with this slot, and no other guard has come of it.
    #[inline]
    pub(super) unsafe fn new(lock: &'a RwLock<T, READERS, W>, place: Place) -> Self {
        Self { lock, place, stays: PhantomData }
    }
}

impl<T, const READERS: usize, W: Wait> Deref for RwLockReadGuard<'_, T, READERS, W> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: this guard keeps its slot, so there is no writer's guard (invariant 3).
        unsafe { &*self.lock.data.get() }
    }
}

impl<T, const READERS: usize, W: Wait> Drop for RwLockReadGuard<'_, T, READERS, W> {
    #[inline]
    fn drop(&mut self) {
        self.lock.gate.leave(self.place);
    }
}

/// Reads and writes what a [`RwLock`] guards, alone, until it is dropped.
#[must_use = "dropping the guard unlocks at once"]
pub struct RwLockWriteGuard<'a, T, const READERS: usize = 16, W: Wait = Platform> {
    lock: &'a RwLock<T, READERS, W>,
    /// Whether the thread was panicking when it entered: then a panic at the end is not this guard's.
    panicking: bool,
    stays: PhantomData<std::sync::MutexGuard<'a, ()>>,
}

impl<'a, T, const READERS: usize, W: Wait> RwLockWriteGuard<'a, T, READERS, W> {
    /// # Safety
    /// The thread has entered for writing, and no other guard has come of it.
    #[inline]
    pub(super) unsafe fn new(lock: &'a RwLock<T, READERS, W>) -> Self {
        Self { lock, panicking: std::thread::panicking(), stays: PhantomData }
    }
}

impl<T, const READERS: usize, W: Wait> Deref for RwLockWriteGuard<'_, T, READERS, W> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: this guard holds the writers' word, and no slot is a reader's: there is no other guard (invariant 3).
        unsafe { &*self.lock.data.get() }
    }
}

impl<T, const READERS: usize, W: Wait> DerefMut for RwLockWriteGuard<'_, T, READERS, W> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as in `deref`, and this guard is borrowed exclusively.
        unsafe { &mut *self.lock.data.get() }
    }
}

impl<T, const READERS: usize, W: Wait> Drop for RwLockWriteGuard<'_, T, READERS, W> {
    #[inline]
    fn drop(&mut self) {
        if !self.panicking && std::thread::panicking() {
            if let Some(me) = Token::mine().owner() {
                self.lock.gate.set_poison(PoisonCause::Panicked(me));
            }
        }
        self.lock.gate.release();
    }
}

/// Lets a guard be shown as the data that it gives access to.
macro_rules! shown_as_data {
    ($($guard:ident),+) => {$(
        impl<T: fmt::Debug, const READERS: usize, W: Wait> fmt::Debug for $guard<'_, T, READERS, W> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                (**self).fmt(f)
            }
        }

        impl<T: fmt::Display, const READERS: usize, W: Wait> fmt::Display for $guard<'_, T, READERS, W> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                (**self).fmt(f)
            }
        }
    )+};
}

shown_as_data!(RwLockReadGuard, RwLockWriteGuard);
