//! All rounds of one verb: find the kill points, kill at each.
#![cfg(target_arch = "x86_64")]

use super::cases::Script;
use super::stage::{BOUND, Stage, is_asleep};
use super::tracer::{Stop, Victim, is_syscall};
use super::{SHORT, Sweep, Swept};
use std::collections::HashSet;
use std::fmt::Debug;
use std::time::{Duration, Instant};

/// So many times the victim may sleep out a slice before the holder relents.
const SLICES: u32 = 3;
/// And so many instructions it may take: who is stepped is so slow that each of its slices is over before it could sleep.
const PATIENT_STEPS: usize = 12_000;
/// A step that takes longer may be a sleep.
const NAP: Duration = Duration::from_micros(500);
/// In a round with a breakpoint: when the holder relents, so that the victim sees some slices end, and then gets what it
/// waits for.
const PATIENCE: Duration = Duration::from_millis(5);
/// Nothing takes so many instructions.
const ENDLESS: usize = 400_000;
const TRIES: u32 = 3;
/// Then the rest of the verb is not worth waiting for.
const MOST_FAILURES: usize = 3;

#[derive(Debug, Clone, Copy)]
enum Point {
    /// After so many instructions.
    Step(usize),
    /// In front of this address, the first time.
    Address(usize),
    /// The same, but stepped until there: as slowly as when the way was found.
    SteppedTo(usize),
    /// In its sleep.
    Asleep,
}

/// The way of a verb: each instruction's address, and whether anything outside the process was different after it.
struct Way {
    steps: Vec<(usize, bool)>,
    /// It slept on it.
    slept: bool,
    /// Another time it went another way.
    varies: bool,
}

pub(super) fn sweep<T: Sync + Debug>(script: Script<T>, sweep: Sweep) -> Swept {
    let mut swept = Swept::default();
    let mut stage = Stage::new(script);
    let way = match discover(&mut stage).and_then(|way| way.or_another(&mut stage)) {
        Ok(way) => way,
        Err(what) => {
            swept.failures.push(format!("finding the way: {what}"));
            return swept;
        }
    };
    let points = way.points(sweep);
    (swept.steps, swept.points, swept.by_address) = (way.steps.len(), way.all().len(), way.is_long());
    for point in points {
        let mut reached = false;
        for number in 1..=TRIES {
            let point = match point {
                Point::Address(address) if number == TRIES && sweep == Sweep::Everything => Point::SteppedTo(address),
                other => other,
            };
            match kill_at(&mut stage, point) {
                Ok(Some(took)) => {
                    swept.kills += 1;
                    swept.slowest = swept.slowest.max(took.as_nanos() as u64);
                    reached = true;
                }
                Ok(None) => {}
                Err(what) => {
                    swept.failures.push(format!("killed at {point:x?}: {what}"));
                    stage = Stage::new(script);
                    reached = true;
                }
            }
            if reached {
                break;
            }
        }
        swept.missed += usize::from(!reached);
        if swept.failures.len() >= MOST_FAILURES {
            break;
        }
    }
    swept
}

fn enter<T: Sync + Debug>(stage: &mut Stage<T>) -> Result<Victim, String> {
    stage.set()?;
    let (script, thing) = (*stage.script(), stage.thing());
    let victim = Victim::new(|| (script.prepare)(thing), || (script.verb)(thing))?;
    stage.put_to_sleep()?;
    Ok(victim)
}

/// Steps through the verb once.
fn discover<T: Sync + Debug>(stage: &mut Stage<T>) -> Result<Way, String> {
    let mut victim = enter(stage)?;
    let mut way = Vec::new();
    let (mut naps, mut before) = (0, stage.bytes());
    let mut at = 0;
    while way.len() < ENDLESS {
        if way.len() == PATIENT_STEPS {
            stage.relent();
        }
        let mut stop = victim.step(Some(NAP)).map_err(|what| format!("{what} {}", victim.last_words()))?;
        while stop == Stop::Running {
            // Not, on a busy machine, waiting for its turn.
            naps += u32::from(is_asleep(victim.pid()));
            if naps >= SLICES {
                stage.relent();
            }
            stop = victim.after_step(Some(NAP * 4))?;
        }
        let now = stage.bytes();
        let changed = now != before || at != 0 && is_syscall(at);
        before = now;
        way.push((at, changed));
        match stop {
            Stop::At(next) => at = next,
            _ => {
                victim.kill();
                stage.play_to_the_end()?;
                return Ok(Way { steps: way, slept: naps > 0, varies: false });
            }
        }
    }
    Err(format!("no end after {ENDLESS} instructions"))
}

/// One round. `None`: the victim did not come by there.
fn kill_at<T: Sync + Debug>(stage: &mut Stage<T>, point: Point) -> Result<Option<Duration>, String> {
    let mut victim = enter(stage)?;
    let reached = match point {
        Point::Step(steps) => {
            let mut stop = Stop::Running;
            for _ in 0..steps {
                stop = victim.step(Some(PATIENCE))?;
                if stop == Stop::Running {
                    stage.relent();
                    stop = victim.after_step(None)?;
                }
                if stop == Stop::End {
                    break;
                }
            }
            stop != Stop::End
        }
        Point::Address(address) => {
            victim.go_on_to(address)?;
            let mut stop = victim.await_stop(PATIENCE)?;
            // Not before it waits: a notification that comes earlier is not meant for it.
            let deadline = Instant::now() + BOUND;
            while stop == Stop::Running && !is_asleep(victim.pid()) && Instant::now() < deadline {
                stop = victim.await_stop(PATIENCE)?;
            }
            if stop == Stop::Running {
                stage.relent();
                stop = victim.await_stop(BOUND)?;
            }
            if stop == Stop::Running {
                return Err(String::from("the victim itself hangs"));
            }
            stop != Stop::End
        }
        Point::SteppedTo(address) => {
            let mut stop = Stop::Running;
            for steps in 0..ENDLESS {
                if steps == PATIENT_STEPS || stop == Stop::Running && steps > 0 {
                    stage.relent();
                }
                stop = match stop {
                    Stop::Running if steps > 0 => victim.after_step(Some(BOUND))?,
                    _ => victim.step(Some(PATIENCE))?,
                };
                if stop == Stop::End || stop == Stop::At(address) {
                    break;
                }
            }
            stop == Stop::At(address)
        }
        Point::Asleep => {
            victim.go_on_to_the_end()?;
            let deadline = Instant::now() + PATIENCE;
            while !is_asleep(victim.pid()) && Instant::now() < deadline {}
            is_asleep(victim.pid())
        }
    };
    victim.kill();
    // Every second one is reaped before the others look at it.
    if stage.round % 2 == 0 {
        drop(victim);
    }
    let took = stage.play_to_the_end()?;
    Ok(reached.then_some(took))
}

impl Way {
    /// Goes a short way once more: only if it is the same can its steps be counted. What only the other went is added.
    fn or_another<T: Sync + Debug>(mut self, stage: &mut Stage<T>) -> Result<Self, String> {
        if !self.is_long() {
            let other = discover(stage)?;
            if !other.steps.iter().map(|step| step.0).eq(self.steps.iter().map(|step| step.0)) {
                self.steps.extend(other.steps.into_iter().skip(1));
                (self.slept, self.varies) = (other.slept, true);
            }
        }
        Ok(self)
    }

    fn is_long(&self) -> bool {
        self.slept || self.varies || self.steps.len() > SHORT
    }

    fn all(&self) -> Vec<(Point, bool)> {
        if !self.is_long() {
            // Killed after k instructions; at the last one the verb has returned.
            return self.steps.iter().enumerate().map(|(k, &(_, changed))| (Point::Step(k), changed)).collect();
        }
        let mut seen = HashSet::new();
        let mut points: Vec<_> = self.slept.then_some((Point::Asleep, true)).into_iter().collect();
        let mut pending = true;
        for &(address, changed) in self.steps.iter().skip(1) {
            pending |= changed;
            if seen.insert(address) {
                points.push((Point::Address(address), pending));
                pending = false;
            }
        }
        points
    }

    fn points(&self, sweep: Sweep) -> Vec<Point> {
        let all = self.all();
        let Sweep::Sample(some) = sweep else { return all.into_iter().map(|(point, _)| point).collect() };
        let every = (all.len() / some).max(1);
        let matters = |i: usize| all[i].1 || all.get(i + 1).is_some_and(|next| next.1);
        (0..all.len()).filter(|&i| matters(i) || i % every == 0).map(|i| all[i].0).collect()
    }
}
