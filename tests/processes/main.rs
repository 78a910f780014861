//! Tests about many processes at once, and about their deaths wherever they happen to be.
//!
//! - [`storm`]: workers of every primitive, killed at random moments, with invariants that a torn update breaks.
//! - [`storm_kill_points`]: a process killed at the instructions of each verb, one after the other.
//!
//! What a primitive does when a certain process dies at a certain place is in the primitive's own file, `tests/NAME.rs`.
#![cfg(all(target_os = "linux", not(loom)))]
#![allow(missing_docs)]

mod storm;
#[cfg(target_arch = "x86_64")]
mod storm_kill_points;
