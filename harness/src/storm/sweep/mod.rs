//! The sweep: a process is killed at every single instruction of every verb, and the others must go on.
//!
//! One round: a fresh primitive; a *holder* who brings it into the state in question; a *victim*, stopped by `ptrace` in
//! front of its verb; a *sleeper* who waits already, where that can be; the victim is let run to the kill point and
//! killed there; the holder relents; a *late* one comes. Holder, sleeper and late one must come to an end within the
//! bound, and what they leave must be in order.
//!
//! # Which kill points
//! First the verb is single-stepped from its call to its return; a short way twice. Then:
//! - A short way (up to [`SHORT`] instructions, no sleep, the same both times: every fast path, and slow ones that do not
//!   wait): a round for each step k = 0, 1, 2, .. of it, the victim being single-stepped to exactly there.
//! - A long way, through a spin, a sleep or a look into `/proc`: there the number of a step means nothing, because no two
//!   runs spin alike. A round for each *distinct address* that was reached, in the crate, std and libc alike: a breakpoint
//!   is planted there, and the victim is killed when it comes by for the first time. And one round in which it is killed
//!   in its sleep. An address that is not reached again, because it lies on a branch that only a race takes, is stepped
//!   to at the third try, and counted as missed if it is not reached even then.
//!
//! [`Sweep::Sample`] is for tests: of the points between which neither a byte of the primitive has changed nor the kernel
//! was called, so that a process killed at either leaves the same behind, it takes the first and the last, and some
//! others.
#![cfg_attr(not(target_arch = "x86_64"), allow(dead_code, unused_imports))]

mod cases;
mod round;
mod stage;
#[cfg(target_arch = "x86_64")]
mod tracer;

use std::fmt;

/// Up to so many instructions the kill points are counted, beyond they are addresses.
pub const SHORT: usize = 1500;

/// How many of the kill points.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sweep {
    /// All.
    Everything,
    /// About so many of each verb.
    Sample(usize),
}

/// What came of the sweep of one verb.
#[derive(Debug, Clone, Default)]
pub struct Swept {
    /// The verb.
    pub name: String,
    /// How many instructions it took when it was single-stepped.
    pub steps: usize,
    /// How many kill points there are.
    pub points: usize,
    /// At how many the victim was killed.
    pub kills: usize,
    /// Addresses that were not reached a second time.
    pub missed: usize,
    /// Whether the points are addresses, and not steps.
    pub by_address: bool,
    /// The longest that a survivor took to come to an end, in nanoseconds.
    pub slowest: u64,
    /// Hangs and broken promises, in words.
    pub failures: Vec<String>,
}

impl fmt::Display for Swept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, steps, points, kills, missed, .. } = self;
        let what = if self.by_address { "addresses" } else { "steps" };
        let slowest = self.slowest as f64 / 1e6;
        write!(
            f,
            "{name:58} {steps:>6} instructions, {points:>5} {what:9}, {kills:>5} kills, {missed:>3} missed, {slowest:6.1} ms"
        )?;
        self.failures.iter().try_for_each(|failure| write!(f, "\n  FAILED: {failure}"))
    }
}

/// The verbs, each with the state that it meets and the backend.
#[must_use]
pub fn names() -> Vec<String> {
    cases::all().into_iter().map(|case| case.name).collect()
}

/// Sweeps one of them.
///
/// # Panics
/// There is none of that name.
#[must_use]
pub fn run(name: &str, sweep: Sweep) -> Swept {
    let case = cases::all().into_iter().find(|case| case.name == name).expect("a name of `names`");
    let mut swept = (case.sweep)(sweep);
    swept.name = case.name;
    swept
}
