//! The trials. Each does what the library does, or asks the kernel for the call that it is about, and says what follows.

mod processes;
mod system;

use processes::{deadlock, death, waking};
use shmsync::wait::{KernelRobust, Platform};
use shmsync_harness::machine::Machine;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing that could work or not.
    Told,
    Works,
    /// What is promised holds but for what is told.
    Limited,
    /// Something essential does not work.
    Fails,
}

#[derive(Debug)]
pub(super) struct Finding {
    pub(super) what: &'static str,
    pub(super) verdict: Verdict,
    pub(super) found: String,
    /// What follows from it for those who use the library.
    pub(super) means: Option<String>,
}

pub(super) fn all() -> Vec<Finding> {
    let told = |what, found| Finding { what, verdict: Verdict::Told, found, means: None };
    vec![
        told("system", Machine::look().to_string()),
        waking(),
        death::<Platform>(
            "deaths",
            "locks of holders that are killed stay held, as long as nothing tells the dead from the living",
        ),
        death::<KernelRobust>(
            "robust list",
            "locks on KernelRobust learn of a death as late as others, or not at all: use the default",
        ),
        deadlock(),
        system::shared_memory(),
        system::unnamed_files(),
        system::locks(),
        system::sealed(),
        system::proc(),
        system::pid_namespace(),
        system::boot_id(),
        system::pidfd(),
        told(
            "futex_waitv",
            if system::waitv() { "the kernel has it" } else { "not to be had; nothing here needs it" }.to_owned(),
        ),
        told(
            "membarrier",
            if system::membarrier() { "the kernel has it" } else { "not to be had; nothing here needs it" }.to_owned(),
        ),
    ]
}

fn works(what: &'static str, found: impl Into<String>) -> Finding {
    Finding { what, verdict: Verdict::Works, found: found.into(), means: None }
}

fn limited(what: &'static str, found: impl Into<String>, means: &str) -> Finding {
    Finding { what, verdict: Verdict::Limited, found: found.into(), means: Some(means.to_owned()) }
}

fn fails(what: &'static str, found: impl Into<String>, means: &str) -> Finding {
    Finding { verdict: Verdict::Fails, ..limited(what, found, means) }
}
