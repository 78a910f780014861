//! Process-shared pthread objects: mutex (normal, robust), condition with its mutex, barrier, reader-writer lock.
#![allow(unsafe_code)]

mod rwlock;

pub use rwlock::PthreadRwLock;

use super::{BarrierPeer, HeirPeer, LockPeer, MonitorPeer, Notify, Peer};
use crate::clock::Clock;
use std::cell::UnsafeCell;
use std::fmt;
use std::mem::MaybeUninit;

/// A pthread object in its place. All of them may be used from anywhere at once.
#[repr(transparent)]
struct Object<T>(UnsafeCell<MaybeUninit<T>>);

// SAFETY: only given to pthread functions, which synchronise themselves.
unsafe impl<T> Sync for Object<T> {}

impl<T> Object<T> {
    const fn new() -> Self {
        Self(UnsafeCell::new(MaybeUninit::zeroed()))
    }

    fn at(&self) -> *mut T {
        self.0.get().cast()
    }
}

macro_rules! opaque {
    ($($name:ident),*) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(stringify!($name))
            }
        }
    )*};
}
opaque!(PthreadMutex, PthreadRobust, PthreadBarrier);

#[inline]
fn done(code: libc::c_int, call: &str) {
    assert!(code == 0, "{call}: {}", std::io::Error::from_raw_os_error(code));
}

/// Makes a process-shared mutex.
///
/// # Safety
/// As [`Peer::init`].
unsafe fn init_mutex(at: *mut libc::pthread_mutex_t, robustness: libc::c_int) {
    let mut attr = MaybeUninit::uninit();
    let attr = attr.as_mut_ptr();
    // SAFETY: the attributes are a local that the first call initialises; the caller vouches for the mutex.
    unsafe {
        done(libc::pthread_mutexattr_init(attr), "pthread_mutexattr_init");
        done(libc::pthread_mutexattr_setpshared(attr, libc::PTHREAD_PROCESS_SHARED), "pthread_mutexattr_setpshared");
        done(libc::pthread_mutexattr_setrobust(attr, robustness), "pthread_mutexattr_setrobust");
        done(libc::pthread_mutex_init(at, attr), "pthread_mutex_init");
    }
}

/// Locks.
///
/// # Safety
/// The mutex has been initialised.
#[inline]
unsafe fn lock(mutex: *mut libc::pthread_mutex_t) {
    // SAFETY: the caller's promise.
    done(unsafe { libc::pthread_mutex_lock(mutex) }, "pthread_mutex_lock");
}

/// Unlocks.
///
/// # Safety
/// The mutex has been initialised.
#[inline]
unsafe fn unlock(mutex: *mut libc::pthread_mutex_t) {
    // SAFETY: the caller's promise.
    done(unsafe { libc::pthread_mutex_unlock(mutex) }, "pthread_mutex_unlock");
}

macro_rules! mutex {
    ($type:ident, $doc:literal, $name:literal, $robustness:expr) => {
        #[doc = $doc]
        pub struct $type(Object<libc::pthread_mutex_t>);

        impl Peer for $type {
            fn name() -> String {
                String::from($name)
            }

            fn new(_size: u32) -> Self {
                Self(Object::new())
            }

            unsafe fn init(&self, _size: u32) {
                // SAFETY: the caller's promise.
                unsafe { init_mutex(self.0.at(), $robustness) };
            }
        }

        impl LockPeer for $type {
            #[inline]
            fn with<R>(&self, section: impl FnOnce() -> R) -> R {
                // SAFETY: initialised when it was placed.
                unsafe { lock(self.0.at()) };
                let result = section();
                // SAFETY: as above.
                unsafe { unlock(self.0.at()) };
                result
            }
        }
    };
}
mutex!(PthreadMutex, "`PTHREAD_MUTEX_NORMAL`.", "pthread mutex", libc::PTHREAD_MUTEX_STALLED);
mutex!(PthreadRobust, "With `PTHREAD_MUTEX_ROBUST`.", "pthread robust mutex", libc::PTHREAD_MUTEX_ROBUST);

impl HeirPeer for PthreadRobust {
    fn hold(&self) {
        // SAFETY: initialised when it was placed.
        unsafe { lock(self.0.at()) };
    }

    fn inherit(&self, _dead: u32) -> u64 {
        // SAFETY: initialised when it was placed.
        let code = unsafe { libc::pthread_mutex_lock(self.0.at()) };
        let owned = Clock::monotonic_ns();
        assert!(code == libc::EOWNERDEAD, "pthread_mutex_lock: {code} and not EOWNERDEAD");
        // SAFETY: as above, and it is held by this thread.
        unsafe {
            done(libc::pthread_mutex_consistent(self.0.at()), "pthread_mutex_consistent");
            unlock(self.0.at());
        }
        owned
    }
}

/// A condition on `CLOCK_MONOTONIC` with its normal mutex. If `IN_SLICES`, nobody waits for longer than 3 ms at a time, as
/// shmsync's waiters do at first: what that costs, and nothing else of theirs.
pub struct PthreadMonitor<const IN_SLICES: bool = false> {
    mutex: Object<libc::pthread_mutex_t>,
    changed: Object<libc::pthread_cond_t>,
}

impl<const IN_SLICES: bool> fmt::Debug for PthreadMonitor<IN_SLICES> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PthreadMonitor")
    }
}

impl<const IN_SLICES: bool> Peer for PthreadMonitor<IN_SLICES> {
    fn name() -> String {
        String::from(if IN_SLICES { "pthread cond+mutex, in slices" } else { "pthread cond+mutex" })
    }

    fn new(_size: u32) -> Self {
        Self { mutex: Object::new(), changed: Object::new() }
    }

    unsafe fn init(&self, _size: u32) {
        let mut attr = MaybeUninit::uninit();
        let attr = attr.as_mut_ptr();
        // SAFETY: the attributes are a local that the first call initialises; the caller vouches for the rest.
        unsafe {
            init_mutex(self.mutex.at(), libc::PTHREAD_MUTEX_STALLED);
            done(libc::pthread_condattr_init(attr), "pthread_condattr_init");
            done(libc::pthread_condattr_setpshared(attr, libc::PTHREAD_PROCESS_SHARED), "pthread_condattr_setpshared");
            done(libc::pthread_condattr_setclock(attr, libc::CLOCK_MONOTONIC), "pthread_condattr_setclock");
            done(libc::pthread_cond_init(self.changed.at(), attr), "pthread_cond_init");
        }
    }
}

impl<const IN_SLICES: bool> PthreadMonitor<IN_SLICES> {
    /// Runs `body` with the mutex held.
    #[inline]
    fn locked(&self, body: impl FnOnce()) {
        // SAFETY: initialised when it was placed.
        unsafe { lock(self.mutex.at()) };
        body();
        // SAFETY: as above.
        unsafe { unlock(self.mutex.at()) };
    }

    #[inline]
    fn wait_while_not(&self, mut ready: impl FnMut() -> bool) {
        while !ready() {
            let (changed, mutex) = (self.changed.at(), self.mutex.at());
            if IN_SLICES {
                let end = Clock::monotonic_ns() + 3_000_000;
                let end = libc::timespec {
                    tv_sec: (end / 1_000_000_000) as libc::time_t,
                    tv_nsec: (end % 1_000_000_000) as libc::c_long,
                };
                // SAFETY: as below; the time outlives the call.
                let code = unsafe { libc::pthread_cond_timedwait(changed, mutex, &raw const end) };
                done(if code == libc::ETIMEDOUT { 0 } else { code }, "pthread_cond_timedwait");
                continue;
            }
            // SAFETY: both were initialised when they were placed, and the mutex is held by this thread.
            done(unsafe { libc::pthread_cond_wait(changed, mutex) }, "pthread_cond_wait");
        }
    }

    #[inline]
    fn notify_all(&self) {
        // SAFETY: initialised when it was placed.
        done(unsafe { libc::pthread_cond_broadcast(self.changed.at()) }, "pthread_cond_broadcast");
    }
}

impl<const IN_SLICES: bool> MonitorPeer for PthreadMonitor<IN_SLICES> {
    #[inline]
    fn wait_until(&self, arrive: impl FnOnce(), ready: impl FnMut() -> bool, leave: impl FnOnce()) {
        self.locked(|| {
            arrive();
            self.wait_while_not(ready);
            leave();
        });
    }

    #[inline]
    fn broadcast(&self, change: impl FnOnce(), when: Notify) {
        if when == Notify::AfterUnlock {
            self.locked(change);
            return self.notify_all();
        }
        self.locked(|| {
            change();
            self.notify_all();
        });
    }

    #[inline]
    fn exchange(&self, ready: impl FnMut() -> bool, change: impl FnOnce()) {
        self.locked(|| {
            self.wait_while_not(ready);
            change();
            // SAFETY: initialised when it was placed.
            done(unsafe { libc::pthread_cond_signal(self.changed.at()) }, "pthread_cond_signal");
        });
    }
}

/// `pthread_barrier_t`.
pub struct PthreadBarrier(Object<libc::pthread_barrier_t>);

impl Peer for PthreadBarrier {
    fn name() -> String {
        String::from("pthread barrier")
    }

    fn new(_size: u32) -> Self {
        Self(Object::new())
    }

    unsafe fn init(&self, size: u32) {
        let mut attr = MaybeUninit::uninit();
        let attr = attr.as_mut_ptr();
        // SAFETY: the attributes are a local that the first call initialises; the caller vouches for the rest.
        unsafe {
            done(libc::pthread_barrierattr_init(attr), "pthread_barrierattr_init");
            done(libc::pthread_barrierattr_setpshared(attr, libc::PTHREAD_PROCESS_SHARED), "setpshared");
            done(libc::pthread_barrier_init(self.0.at(), attr, size), "pthread_barrier_init");
        }
    }
}

impl BarrierPeer for PthreadBarrier {
    #[inline]
    fn wait(&self) -> bool {
        // SAFETY: initialised when it was placed.
        match unsafe { libc::pthread_barrier_wait(self.0.at()) } {
            libc::PTHREAD_BARRIER_SERIAL_THREAD => true,
            code => {
                done(code, "pthread_barrier_wait");
                false
            }
        }
    }
}
