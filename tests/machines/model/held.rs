//! What one thread holds at a time: `Lock`, `RLock`, `Mutex`; and `Condition`, which lets go of them.

use super::{ALL, Dead, Holder, Holder::Alive, Model, Move, Stage};
use crate::verb::*;

impl Model {
    pub(super) fn begin_held(&mut self, who: usize, verb: Verb) -> Option<Said> {
        let mine = Some(Alive(who));
        Some(match verb {
            Verb::LockRelease if self.lock.is_none() => Said::NotLocked,
            Verb::LockRelease if self.terms.by_holder_only && self.lock != mine => Said::NotOwner,
            Verb::LockRelease => {
                self.lock = None;
                Said::Done
            }
            Verb::LockDrop => {
                self.guards[who] = false;
                self.lock = self.lock.filter(|_| self.lock != mine);
                Said::Done
            }
            Verb::LockRecover if self.lock == Some(Dead) => {
                (self.lock, self.guards[who]) = (mine, false);
                Said::Done
            }
            Verb::LockDisown => {
                if matches!(self.lock, Some(Alive(_))) && !self.terms.by_holder_only {
                    self.lock = Some(Holder::Nobody);
                }
                Said::Done
            }
            Verb::RLockRelease if self.rlock == mine => {
                self.depth -= 1;
                self.rlock = mine.filter(|_| self.depth > 0);
                Said::Done
            }
            Verb::RLockRelease if self.rlock.is_none() => Said::NotLocked,
            Verb::RLockRelease => Said::NotOwner,
            Verb::RLockRecover if self.rlock == Some(Dead) => {
                (self.rlock, self.depth) = (mine, 1);
                Said::Done
            }
            Verb::LockRecover | Verb::RLockRecover => Said::WouldBlock,
            Verb::MutexDrop { panics } => {
                self.mutex = None;
                if panics {
                    self.mutex_poison = Poison::Panicked;
                }
                Said::Done
            }
            Verb::MutexClear => {
                self.mutex_poison = Poison::None;
                Said::Done
            }
            Verb::Wait(with, _) => {
                let depth = if with == With::RLock { std::mem::take(&mut self.depth) } else { 0 };
                *self.guarded(with) = None;
                self.stage(who, Stage::Listening(depth));
                return None;
            }
            Verb::Notify(n) => {
                self.notify(n as usize);
                Said::Done
            }
            _ => return None,
        })
    }

    fn guarded(&mut self, with: With) -> &mut Option<Holder> {
        match with {
            With::Lock => &mut self.lock,
            With::RLock => &mut self.rlock,
            With::Mutex => &mut self.mutex,
        }
    }

    pub(super) fn held_grants(&self, who: usize, verb: Verb) -> Vec<Move> {
        let mine = Some(Alive(who));
        let says = |said, change: &dyn Fn(&mut Self)| vec![self.says(who, said, change)];
        match verb {
            Verb::Lock(_) if self.lock.is_none() => {
                says(Said::Done, &|model| (model.lock, model.guards[who]) = (mine, true))
            }
            Verb::RLock(_) if self.rlock.is_none() || self.rlock == mine => {
                let depth = if self.rlock.is_none() { 1 } else { self.depth + 1 };
                says(Said::Done, &|model| (model.rlock, model.depth) = (mine, depth))
            }
            Verb::Lock(_) if self.lock == Some(Dead) => says(Said::OwnerDied, &|_| {}),
            Verb::RLock(_) if self.rlock == Some(Dead) => says(Said::OwnerDied, &|_| {}),
            Verb::Mutex(_) if self.mutex == mine => says(Said::WouldDeadlock, &|_| {}),
            Verb::Mutex(_) if self.mutex.is_none() || self.mutex == Some(Dead) => {
                let poison = self.mutex_poison_found();
                let value = self.mutex_value + 1;
                says(Said::Got(value, poison), &|model| {
                    (model.mutex, model.mutex_poison, model.mutex_value) = (mine, poison, value);
                })
            }
            _ => Vec::new(),
        }
    }

    /// Who takes the mutex over from a dead holder poisons it.
    fn mutex_poison_found(&self) -> Poison {
        if self.mutex == Some(Dead) { Poison::Died } else { self.mutex_poison }
    }

    fn listeners(&self) -> [bool; ALL] {
        std::array::from_fn(|who| matches!(self.at(who), Some(Stage::Listening(_))))
    }

    fn notify(&mut self, n: usize) {
        let listeners = self.listeners();
        let untold = listeners.iter().filter(|&&listens| listens).count() - self.signals.len();
        if untold > 0 && n < untold {
            self.signals.extend(vec![listeners; n]);
        } else if untold > 0 {
            self.signals.clear();
            for (who, _) in listeners.iter().enumerate().filter(|(_, listens)| **listens) {
                self.told(who, true);
            }
        }
    }

    fn told(&mut self, who: usize, told: bool) {
        if let Some(&Stage::Listening(depth)) = self.at(who) {
            self.stage(who, Stage::Back(told, depth));
        }
    }

    /// A waiter of a condition takes a signal that is meant for it, or goes without.
    pub(super) fn listens(&self, who: usize, verb: Verb, _depth: u32, grace_is_over: bool) -> Vec<Move> {
        let mut moves = Vec::new();
        for taken in (0..self.signals.len()).filter(|&signal| self.signals[signal][who]) {
            let mut next = self.clone();
            next.signals.remove(taken);
            next.signals.iter_mut().for_each(|signal| signal[who] = false);
            next.told(who, true);
            // Or else it was another's.
            if next.signals.iter().all(|signal| signal.contains(&true)) {
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
                model.signals.clear();
                model.told(who, true);
            }));
        }
        moves
    }

    /// It takes its lock again.
    pub(super) fn comes_back(&self, who: usize, verb: Verb, told: bool, depth: u32) -> Vec<Move> {
        let Verb::Wait(with, _) = verb else { unreachable!("{verb:?}") };
        let holder = self.clone().guarded(with).to_owned();
        match (with, holder) {
            (With::Mutex, None | Some(Dead)) => {
                let poison = self.mutex_poison_found();
                let said = if poison == Poison::Died { Said::OwnerDied } else { Said::Told(told) };
                vec![self.says(who, said, |model| (model.mutex, model.mutex_poison) = (Some(Alive(who)), poison))]
            }
            (_, None) => vec![self.says(who, Said::Told(told), |model| {
                *model.guarded(with) = Some(Alive(who));
                if with == With::RLock {
                    model.depth = depth;
                }
            })],
            (_, Some(Dead)) => vec![self.says(who, Said::OwnerDied, |_| {})],
            // With a mutex it would panic, but for another of the circle, who has an error to return.
            _ if with != With::Mutex && self.is_in_circle(who) => vec![self.says(who, Said::WouldDeadlock, |_| {})],
            _ => Vec::new(),
        }
    }
}
