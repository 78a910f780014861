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
use verb::{Kind, With};

const CONDITIONS: [Kind; 3] = [Kind::Condition(With::Lock), Kind::Condition(With::RLock), Kind::Condition(With::Mutex)];

macro_rules! settings {
    ($($test:ident: $setting:ident, $backend:ty, $slots:literal, $name:literal {$($terms:tt)*})+) => {
        $(
            struct $setting;
            impl Setting for $setting {
                type Backend = $backend;
                $($terms)*
            }

            #[test]
            fn $test() {
                assert_runs::<$setting, $slots>($name);
            }
        )+
    };
}

// With room for all readers of an `RwLock`, and for one.
settings! {
    programs_on_futex: OnFutex, Futex, 8, "futex" {}
    programs_on_posix_sem: OnPosixSem, PosixSem, 1, "posix_sem" {}
    programs_on_kernel_robust: OnKernelRobust, KernelRobust, 8, "kernel_robust" {
        const BY_HOLDER_ONLY: bool = true;
    }
    programs_of_processes: InProcesses, Futex, 8, "futex, processes" {
        const PROCESSES: bool = true;
    }
    programs_of_processes_on_posix_sem: InProcessesOnPosixSem, PosixSem, 1, "posix_sem, processes" {
        const PROCESSES: bool = true;
    }
    programs_of_processes_on_kernel_robust: InProcessesOnKernelRobust, KernelRobust, 8, "kernel_robust, processes" {
        const BY_HOLDER_ONLY: bool = true;
        const PROCESSES: bool = true;
    }
}

// Of conditions alone: the verbs with guards have something to do only when others wait, and seldom meet by chance.
settings! {
    programs_of_conditions: ConditionsOnFutex, Futex, 8, "futex, conditions" {
        const KINDS: &'static [Kind] = &CONDITIONS;
    }
    programs_of_conditions_on_posix_sem: ConditionsOnPosixSem, PosixSem, 8, "posix_sem, conditions" {
        const KINDS: &'static [Kind] = &CONDITIONS;
    }
    programs_of_conditions_on_kernel_robust: ConditionsOnKernelRobust, KernelRobust, 8, "kernel_robust, conditions" {
        const BY_HOLDER_ONLY: bool = true;
        const KINDS: &'static [Kind] = &CONDITIONS;
    }
}
