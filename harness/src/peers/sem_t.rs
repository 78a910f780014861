//! A bare POSIX semaphore, process-shared: as a lock, as a pool, and two of them as a pair of signals.
#![allow(unsafe_code)]

use super::{LockPeer, Peer, PoolPeer, Signal};
use std::cell::UnsafeCell;
use std::fmt;
use std::io;
use std::mem;

/// `sem_t`, with `size` permits.
#[repr(transparent)]
pub struct Sem(UnsafeCell<libc::sem_t>);

// SAFETY: a sem_t is made to be used from anywhere at once.
unsafe impl Sync for Sem {}

impl fmt::Debug for Sem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sem")
    }
}

impl Peer for Sem {
    fn name() -> String {
        String::from("sem_t")
    }

    fn new(_size: u32) -> Self {
        // SAFETY: a sem_t is an array of integers.
        Self(UnsafeCell::new(unsafe { mem::zeroed() }))
    }

    unsafe fn init(&self, size: u32) {
        // SAFETY: the caller says that nobody uses it yet.
        let done = unsafe { libc::sem_init(self.0.get(), 1, size) };
        assert_eq!(done, 0, "sem_init: {}", io::Error::last_os_error());
    }
}

impl Sem {
    #[inline]
    fn wait(&self) {
        // SAFETY: the semaphore was initialised when it was placed.
        while unsafe { libc::sem_wait(self.0.get()) } != 0 {
            let error = io::Error::last_os_error();
            assert_eq!(error.kind(), io::ErrorKind::Interrupted, "sem_wait: {error}");
        }
    }

    #[inline]
    fn post(&self) {
        // SAFETY: the semaphore was initialised when it was placed.
        let done = unsafe { libc::sem_post(self.0.get()) };
        assert!(done == 0, "sem_post: {}", io::Error::last_os_error());
    }
}

impl LockPeer for Sem {
    #[inline]
    fn with<R>(&self, section: impl FnOnce() -> R) -> R {
        self.wait();
        let result = section();
        self.post();
        result
    }
}

impl PoolPeer for Sem {
    #[inline]
    fn with<R>(&self, section: impl FnOnce() -> R) -> R {
        LockPeer::with(self, section)
    }

    fn try_take(&self) -> bool {
        // SAFETY: the semaphore was initialised when it was placed.
        unsafe { libc::sem_trywait(self.0.get()) == 0 }
    }
}

impl Signal for Sem {
    #[inline]
    fn raise(&self) {
        self.post();
    }

    #[inline]
    fn await_and_lower(&self) {
        self.wait();
    }
}
