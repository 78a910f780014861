//! The only arithmetic on time: a timeout becomes one absolute deadline on the monotonic clock, once, at the entry.
//!
//! Everything below counts nanoseconds of `CLOCK_MONOTONIC` in a `u64` (584 years), so that no step of the wall clock
//! can lengthen or shorten a wait (D7).

use std::time::{Duration, Instant};

use crate::sys;

/// A moment on the monotonic clock until which a wait may last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(u64);

impl Deadline {
    /// Never passes.
    pub const NEVER: Self = Self(u64::MAX);
    /// Has passed: a wait until then only looks.
    pub const PAST: Self = Self(0);

    /// The moment `timeout` from now; a zero timeout has passed, one that overflows the clock never will.
    #[must_use]
    pub fn after(timeout: Duration) -> Self {
        if timeout.is_zero() {
            return Self::PAST;
        }
        match u64::try_from(timeout.as_nanos()) {
            Ok(nanos) => Self::now().plus(nanos),
            Err(_) => Self::NEVER,
        }
    }

    /// The same moment as `instant`.
    #[must_use]
    pub fn at(instant: Instant) -> Self {
        Self::after(instant.saturating_duration_since(Instant::now()))
    }

    pub(crate) fn now() -> Self {
        Self(sys::monotonic_nanos())
    }

    pub(crate) fn plus(self, nanos: u64) -> Self {
        Self(self.0.saturating_add(nanos))
    }

    /// Nanoseconds from `earlier` to here; zero when it is not earlier.
    pub(crate) fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    pub(crate) fn nanos(self) -> u64 {
        self.0
    }
}

/// How long a caller is willing to wait, whether a signal ends it, and whether bad news can be told in an error.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    pub(crate) deadline: Deadline,
    pub(crate) interruptible: bool,
    /// Otherwise the only way to end the wait is to panic.
    pub(crate) can_fail: bool,
}

impl Patience {
    pub(crate) const FOREVER: Self = Self::until(Deadline::NEVER);
    /// As long as it takes, in a call that has no error to return.
    pub(crate) const UNFAILING: Self = Self { can_fail: false, ..Self::FOREVER };
    /// Does not wait at all.
    pub(crate) const NONE: Self = Self::until(Deadline::PAST);

    pub(crate) const fn until(deadline: Deadline) -> Self {
        Self { deadline, interruptible: false, can_fail: true }
    }

    pub(crate) fn interruptible(timeout: Option<Duration>) -> Self {
        Self { interruptible: true, ..Self::until(timeout.map_or(Deadline::NEVER, Deadline::after)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zero_timeout_has_passed_and_an_overflowing_one_never_does() {
        assert_eq!(Deadline::after(Duration::ZERO), Deadline::PAST);
        assert_eq!(Deadline::after(Duration::MAX), Deadline::NEVER);
        assert_eq!(Deadline::after(Duration::from_nanos(u64::MAX)), Deadline::NEVER);
    }

    #[test]
    fn an_instant_in_the_past_has_passed() {
        let past = Instant::now();
        std::thread::sleep(Duration::from_millis(1));
        assert_eq!(Deadline::at(past), Deadline::PAST);
        let soon = Deadline::at(Instant::now() + Duration::from_secs(1));
        assert!(soon > Deadline::now() && soon.since(Deadline::now()) <= 1_000_000_000);
    }
}
