//! What a [`Condition`](super::Condition) may wait with: the guards, seen as something to let go and to take back.

use super::owed::Sleepers;
use crate::error::AcquireError;

/// A guard that a [`Condition`](super::Condition) can wait with: [`LockGuard`](super::LockGuard),
/// [`RLockGuard`](super::RLockGuard) or [`MutexGuard`](super::MutexGuard).
pub trait Guard: Held {
    /// What the closures of `wait_while` see: a mutex's data, or nothing.
    type Data: ?Sized;

    /// The guarded data.
    fn data(&mut self) -> &mut Self::Data;
}

/// A [`Guard`] that has borrowed its lock for `'a`. A condition whose sleepers it is to wake when it unlocks must live as long
/// as that: see [`Condition::notify_all_on_unlock`](super::Condition::notify_all_on_unlock).
pub trait GuardFor<'a>: Guard + Owes<'a> {}

impl<'a, G: Guard + Owes<'a>> GuardFor<'a> for G {}

/// Not nameable outside, which seals [`GuardFor`].
pub trait Owes<'a> {
    /// Wakes `n` of the sleepers as soon as the lock is not held any more: at the next drop or wait.
    fn wake_on_unlock(&mut self, sleepers: &'a dyn Sleepers, n: u32);
}

/// The part of a guard that is the condition's business. Not nameable outside, which seals [`Guard`].
pub trait Held {
    /// Makes sure that the guard holds its lock, which it may have lost to an earlier error.
    fn hold(&mut self) -> Result<(), AcquireError>;

    /// Releases the lock whole, however deep it is nested.
    fn let_go(&mut self);

    /// Acquires the lock again, as deep as it was.
    fn take_back(&mut self) -> Result<(), AcquireError>;
}

/// Gives a lock without data its RAII forms, and defines their guard.
macro_rules! guarded {
    ($lock:ident, $guard:ident) => {
        impl<W: crate::wait::Wait> $lock<W> {
            /// [`acquire`](Self::acquire)s, and releases when the guard is dropped.
            ///
            /// # Errors
            /// As `acquire`.
            #[inline]
            pub fn lock(&self) -> Result<$guard<'_, W>, crate::AcquireError> {
                self.acquire().map(|()| $guard::new(self))
            }

            /// [`try_acquire`](Self::try_acquire)s, and releases when the guard is dropped.
            ///
            /// # Errors
            /// As `try_acquire`.
            #[inline]
            pub fn try_lock(&self) -> Result<$guard<'_, W>, crate::AcquireError> {
                self.try_acquire().map(|()| $guard::new(self))
            }

            /// [`acquire_for`](Self::acquire_for), and releases when the guard is dropped.
            ///
            /// # Errors
            /// As `acquire_for`.
            pub fn lock_for(&self, timeout: std::time::Duration) -> Result<$guard<'_, W>, crate::AcquireError> {
                self.acquire_for(timeout).map(|()| $guard::new(self))
            }
        }

        #[doc = concat!("Holds a [`", stringify!($lock), "`] until it is dropped. It releases only what its thread still holds.")]
        ///
        /// After an error of [`Condition::wait`](crate::Condition::wait) it holds nothing, and dropping it releases
        /// nothing; [`recover`](Self::recover) takes the lock over from a dead holder, and another `wait` acquires it
        /// first.
        #[must_use = "dropping the guard releases at once"]
        pub struct $guard<'a, W: crate::wait::Wait = crate::wait::Platform> {
            lock: &'a $lock<W>,
            /// Whether it acquired, and has not let go since.
            held: bool,
            /// How deep it was nested when it let go; zero when it has come back, for then somebody may release it by hand.
            depth: u32,
            /// Paid whenever it lets go.
            owed: super::owed::Owed<'a>,
            data: (),
            /// As std's: to be dropped by the thread that acquired, but shared freely.
            stays: std::marker::PhantomData<std::sync::MutexGuard<'static, ()>>,
        }

        impl<'a, W: crate::wait::Wait> $guard<'a, W> {
            fn new(lock: &'a $lock<W>) -> Self {
                let owed = super::owed::Owed::nothing();
                Self { lock, held: true, depth: 0, owed, data: (), stays: std::marker::PhantomData }
            }

            /// Takes the lock over from a dead holder, for a guard that lost it in a condition's wait; as deep as it was nested then. So
            /// a thread's outer guards are to outlive this one, as in reverse order they do.
            ///
            /// # Errors
            /// `WouldBlock` if there is no dead holder to take over from.
            pub fn recover(&mut self) -> Result<(), crate::AcquireError> {
                if !self.holds() {
                    self.lock.recover_whole(self.depth)?;
                    (self.held, self.depth) = (true, 0);
                }
                Ok(())
            }

            /// Whether the lock is this thread's still: somebody may have released it under the guard, and a forked
            /// child has a copy of the guard but not the lock.
            #[inline]
            fn holds(&self) -> bool {
                self.held && self.lock.is_held_here()
            }
        }

        impl<W: crate::wait::Wait> super::guard::Guard for $guard<'_, W> {
            type Data = ();

            fn data(&mut self) -> &mut () {
                &mut self.data
            }
        }

        impl<W: crate::wait::Wait> super::guard::Held for $guard<'_, W> {
            fn hold(&mut self) -> Result<(), crate::AcquireError> {
                if self.holds() {
                    return Ok(());
                }
                self.owed.pay();
                self.take_back()
            }

            fn let_go(&mut self) {
                self.held = false;
                self.depth = self.lock.release_whole();
                self.owed.pay();
            }

            fn take_back(&mut self) -> Result<(), crate::AcquireError> {
                self.lock.acquire_whole(self.depth)?;
                (self.held, self.depth) = (true, 0);
                Ok(())
            }
        }

        impl<'a, W: crate::wait::Wait> super::guard::Owes<'a> for $guard<'a, W> {
            fn wake_on_unlock(&mut self, sleepers: &'a dyn super::owed::Sleepers, n: u32) {
                self.owed.add(sleepers, n);
                if !self.holds() {
                    self.owed.pay();
                }
            }
        }

        impl<W: crate::wait::Wait> Drop for $guard<'_, W> {
            #[inline]
            fn drop(&mut self) {
                if self.held {
                    self.lock.release_guarded();
                }
                self.owed.pay();
            }
        }

        impl<W: crate::wait::Wait> std::fmt::Debug for $guard<'_, W> {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($guard)).field("lock", self.lock).field("held", &self.held).finish()
            }
        }
    };
}
pub(super) use guarded;
