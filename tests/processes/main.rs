//! Tests about many processes at once, and about their deaths wherever they happen to be.
//!
//! - [`storm`]: workers of every primitive, killed at random moments, with invariants that a torn update breaks.
//! - [`storm_kill_points`]: a process killed at the instructions of each verb, one after the other.
//!
//! What a primitive does when a certain process dies at a certain place is in the primitive's own file, `tests/NAME.rs`.
#![cfg(all(target_os = "linux", not(loom)))]
#![allow(missing_docs)]

use std::sync::{Mutex, PoisonError};

mod storm;
#[cfg(target_arch = "x86_64")]
mod storm_kill_points;

/// Runs one of these tests at a time: each keeps all CPUs busy, and beside another takes three times as long.
fn alone<R>(test: impl FnOnce() -> R) -> R {
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    test()
}
