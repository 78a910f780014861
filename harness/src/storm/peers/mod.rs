//! The same storm against `sem_t` and robust pthread objects: how many kills until it hangs.
//!
//! Each rig is the least that people build of the thing, used as its manual says: workers that go in and out, one of them
//! killed at random every 0.1 to 3 ms, another in its place. It hangs when nobody, or one of those that are never killed,
//! goes on for [`Options::bound`]. Beside each stands the same rig on shmsync.

mod ours;
mod pthread;
mod sem;

use super::Options;
use crate::crew::Padded;
use crate::process::{self, Child};
use crate::region::Region;
use crate::work;
use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::{Duration, Instant};

/// Permits of a pool.
const PERMITS: u32 = 4;

/// Something to be stormed.
trait Rig: Sync {
    /// For people.
    const NAME: &'static str;

    /// A fresh one, not yet in its place.
    fn new() -> Self;

    /// Initialises it in its place, where nobody uses it yet.
    fn init(&self) {}

    /// Goes in, stays for a while, and out again.
    fn visit(&self, dice: &mut fastrand::Rng);
}

/// One storm over one rig.
#[derive(Debug, Clone)]
pub struct Run {
    /// Kills until it hung, or until the end.
    pub kills: u64,
    /// Visits that came to an end.
    pub ops: u64,
    /// What hung; `None` if nothing did.
    pub hang: Option<String>,
}

/// All storms over one rig.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The rig.
    pub name: &'static str,
    /// In the order in which they were done.
    pub runs: Vec<Run>,
}

impl Outcome {
    /// The median number of kills until it hung, and whether it hung at all in the run that it comes from.
    #[must_use]
    pub fn median(&self) -> (u64, bool) {
        let mut runs: Vec<_> = self.runs.iter().map(|run| (run.kills, run.hang.is_some())).collect();
        runs.sort_unstable();
        runs[runs.len() / 2]
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hung = self.runs.iter().filter(|run| run.hang.is_some()).count();
        let kills: Vec<String> = self.runs.iter().map(|run| run.kills.to_string()).collect();
        let verdict = match self.median() {
            (kills, true) => format!("hangs after {kills} kills (median)"),
            (kills, false) => format!("no hang in {kills} kills (median)"),
        };
        write!(f, "{:34} {verdict:36} {hung} of {} runs hung: {}", self.name, self.runs.len(), kills.join(", "))?;
        let how = self.runs.iter().find_map(|run| run.hang.as_ref());
        how.map_or(Ok(()), |how| write!(f, "; {how}"))
    }
}

/// Whom to storm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// `sem_t`.
    SemT,
    /// A robust mutex, with a condition, and a barrier.
    PthreadRobust,
}

/// Storms every rig of a peer, and after each the same on shmsync, `runs` times. Each run is as long as the options say.
///
/// # Errors
/// There is no shared memory.
pub fn run(peer: Peer, options: &Options, runs: u64, mut done: impl FnMut(&Outcome)) -> Result<Vec<Outcome>, String> {
    let mut outcomes = Vec::new();
    let mut add = |outcome: Result<Outcome, String>| -> Result<(), String> {
        let outcome = outcome?;
        done(&outcome);
        outcomes.push(outcome);
        Ok(())
    };
    match peer {
        Peer::SemT => {
            add(storms::<sem::Lock>(options, runs))?;
            add(storms::<ours::Lock>(options, runs))?;
            add(storms::<sem::Pool>(options, runs))?;
            add(storms::<ours::Pool>(options, runs))?;
        }
        Peer::PthreadRobust => {
            add(storms::<pthread::Robust>(options, runs))?;
            add(storms::<ours::Mutex>(options, runs))?;
            add(storms::<pthread::Monitor>(options, runs))?;
            add(storms::<ours::Monitor>(options, runs))?;
            add(storms::<pthread::Barrier>(options, runs))?;
            add(storms::<ours::Barrier>(options, runs))?;
        }
    }
    Ok(outcomes)
}

fn storms<R: Rig>(options: &Options, runs: u64) -> Result<Outcome, String> {
    let runs = (0..runs).map(|run| storm::<R>(&Options { seed: options.seed + run, ..*options }));
    Ok(Outcome { name: R::NAME, runs: runs.collect::<Result<_, _>>()? })
}

struct Site<R> {
    rig: R,
    beats: [Padded<AtomicU64>; super::MAX_WORKERS],
}

fn storm<R: Rig>(options: &Options) -> Result<Run, String> {
    let beats = std::array::from_fn(|_| Padded(AtomicU64::new(0)));
    let site = Region::new(Site { rig: R::new(), beats });
    let site = site.map_err(|error| format!("no shared memory: {error}"))?;
    site.rig.init();
    let mut dice = fastrand::Rng::with_seed(options.seed);
    let hire = |index: usize, seed| {
        let site = &site;
        process::fork(move || {
            let mut dice = fastrand::Rng::with_seed(seed);
            loop {
                site.rig.visit(&mut dice);
                site.beats[index].0.fetch_add(1, Relaxed);
            }
        })
    };
    let mut team: Vec<Child> = (0..options.workers).map(|index| hire(index, dice.u64(..))).collect();
    let veterans = (options.workers / 4).max(1);
    let start = Instant::now();
    let mut known: Vec<(u64, Instant)> = vec![(u64::MAX, start); veterans];
    let mut kills = 0;
    let mut hang = None;
    while hang.is_none() && kills < options.kills && start.elapsed() < options.time {
        thread::sleep(Duration::from_micros(dice.u64(100..3000)));
        let index = dice.usize(veterans..options.workers);
        team[index].kill();
        team[index] = hire(index, dice.u64(..));
        kills += 1;
        // Those that are killed come and go; the veterans are asked whether they still do.
        loop {
            let now = Instant::now();
            for (known, beats) in known.iter_mut().zip(&site.beats) {
                let beats = beats.0.load(Relaxed);
                if known.0 != beats {
                    *known = (beats, now);
                }
            }
            let stuck = known.iter().map(|known| now.duration_since(known.1)).max().unwrap_or_default();
            if stuck > options.bound {
                hang = Some(how(&known, options.bound));
            }
            // No kills while somebody might be hanging: so the count says after which one it did.
            if hang.is_some() || stuck < SUSPICIOUS {
                break;
            }
            thread::sleep(Duration::from_millis(1));
        }
    }
    let ops = site.beats.iter().map(|beats| beats.0.load(Relaxed)).sum();
    Ok(Run { kills, ops, hang })
}

/// A visit that takes so long waits for something that may never come.
const SUSPICIOUS: Duration = Duration::from_millis(50);

fn how(known: &[(u64, Instant)], bound: Duration) -> String {
    let stuck = known.iter().filter(|known| known.1.elapsed() > bound).count();
    format!("{stuck} of {} bystanders stuck for {bound:?}", known.len())
}

/// What is done inside: mostly little, sometimes with a sleep, so that deaths inside are not rare.
fn section(dice: &mut fastrand::Rng) {
    match dice.u32(0..8) {
        0..6 => work::run(dice.u64(50..3000)),
        6 => thread::yield_now(),
        _ => thread::sleep(Duration::from_micros(dice.u64(20..200))),
    }
}
