//! `PermitPool`, with its guards.

use super::Backend;
use crate::peers::{GatePeer, Peer, PoolPeer};
use shmsync::PermitPool;

/// `PermitPool` of `N` permits.
#[derive(Debug)]
pub struct ShmPermitPool<const N: usize, W: Backend>(PermitPool<N, W>);

impl<const N: usize, W: Backend> Peer for ShmPermitPool<N, W> {
    fn name() -> String {
        format!("shmsync PermitPool<{N}> ({})", W::NAME)
    }

    fn new(_size: u32) -> Self {
        Self(PermitPool::new_in())
    }
}

impl<const N: usize, W: Backend> PoolPeer for ShmPermitPool<N, W> {
    #[inline]
    fn with<R>(&self, section: impl FnOnce() -> R) -> R {
        let _permit = self.0.acquire().expect("acquire");
        section()
    }

    fn try_take(&self) -> bool {
        self.0.try_acquire().map(std::mem::forget).is_ok()
    }
}

impl<const N: usize, W: Backend> GatePeer for ShmPermitPool<N, W> {
    fn shut_while(&self, body: impl FnOnce()) {
        let _all = [(); N].map(|()| self.0.acquire().expect("acquire"));
        body();
    }

    fn pass(&self) {
        drop(self.0.acquire().expect("acquire"));
    }
}
