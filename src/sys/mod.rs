//! The only home of operating-system calls: one folder per system, chosen in the ladder below.
//!
//! A system offers
//! - `monotonic_nanos`, `nap_until`: the clock that deadlines live on;
//! - `futex::{wait, wake}`, `sem::Sem`: sleeping on shared memory;
//! - `thread::{tid, cpu_cell, yield_now, online_cpus, on_fork_in_child}`: who and where the caller is;
//! - `proc::{Task, OwnProc, own_task, seeming_task, namespace, boot_id, tid_exists, is_zombie,
//!   robust_list}`: who and whether somebody else is;
//! - `peek::word`: reading memory at an address that is not to be trusted;
//! - `robust::{mine, Node}`: what the kernel does to the words that a dying thread holds;
//! - `process::{fork, exit_at_once, open, end, wait, reap, signal}`: children, by descriptor;
//! - `file`: regions of shared memory; `socket::{send, receive}`: their descriptors on the way to another process.

#[cfg(loom)]
mod model;
#[cfg(loom)]
pub(crate) use model::*;

#[cfg(all(not(loom), target_os = "linux"))]
mod linux;
#[cfg(all(not(loom), target_os = "linux"))]
pub(crate) use linux::*;

#[cfg(not(any(loom, target_os = "linux")))]
compile_error!("shmsync runs on Linux so far; PLATFORM.md says what stands in the way of your system");
