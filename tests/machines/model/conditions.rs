//! The guards of locks, and `Condition`, which lets go of them and takes them back, and to which they owe wakes.
//!
//! That a guard owes a wake changes nothing about who goes on: who is notified is decided at the call, and who is not woken
//! looks for itself. But as long as the wake is owed, or if it never comes, nobody has to go on *at once*.

use super::{ALL, Dead, Holder, Holder::Alive, Model, Move, Stage};
use crate::verb::*;

/// A guard that somebody has in hand, be it a stale one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grip {
    /// Which condition's sleepers it is to wake.
    pub owes: Option<usize>,
    /// Since a wait that failed it holds nothing; its `RLock` was so deep.
    pub lost: Option<u32>,
}

impl Model {
    pub(super) fn begin_conditions(&mut self, who: usize, verb: Verb) -> Option<Said> {
        Some(match verb {
            Verb::LockDrop { .. } => {
                self.drop_guard(who, With::Lock);
                Said::Done
            }
            Verb::RLockDrop { .. } => {
                self.drop_guard(who, With::RLock);
                Said::Done
            }
            Verb::MutexDrop { panics } => {
                self.drop_guard(who, With::Mutex);
                if panics {
                    self.mutex_poison = Poison::Panicked;
                }
                Said::Done
            }
            Verb::LockRecover => self.recovers(who, With::Lock),
            Verb::RLockRecover => self.recovers(who, With::RLock),
            Verb::Forget(with) => {
                let grip = self.grips[who][with as usize].pop().expect("a guard");
                self.forgets(&grip);
                Said::Done
            }
            Verb::Wait(with, ..) if self.has_hold(who, with) => {
                self.listen(who, with);
                return None;
            }
            Verb::Notify(at, n) => {
                self.notify(at, n as usize);
                Said::Done
            }
            Verb::NotifyOnUnlock(with, at, n) => {
                let holds = self.has_hold(who, with);
                if self.notify(at, n as usize) {
                    // What it owed another condition is paid by that.
                    self.grip(who, with).expect("a guard").owes = holds.then_some(at);
                }
                Said::Done
            }
            _ => return None,
        })
    }

    fn grip(&mut self, who: usize, with: With) -> Option<&mut Grip> {
        self.grips[who][with as usize].last_mut()
    }

    /// Whether the guard that came last holds its lock.
    fn has_hold(&self, who: usize, with: With) -> bool {
        let grip = self.grips[who][with as usize].last();
        *self.guarded(with) == Some(Alive(who)) && grip.is_some_and(|grip| grip.lost.is_none())
    }

    pub(super) fn guarded(&self, with: With) -> &Option<Holder> {
        match with {
            With::Lock => &self.lock,
            With::RLock => &self.rlock,
            With::Mutex => &self.mutex,
        }
    }

    pub(super) fn guarded_mut(&mut self, with: With) -> &mut Option<Holder> {
        match with {
            With::Lock => &mut self.lock,
            With::RLock => &mut self.rlock,
            With::Mutex => &mut self.mutex,
        }
    }

    fn drop_guard(&mut self, who: usize, with: With) {
        let held = self.has_hold(who, with);
        self.grips[who][with as usize].pop().expect("a guard");
        if held && with == With::RLock {
            self.rlock_released();
        } else if held {
            *self.guarded_mut(with) = None;
        }
    }

    pub(super) fn rlock_released(&mut self) {
        self.depth -= 1;
        self.rlock = self.rlock.filter(|_| self.depth > 0);
    }

    /// By a guard it comes back as deep as it was.
    fn recovers(&mut self, who: usize, with: With) -> Said {
        if self.has_hold(who, with) {
            return Said::Done;
        }
        if *self.guarded(with) != Some(Dead) {
            return Said::WouldBlock;
        }
        let lost = self.grip(who, with).and_then(|grip| grip.lost.take());
        self.takes(who, with, lost.unwrap_or(1));
        Said::Done
    }

    fn takes(&mut self, who: usize, with: With, depth: u32) {
        *self.guarded_mut(with) = Some(Alive(who));
        if with == With::RLock {
            self.depth = depth;
        }
    }

    /// Nobody is woken by this guard any more.
    pub(super) fn forgets(&mut self, grip: &Grip) {
        let owed = grip.owes;
        for call in self.calls.iter_mut().flatten() {
            call.is_excused |= owed.is_some_and(|owed| matches!(call.verb, Verb::Wait(_, at, _) if at == owed));
        }
    }

    /// Whether some guard is still to wake the condition's sleepers.
    pub fn is_owed(&self, at: usize) -> bool {
        self.grips.iter().flatten().flatten().any(|grip| grip.owes == Some(at))
    }

    /// Whether this waiter of a condition may not know yet that it has been notified, for nobody has woken it so far.
    pub(super) fn may_sleep(&self, who: usize) -> bool {
        self.calls[who].as_ref().is_some_and(|call| match call.verb {
            Verb::Wait(_, at, how) => how != How::Zero && (call.is_excused || self.is_owed(at)),
            _ => false,
        })
    }

    /// Lets go, and pays.
    fn listen(&mut self, who: usize, with: With) {
        self.grip(who, with).expect("a guard").owes = None;
        let depth = if with == With::RLock { std::mem::take(&mut self.depth) } else { 0 };
        *self.guarded_mut(with) = None;
        self.stage(who, Stage::Listening(depth));
    }

    /// The guard has lost its lock, and takes it again before it waits.
    pub(super) fn takes_first(&self, who: usize, with: With) -> Vec<Move> {
        match self.guarded(with) {
            None => vec![self.goes_on(true, |model| {
                let lost = model.grip(who, with).expect("a guard").lost.take();
                model.takes(who, with, lost.unwrap_or(1));
                model.listen(who, with);
            })],
            // An earlier guard of its own was forgotten.
            Some(Alive(holder)) if *holder == who && with == With::RLock => vec![self.goes_on(true, |model| {
                model.grip(who, with).expect("a guard").lost = None;
                model.depth += 1;
                model.listen(who, with);
            })],
            Some(Dead) => vec![self.says(who, Said::OwnerDied, |_| {})],
            // It was free, and another has come first.
            _ if self.is_in_circle(who) => vec![self.says(who, Said::WouldDeadlock, |_| {})],
            _ => Vec::new(),
        }
    }

    fn listeners(&self, condition: usize) -> [bool; ALL] {
        std::array::from_fn(|who| {
            let call = self.calls[who].as_ref();
            call.is_some_and(|call| {
                let waits = matches!(call.verb, Verb::Wait(_, at, _) if at == condition);
                waits && matches!(call.stage, Stage::Listening(_))
            })
        })
    }

    /// Whether anybody was told.
    fn notify(&mut self, at: usize, n: usize) -> bool {
        let listeners = self.listeners(at);
        let untold = listeners.iter().filter(|&&listens| listens).count() - self.signals[at].len();
        if untold > 0 && n < untold {
            self.signals[at].extend(vec![listeners; n]);
        } else if untold > 0 {
            self.signals[at].clear();
            for (who, _) in listeners.iter().enumerate().filter(|(_, listens)| **listens) {
                self.told(who, true);
            }
        }
        untold > 0 && n > 0
    }

    fn told(&mut self, who: usize, told: bool) {
        if let Some(&Stage::Listening(depth)) = self.at(who) {
            self.stage(who, Stage::Back(told, depth));
        }
    }

    /// A waiter of a condition takes a signal that is meant for it, or goes without.
    pub(super) fn listens(&self, who: usize, verb: Verb, grace_is_over: bool) -> Vec<Move> {
        let Verb::Wait(_, at, _) = verb else { unreachable!("{verb:?}") };
        let mut moves = Vec::new();
        for taken in (0..self.signals[at].len()).filter(|&signal| self.signals[at][signal][who]) {
            let mut next = self.clone();
            next.signals[at].remove(taken);
            next.signals[at].iter_mut().for_each(|signal| signal[who] = false);
            next.told(who, true);
            // Or else it was another's.
            if next.signals[at].iter().all(|signal| signal.contains(&true)) {
                moves.push(Move { said: None, must: true, next });
            }
        }
        let meant = !moves.is_empty();
        if !meant && verb.how() != How::Ever {
            moves.push(self.goes_on(verb.how() == How::Zero, |model| model.told(who, false)));
        }
        // A signal that nobody takes for a tenth of a second counts as a dead one's, and everybody is woken.
        if grace_is_over {
            moves.push(self.goes_on(false, |model| {
                model.signals[at].clear();
                model.told(who, true);
            }));
        }
        moves
    }

    /// It takes its lock again.
    pub(super) fn comes_back(&self, who: usize, verb: Verb, told: bool, depth: u32) -> Vec<Move> {
        let Verb::Wait(with, ..) = verb else { unreachable!("{verb:?}") };
        let loses =
            |said| vec![self.says(who, said, |model| model.grip(who, with).expect("a guard").lost = Some(depth))];
        match (with, self.guarded(with)) {
            (With::Mutex, None | Some(Dead)) => {
                let poison = self.mutex_poison_found();
                let said = if poison == Poison::Died { Said::OwnerDied } else { Said::Told(told) };
                vec![self.says(who, said, |model| (model.mutex, model.mutex_poison) = (Some(Alive(who)), poison))]
            }
            (_, None) => vec![self.says(who, Said::Told(told), |model| model.takes(who, with, depth))],
            (_, Some(Dead)) => loses(Said::OwnerDied),
            // With a mutex it would panic, but for another of the circle, who has an error to return.
            _ if with != With::Mutex && self.is_in_circle(who) => loses(Said::WouldDeadlock),
            _ => Vec::new(),
        }
    }
}
