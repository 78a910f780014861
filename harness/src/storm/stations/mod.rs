//! The stations, a file for each kind.

mod barrier;
mod condition;
mod event;
mod locks;
mod mutex;
mod once;
mod pool;
mod rwlock;
mod semaphore;

pub(super) use self::barrier::BarrierStation;
pub(super) use self::condition::ConditionStation;
pub(super) use self::event::EventStation;
pub(super) use self::locks::{LockStation, RLockStation};
pub(super) use self::mutex::MutexStation;
pub(super) use self::once::OnceStation;
pub(super) use self::pool::PoolStation;
pub(super) use self::rwlock::RwLockStation;
pub(super) use self::semaphore::{BoundedStation, SemaphoreStation};

use shmsync::wait::{Futex, KernelRobust, PosixSem, Wait};

/// A backend with a name.
pub(super) trait Named: Wait + std::fmt::Debug {
    /// For people.
    const NAME: &'static str;
}

impl Named for Futex {
    const NAME: &'static str = "Futex";
}

impl Named for PosixSem {
    const NAME: &'static str = "PosixSem";
}

impl Named for KernelRobust {
    const NAME: &'static str = "KernelRobust";
}
