//! The floor: what two bare atomic read-modify-writes cost, and a sleep in bare slices, below which nothing of this kind can go.
#![allow(unsafe_code)]

use super::{GatePeer, LockPeer, Peer};
use crate::clock::Clock;
use std::ptr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Compare-and-swap to take it, swap to let it go.
#[derive(Debug)]
pub struct TwoAtomics(AtomicU64);

impl Peer for TwoAtomics {
    fn name() -> String {
        String::from("two bare atomics (limit)")
    }

    fn new(_size: u32) -> Self {
        Self(AtomicU64::new(0))
    }
}

impl LockPeer for TwoAtomics {
    /// It looks at every pause and never sleeps, so it is measured with two processes on two CPUs at the most. (It yields
    /// now and then for whoever has only one.)
    #[inline]
    fn with<R>(&self, section: impl FnOnce() -> R) -> R {
        while self.0.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed).is_err() {
            if (0..10_000).all(|_| self.is_taken()) {
                std::thread::yield_now();
            }
        }
        let result = section();
        self.0.swap(0, Ordering::Release);
        result
    }
}

impl TwoAtomics {
    fn is_taken(&self) -> bool {
        std::hint::spin_loop();
        self.0.load(Ordering::Relaxed) != 0
    }
}

/// A word at which one sleeps in slices of up to 100 ms, which end together with those of others, every 4 ms as in shmsync, and
/// does nothing at their ends: what the promise costs that everybody learns of a death within that time, in the kernel alone.
#[derive(Debug)]
pub struct BareSlices(AtomicU32);

impl Peer for BareSlices {
    fn name() -> String {
        String::from("bare futex, slices of 100 ms (limit)")
    }

    fn new(_size: u32) -> Self {
        Self(AtomicU32::new(0))
    }
}

impl BareSlices {
    fn futex(&self, operation: libc::c_int, value: u32, timeout: Option<&libc::timespec>) {
        let timeout = timeout.map_or(ptr::null(), ptr::from_ref);
        // SAFETY: the word and the timeout outlive the call. Whatever it returns, the caller looks at the word again.
        unsafe { libc::syscall(libc::SYS_futex, self.0.as_ptr(), operation, value, timeout) };
    }
}

impl GatePeer for BareSlices {
    fn shut_while(&self, body: impl FnOnce()) {
        self.0.store(1, Ordering::Relaxed);
        body();
        self.0.store(0, Ordering::Release);
        self.futex(libc::FUTEX_WAKE, i32::MAX as u32, None);
    }

    fn pass(&self) {
        while self.0.load(Ordering::Acquire) == 1 {
            let now = Clock::monotonic_ns();
            let nanos = 100_000_000 - (now + 100_000_000) % 4_000_000;
            self.futex(libc::FUTEX_WAIT, 1, Some(&libc::timespec { tv_sec: 0, tv_nsec: nanos as libc::c_long }));
        }
    }
}
