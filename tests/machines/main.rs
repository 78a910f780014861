//! Random programs of several threads or processes over a few objects, compared with a reference.
//!
//! ```text
//! PROPTEST_CASES=1000 cargo test --test machines -- --nocapture
//! ```
//!
//! | file | its one idea |
//! |---|---|
//! | `verb` | what a thread can be told to do, and what may come of it |
//! | `model` | the reference: what holds, and what may come next |
//! | `world`, `answers` | the objects, and how a thread does what it is told and says what came of it |
//! | `crew`, `wire` | the threads, or processes, and how they are spoken to |
//! | `stage` | the crew at work, watched: each step compared with what the reference allows |
//! | `seen` | what can be read of the objects |
//! | `machine` | programs, made and shrunk |
//! | `found` | programs that failed once |
//! | `faults`, `controls` | libraries broken on purpose, which must be noticed |
#![cfg(all(target_os = "linux", not(loom)))]
#![allow(missing_docs, unreachable_pub)]

mod answers;
mod controls;
mod crew;
mod faults;
mod found;
mod machine;
mod model;
mod seen;
mod stage;
#[path = "../support/mod.rs"]
mod support;
mod verb;
mod wire;
mod world;

use shmsync::wait::{Futex, KernelRobust, PosixSem};

use machine::{Setting, assert_runs};

struct OnFutex;
impl Setting for OnFutex {
    type Backend = Futex;
}

struct OnPosixSem;
impl Setting for OnPosixSem {
    type Backend = PosixSem;
}

struct OnKernelRobust;
impl Setting for OnKernelRobust {
    type Backend = KernelRobust;
    const BY_HOLDER_ONLY: bool = true;
}

/// With room for all readers.
#[test]
fn programs_on_futex() {
    assert_runs::<OnFutex, 8>("futex");
}

/// With room for one reader.
#[test]
fn programs_on_posix_sem() {
    assert_runs::<OnPosixSem, 1>("posix_sem");
}

#[test]
fn programs_on_kernel_robust() {
    assert_runs::<OnKernelRobust, 8>("kernel_robust");
}

struct InProcesses;
impl Setting for InProcesses {
    type Backend = Futex;
    const PROCESSES: bool = true;
}

struct InProcessesOnPosixSem;
impl Setting for InProcessesOnPosixSem {
    type Backend = PosixSem;
    const PROCESSES: bool = true;
}

struct InProcessesOnKernelRobust;
impl Setting for InProcessesOnKernelRobust {
    type Backend = KernelRobust;
    const BY_HOLDER_ONLY: bool = true;
    const PROCESSES: bool = true;
}

#[test]
fn programs_of_processes() {
    assert_runs::<InProcesses, 8>("futex, processes");
}

#[test]
fn programs_of_processes_on_posix_sem() {
    assert_runs::<InProcessesOnPosixSem, 1>("posix_sem, processes");
}

#[test]
fn programs_of_processes_on_kernel_robust() {
    assert_runs::<InProcessesOnKernelRobust, 8>("kernel_robust, processes");
}
