//! Workloads and peers for measuring shmsync, and process helpers for its tests.
//!
//! From the ground up; each module names only modules above it in this list:
//!
//! | module | what it is |
//! |---|---|
//! | [`process`] | child processes that are watched and never left behind |
//! | [`clock`], [`work`] | a timestamp for 10 ns, and a critical section of a given length |
//! | [`histogram`], [`region`] | what children write their figures into: plain bytes in shared memory |
//! | [`sample`], [`params`], [`stats`] | the figures of one peer in one round, and arithmetic on them |
//! | [`peers`] | the same few verbs over shmsync, `sem_t`, pthread, std and parking_lot |
//! | [`fast_paths`] | each verb while nobody else is about, for `ci/instructions.sh` and `cargo bench` |
//! | [`crew`] | N processes (or threads) on one peer, through the phases of a sample |
//! | [`workloads`] | what they do to it, and how each checks its own result |
//! | [`plan`], [`record`], [`runner`] | which samples in which order, and what comes of them |
//! | [`promises`] | what is promised in figures |
//! | [`machine`] | where it was measured |
//! | [`storm`] | workers that are killed at random moments, or at every single instruction; and what must hold all the same |
#![deny(unsafe_code)]

#[cfg(unix)]
pub mod clock;
#[cfg(target_os = "linux")]
pub mod crew;
#[cfg(target_os = "linux")]
pub mod fast_paths;
pub mod histogram;
pub mod machine;
// Linux only for now: unnamed process-shared `sem_t` and robust mutexes are not to be had on macOS or Windows.
pub mod params;
#[cfg(target_os = "linux")]
pub mod peers;
#[cfg(target_os = "linux")]
pub mod plan;
pub mod process;
pub mod promises;
pub mod record;
#[cfg(unix)]
pub mod region;
#[cfg(target_os = "linux")]
pub mod runner;
pub mod sample;
pub mod stats;
#[cfg(target_os = "linux")]
pub mod storm;
#[cfg(unix)]
pub mod work;
#[cfg(target_os = "linux")]
pub mod workloads;
