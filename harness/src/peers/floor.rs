//! The floor: a spin lock of two bare atomic read-modify-writes, below which no lock of this kind can go.
//!
//! It never sleeps, so it is measured uncontended only.

use super::{LockPeer, Peer};
use std::sync::atomic::{AtomicU64, Ordering};

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
    #[inline]
    fn with<R>(&self, section: impl FnOnce() -> R) -> R {
        while self.0.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed).is_err() {
            std::thread::yield_now();
        }
        let result = section();
        self.0.swap(0, Ordering::Release);
        result
    }
}
