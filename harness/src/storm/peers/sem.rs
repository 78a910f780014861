//! A bare process-shared `sem_t`: as a lock, and as a pool.
#![allow(unsafe_code)]

use super::{PERMITS, Rig, section};
use crate::peers::{LockPeer, Peer, Sem};

macro_rules! rig {
    ($rig:ident, $name:literal, $permits:expr) => {
        pub(super) struct $rig(Sem);

        impl Rig for $rig {
            const NAME: &'static str = $name;

            fn new() -> Self {
                Self(Sem::new($permits))
            }

            fn init(&self) {
                // SAFETY: the trait's contract: it is in its place, and nobody uses it yet.
                unsafe { self.0.init($permits) };
            }

            fn visit(&self, dice: &mut fastrand::Rng) {
                LockPeer::with(&self.0, || section(dice));
                section(dice);
            }
        }
    };
}
rig!(Lock, "sem_t as a lock", 1);
rig!(Pool, "sem_t with 4 permits", PERMITS);
