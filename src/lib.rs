//! Locks, semaphores, conditions, events and barriers between processes.
//!
//! Each is a few bytes that you place anywhere in shared memory, beside the data it guards. There is no handle, no file
//! descriptor and no kernel object; who must wait sleeps on those very bytes. A process that is killed while it holds
//! something is found out and reported: nobody waits for it for ever.
//!
//! ```
//! use shmsync::{Condition, Mutex, Shared};
//! use zerocopy::FromBytes;
//!
//! #[derive(FromBytes)]
//! #[repr(C)]
//! struct Board {
//!     jobs: Mutex<u64>,
//!     more: Condition,
//! }
//!
//! let board = Shared::anonymous(Board { jobs: Mutex::new(0), more: Condition::new() })?;
//! // `board.handle()` takes it to a child process; `Shared::create("/board", ..)` gives it a name.
//! *board.jobs.lock().unwrap() += 1;
//! board.more.notify_one();
//! # Ok::<(), shmsync::Error>(())
//! ```
//!
//! # The floors
//! Each names only those below it.
//!
//! | floor | what |
//! |---|---|
//! | [`process`] | children that are given regions: started, waited for, ended |
//! | `shm` | [`Shared`], [`Region`]: shared memory, named, file-backed or anonymous, for one value or for many objects with names; [`NamedSemaphore`] |
//! | `sync` | [`Lock`], [`RLock`], [`Mutex`], [`RwLock`], [`Semaphore`], [`BoundedSemaphore`], [`PermitPool`], [`Condition`], [`Event`], [`Barrier`], [`Once`], [`OnceCell`] |
//! | [`wait`] | the seam: what sleeps, for how long, and how long it spins before |
//! | `owner` | who holds a thing, and whether that thread lives |
//! | `time`, `error`, `atomic` | deadlines, errors, the one door to atomics |
//! | `sys` | the operating system |

#![deny(unsafe_code)]
#![cfg_attr(loom, allow(dead_code, reason = "no regions in a model"))]

mod atomic;
mod error;
#[cfg(loom)]
pub mod model;
mod owner;
#[cfg(not(loom))]
pub mod process;
#[cfg(not(loom))]
mod shm;
mod sync;
mod sys;
mod time;
pub mod wait;

pub use error::{AcquireError, BarrierError, Error, ErrorKind, ReleaseError};
pub use owner::Owner;
#[cfg(not(loom))]
pub use shm::{
    Attached, Handle, HugePages, Item, Kind, List, NamedSemaphore, NamedSemaphoreOptions, Object, ObjectInfo, Options,
    Region, RegionInfo, RegionOptions, Shared, unlink, unlink_semaphore, unlink_unused,
};
pub use sync::{
    Barrier, BarrierWaitResult, BoundedSemaphore, Condition, Event, Guard, GuardFor, Lock, LockGuard, LockResult,
    Member, Mutex, MutexGuard, Once, OnceCell, Permit, PermitPool, PoisonCause, PoisonError, RLock, RLockGuard, RwLock,
    RwLockReadGuard, RwLockWriteGuard, SEM_VALUE_MAX, Semaphore, TryLockError, TryLockResult,
};

/// The README's example is compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
