//! The reference: what holds, who waits for what, and what may come next.
//!
//! It is a machine that may go several ways: where a permit comes and two wait for it, there are two moves. A move either
//! ends a call, which then says something, or is one that nobody sees: a waiter is counted, a signal is taken. Moves that
//! *must* come are those for which nobody has to wait but the library itself; a timeout is one that may.

mod circles;
mod conditions;
mod counted;
mod held;
mod shared;

use crate::verb::*;
pub use conditions::Grip;

/// Those who do what the program says.
pub const CREW: usize = 3;
/// With one more, the steward, who does nothing that waits and cleans up at the end.
pub const ALL: usize = CREW + 1;
pub const STEWARD: usize = CREW;
pub const PERMITS: usize = 2;
pub const CONDITIONS: usize = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    Alive(usize),
    Dead,
    Nobody,
}
use Holder::{Alive, Dead};

/// What a program is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    pub kinds: Vec<Kind>,
    /// The initial values.
    pub permits: u32,
    pub bound: u32,
    pub parties: u32,
    /// Of the backend: only the holder may release a lock.
    pub by_holder_only: bool,
    /// Of the `RwLock`.
    pub slots: usize,
    /// Whether the crew are processes, which can be killed while they wait.
    pub processes: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    pub verb: Verb,
    pub stage: Stage,
    /// Of a wait: a guard that was to wake it was forgotten.
    pub is_excused: bool,
}

/// How far a call has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    Called,
    Waiting,
    /// A writer that has the word and waits for readers to leave.
    Draining,
    /// Arrived at a barrier as which.
    Arrived(u32),
    /// The last to arrive at a barrier, in an action that is going to panic.
    Acting,
    /// Waits for a condition; it held an `RLock` so deep.
    Listening(u32),
    /// Has been notified, or not, and wants its lock back as deep as it was.
    Back(bool, u32),
    /// Will say this.
    Verdict(Said),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    pub terms: Terms,
    pub calls: [Option<Call>; ALL],
    pub lock: Option<Holder>,
    /// Who has which guards of the lock, the rlock and the mutex.
    pub grips: [[Vec<Grip>; 3]; ALL],
    pub rlock: Option<Holder>,
    pub depth: u32,
    pub mutex: Option<Holder>,
    pub mutex_poison: Poison,
    pub mutex_value: u64,
    /// Each condition's notifications that nobody has taken yet, and who may.
    pub signals: [Vec<[bool; ALL]>; CONDITIONS],
    pub writer: Option<Holder>,
    pub inside: bool,
    pub reads: [u32; ALL],
    pub rw_poison: Poison,
    pub rw_value: u64,
    pub sem: u32,
    pub bounded: u32,
    pub permits: [Option<Holder>; PERMITS],
    pub event: bool,
    pub arrived: u32,
    pub broken: bool,
    pub running: Option<Holder>,
    pub once_failed: Poison,
    pub completed: bool,
}

pub struct Move {
    /// `None` where the call goes on.
    pub said: Option<Said>,
    pub must: bool,
    pub next: Model,
}

impl Model {
    pub fn new(terms: Terms) -> Self {
        Self {
            sem: terms.permits,
            bounded: terms.bound,
            terms,
            calls: [const { None }; ALL],
            lock: None,
            grips: Default::default(),
            rlock: None,
            depth: 0,
            mutex: None,
            mutex_poison: Poison::None,
            mutex_value: 0,
            signals: Default::default(),
            writer: None,
            inside: false,
            reads: [0; ALL],
            rw_poison: Poison::None,
            rw_value: 0,
            permits: [None; PERMITS],
            event: false,
            arrived: 0,
            broken: false,
            running: None,
            once_failed: Poison::None,
            completed: false,
        }
    }

    pub fn call(&mut self, who: usize, verb: Verb) {
        self.calls[who] = Some(Call { verb, stage: Stage::Called, is_excused: false });
    }

    /// What `who` may do next, of itself.
    pub fn moves(&self, who: usize, grace_is_over: bool) -> Vec<Move> {
        let Some(Call { verb, stage, .. }) = self.calls[who].clone() else { return Vec::new() };
        match stage {
            Stage::Called => vec![self.goes_on(true, |model| model.begin(who, verb))],
            Stage::Verdict(said) => vec![self.says(who, said, |_| {})],
            Stage::Arrived(_) | Stage::Waiting if matches!(verb, Verb::Meet(_) | Verb::EventWait(_)) => {
                self.timeout(who, verb)
            }
            Stage::Acting => vec![self.goes_on(true, |model| model.fails_to_act(who))],
            Stage::Waiting if let Verb::Wait(with, ..) = verb => self.takes_first(who, with),
            Stage::Listening(_) | Stage::Back(..) => {
                let mut moves = match stage {
                    Stage::Back(told, depth) => self.comes_back(who, verb, told, depth),
                    _ => self.listens(who, verb, grace_is_over),
                };
                let may_sleep = self.may_sleep(who);
                moves.iter_mut().for_each(|to| to.must &= !may_sleep);
                moves
            }
            _ => self.acquires(who, verb),
        }
    }

    /// Whether nothing more comes unless somebody does something, or time passes.
    pub fn is_settled(&self) -> bool {
        (0..ALL).all(|who| self.moves(who, false).iter().all(|to| !to.must))
    }

    fn goes_on(&self, must: bool, change: impl FnOnce(&mut Self)) -> Move {
        let mut next = self.clone();
        change(&mut next);
        Move { said: None, must, next }
    }

    fn says(&self, who: usize, said: Said, change: impl FnOnce(&mut Self)) -> Move {
        let mut next = self.clone();
        next.calls[who] = None;
        change(&mut next);
        Move { said: Some(said), must: true, next }
    }

    fn stage(&mut self, who: usize, stage: Stage) {
        self.calls[who].as_mut().expect("a call").stage = stage;
    }

    fn at(&self, who: usize) -> Option<&Stage> {
        self.calls[who].as_ref().map(|call| &call.stage)
    }

    /// The first instant of a call: what does not wait is done.
    fn begin(&mut self, who: usize, verb: Verb) {
        let said = match verb {
            Verb::Rest => Some(Said::Done),
            Verb::Die | Verb::Kill => {
                self.bury(who);
                Some(Said::Gone)
            }
            _ => self
                .begin_held(who, verb)
                .or_else(|| self.begin_conditions(who, verb))
                .or_else(|| self.begin_shared(who, verb))
                .or_else(|| self.begin_counted(who, verb)),
        };
        match said {
            Some(said) => self.stage(who, Stage::Verdict(said)),
            None if self.at(who) == Some(&Stage::Called) => self.stage(who, Stage::Waiting),
            None => {}
        }
    }

    fn bury(&mut self, who: usize) {
        let owned = [&mut self.lock, &mut self.rlock, &mut self.mutex, &mut self.writer, &mut self.running];
        for holder in owned.into_iter().chain(&mut self.permits) {
            if *holder == Some(Alive(who)) {
                *holder = Some(Dead);
            }
        }
        self.reads[who] = 0;
        let grips = std::mem::take(&mut self.grips[who]);
        grips.iter().flatten().for_each(|grip| self.forgets(grip));
    }

    /// A call that may have to wait: what it can get, or else what becomes of it.
    fn acquires(&self, who: usize, verb: Verb) -> Vec<Move> {
        let mut moves = self.held_grants(who, verb);
        moves.extend(self.shared_grants(who, verb));
        moves.extend(self.counted_grants(who, verb));
        if moves.is_empty() {
            let how = verb.how();
            let gives_up = |said| self.says(who, said, |model| model.gives_up(who));
            match how {
                How::Try => moves.push(gives_up(Said::WouldBlock)),
                How::Zero => moves.push(gives_up(Said::TimedOut)),
                How::Soon => moves.push(Move { must: false, ..gives_up(Said::TimedOut) }),
                How::Ever => {}
            }
            if matches!(how, How::Soon | How::Ever) && self.is_in_circle(who) {
                // Who sleeps still waits for no lock yet.
                let must = !(0..ALL).any(|who| self.may_sleep(who));
                moves.push(Move { must, ..gives_up(Said::WouldDeadlock) });
            }
        }
        moves
    }

    /// Whether a verb makes sense now, and nobody has to hang for it: a circle is found out, but not one by way of a
    /// semaphore's like; so who holds what only itself can let go does not wait for those.
    pub fn allows(&self, who: usize, verb: Verb) -> bool {
        let runs = self.running == Some(Alive(who));
        if verb == Verb::Kill {
            // Not a condition's waiter: it stays counted for a while, which would allow the others anything. Nor who may
            // have given up just now.
            let pending = self.calls[who].as_ref().map(|call| call.verb);
            let tied = pending.is_some_and(|verb| matches!(verb, Verb::Wait(..)) || verb.how() != How::Ever);
            return self.terms.processes && !tied;
        }
        if self.calls[who].is_some() || runs != matches!(verb, Verb::CallEnd(_)) {
            return false;
        }
        let mine = Some(Alive(who));
        let ties = [self.rlock, self.mutex, self.writer].contains(&mine)
            || self.permits.contains(&mine)
            || self.reads[who] > 0
            || self.terms.by_holder_only && self.lock == mine;
        let has_guard = |with: With| !self.grips[who][with as usize].is_empty();
        match verb {
            Verb::Lock(How::Ever) => !(self.terms.by_holder_only && self.lock == mine),
            Verb::Die => !self.terms.processes,
            Verb::LockDrop { .. } => has_guard(With::Lock),
            Verb::RLock(_) => self.rlock != mine || self.depth < 4,
            Verb::RLockDrop { .. } => has_guard(With::RLock),
            Verb::MutexDrop { .. } => has_guard(With::Mutex),
            Verb::Forget(with) | Verb::NotifyOnUnlock(with, ..) => has_guard(with),
            // One that has lost its lock takes it first; when it does so beside others, nobody could see.
            Verb::Wait(with, ..) => {
                let others = matches!(self.guarded(with), Some(Alive(other)) if *other != who);
                has_guard(with) && !others && *self.guarded(with) != Some(Holder::Nobody)
            }
            Verb::Read(how) => self.reads[who] < 2 && (how != How::Ever || !ties),
            Verb::Write(How::Ever) | Verb::Permit(How::Ever) => !ties,
            Verb::ReadDrop => self.reads[who] > 0,
            Verb::WriteDrop { .. } => self.writer == mine,
            Verb::PermitDrop => self.permits.contains(&mine),
            _ => true,
        }
    }

    pub fn holds(&self, who: usize) -> bool {
        let held = [self.lock, self.rlock, self.mutex, self.writer, self.running];
        held.contains(&Some(Alive(who))) || self.permits.contains(&Some(Alive(who))) || self.reads[who] > 0
    }
}

impl Verb {
    pub fn how(self) -> How {
        match self {
            Self::Lock(how) | Self::RLock(how) | Self::Mutex(how) | Self::Read(how) | Self::Write(how) => how,
            Self::Sem(how) | Self::Bounded(how) | Self::Permit(how) | Self::EventWait(how) | Self::Meet(how) => how,
            Self::Wait(.., how) => how,
            _ => How::Ever,
        }
    }
}
