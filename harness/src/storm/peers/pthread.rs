//! Robust pthread objects, used as their manual says: `EOWNERDEAD` is answered with `pthread_mutex_consistent`.
#![allow(unsafe_code)]

use super::{Rig, section};
use std::cell::UnsafeCell;
use std::mem::MaybeUninit;

struct Place<T>(UnsafeCell<MaybeUninit<T>>);

// SAFETY: only given to pthread functions, which synchronise themselves.
unsafe impl<T> Sync for Place<T> {}

impl<T> Place<T> {
    fn new() -> Self {
        Self(UnsafeCell::new(MaybeUninit::zeroed()))
    }

    fn at(&self) -> *mut T {
        self.0.get().cast()
    }
}

#[track_caller]
fn done(code: libc::c_int) {
    assert_eq!(code, 0, "{}", std::io::Error::from_raw_os_error(code));
}

/// What whoever finds the holder dead does.
fn repaired(mutex: *mut libc::pthread_mutex_t, code: libc::c_int) {
    if code == libc::EOWNERDEAD {
        // SAFETY: the mutex was initialised, and this thread holds it.
        return done(unsafe { libc::pthread_mutex_consistent(mutex) });
    }
    done(code);
}

pub(super) struct Robust(Place<libc::pthread_mutex_t>);

impl Robust {
    fn lock(&self) {
        // SAFETY: initialised in `init`.
        repaired(self.0.at(), unsafe { libc::pthread_mutex_lock(self.0.at()) });
    }

    fn unlock(&self) {
        // SAFETY: initialised in `init`, and held by this thread.
        done(unsafe { libc::pthread_mutex_unlock(self.0.at()) });
    }
}

impl Rig for Robust {
    const NAME: &'static str = "pthread robust mutex";

    fn new() -> Self {
        Self(Place::new())
    }

    fn init(&self) {
        let mut attr = MaybeUninit::uninit();
        // SAFETY: the attributes are a local that the first call initialises; nobody uses the mutex yet.
        unsafe {
            done(libc::pthread_mutexattr_init(attr.as_mut_ptr()));
            done(libc::pthread_mutexattr_setpshared(attr.as_mut_ptr(), libc::PTHREAD_PROCESS_SHARED));
            done(libc::pthread_mutexattr_setrobust(attr.as_mut_ptr(), libc::PTHREAD_MUTEX_ROBUST));
            done(libc::pthread_mutex_init(self.0.at(), attr.as_ptr()));
        }
    }

    fn visit(&self, dice: &mut fastrand::Rng) {
        self.lock();
        section(dice);
        self.unlock();
        section(dice);
    }
}

pub(super) struct Monitor {
    mutex: Robust,
    changed: Place<libc::pthread_cond_t>,
}

impl Rig for Monitor {
    const NAME: &'static str = "pthread robust mutex and condition";

    fn new() -> Self {
        Self { mutex: Robust::new(), changed: Place::new() }
    }

    fn init(&self) {
        self.mutex.init();
        let mut attr = MaybeUninit::uninit();
        // SAFETY: as for the mutex.
        unsafe {
            done(libc::pthread_condattr_init(attr.as_mut_ptr()));
            done(libc::pthread_condattr_setpshared(attr.as_mut_ptr(), libc::PTHREAD_PROCESS_SHARED));
            done(libc::pthread_condattr_setclock(attr.as_mut_ptr(), libc::CLOCK_MONOTONIC));
            done(libc::pthread_cond_init(self.changed.at(), attr.as_ptr()));
        }
    }

    fn visit(&self, dice: &mut fastrand::Rng) {
        self.mutex.lock();
        section(dice);
        if dice.bool() {
            let until = crate::clock::Clock::monotonic_ns() + 5_000_000;
            let until = libc::timespec { tv_sec: (until / 1_000_000_000) as _, tv_nsec: (until % 1_000_000_000) as _ };
            let mutex = self.mutex.0.at();
            // SAFETY: both were initialised, and the mutex is held by this thread.
            match unsafe { libc::pthread_cond_timedwait(self.changed.at(), mutex, &until) } {
                libc::ETIMEDOUT => {}
                code => repaired(mutex, code),
            }
        } else if dice.bool() {
            // SAFETY: initialised in `init`.
            done(unsafe { libc::pthread_cond_signal(self.changed.at()) });
        } else {
            // SAFETY: initialised in `init`.
            done(unsafe { libc::pthread_cond_broadcast(self.changed.at()) });
        }
        self.mutex.unlock();
        section(dice);
    }
}

pub(super) struct Barrier(Place<libc::pthread_barrier_t>);

impl Rig for Barrier {
    const NAME: &'static str = "pthread barrier of 2";

    fn new() -> Self {
        Self(Place::new())
    }

    fn init(&self) {
        let mut attr = MaybeUninit::uninit();
        // SAFETY: as for the mutex.
        unsafe {
            done(libc::pthread_barrierattr_init(attr.as_mut_ptr()));
            done(libc::pthread_barrierattr_setpshared(attr.as_mut_ptr(), libc::PTHREAD_PROCESS_SHARED));
            done(libc::pthread_barrier_init(self.0.at(), attr.as_ptr(), 2));
        }
    }

    fn visit(&self, dice: &mut fastrand::Rng) {
        // SAFETY: initialised in `init`.
        match unsafe { libc::pthread_barrier_wait(self.0.at()) } {
            libc::PTHREAD_BARRIER_SERIAL_THREAD => {}
            code => done(code),
        }
        section(dice);
    }
}
