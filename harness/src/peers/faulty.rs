//! Peers that do what a peer must not, to see that they are caught.

use super::{BarrierPeer, HeirPeer, LockPeer, MonitorPeer, Notify, Peer, Place, PoolPeer, RwPeer, Signal};
use crate::clock::Clock;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

macro_rules! peer {
    ($type:ident, $name:literal, $place:ident) => {
        #[allow(dead_code)] // Not all of them count.
        pub(crate) struct $type(AtomicU32);

        impl Peer for $type {
            const PLACE: Place = Place::$place;

            fn name() -> String {
                String::from($name)
            }

            fn new(_size: u32) -> Self {
                Self(AtomicU32::new(0))
            }
        }
    };
}

peer!(Open, "excludes nobody", Processes);
peer!(OpenThreads, "excludes nobody (threads)", Threads);
peer!(Deaf, "hangs", Processes);
peer!(DeafThreads, "hangs (threads)", Threads);
peer!(Forgetful, "hangs after a while", Processes);
peer!(Forgotten, "tells nobody of a death", Processes);
peer!(Mortal, "panics after a while", Processes);
peer!(MortalThreads, "panics after a while (threads)", Threads);

macro_rules! open {
    ($($type:ident),*) => {$(
        impl LockPeer for $type {
            fn with<R>(&self, section: impl FnOnce() -> R) -> R {
                section()
            }
        }
    )*};
}
open!(Open, OpenThreads);

fn hang() -> ! {
    loop {
        thread::sleep(Duration::from_secs(1));
    }
}

macro_rules! after {
    ($type:ident, $calls:literal, $what:expr) => {
        impl LockPeer for $type {
            fn with<R>(&self, section: impl FnOnce() -> R) -> R {
                if self.0.fetch_add(1, SeqCst) >= $calls {
                    $what
                }
                section()
            }
        }
    };
}
after!(Deaf, 1, hang());
after!(DeafThreads, 1, hang());
after!(Forgetful, 1000, hang());
after!(Mortal, 1000, panic!("out of order"));
after!(MortalThreads, 1000, panic!("out of order"));

impl PoolPeer for Open {
    fn with<R>(&self, section: impl FnOnce() -> R) -> R {
        section()
    }

    fn try_take(&self) -> bool {
        self.0.fetch_add(1, SeqCst) < 4
    }
}

impl RwPeer for Open {
    fn read<R>(&self, section: impl FnOnce() -> R) -> R {
        section()
    }

    fn write<R>(&self, section: impl FnOnce() -> R) -> R {
        section()
    }
}

impl HeirPeer for Open {
    fn hold(&self) {}

    fn inherit(&self, _dead: u32) -> u64 {
        Clock::monotonic_ns()
    }
}

impl HeirPeer for Forgotten {
    fn hold(&self) {}

    fn inherit(&self, _dead: u32) -> u64 {
        hang()
    }
}

impl Signal for Open {
    fn raise(&self) {}

    fn await_and_lower(&self) {}
}

impl BarrierPeer for Open {
    fn wait(&self) -> bool {
        let turn = self.0.fetch_add(1, SeqCst);
        if turn % 5 == 0 {
            thread::sleep(Duration::from_micros(50)); // Lest they keep in step by chance.
        }
        turn % 4 == 0
    }
}

/// A real lock, but its broadcast reaches one waiter in three.
pub(crate) struct Selective(super::PthreadMutex, AtomicU32);

impl Peer for Selective {
    fn name() -> String {
        String::from("leaves waiters out")
    }

    fn new(size: u32) -> Self {
        Self(super::PthreadMutex::new(size), AtomicU32::new(0))
    }

    #[allow(unsafe_code)]
    unsafe fn init(&self, size: u32) {
        // SAFETY: the caller's promise.
        unsafe { self.0.init(size) };
    }
}

impl MonitorPeer for Selective {
    fn wait_until(&self, arrive: impl FnOnce(), mut ready: impl FnMut() -> bool, leave: impl FnOnce()) {
        self.0.with(arrive);
        if self.1.fetch_add(1, SeqCst) % 3 != 0 {
            hang();
        }
        while !self.0.with(&mut ready) {
            thread::yield_now();
        }
        self.0.with(leave);
    }

    fn broadcast(&self, change: impl FnOnce(), _when: Notify) {
        self.0.with(change);
    }

    fn exchange(&self, _ready: impl FnMut() -> bool, change: impl FnOnce()) {
        self.0.with(change);
    }
}
