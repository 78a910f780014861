//! The crew at work, watched: each step is compared with what the reference allows.
//!
//! A step gives one thread something to do. Then whatever can come of it must come: the stage waits until that thread has
//! answered or sleeps, and all others sleep, until nobody is left who ought to answer, and until what can be read of the objects is as the
//! reference says. Where this may go several ways, the reference goes them all, and stays on those that explain what was
//! seen. No pause decides whether somebody is blocked: that a thread sleeps is asked of the kernel.

use std::fmt::Write;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use shmsync::Shared;
use shmsync::wait::Wait;
use shmsync_harness::process::{Watchdog, watchdog};

use crate::crew::Member;
use crate::faults::Fault;
use crate::model::*;
use crate::seen::Seen;
use crate::verb::*;
use crate::world::World;

/// How long the caches of liveness believe that somebody lives, and a bit.
const BELIEVED: Duration = Duration::from_millis(2);

/// Well below the tenth of a second after which a condition takes a signal for a dead one's.
const GRACE: Duration = Duration::from_millis(60);

/// Who has just gone to sleep and is not woken looks for itself after 12 ms. Half of that is far more than a wake takes.
const LATE: Duration = Duration::from_millis(6);

pub struct Stage<W: Wait, const R: usize> {
    world: Arc<Shared<World<W, R>>>,
    crew: Vec<Member>,
    processes: bool,
    /// All that may be the case.
    models: Vec<Model>,
    fault: Fault,
    patience: Duration,
    notified: Option<Instant>,
    log: String,
    pub steps: u32,
    /// Steps for which somebody should have been woken, and came late.
    late: Vec<u32>,
    _watchdog: Watchdog,
}

impl<W: Wait, const R: usize> Stage<W, R> {
    /// `patience` is how long what must come may take.
    pub fn new(model: Model, fault: Fault, patience: Duration) -> Self {
        let world = Shared::anonymous(World::new(&model.terms)).expect("a region");
        let mut stage = Self {
            world: Arc::new(world),
            crew: Vec::new(),
            processes: model.terms.processes,
            models: vec![model],
            fault,
            patience,
            notified: None,
            log: String::new(),
            steps: 0,
            late: Vec::new(),
            _watchdog: watchdog(Duration::from_secs(120), "a random program"),
        };
        stage.crew = (0..ALL).map(|_| Member::hire(&stage.world, fault, stage.processes)).collect();
        stage
    }

    /// Has `who` do `verb`, if that makes sense as things are; else it does nothing.
    pub fn step(&mut self, who: usize, verb: Verb) {
        if !self.models.iter().all(|model| model.allows(who, verb)) {
            return;
        }
        self.steps += 1;
        let _ = write!(self.log, "\n  {who} {verb:?}");
        if matches!(verb, Verb::Notify(..) | Verb::NotifyOnUnlock(..)) {
            self.notified = Some(Instant::now());
        }
        self.models.iter_mut().for_each(|model| model.call(who, verb));
        let dies = matches!(verb, Verb::Die | Verb::Kill | Verb::CallEnd(End::Dies));
        if verb == Verb::Kill {
            self.crew[who].kill();
            self.settle(who, vec![(who, Said::Gone)], dies);
        } else {
            self.crew[who].told(verb);
            self.settle(who, Vec::new(), dies);
        }
    }

    /// Waits until all is as it may be; panics where it is not in time.
    fn settle(&mut self, called: usize, mut heard: Vec<(usize, Said)>, dies: bool) {
        let began = Instant::now();
        let deadline = began + self.patience;
        let mut late = Vec::new();
        let mut explained = explain(&self.models, &heard, false);
        let mut buried = !dies;
        loop {
            // Before what is heard is read: who sleeps then has said all that it had to say. And whoever was woken runs.
            let asleep = self.crew.iter().all(Member::is_asleep);
            let news: Vec<_> = (0..ALL).filter_map(|who| Some((who, self.crew[who].heard()?))).collect();
            let quiet = asleep && news.is_empty();
            for message in news {
                let _ = write!(self.log, "  [{} {:?}]", message.0, message.1);
                let grace_is_over = self.notified.is_some_and(|then| then.elapsed() > GRACE);
                if message.1 == Said::Told(true) && began.elapsed() > LATE && !dies && !grace_is_over {
                    late.push(message.0);
                }
                heard.push(message);
                explained = explain(&self.models, &heard, grace_is_over);
            }
            if !buried && heard.iter().any(|&(who, _)| who == called) {
                self.replace(called, deadline);
                buried = true;
            } else if quiet {
                let seen = Seen::of(&self.world, |tid| self.crew.iter().position(|member| member.tid == tid));
                // Another way that things may be is not refuted because nothing comes: a circle is found out at the end of a
                // slice, and so is a wake that a guard still owes.
                let fitting: Vec<_> = explained.iter().filter(|model| seen.fits(model)).collect();
                let (settled, others): (Vec<_>, Vec<_>) = fitting.into_iter().partition(|model| model.is_settled());
                if !settled.is_empty() {
                    let fitting = [settled, others].concat();
                    if late.iter().any(|&who| self.was_to_be_woken(who, &fitting)) {
                        self.late.push(self.steps);
                    }
                    self.models = fitting.into_iter().cloned().collect();
                    return;
                }
                if Instant::now() > deadline {
                    self.fail(&heard, &explained, &seen);
                }
            }
            thread::sleep(Duration::from_micros(20));
            assert!(Instant::now() < deadline + self.patience, "somebody neither answers nor sleeps:{}", self.log);
        }
    }

    /// Whether a condition's waiter that is back had been notified, and no guard stood between.
    fn was_to_be_woken(&self, who: usize, after: &[&Model]) -> bool {
        self.models.iter().all(|model| match &model.calls[who] {
            Some(call) if let Verb::Wait(_, at, _) = call.verb => {
                !call.is_excused && !after.iter().any(|model| model.is_owed(at))
            }
            _ => false,
        })
    }

    /// Waits until the kernel knows the thread no more, and everybody may know of it; and hires another.
    fn replace(&mut self, who: usize, deadline: Instant) {
        while !self.crew[who].is_over() {
            assert!(Instant::now() < deadline, "{who} does not end:{}", self.log);
            thread::yield_now();
        }
        thread::sleep(BELIEVED);
        self.crew[who] = Member::hire(&self.world, self.fault, self.processes);
    }

    fn fail(&self, heard: &[(usize, Said)], explained: &[Model], seen: &Seen) -> ! {
        let why = match explained {
            [] => "nothing explains what was said".into(),
            _ if explained.iter().all(|model| !model.is_settled()) => {
                let who = |model: &Model| (0..ALL).filter(|&who| model.calls[who].is_some()).collect::<Vec<_>>();
                format!("somebody ought to get on: one of {:?}", explained.iter().map(who).collect::<Vec<_>>())
            }
            _ => "the objects are not as they should be".into(),
        };
        panic!("{why}\nprogram:{}\nheard: {heard:?}\nseen: {seen:?}\nbefore: {:?}", self.log, self.models)
    }

    /// Ends the program: everybody lets go, and whoever waits is given what it waits for. Nobody may be left. How many steps
    /// there were before, and those after which somebody came late.
    pub fn finish(mut self) -> (u32, Vec<u32>) {
        let steps = self.steps;
        for _ in 0..100 {
            let model = self.models[0].clone();
            if model.calls.iter().all(Option::is_none) && !(0..ALL).any(|who| model.holds(who)) {
                return (steps, self.late);
            }
            self.clean_up(&model);
        }
        panic!("no end:{}", self.log);
    }

    fn clean_up(&mut self, model: &Model) {
        // Who waits for a lock of its own that nobody else may release is only helped by time.
        if model.calls.iter().flatten().any(|call| call.verb.how() == How::Soon) {
            self.step(STEWARD, Verb::Rest);
        }
        for who in 0..CREW {
            let holds = |holder: Option<Holder>| holder == Some(Holder::Alive(who));
            if holds(model.running) {
                self.step(who, Verb::CallEnd(End::Returns));
            } else if model.calls[who].is_none() {
                let guard = |with: With| !model.grips[who][with as usize].is_empty();
                let held = [
                    (guard(With::Lock), Verb::LockDrop { panics: false }),
                    (holds(model.lock), Verb::LockRelease),
                    (guard(With::RLock), Verb::RLockDrop { panics: false }),
                    (holds(model.rlock), Verb::RLockRelease),
                    (guard(With::Mutex), Verb::MutexDrop { panics: false }),
                    (model.reads[who] > 0, Verb::ReadDrop),
                    (holds(model.writer), Verb::WriteDrop { panics: false }),
                    (model.permits.iter().any(|&permit| holds(permit)), Verb::PermitDrop),
                ];
                held.into_iter().filter(|(held, _)| *held).for_each(|(_, verb)| self.step(who, verb));
            }
            match model.calls[who].as_ref().map(|call| call.verb) {
                None => {}
                Some(Verb::Lock(_)) => self.step(STEWARD, Verb::LockRelease),
                Some(Verb::Wait(_, at, _)) => {
                    self.step(STEWARD, Verb::Rest); // It may have to look for itself.
                    self.step(STEWARD, Verb::LockRelease);
                    self.step(STEWARD, Verb::Notify(at, u32::MAX));
                }
                Some(Verb::Sem(_)) => self.step(STEWARD, Verb::SemRelease(1)),
                Some(Verb::Bounded(_)) => self.step(STEWARD, Verb::BoundedRelease(1)),
                Some(Verb::EventWait(_)) => self.step(STEWARD, Verb::EventSet),
                Some(Verb::Meet(_) | Verb::MeetBadly) => self.step(STEWARD, Verb::Abort),
                Some(_) => self.step(STEWARD, Verb::Rest),
            }
        }
    }
}

/// All that may be the case once `heard` was said, in whatever order it came about.
fn explain(from: &[Model], heard: &[(usize, Said)], grace_is_over: bool) -> Vec<Model> {
    let mut known: Vec<(Model, Vec<usize>)> = from.iter().map(|model| (model.clone(), Vec::new())).collect();
    let mut at = 0;
    while at < known.len() {
        let (model, used) = known[at].clone();
        for who in 0..ALL {
            for to in model.moves(who, grace_is_over) {
                let mut used = used.clone();
                if let Some(said) = to.said {
                    // A thread's messages come in their order.
                    let next = (0..heard.len()).find(|message| heard[*message].0 == who && !used.contains(message));
                    match next {
                        Some(message) if heard[message].1 == said => used.push(message),
                        _ => continue,
                    }
                    used.sort_unstable();
                }
                if !known.iter().any(|(model, already)| *model == to.next && *already == used) {
                    known.push((to.next, used));
                }
            }
        }
        at += 1;
    }
    known.into_iter().filter(|(_, used)| used.len() == heard.len()).map(|(model, _)| model).collect()
}
