//! Anything that can be waited for, as a gate: one keeps it shut, the others stand before it.
#![allow(unsafe_code)]

use super::{BarrierPeer, LockPeer, MonitorPeer, Notify, Peer, Place};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Something to wait at.
pub trait GatePeer: Peer {
    /// The permits or parties that it is made with, for so many who wait.
    #[must_use]
    fn size(waiters: usize) -> u32 {
        let _ = waiters;
        1
    }

    /// Keeps it shut while `body` runs, and then lets everybody through.
    fn shut_while(&self, body: impl FnOnce());

    /// Waits until it is open, and goes through.
    fn pass(&self);
}

macro_rules! gate {
    ($(#[$doc:meta])* $type:ident<$inner:ident> $(, $open:ident)?) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $type<P> {
            inner: P,
            $($open: AtomicU32,)?
        }

        impl<P: $inner> Peer for $type<P> {
            const PLACE: Place = P::PLACE;

            fn name() -> String {
                P::name()
            }

            fn new(size: u32) -> Self {
                Self { inner: P::new(size), $($open: AtomicU32::new(0))? }
            }

            unsafe fn init(&self, size: u32) {
                // SAFETY: the caller's promise for the whole is one for its parts.
                unsafe { self.inner.init(size) };
            }
        }
    };
}

gate! {
    /// A lock that is held.
    LockGate<LockPeer>
}
gate! {
    /// A condition that does not hold.
    MonitorGate<MonitorPeer>, open
}
gate! {
    /// A barrier to which one has not come.
    BarrierGate<BarrierPeer>
}

impl<P: LockPeer> GatePeer for LockGate<P> {
    fn shut_while(&self, body: impl FnOnce()) {
        self.inner.with(body);
    }

    fn pass(&self) {
        self.inner.with(|| ());
    }
}

impl<P: MonitorPeer> GatePeer for MonitorGate<P> {
    fn shut_while(&self, body: impl FnOnce()) {
        body();
        self.inner.broadcast(|| self.open.store(1, Relaxed), Notify::Held);
    }

    fn pass(&self) {
        self.inner.wait_until(|| (), || self.open.load(Relaxed) == 1, || ());
    }
}

impl<P: BarrierPeer> GatePeer for BarrierGate<P> {
    fn size(waiters: usize) -> u32 {
        waiters as u32 + 1
    }

    fn shut_while(&self, body: impl FnOnce()) {
        body();
        self.inner.wait();
    }

    fn pass(&self) {
        self.inner.wait();
    }
}
