//! All rounds of one verb.
#![cfg(target_arch = "x86_64")]

use super::cases::Script;
use super::round::{self, Death, Killed, LATE, Relent, SOON};
use super::stage::Stage;
use super::text::{self, Text};
use super::way::{self, Place};
use super::{Sweep, Swept};
use std::fmt::Debug;
use std::time::{Duration, Instant};

/// How long victims are stepped. One that waits without end comes to all that a waiter does between two slices, at some
/// tenths of a second for each instruction; other verbs have that, too.
const STEPPED: Duration = Duration::from_secs(20);

/// Then the rest of the verb is not worth waiting for.
const MOST_FAILURES: usize = 3;
/// So many victims in a row must come through to the end, for each moment at which the holder may relent.
const QUIET: u32 = 3;
/// In a sample: so often an address is tried.
const TRIES: u32 = 3;

pub(super) fn sweep<T: Sync + Debug>(script: Script<T>, text: &mut Text, sweep: Sweep) -> Swept {
    let mut verb = Verb { script, stage: Stage::new(script), text, swept: Swept::default() };
    verb.text.forget();
    if let Err(what) = verb.sweep(sweep) {
        verb.swept.failures.push(format!("finding the way: {what}"));
    }
    verb.swept
}

struct Verb<'a, T> {
    script: Script<T>,
    stage: Stage<T>,
    text: &'a mut Text,
    swept: Swept,
}

impl<T: Sync + Debug> Verb<'_, T> {
    fn sweep(&mut self, sweep: Sweep) -> Result<(), String> {
        let waits = way::waits(&mut self.stage)?;
        if waits {
            self.asleep();
        }
        if let Sweep::Sample(some) = sweep {
            return self.sample(some);
        }
        // No walk beforehand: what is only seen, and not died at, might not come again. (Where malloc goes depends on what
        // the tracer, whose fork the victim is, had freed before.)
        let steps = if waits { None } else { self.steps()? };
        self.swept.steps = steps.as_ref().map(Vec::len);
        let steps = steps.unwrap_or_default();
        self.each_step(&steps);
        self.each_address(waits);
        self.swept.missed = self.not_passed(&steps);
        self.swept.addresses = self.text.passed() + self.swept.missed.len();
        Ok(())
    }

    /// The steps of a short way, if they are the same twice.
    fn steps(&mut self) -> Result<Option<Vec<Place>>, String> {
        let addresses = |way: &[Place]| way.iter().map(|place| place.0).collect::<Vec<_>>();
        let (one, other) = (way::steps(&mut self.stage)?, way::steps(&mut self.stage)?);
        Ok(one.filter(|one| other.is_some_and(|other| addresses(one) == addresses(&other))))
    }

    fn each_step(&mut self, steps: &[Place]) {
        let way: Vec<usize> = steps.iter().map(|step| step.0).collect();
        for k in 0..way.len() {
            if let Some(Death::At(address)) = self.killed(|stage| round::at_step(stage, &way, k)) {
                self.text.pass(address);
            }
        }
    }

    /// The closure: a victim runs to the first instruction at which none was killed yet, and is killed there; until one
    /// after the other comes through.
    fn each_address(&mut self, waits: bool) {
        // To who does not wait it is all one.
        let relents = [SOON, LATE, Relent::AtOnce];
        for &relent in if waits { &relents } else { &relents[..1] } {
            let (mut quiet, mut everywhere) = (0, false);
            while quiet < QUIET && !self.is_hopeless() {
                let text = &mut *self.text;
                match killed(&mut self.swept, round::at_next(&mut self.stage, text, relent, everywhere)) {
                    Some(Death::At(_)) => (quiet, everywhere) = (0, false),
                    Some(_) if everywhere => quiet += 1,
                    Some(_) => everywhere = true,
                    None => self.stage = Stage::new(self.script),
                }
            }
        }
        let began = Instant::now();
        loop {
            if self.is_hopeless() {
                return;
            }
            if began.elapsed() > STEPPED {
                self.swept
                    .missed
                    .push(String::from("others, to which only a stepped victim comes: there was no more time"));
                return;
            }
            match killed(&mut self.swept, round::at_next_stepped(&mut self.stage, self.text)) {
                Some(Death::At(_)) => self.swept.slow += 1,
                Some(_) => return,
                None => self.stage = Stage::new(self.script),
            }
        }
    }

    fn asleep(&mut self) {
        for _ in 0..2 {
            self.killed(round::asleep);
        }
    }

    fn sample(&mut self, some: usize) -> Result<(), String> {
        let places = way::walk(&mut self.stage, self.text)?;
        self.swept.addresses = places.len();
        for i in chosen(&places, some) {
            let address = places[i].0;
            let mut tries = 0..TRIES;
            // A failed one is told already.
            let came_by = |death| !matches!(death, Some(Death::Asleep | Death::Afterwards));
            if !tries.any(|_| came_by(self.killed(|stage| round::at_address(stage, address)))) {
                self.swept.missed.push(text::name(address));
            }
        }
        Ok(())
    }

    /// Plays a round. `None` if it failed.
    fn killed(&mut self, round: impl FnOnce(&mut Stage<T>) -> Killed) -> Option<Death> {
        if self.is_hopeless() {
            return None;
        }
        let death = killed(&mut self.swept, round(&mut self.stage));
        if death.is_none() {
            self.stage = Stage::new(self.script);
        }
        death
    }

    fn is_hopeless(&self) -> bool {
        self.swept.failures.len() >= MOST_FAILURES
    }

    fn not_passed(&self, places: &[Place]) -> Vec<String> {
        places.iter().filter(|place| !self.text.has_passed(place.0)).map(|place| text::name(place.0)).collect()
    }
}

/// Writes down what came of a round.
fn killed(swept: &mut Swept, killed: Killed) -> Option<Death> {
    match killed {
        Ok((death, took)) => {
            swept.kills += usize::from(death != Death::Afterwards);
            swept.slowest = swept.slowest.max(took.as_nanos() as u64);
            Some(death)
        }
        Err(what) => {
            swept.failures.push(what);
            None
        }
    }
}

/// The first and the last of the places between which nothing changes, and some others.
fn chosen(places: &[Place], some: usize) -> impl Iterator<Item = usize> + use<'_> {
    let every = (places.len() / some).max(1);
    let matters = move |i: usize| places[i].1 || places.get(i + 1).is_some_and(|next| next.1);
    (0..places.len()).filter(move |&i| matters(i) || i % every == 0)
}
