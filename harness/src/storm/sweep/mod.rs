//! The sweep: a process is killed at every single instruction of every verb, and the others must go on.
//!
//! One round: a fresh primitive; a *holder* who brings it into the state in question; a *victim*, stopped by `ptrace` in
//! front of its verb; a *sleeper* who waits already, where that can be; the victim is let run to the kill point and
//! killed there; the holder relents; a *late* one comes. Holder, sleeper and late one must come to an end within the
//! bound, and what they leave must be in order.
//!
//! # Which kill points
//! 1. *By step.* A short way (up to [`SHORT`] instructions, no sleep, the same twice: every fast path, and slow ones that
//!    do not wait) is single-stepped, and there is a round for each step k = 0, 1, 2, .. of it.
//! 2. *By address*, on every way. There the number of a step may mean nothing, because no two runs spin, sleep or look
//!    into /proc alike; so nothing is planned, and nothing can be missed: all code of the victim, the crate's, std's and
//!    libc's alike, is breakpoints, but for the instructions in front of which one has been killed already. Each victim
//!    runs to the first of the others, on whatever way it takes, and is killed there; until several in a row come through to
//!    the end, whether the holder relents at once, when the victim sleeps, or when some of its slices are over.
//! 3. *Stepped.* A process that is stepped is a thousand times slower, and takes other ways. So the victim is stepped,
//!    and killed at the first instruction at which none was killed before, until one comes through.
//! 4. *Asleep*, where it sleeps.
//!
//! What a walk through the verb beforehand saw and no victim came by again is counted as missed, and named.
//!
//! [`Sweep::Sample`] is for tests: of the points between which neither a byte of the primitive has changed nor the kernel
//! was called, so that a process killed at either leaves the same behind, it takes the first and the last, and some
//! others.
#![cfg_attr(not(target_arch = "x86_64"), allow(dead_code, unused_imports))]

mod cases;
mod round;
mod stage;
mod text;
mod tracer;
mod verb;
mod way;

use std::fmt;
use std::sync::Mutex;
use std::sync::mpsc;
use std::thread;

/// Up to so many instructions the kill points are counted as steps, too.
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
    /// How many instructions its way takes, if that is short and always the same.
    pub steps: Option<usize>,
    /// How many different instructions were seen on its ways.
    pub addresses: usize,
    /// How many of them only when it was stepped.
    pub slow: usize,
    /// How many victims were killed on their way.
    pub kills: usize,
    /// Instructions that were seen, and where none was killed.
    pub missed: Vec<String>,
    /// The longest that the survivors took to come to an end, in nanoseconds.
    pub slowest: u64,
    /// Hangs and broken promises, in words.
    pub failures: Vec<String>,
}

impl fmt::Display for Swept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, addresses, slow, kills, .. } = self;
        let steps = self.steps.map_or_else(|| String::from("-"), |steps| steps.to_string());
        let (missed, slowest) = (self.missed.len(), self.slowest as f64 / 1e6);
        write!(
            f,
            "{name:62} {steps:>5} steps, {addresses:>5} addresses ({slow} stepped), {kills:>5} kills, {missed} missed, {slowest:5.1} ms"
        )?;
        self.missed.iter().try_for_each(|missed| write!(f, "\n  missed: {missed}"))?;
        self.failures.iter().try_for_each(|failure| write!(f, "\n  FAILED: {failure}"))
    }
}

/// The verbs, each with the state that it meets and the backend.
#[must_use]
pub fn names() -> Vec<String> {
    cases::all().into_iter().map(|case| case.name).collect()
}

/// Sweeps those that are `wanted`, so many at a time, and tells of each as it is done. Most of a round is waiting.
pub fn run(wanted: impl Fn(&str) -> bool, sweep: Sweep, at_a_time: usize, mut told: impl FnMut(Swept)) {
    let cases = cases::all().into_iter().filter(|case| wanted(&case.name)).collect::<Vec<_>>();
    let cases = &Mutex::new(cases.into_iter());
    let (done, results) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..at_a_time {
            let done = done.clone();
            scope.spawn(move || {
                let mut text = cases::Text::new();
                let next = || cases.lock().expect("nobody panics here").next();
                while let Some(case) = next() {
                    let swept = Swept { name: case.name, ..(case.sweep)(&mut text, sweep) };
                    done.send(swept).expect("somebody listens");
                }
            });
        }
        drop(done);
        results.iter().for_each(&mut told);
    });
}
