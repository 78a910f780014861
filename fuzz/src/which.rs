//! Each primitive by a number.

use arbitrary::Arbitrary;
use shmsync::wait::Wait;
use shmsync::{
    Barrier, BoundedSemaphore, Condition, Event, Lock, Mutex, Once, OnceCell, PermitPool, RLock, RwLock, Semaphore,
};

use crate::subjects::Subject;

/// One of the primitives.
#[derive(Arbitrary, Debug, Clone, Copy)]
pub enum What {
    Lock,
    RLock,
    Mutex,
    RwLock,
    Semaphore,
    Bounded,
    Pool,
    Condition,
    Event,
    Barrier,
    Members,
    Once,
    Cell,
}

/// What is to be done with it.
pub trait Visit {
    fn visit<T: Subject>(self);
}

impl What {
    /// Does it with the type that is meant, on a backend.
    pub fn visited<W: Wait + 'static>(self, visit: impl Visit) {
        match self {
            Self::Lock => visit.visit::<Lock<W>>(),
            Self::RLock => visit.visit::<RLock<W>>(),
            Self::Mutex => visit.visit::<Mutex<u64, W>>(),
            Self::RwLock => visit.visit::<RwLock<u64, 4, W>>(),
            Self::Semaphore => visit.visit::<Semaphore<W>>(),
            Self::Bounded => visit.visit::<BoundedSemaphore<W>>(),
            Self::Pool => visit.visit::<PermitPool<4, W>>(),
            Self::Condition => visit.visit::<Condition<W>>(),
            Self::Event => visit.visit::<Event<W>>(),
            Self::Barrier => visit.visit::<Barrier<W>>(),
            Self::Members => visit.visit::<Barrier<W, 4>>(),
            Self::Once => visit.visit::<Once<W>>(),
            Self::Cell => visit.visit::<OnceCell<u64, W>>(),
        }
    }
}
