//! parking_lot's Mutex, RwLock and Condvar, between threads.

use super::{LockPeer, MonitorPeer, Notify, Peer, Place, RwPeer};
use ::parking_lot::{Condvar, Mutex, RwLock};
use std::fmt;

/// `parking_lot::Mutex`.
#[derive(Debug)]
pub struct PlMutex(Mutex<()>);

impl Peer for PlMutex {
    const PLACE: Place = Place::Threads;

    fn name() -> String {
        String::from("parking_lot Mutex (threads)")
    }

    fn new(_size: u32) -> Self {
        Self(Mutex::new(()))
    }
}

impl LockPeer for PlMutex {
    #[inline]
    fn with<R>(&self, section: impl FnOnce() -> R) -> R {
        let _guard = self.0.lock();
        section()
    }
}

/// `parking_lot::RwLock`.
#[derive(Debug)]
pub struct PlRwLock(RwLock<()>);

impl Peer for PlRwLock {
    const PLACE: Place = Place::Threads;

    fn name() -> String {
        String::from("parking_lot RwLock (threads)")
    }

    fn new(_size: u32) -> Self {
        Self(RwLock::new(()))
    }
}

impl RwPeer for PlRwLock {
    #[inline]
    fn read<R>(&self, section: impl FnOnce() -> R) -> R {
        let _guard = self.0.read();
        section()
    }

    #[inline]
    fn write<R>(&self, section: impl FnOnce() -> R) -> R {
        let _guard = self.0.write();
        section()
    }
}

/// `parking_lot::Condvar` with its mutex.
pub struct PlMonitor {
    lock: Mutex<()>,
    changed: Condvar,
}

impl fmt::Debug for PlMonitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PlMonitor").field(&self.lock).finish()
    }
}

impl Peer for PlMonitor {
    const PLACE: Place = Place::Threads;

    fn name() -> String {
        String::from("parking_lot Condvar (threads)")
    }

    fn new(_size: u32) -> Self {
        Self { lock: Mutex::new(()), changed: Condvar::new() }
    }
}

impl MonitorPeer for PlMonitor {
    #[inline]
    fn wait_until(&self, arrive: impl FnOnce(), mut ready: impl FnMut() -> bool, leave: impl FnOnce()) {
        let mut guard = self.lock.lock();
        arrive();
        self.changed.wait_while(&mut guard, |()| !ready());
        leave();
    }

    #[inline]
    fn broadcast(&self, change: impl FnOnce(), when: Notify) {
        let guard = self.lock.lock();
        change();
        if when == Notify::AfterUnlock {
            drop(guard);
        }
        self.changed.notify_all();
    }

    #[inline]
    fn exchange(&self, mut ready: impl FnMut() -> bool, change: impl FnOnce()) {
        let mut guard = self.lock.lock();
        self.changed.wait_while(&mut guard, |()| !ready());
        change();
        self.changed.notify_one();
    }
}
