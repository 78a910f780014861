//! The peers: one file per family, each with the same few verbs, so that a workload is written once.
//!
//! | trait | verbs | who |
//! |---|---|---|
//! | [`LockPeer`] | run a section alone | locks, semaphores of one permit |
//! | [`PoolPeer`] | run a section with one of n permits | semaphores |
//! | [`RallyPeer`] | wait for the ball, hit it back | pairs of signals, monitors |
//! | [`MonitorPeer`] | wait for a condition, broadcast a change | conditions with their lock |
//! | [`BarrierPeer`] | wait for everybody | barriers |
//! | [`RwPeer`] | read with others, write alone | reader-writer locks |
//! | [`HeirPeer`] | hold for good, take over from the dead | locks that survive their holder |
//! | [`GatePeer`] | keep shut, wait until it is open | all of them |
//!
//! A peer is a value in shared memory. Every call is monomorphised into the measured loop:
//! a peer is a type, never a `dyn`. A verb that fails panics, which ends the child and is reported with its name.

mod court;
mod floor;
mod gate;
mod heir;
mod parking_lot;
mod prototype;
mod pthread;
mod requeue;
mod sem_t;
mod shmsync;
mod std_sync;

#[cfg(test)]
pub(crate) mod faulty;

pub use self::court::{Court, MonitorCourt, Signal};
pub use self::floor::{BareSlices, TwoAtomics};
pub use self::gate::{BarrierGate, GatePeer, LockGate, MonitorGate};
pub use self::heir::{HeirPeer, Rigs};
pub use self::parking_lot::{PlMonitor, PlMutex, PlRwLock};
pub use self::prototype::{AfterLosses, AfterMillis, Library, Prototype};
pub use self::prototype::{AnEighth, AwayFirst, EachPause, NoSpin, Short, UpToFour};
pub use self::pthread::{PthreadBarrier, PthreadMonitor, PthreadMutex, PthreadRobust, PthreadRwLock};
pub use self::requeue::{Eagerly, OneByOne, RequeueMonitor, Waking};
pub use self::sem_t::Sem;
pub use self::shmsync::{Backend, ShmBarrier, ShmEvent, ShmLock, ShmMonitor, ShmMutex};
pub use self::shmsync::{ShmPermitPool, ShmRLock, ShmRwLock, ShmSemaphore};
pub use self::std_sync::{StdBarrier, StdMonitor, StdMutex, StdRwLock};

/// Where the peer's users may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In different processes.
    Processes,
    /// In threads of one process only: a reference, not a rival.
    Threads,
}

/// Something that can be placed in shared memory and measured.
pub trait Peer: Sized + Sync {
    /// Who may share it.
    const PLACE: Place = Place::Processes;

    /// The name in tables and records.
    fn name() -> String;

    /// A fresh one, not yet in its place. `size` is the number of permits or parties, where there is one.
    fn new(size: u32) -> Self;

    /// What must be done in its final place before the first use: C's `init` functions.
    ///
    /// # Safety
    /// It is where it will stay, and nobody else uses it yet.
    #[allow(unsafe_code)]
    unsafe fn init(&self, size: u32) {
        let _ = size;
    }
}

/// Mutual exclusion.
pub trait LockPeer: Peer {
    /// Acquires, runs `section`, releases.
    fn with<R>(&self, section: impl FnOnce() -> R) -> R;
}

/// A number of permits, the `size` it was made with.
pub trait PoolPeer: Peer {
    /// Takes a permit, runs `section`, gives it back.
    fn with<R>(&self, section: impl FnOnce() -> R) -> R;

    /// Takes a permit if there is one, for good.
    fn try_take(&self) -> bool;
}

/// Two sides, 0 and 1, that pass a numbered ball. Side 0 has it at first, with number 0.
pub trait RallyPeer: Peer {
    /// Waits until the ball comes to `side`, checks that it bears `number`, and sends it back with the next one.
    fn hit(&self, side: usize, number: u64);
}

/// A lock with a condition.
pub trait MonitorPeer: Peer {
    /// Locks, runs `arrive`, waits until `ready`, runs `leave`, unlocks.
    fn wait_until(&self, arrive: impl FnOnce(), ready: impl FnMut() -> bool, leave: impl FnOnce());

    /// Locks, runs `change`, notifies everybody, with the lock held or just after it was released.
    fn broadcast(&self, change: impl FnOnce(), when: Notify);

    /// Locks, waits until `ready`, runs `change`, notifies one, unlocks.
    fn exchange(&self, ready: impl FnMut() -> bool, change: impl FnOnce());
}

/// When a monitor's users notify.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notify {
    /// While they hold the lock.
    Held,
    /// After they have released it.
    AfterUnlock,
}

/// Waits for all of `size` parties.
pub trait BarrierPeer: Peer {
    /// Waits; `true` for exactly one of the parties.
    fn wait(&self) -> bool;
}

/// Many readers or one writer.
pub trait RwPeer: Peer {
    /// Enters for reading, runs `section`, leaves.
    fn read<R>(&self, section: impl FnOnce() -> R) -> R;

    /// Enters for writing, runs `section`, leaves.
    fn write<R>(&self, section: impl FnOnce() -> R) -> R;
}
