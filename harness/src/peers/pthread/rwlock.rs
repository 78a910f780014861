//! `pthread_rwlock_t`, process-shared. As glibc makes it: readers go first.

use super::{Object, done};
use crate::peers::{GatePeer, Peer, RwPeer};
use std::fmt;
use std::mem::MaybeUninit;

/// `pthread_rwlock_t`.
pub struct PthreadRwLock(Object<libc::pthread_rwlock_t>);

impl fmt::Debug for PthreadRwLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PthreadRwLock")
    }
}

impl Peer for PthreadRwLock {
    fn name() -> String {
        String::from("pthread rwlock")
    }

    fn new(_size: u32) -> Self {
        Self(Object::new())
    }

    unsafe fn init(&self, _size: u32) {
        let mut attr = MaybeUninit::uninit();
        let attr = attr.as_mut_ptr();
        // SAFETY: the attributes are a local that the first call initialises; the caller vouches for the lock.
        unsafe {
            done(libc::pthread_rwlockattr_init(attr), "pthread_rwlockattr_init");
            done(libc::pthread_rwlockattr_setpshared(attr, libc::PTHREAD_PROCESS_SHARED), "setpshared");
            done(libc::pthread_rwlock_init(self.0.at(), attr), "pthread_rwlock_init");
        }
    }
}

impl PthreadRwLock {
    #[inline]
    fn unlock(&self) {
        // SAFETY: initialised when it was placed, and held by this thread.
        done(unsafe { libc::pthread_rwlock_unlock(self.0.at()) }, "pthread_rwlock_unlock");
    }
}

impl RwPeer for PthreadRwLock {
    #[inline]
    fn read<R>(&self, section: impl FnOnce() -> R) -> R {
        // SAFETY: initialised when it was placed.
        done(unsafe { libc::pthread_rwlock_rdlock(self.0.at()) }, "pthread_rwlock_rdlock");
        let result = section();
        self.unlock();
        result
    }

    #[inline]
    fn write<R>(&self, section: impl FnOnce() -> R) -> R {
        // SAFETY: initialised when it was placed.
        done(unsafe { libc::pthread_rwlock_wrlock(self.0.at()) }, "pthread_rwlock_wrlock");
        let result = section();
        self.unlock();
        result
    }
}

impl GatePeer for PthreadRwLock {
    fn shut_while(&self, body: impl FnOnce()) {
        self.write(body);
    }

    fn pass(&self) {
        self.read(|| ());
    }
}
