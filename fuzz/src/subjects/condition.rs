//! A condition, with locks of the waiter's own, so that to take them back does not depend on anybody; and with guards that owe
//! its sleepers a wake, of whatever lock.

use std::mem::forget;
use std::time::Duration;

use shmsync::wait::Wait;
use shmsync::{Condition, GuardFor, Lock, Mutex, RLock};
use zerocopy::FromBytes;

use super::{Step, Subject};

/// A condition for which three wait, as its word says, and sleep. Nobody does.
pub(super) fn crowd<W: Wait>() -> Condition<W> {
    const WAITERS: u64 = 3 << 44;
    const SLEEPERS: u64 = 1 << 8;
    let mut bytes = [0; 64];
    bytes[..8].copy_from_slice(&(WAITERS | SLEEPERS).to_ne_bytes());
    Condition::read_from_prefix(&bytes).expect("enough bytes").0
}

/// Has the guard owe wakes to one, then to the other, and then to the one again.
pub(super) fn owe<'a, W: Wait>(crowds: &'a [Condition<W>; 2], guard: &mut impl GuardFor<'a>, n: u32) {
    crowds[0].notify_one_on_unlock(guard);
    crowds[0].notify_on_unlock(guard, n);
    crowds[1].notify_on_unlock(guard, n);
    crowds[0].notify_all_on_unlock(guard);
}

/// Notifies, waits with the guard that owes, and notifies again.
fn around_a_wait<'a, W: Wait>(condition: &'a Condition<W>, guard: &mut impl GuardFor<'a>, n: u32, timeout: Duration) {
    condition.notify_on_unlock(guard, n);
    condition.notify_one();
    condition.notify_one_on_unlock(guard);
    _ = condition.wait_timeout(guard, timeout);
    condition.notify_all_on_unlock(guard);
}

impl<W: Wait + 'static> Subject for Condition<W> {
    fn step(&self, step: Step, _alone: bool) {
        let (other, lock, rlock) = (crowd::<W>(), Lock::<W>::new_in(), RLock::<W>::new_in());
        let mutex = Mutex::<u64, W>::new_in(0);
        let (n, timeout) = (step.n, step.timeout());
        let held = || lock.lock().expect("it is free");
        match step.verb % 13 {
            0 => self.notify_one(),
            1 => self.notify(n),
            2 => self.notify_all(),
            3 => _ = self.wait_timeout(&mut held(), timeout),
            4 => _ = self.wait_interruptible(&mut held(), Some(timeout)),
            5 => {
                let mut looks = n % 4;
                let more = |_: &mut ()| {
                    looks = looks.saturating_sub(1);
                    looks > 0
                };
                _ = self.wait_timeout_while(&mut held(), timeout, more);
            }
            6 => self.notify_on_unlock(&mut held(), n),
            7 => around_a_wait(self, &mut held(), n, timeout),
            8 => {
                let (mut outer, mut inner) = (rlock.lock().expect("it is free"), rlock.lock().expect("it is mine"));
                self.notify_all_on_unlock(&mut outer);
                around_a_wait(self, &mut inner, n, timeout);
            }
            9 => {
                let mut data = mutex.lock().expect("it is free");
                around_a_wait(self, &mut data, n, timeout);
                *data += 1;
            }
            10 => {
                let mut guard = held();
                self.notify_on_unlock(&mut guard, n);
                other.notify_on_unlock(&mut guard, n);
                self.notify_one_on_unlock(&mut guard);
            }
            11 => {
                // It loses its lock before, and again with what it owes, and takes it back to wait.
                let mut guard = held();
                lock.release().expect("it is mine");
                self.notify_on_unlock(&mut guard, n);
                _ = self.wait_timeout(&mut guard, timeout);
                self.notify_on_unlock(&mut guard, n);
                lock.release().expect("it is mine");
                _ = self.wait_timeout(&mut guard, timeout);
            }
            _ => {
                let mut guard = held();
                self.notify_on_unlock(&mut guard, n);
                forget(guard);
                lock.release().expect("it is mine");
            }
        }
        assert!(!lock.is_locked() && rlock.depth() == 0 && mutex.holder().is_none());
    }
}
