//! The primitives. Each file opens with the states of its word.
//!
//! [`owned`] is the word that `Lock`, `RLock` and `Mutex` share; the others have words of their own. [`deadlock`] finds
//! circles of those who wait for such words.

pub(crate) mod deadlock;
mod owned;

mod barrier;
mod bounded;
mod condition;
mod event;
mod guard;
mod lock;
mod mutex;
mod once;
mod owed;
mod permits;
mod poison;
mod rlock;
mod rwlock;
mod semaphore;
mod verbs;

pub use barrier::{Barrier, BarrierWaitResult, Member};
pub use bounded::BoundedSemaphore;
pub use condition::Condition;
pub use event::Event;
pub use guard::{Guard, GuardFor};
pub use lock::{Lock, LockGuard};
pub use mutex::{Mutex, MutexGuard};
pub use once::{Once, OnceCell};
pub use permits::{Permit, PermitPool};
pub use poison::{LockResult, PoisonCause, PoisonError, TryLockError, TryLockResult};
pub use rlock::{RLock, RLockGuard};
pub use rwlock::{RwLock, RwLockReadGuard, RwLockWriteGuard};
pub use semaphore::{SEM_VALUE_MAX, Semaphore};
