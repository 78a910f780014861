//! `RwLock<()>`, with its guards.

use super::Backend;
use crate::peers::{GatePeer, Peer, RwPeer};
use shmsync::RwLock;

/// `RwLock<()>`, with the default number of slots for readers.
#[derive(Debug)]
pub struct ShmRwLock<W: Backend>(RwLock<(), 16, W>);

impl<W: Backend> Peer for ShmRwLock<W> {
    fn name() -> String {
        format!("shmsync RwLock ({})", W::NAME)
    }

    fn new(_size: u32) -> Self {
        Self(RwLock::new_in(()))
    }
}

impl<W: Backend> RwPeer for ShmRwLock<W> {
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

impl<W: Backend> GatePeer for ShmRwLock<W> {
    fn shut_while(&self, body: impl FnOnce()) {
        self.write(body);
    }

    fn pass(&self) {
        self.read(|| ());
    }
}
