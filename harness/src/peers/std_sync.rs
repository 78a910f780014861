//! std's Mutex, RwLock, Condvar and Barrier, between threads: what one gives up by going to other processes.

use super::{BarrierPeer, LockPeer, MonitorPeer, Notify, Peer, Place, RwPeer};
use std::sync::{Barrier, Condvar, Mutex, RwLock};

/// `std::sync::Mutex`.
#[derive(Debug)]
pub struct StdMutex(Mutex<()>);

impl Peer for StdMutex {
    const PLACE: Place = Place::Threads;

    fn name() -> String {
        String::from("std Mutex (threads)")
    }

    fn new(_size: u32) -> Self {
        Self(Mutex::new(()))
    }
}

impl LockPeer for StdMutex {
    #[inline]
    fn with<R>(&self, section: impl FnOnce() -> R) -> R {
        let _guard = self.0.lock().expect("not poisoned");
        section()
    }
}

/// `std::sync::RwLock`.
#[derive(Debug)]
pub struct StdRwLock(RwLock<()>);

impl Peer for StdRwLock {
    const PLACE: Place = Place::Threads;

    fn name() -> String {
        String::from("std RwLock (threads)")
    }

    fn new(_size: u32) -> Self {
        Self(RwLock::new(()))
    }
}

impl RwPeer for StdRwLock {
    #[inline]
    fn read<R>(&self, section: impl FnOnce() -> R) -> R {
        let _guard = self.0.read().expect("not poisoned");
        section()
    }

    #[inline]
    fn write<R>(&self, section: impl FnOnce() -> R) -> R {
        let _guard = self.0.write().expect("not poisoned");
        section()
    }
}

/// `std::sync::Condvar` with its mutex.
#[derive(Debug)]
pub struct StdMonitor {
    lock: Mutex<()>,
    changed: Condvar,
}

impl Peer for StdMonitor {
    const PLACE: Place = Place::Threads;

    fn name() -> String {
        String::from("std Condvar (threads)")
    }

    fn new(_size: u32) -> Self {
        Self { lock: Mutex::new(()), changed: Condvar::new() }
    }
}

impl MonitorPeer for StdMonitor {
    #[inline]
    fn wait_until(&self, arrive: impl FnOnce(), mut ready: impl FnMut() -> bool, leave: impl FnOnce()) {
        let guard = self.lock.lock().expect("not poisoned");
        arrive();
        let _guard = self.changed.wait_while(guard, |()| !ready()).expect("not poisoned");
        leave();
    }

    #[inline]
    fn broadcast(&self, change: impl FnOnce(), when: Notify) {
        let guard = self.lock.lock().expect("not poisoned");
        change();
        if when == Notify::AfterUnlock {
            drop(guard);
            return self.changed.notify_all();
        }
        self.changed.notify_all();
    }

    #[inline]
    fn exchange(&self, mut ready: impl FnMut() -> bool, change: impl FnOnce()) {
        let guard = self.lock.lock().expect("not poisoned");
        let _guard = self.changed.wait_while(guard, |()| !ready()).expect("not poisoned");
        change();
        self.changed.notify_one();
    }
}

/// `std::sync::Barrier`.
#[derive(Debug)]
pub struct StdBarrier(Barrier);

impl Peer for StdBarrier {
    const PLACE: Place = Place::Threads;

    fn name() -> String {
        String::from("std Barrier (threads)")
    }

    fn new(size: u32) -> Self {
        Self(Barrier::new(size as usize))
    }
}

impl BarrierPeer for StdBarrier {
    #[inline]
    fn wait(&self) -> bool {
        self.0.wait().is_leader()
    }
}
