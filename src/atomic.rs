//! The one door to atomics and to what each thread has of its own: core's and std's, or the model's when the crate is
//! built for loom (`--cfg loom`).

#[cfg(loom)]
pub(crate) use crate::model::{
    atomic::{AtomicU32, AtomicU64, Ordering, fence},
    thread_local,
};
#[cfg(not(loom))]
pub(crate) use core::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
#[cfg(not(loom))]
pub(crate) use std::thread_local;

/// Declares a constructor that is `const`, but for loom, whose atomics cannot be made in a constant.
macro_rules! constructor {
    ($(#[$meta:meta])* $vis:vis fn $($rest:tt)*) => {
        #[cfg(not(loom))]
        $(#[$meta])*
        $vis const fn $($rest)*
        #[cfg(loom)]
        $(#[$meta])*
        $vis fn $($rest)*
    };
}
pub(crate) use constructor;

/// The fresh state of a backend: `W::NEW`, but for loom, for the same reason.
#[cfg(not(loom))]
macro_rules! fresh {
    ($backend:ident) => {
        $backend::NEW
    };
}
#[cfg(loom)]
macro_rules! fresh {
    ($backend:ident) => {
        $backend::new()
    };
}
pub(crate) use fresh;
