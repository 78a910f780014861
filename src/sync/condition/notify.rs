//! The notifier's side of a [`Condition`]: tells waiters in the word to go on, and wakes those of them who sleep, at once or
//! when a guard unlocks.

use super::Condition;
use super::state::State;
use crate::atomic::Ordering;
use crate::sync::guard::GuardFor;
use crate::sync::owed::Sleepers;
use crate::wait::{Wait, Word};

impl<W: Wait> Condition<W> {
    /// Wakes one waiter, if there is one.
    ///
    /// Async-signal-safe: a handler may call it in the middle of any verb of the same condition, and finds `errno`
    /// unchanged. But a handler may not acquire the lock. So it can come when a waiter has looked at what it waits for, and
    /// does not wait yet; that waiter misses both the change and this. An [`Event`](crate::Event) or a
    /// [`Semaphore`](crate::Semaphore) remembers.
    #[inline]
    pub fn notify_one(&self) {
        self.notify(1);
    }

    /// Wakes `n` waiters, or all if there are fewer. Async-signal-safe, as [`notify_one`](Self::notify_one) is.
    #[inline]
    pub fn notify(&self, n: u32) {
        self.wake(self.tell(n));
    }

    /// Wakes everybody who waits. Async-signal-safe, as [`notify_one`](Self::notify_one) is.
    #[inline]
    pub fn notify_all(&self) {
        self.notify(u32::MAX);
    }

    /// Notifies one waiter, as [`notify_all_on_unlock`](Self::notify_all_on_unlock) does all.
    #[inline]
    pub fn notify_one_on_unlock<'a, G: GuardFor<'a>>(&'a self, guard: &mut G) {
        self.notify_on_unlock(guard, 1);
    }

    /// Notifies `n` waiters, or all if there are fewer, as [`notify_all_on_unlock`](Self::notify_all_on_unlock) does all.
    #[inline]
    pub fn notify_on_unlock<'a, G: GuardFor<'a>>(&'a self, guard: &mut G, n: u32) {
        let sleepers = self.tell(n);
        if sleepers > 0 {
            guard.wake_on_unlock(self, sleepers);
        }
    }

    /// Notifies everybody who waits, and wakes those of them who sleep when `guard` has released the lock: at its drop, or
    /// when it waits. Woken before, they would only come to wait for the lock.
    ///
    /// Who is notified is decided at the call, as by [`notify_all`](Self::notify_all); only the wake comes later. It comes
    /// at once if `guard` does not hold its lock. And as a guard remembers the sleepers of one condition, they are woken at
    /// the call for another.
    ///
    /// If the lock is released by other means than `guard`, the sleepers notice at the end of their slice, after a tenth of a
    /// second at most, as they do when the notifier is killed: by a verb of the lock when the guard was forgotten, or by the
    /// wait of another guard of the same [`RLock`](crate::RLock).
    ///
    /// Not for signal handlers.
    ///
    /// # Example
    /// ```
    /// use shmsync::{Condition, Mutex};
    ///
    /// let (open, changed) = (Mutex::new(false), Condition::new());
    /// std::thread::scope(|scope| {
    ///     for _ in 0..4 {
    ///         scope.spawn(|| changed.wait_while(&mut open.lock().unwrap(), |open| !*open).unwrap());
    ///     }
    ///     let mut guard = open.lock().unwrap();
    ///     *guard = true;
    ///     changed.notify_all_on_unlock(&mut guard);
    ///     // Here they are woken, when the mutex is free.
    /// });
    /// ```
    ///
    /// The guard borrows the condition, which must outlive it:
    ///
    /// ```compile_fail,E0597
    /// let lock = shmsync::Lock::new();
    /// let mut guard = lock.lock().unwrap();
    /// let condition = shmsync::Condition::new();
    /// condition.notify_all_on_unlock(&mut guard);
    /// ```
    #[inline]
    pub fn notify_all_on_unlock<'a, G: GuardFor<'a>>(&'a self, guard: &mut G) {
        self.notify_on_unlock(guard, u32::MAX);
    }

    /// Tells `n` waiters in the word to go on; how many sleepers are to be woken for that.
    #[inline]
    fn tell(&self, n: u32) -> u32 {
        // Relaxed: a waiter that must be seen registered under a lock which this notifier has held since, or it has
        // not looked at the condition yet.
        let seen = State(self.word.load(Ordering::Relaxed));
        if seen.waiters() > 0 && n > 0 { self.tell_waiting(seen, n) } else { 0 }
    }

    fn tell_waiting(&self, mut seen: State, n: u32) -> u32 {
        loop {
            let untold = seen.waiters().saturating_sub(seen.signals());
            if untold == 0 {
                return 0;
            }
            let all = u64::from(n) >= untold;
            let told = if all { seen.released(0) } else { seen.signalled(u64::from(n)) };
            // edge: notify -> wait (Release end)
            match self.word.compare_exchange_weak(seen.0, told.0, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return seen.sleepers(if all { u32::MAX } else { n }),
                Err(now) => seen = State(now),
            }
        }
    }

    /// Wakes `n` of those who slept before the word was changed.
    pub(super) fn wake(&self, n: u32) {
        if n > 0 {
            self.wait.wake(Word::low_half(&self.word), n);
        }
    }
}

impl<W: Wait> Sleepers for Condition<W> {
    /// The notification changed the word, so nobody has gone to sleep on what it was since. Who has slept on what it is
    /// may be woken instead of others only where the kernel does not wake in the order of coming; that costs a slice.
    fn wake_told(&self, n: u32) {
        self.wait.wake(Word::low_half(&self.word), n);
    }
}
