//! The verbs that `Lock`, `RLock`, `Semaphore` and `BoundedSemaphore` share, written once.

/// Gives a type the acquiring verbs, over its own `take_now(&self) -> bool`, `try_once(&self)` and
/// `acquire_with(&self, Patience)`. The timed ones do not read the clock unless they must: it costs ten times the rest.
macro_rules! acquiring_verbs {
    ($what:literal) => {
        #[doc = concat!("Acquires ", $what, ", waiting as long as it takes.")]
        ///
        /// Signals do not end the wait. What the last holder did before its `release` happens before this returns.
        ///
        /// # Errors
        /// As the type's introduction lists them; never `WouldBlock`, `TimedOut` or `Interrupted`.
        #[inline]
        pub fn acquire(&self) -> Result<(), crate::AcquireError> {
            self.acquire_with(crate::time::Patience::FOREVER)
        }

        #[doc = concat!("Acquires ", $what, " if that is possible without waiting.")]
        ///
        /// # Errors
        /// `WouldBlock` if not, and the type's own errors.
        #[inline]
        pub fn try_acquire(&self) -> Result<(), crate::AcquireError> {
            self.try_once()
        }

        #[doc = concat!("Acquires ", $what, ", waiting for at most `timeout` of monotonic time.")]
        ///
        /// A zero timeout tries once; one that overflows the clock waits for ever.
        ///
        /// # Errors
        /// `TimedOut`, and the type's own errors.
        pub fn acquire_for(&self, timeout: std::time::Duration) -> Result<(), crate::AcquireError> {
            if self.take_now() {
                return Ok(());
            }
            self.acquire_with(crate::time::Patience::until(crate::time::Deadline::after(timeout)))
        }

        #[doc = concat!("Acquires ", $what, ", waiting until `deadline` at most. A past deadline tries once.")]
        ///
        /// # Errors
        /// `TimedOut`, and the type's own errors.
        pub fn acquire_until(&self, deadline: std::time::Instant) -> Result<(), crate::AcquireError> {
            if self.take_now() {
                return Ok(());
            }
            self.acquire_with(crate::time::Patience::until(crate::time::Deadline::at(deadline)))
        }

        #[doc = concat!("Acquires ", $what, ", or returns when a signal handler has run during the sleep.")]
        ///
        /// For languages that must act on a Ctrl-C between two waits. A signal that comes just before the sleep does
        /// not end it, as with every system call; `None` sets no timeout.
        ///
        /// # Errors
        /// `Interrupted`, `TimedOut`, and the type's own errors.
        pub fn acquire_interruptible(&self, timeout: Option<std::time::Duration>) -> Result<(), crate::AcquireError> {
            if self.take_now() {
                return Ok(());
            }
            self.acquire_with(crate::time::Patience::interruptible(timeout))
        }
    };
}
pub(super) use acquiring_verbs;
