//! Locks whose holder may die, and several of them side by side.
#![allow(unsafe_code)]

use super::{Peer, Place};
use crate::crew::Padded;

/// What somebody else can take over when its holder has died.
pub trait HeirPeer: Peer {
    /// Acquires for good.
    fn hold(&self);

    /// Waits until the holder, process `dead`, is told to have died, takes over, and leaves it clean and free. Says
    /// when it owned it, on the clock of all processes.
    fn inherit(&self, dead: u32) -> u64;
}

/// The same peer several times, each with cache lines of its own.
#[derive(Debug)]
pub struct Rigs<P>([Padded<P>; MOST]);

const MOST: usize = 16;

impl<P> Rigs<P> {
    /// How many there are.
    pub const MOST: usize = MOST;

    /// One of them.
    #[must_use]
    pub fn at(&self, place: usize) -> &P {
        &self.0[place].0
    }
}

impl<P: Peer> Peer for Rigs<P> {
    const PLACE: Place = P::PLACE;

    fn name() -> String {
        P::name()
    }

    fn new(size: u32) -> Self {
        Self([(); MOST].map(|()| Padded(P::new(size))))
    }

    unsafe fn init(&self, size: u32) {
        for peer in &self.0 {
            // SAFETY: the caller's promise for the whole is one for its parts.
            unsafe { peer.0.init(size) };
        }
    }
}
