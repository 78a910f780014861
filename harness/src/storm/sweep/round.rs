//! One round: the victim comes to the kill point, in one way or another, and is killed there.
#![cfg(target_arch = "x86_64")]

use super::stage::{BOUND, Stage, is_asleep};
use super::text::{self, Text};
use super::tracer::{Stop, Victim};
use std::fmt::Debug;
use std::time::{Duration, Instant};

/// A step that takes longer may be a sleep.
const NAP: Duration = Duration::from_millis(5);
/// So many instructions a stepped victim may take before the holder relents.
const PATIENT_STEPS: usize = 12_000;
/// Nothing takes so many instructions, but a wait whose slices are over before it sleeps, because it is stepped.
const ENDLESS: usize = 100_000;

/// When the holder relents, so that the victim gets what it waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Relent {
    /// At once: the victim may get it without having slept.
    AtOnce,
    /// After this time, and not before it sleeps: a notification that comes earlier is not meant for it.
    After(Duration),
}

/// The victim sleeps, and is woken.
pub(super) const SOON: Relent = Relent::After(Duration::from_millis(1));
/// It sleeps, and sees some slices end.
pub(super) const LATE: Relent = Relent::After(Duration::from_millis(12));

/// Where the victim was killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Death {
    At(usize),
    Asleep,
    /// It had come through to the end of its verb, if it was not waiting still for what had come before it.
    Afterwards,
}

/// And how long the survivors took then.
pub(super) type Killed = Result<(Death, Duration), String>;

/// The victim on its way, on a stage.
pub(super) struct Round<'a, T> {
    pub(super) stage: &'a mut Stage<T>,
    pub(super) victim: Victim,
    began: Instant,
}

impl<'a, T: Sync + Debug> Round<'a, T> {
    /// Everything fresh, the holder holds, the sleeper sleeps, and the victim stands in front of its verb.
    pub(super) fn begin(stage: &'a mut Stage<T>) -> Result<Self, String> {
        stage.set()?;
        let (script, thing) = (*stage.script(), stage.thing());
        let victim = Victim::new(|| (script.prepare)(thing), || (script.verb)(thing))?;
        stage.put_to_sleep()?;
        Ok(Self { stage, victim, began: Instant::now() })
    }

    pub(super) fn has_taken(&self) -> Duration {
        self.began.elapsed()
    }

    /// Kills the victim where it stands; all others must come to an end.
    pub(super) fn kill(self, at: Death) -> Killed {
        let Self { stage, mut victim, .. } = self;
        victim.kill();
        // Every second one is reaped before the others look at it.
        let zombie = (stage.round % 2 == 1).then_some(victim);
        let took = stage.play_to_the_end();
        drop(zombie);
        match (took, at) {
            (Ok(took), _) => Ok((at, took)),
            (Err(what), Death::At(address)) => Err(format!("killed in front of {}: {what}", text::name(address))),
            (Err(what), _) => Err(format!("killed {at:?}: {what}")),
        }
    }

    /// Lets it run to the next breakpoint, or to the end of its verb; the holder relents when it is time.
    pub(super) fn run(&self, relent: Relent) -> Result<Stop, String> {
        self.victim.go_on()?;
        let Relent::After(patience) = relent else {
            self.stage.relent();
            // If it missed what it waits for, it does not come to an end.
            return self.victim.await_breakpoint(Duration::from_millis(50));
        };
        while !self.stage.has_relented() {
            let left = patience.saturating_sub(self.began.elapsed()).max(Duration::from_micros(500));
            let stop = self.victim.await_breakpoint(left)?;
            if stop != Stop::Running {
                return Ok(stop);
            }
            let waits = self.began.elapsed() >= patience && is_asleep(self.victim.pid());
            if waits || self.began.elapsed() > BOUND {
                self.stage.relent();
            }
        }
        match self.victim.await_breakpoint(BOUND)? {
            Stop::Running => Err(String::from("the victim itself hangs")),
            stop => Ok(stop),
        }
    }

    /// One instruction; the holder relents if the victim sleeps on it.
    pub(super) fn step(&self) -> Result<Stop, String> {
        let stop = self.victim.step(NAP)?;
        if stop != Stop::Running {
            return Ok(stop);
        }
        self.stage.relent();
        match self.victim.after_step(Some(BOUND))? {
            Stop::Running => Err(String::from("the victim itself hangs")),
            stop => Ok(stop),
        }
    }
}

/// Killed in front of the `k`-th instruction of its way: run to one that comes for the first time, and stepped from there.
pub(super) fn at_step<T: Sync + Debug>(stage: &mut Stage<T>, way: &[usize], k: usize) -> Killed {
    let round = Round::begin(stage)?;
    let from = (0..=k).rev().find(|&i| !way[..i].contains(&way[i])).unwrap_or(0);
    round.victim.plant(way[from])?;
    let mut stop = round.run(SOON)?;
    if stop != Stop::End {
        round.victim.restore(way[from])?;
    }
    for _ in from..k {
        if stop != Stop::End {
            stop = round.step()?;
        }
    }
    round.kill(match stop {
        Stop::At(address) => Death::At(address),
        _ => Death::Afterwards,
    })
}

/// Killed in front of this address, the first time it comes by.
pub(super) fn at_address<T: Sync + Debug>(stage: &mut Stage<T>, address: usize) -> Killed {
    let round = Round::begin(stage)?;
    round.victim.plant(address)?;
    match round.run(SOON)? {
        Stop::At(address) => round.kill(Death::At(address)),
        _ => round.kill(Death::Afterwards),
    }
}

/// Killed in front of the first instruction that has not been passed, which then has been.
pub(super) fn at_next<T: Sync + Debug>(stage: &mut Stage<T>, text: &mut Text, relent: Relent, all: bool) -> Killed {
    let round = Round::begin(stage)?;
    round.victim.lay(text, all)?;
    match round.run(relent)? {
        Stop::At(address) => {
            text.pass(address);
            round.kill(Death::At(address))
        }
        _ => round.kill(Death::Afterwards),
    }
}

/// The same, but stepped until there: it is so slow then that it takes other ways.
pub(super) fn at_next_stepped<T: Sync + Debug>(stage: &mut Stage<T>, text: &mut Text) -> Killed {
    let round = Round::begin(stage)?;
    for steps in 0..ENDLESS {
        if steps == PATIENT_STEPS {
            round.stage.relent();
        }
        match round.step()? {
            Stop::At(address) if text.has_passed(address) => {}
            Stop::At(address) => {
                text.pass(address);
                return round.kill(Death::At(address));
            }
            _ => return round.kill(Death::Afterwards),
        }
    }
    // So slow, the slices of its wait are over before it sleeps, and it would go round and round.
    round.kill(Death::Afterwards)
}

/// Killed in its sleep.
pub(super) fn asleep<T: Sync + Debug>(stage: &mut Stage<T>) -> Killed {
    let round = Round::begin(stage)?;
    round.victim.go_on()?;
    while round.began.elapsed() < BOUND {
        if is_asleep(round.victim.pid()) {
            return round.kill(Death::Asleep);
        }
    }
    round.kill(Death::Afterwards)
}
