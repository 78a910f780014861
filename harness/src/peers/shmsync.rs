//! shmsync itself, on every backend, called as a user calls it.

mod pool;
mod rwlock;

pub use pool::ShmPermitPool;
pub use rwlock::ShmRwLock;

use super::{BarrierPeer, GatePeer, HeirPeer, LockPeer, MonitorPeer, Notify, Peer, PoolPeer, Signal};
use crate::clock::Clock;
use ::shmsync::wait::{Futex, KernelRobust, PosixSem, Wait};
use ::shmsync::{AcquireError, Barrier, Condition, Event, Lock, Mutex, PoisonCause, RLock, Semaphore};

/// A wait backend with a name for tables.
pub trait Backend: Wait {
    /// The name.
    const NAME: &'static str;
}

impl Backend for Futex {
    const NAME: &'static str = "Futex";
}

impl Backend for KernelRobust {
    const NAME: &'static str = "KernelRobust";
}

impl Backend for PosixSem {
    const NAME: &'static str = "PosixSem";
}

macro_rules! peer {
    ($type:ident, $what:literal, |$size:pat_param| $make:expr) => {
        impl<W: Backend> Peer for $type<W> {
            fn name() -> String {
                format!(concat!("shmsync ", $what, " ({})"), W::NAME)
            }

            fn new($size: u32) -> Self {
                $make
            }
        }
    };
}

/// `Lock`, with its verbs.
#[derive(Debug)]
pub struct ShmLock<W: Backend>(Lock<W>);
peer!(ShmLock, "Lock", |_| Self(Lock::new_in()));

impl<W: Backend> LockPeer for ShmLock<W> {
    #[inline]
    fn with<R>(&self, section: impl FnOnce() -> R) -> R {
        self.0.acquire().expect("acquire");
        let result = section();
        self.0.release().expect("release");
        result
    }
}

impl<W: Backend> HeirPeer for ShmLock<W> {
    fn hold(&self) {
        self.0.acquire().expect("acquire");
    }

    fn inherit(&self, dead: u32) -> u64 {
        match self.0.acquire() {
            Err(AcquireError::OwnerDied(owner)) if owner.tid() == dead => self.0.recover().expect("recover"),
            other => panic!("acquire: {other:?}, and not the death of {dead}"),
        }
        let owned = Clock::monotonic_ns();
        self.0.release().expect("release");
        owned
    }
}

/// `RLock`, with its verbs.
#[derive(Debug)]
pub struct ShmRLock<W: Backend>(RLock<W>);
peer!(ShmRLock, "RLock", |_| Self(RLock::new_in()));

impl<W: Backend> LockPeer for ShmRLock<W> {
    #[inline]
    fn with<R>(&self, section: impl FnOnce() -> R) -> R {
        self.0.acquire().expect("acquire");
        let result = section();
        self.0.release().expect("release");
        result
    }
}

/// `Mutex<()>`, with its guard.
#[derive(Debug)]
pub struct ShmMutex<W: Backend>(Mutex<(), W>);
peer!(ShmMutex, "Mutex", |_| Self(Mutex::new_in(())));

impl<W: Backend> LockPeer for ShmMutex<W> {
    #[inline]
    fn with<R>(&self, section: impl FnOnce() -> R) -> R {
        let _guard = self.0.lock().expect("not poisoned");
        section()
    }
}

impl<W: Backend> HeirPeer for ShmMutex<W> {
    fn hold(&self) {
        std::mem::forget(self.0.lock().expect("not poisoned"));
    }

    fn inherit(&self, dead: u32) -> u64 {
        let poison = self.0.lock().expect_err("a death");
        let owned = Clock::monotonic_ns();
        let cause = poison.cause();
        assert!(matches!(cause, PoisonCause::Died(owner) if owner.tid() == dead), "{cause}, and not {dead}");
        self.0.clear_poison();
        owned
    }
}

/// `Semaphore`: as a lock of one permit, a pool of many, a signal that starts at none.
#[derive(Debug)]
pub struct ShmSemaphore<W: Backend>(Semaphore<W>);
peer!(ShmSemaphore, "Semaphore", |size| Self(Semaphore::new_in(size)));

impl<W: Backend> LockPeer for ShmSemaphore<W> {
    #[inline]
    fn with<R>(&self, section: impl FnOnce() -> R) -> R {
        self.0.acquire().expect("acquire");
        let result = section();
        self.0.release().expect("release");
        result
    }
}

impl<W: Backend> PoolPeer for ShmSemaphore<W> {
    #[inline]
    fn with<R>(&self, section: impl FnOnce() -> R) -> R {
        LockPeer::with(self, section)
    }

    fn try_take(&self) -> bool {
        self.0.try_acquire().is_ok()
    }
}

impl<W: Backend> Signal for ShmSemaphore<W> {
    #[inline]
    fn raise(&self) {
        self.0.release().expect("release");
    }

    #[inline]
    fn await_and_lower(&self) {
        self.0.acquire().expect("acquire");
    }
}

/// `Event`.
#[derive(Debug)]
pub struct ShmEvent<W: Backend>(Event<W>);
peer!(ShmEvent, "Event", |_| Self(Event::new_in()));

impl<W: Backend> Signal for ShmEvent<W> {
    #[inline]
    fn raise(&self) {
        self.0.set();
    }

    #[inline]
    fn await_and_lower(&self) {
        self.0.wait();
        self.0.clear();
    }
}

impl<W: Backend> GatePeer for ShmEvent<W> {
    fn shut_while(&self, body: impl FnOnce()) {
        body();
        self.0.set();
    }

    fn pass(&self) {
        self.0.wait();
    }
}

/// `Condition` with a `Lock`. What is notified with the lock held is woken at the unlock, or, if `PLAIN`, at once.
#[derive(Debug)]
pub struct ShmMonitor<W: Backend, const PLAIN: bool = false> {
    lock: Lock<W>,
    changed: Condition<W>,
}

impl<W: Backend, const PLAIN: bool> Peer for ShmMonitor<W, PLAIN> {
    fn name() -> String {
        format!("shmsync Condition{} ({})", if PLAIN { ", plain notify" } else { "" }, W::NAME)
    }

    fn new(_size: u32) -> Self {
        Self { lock: Lock::new_in(), changed: Condition::new_in() }
    }
}

impl<W: Backend, const PLAIN: bool> MonitorPeer for ShmMonitor<W, PLAIN> {
    #[inline]
    fn wait_until(&self, arrive: impl FnOnce(), mut ready: impl FnMut() -> bool, leave: impl FnOnce()) {
        let mut guard = self.lock.lock().expect("lock");
        arrive();
        self.changed.wait_while(&mut guard, |_| !ready()).expect("wait");
        leave();
    }

    #[inline]
    fn broadcast(&self, change: impl FnOnce(), when: Notify) {
        let mut guard = self.lock.lock().expect("lock");
        change();
        match when {
            Notify::AfterUnlock => {
                drop(guard);
                self.changed.notify_all();
            }
            Notify::Held if PLAIN => self.changed.notify_all(),
            Notify::Held => self.changed.notify_all_on_unlock(&mut guard),
        }
    }

    #[inline]
    fn exchange(&self, mut ready: impl FnMut() -> bool, change: impl FnOnce()) {
        let mut guard = self.lock.lock().expect("lock");
        self.changed.wait_while(&mut guard, |_| !ready()).expect("wait");
        change();
        if PLAIN {
            self.changed.notify_one();
        } else {
            self.changed.notify_one_on_unlock(&mut guard);
        }
    }
}

/// `Barrier`.
#[derive(Debug)]
pub struct ShmBarrier<W: Backend>(Barrier<W>);
peer!(ShmBarrier, "Barrier", |size| Self(Barrier::new_in(size)));

impl<W: Backend> BarrierPeer for ShmBarrier<W> {
    #[inline]
    fn wait(&self) -> bool {
        self.0.wait().expect("wait").is_leader()
    }
}
