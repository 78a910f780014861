//! The primitives. Each file opens with the states of its word.
//!
//! [`owned`] is the word that `Lock`, `RLock` and `Mutex` share; the others have words of their own.

mod owned;

mod barrier;
mod bounded;
mod condition;
mod event;
mod guard;
mod lock;
mod mutex;
mod poison;
mod rlock;
mod semaphore;
mod verbs;

pub use barrier::{Barrier, BarrierWaitResult};
pub use bounded::BoundedSemaphore;
pub use condition::Condition;
pub use event::Event;
pub use guard::Guard;
pub use lock::{Lock, LockGuard};
pub use mutex::{Mutex, MutexGuard};
pub use poison::{LockResult, PoisonCause, PoisonError, TryLockError, TryLockResult};
pub use rlock::{RLock, RLockGuard};
pub use semaphore::{SEM_VALUE_MAX, Semaphore};
