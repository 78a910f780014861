//! The region: every primitive on every backend that is for it, and the books.

use super::desk::Books;
use super::station::Station;
use super::stations::{
    BarrierStation, BoundedStation, ConditionStation, EventStation, LockStation, MutexStation, OnceStation,
    PoolStation, RLockStation, RwLockStation, SemaphoreStation,
};
use crate::crew::Padded;
use shmsync::wait::{Futex, KernelRobust, PosixSem};
use std::sync::atomic::AtomicU64;

macro_rules! site {
    ($($name:ident: $station:ty),+ $(,)?) => {
        /// Everything that the workers share.
        #[repr(C)]
        pub(super) struct Site {
            pub(super) books: Books,
            /// How many verbs came to an end at each station.
            pub(super) ops: [Padded<AtomicU64>; STATIONS],
            $($name: Padded<$station>,)+
        }

        /// How many stations there are.
        pub(super) const STATIONS: usize = [$(stringify!($name)),+].len();

        impl Site {
            pub(super) fn new() -> Self {
                Self {
                    books: Books::new(),
                    ops: std::array::from_fn(|_| Padded(AtomicU64::new(0))),
                    $($name: Padded(<$station>::new()),)+
                }
            }

            /// All stations, always in the same order.
            pub(super) fn stations(&self) -> [&dyn Station; STATIONS] {
                [$(&self.$name.0),+]
            }
        }
    };
}

site! {
    lock_futex: LockStation<Futex>,
    lock_posix: LockStation<PosixSem>,
    lock_robust: LockStation<KernelRobust>,
    rlock_futex: RLockStation<Futex>,
    rlock_posix: RLockStation<PosixSem>,
    rlock_robust: RLockStation<KernelRobust>,
    mutex_futex: MutexStation<Futex>,
    mutex_posix: MutexStation<PosixSem>,
    mutex_robust: MutexStation<KernelRobust>,
    rwlock_futex: RwLockStation<Futex>,
    rwlock_posix: RwLockStation<PosixSem>,
    condition_futex: ConditionStation<Futex>,
    condition_posix: ConditionStation<PosixSem>,
    condition_robust: ConditionStation<KernelRobust>,
    semaphore_futex: SemaphoreStation<Futex>,
    semaphore_posix: SemaphoreStation<PosixSem>,
    bounded_futex: BoundedStation<Futex>,
    bounded_posix: BoundedStation<PosixSem>,
    pool_futex: PoolStation<Futex>,
    pool_posix: PoolStation<PosixSem>,
    event_futex: EventStation<Futex>,
    event_posix: EventStation<PosixSem>,
    barrier_futex: BarrierStation<Futex>,
    barrier_posix: BarrierStation<PosixSem>,
    members_futex: BarrierStation<Futex, 8>,
    members_posix: BarrierStation<PosixSem, 8>,
    once_futex: OnceStation<Futex>,
    once_posix: OnceStation<PosixSem>,
}
