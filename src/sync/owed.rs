//! What a guard owes to sleepers: the wakes that wait until it has unlocked.
//!
//! The guard borrows the condition, and not an address of it: so it is there when the guard is dropped, mapped and of the
//! same type. Who forgets a guard never unlocks, and who is killed between the unlock and the wake leaves sleepers who look
//! at the end of their slice; so an owed wake may be lost, but nobody with it.

use std::panic::AssertUnwindSafe;
use std::ptr;

/// Those who sleep until something is notified: a condition, of which guards know no more than this.
pub trait Sleepers: Sync {
    /// Wakes `n` of those who slept when they were told.
    fn wake_told(&self, n: u32);
}

/// How many are to be woken, and where. A second place is not remembered: the first is woken then.
pub(super) struct Owed<'a>(Option<(AssertUnwindSafe<&'a dyn Sleepers>, u32)>);

impl<'a> Owed<'a> {
    #[inline]
    pub(super) const fn nothing() -> Self {
        Self(None)
    }

    pub(super) fn add(&mut self, sleepers: &'a dyn Sleepers, n: u32) {
        match &mut self.0 {
            Some((known, owed)) if ptr::addr_eq(known.0, sleepers) => *owed = owed.saturating_add(n),
            other => {
                let before = other.replace((AssertUnwindSafe(sleepers), n));
                Self(before).pay();
            }
        }
    }

    /// Wakes them. To be called whenever the lock has been let go of, or is to be waited for.
    #[inline]
    pub(super) fn pay(&mut self) {
        if let Some((sleepers, n)) = self.0.take() {
            sleepers.wake_told(n);
        }
    }
}
