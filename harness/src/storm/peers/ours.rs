//! The same rigs on shmsync.

use super::{Rig, section};
use shmsync::{AcquireError, BarrierError, Condition, PermitPool};
use std::time::Duration;

pub(super) struct Lock(shmsync::Lock);

impl Lock {
    /// Acquires, from the dead if need be.
    fn enter(&self) {
        loop {
            match self.0.acquire() {
                Ok(()) => return,
                Err(AcquireError::OwnerDied(_)) if self.0.recover().is_ok() => return,
                Err(AcquireError::OwnerDied(_)) => {}
                Err(other) => panic!("acquire: {other:?}"),
            }
        }
    }
}

impl Rig for Lock {
    const NAME: &'static str = "shmsync Lock";

    fn new() -> Self {
        Self(shmsync::Lock::new())
    }

    fn visit(&self, dice: &mut fastrand::Rng) {
        self.enter();
        section(dice);
        self.0.release().expect("release");
        section(dice);
    }
}

pub(super) struct Pool(PermitPool<4>);

impl Rig for Pool {
    const NAME: &'static str = "shmsync PermitPool of 4";

    fn new() -> Self {
        Self(PermitPool::new())
    }

    fn visit(&self, dice: &mut fastrand::Rng) {
        let permit = self.0.acquire().expect("acquire");
        section(dice);
        drop(permit);
        section(dice);
    }
}

pub(super) struct Mutex(shmsync::Mutex<u64>);

impl Rig for Mutex {
    const NAME: &'static str = "shmsync Mutex";

    fn new() -> Self {
        Self(shmsync::Mutex::new(0))
    }

    fn visit(&self, dice: &mut fastrand::Rng) {
        let mut guard = self.0.lock().unwrap_or_else(|poison| {
            self.0.clear_poison();
            poison.into_inner()
        });
        *guard += 1;
        section(dice);
        drop(guard);
        section(dice);
    }
}

pub(super) struct Monitor {
    mutex: shmsync::Mutex<u64>,
    changed: Condition,
}

impl Rig for Monitor {
    const NAME: &'static str = "shmsync Mutex and Condition";

    fn new() -> Self {
        Self { mutex: shmsync::Mutex::new(0), changed: Condition::new() }
    }

    fn visit(&self, dice: &mut fastrand::Rng) {
        let mut guard = self.mutex.lock().unwrap_or_else(|poison| {
            self.mutex.clear_poison();
            poison.into_inner()
        });
        section(dice);
        if dice.bool() {
            if self.changed.wait_timeout(&mut guard, Duration::from_millis(5)).is_err() {
                self.mutex.clear_poison();
            }
        } else if dice.bool() {
            self.changed.notify_one();
        } else {
            self.changed.notify_all_on_unlock(&mut guard);
        }
        drop(guard);
        section(dice);
    }
}

pub(super) struct Barrier(shmsync::Barrier);

impl Rig for Barrier {
    const NAME: &'static str = "shmsync Barrier of 2, with timeout";

    fn new() -> Self {
        Self(shmsync::Barrier::new(2))
    }

    fn visit(&self, dice: &mut fastrand::Rng) {
        if let Err(BarrierError::Broken | BarrierError::TimedOut) = self.0.wait_timeout(Duration::from_millis(10)) {
            self.0.reset();
        }
        section(dice);
    }
}
