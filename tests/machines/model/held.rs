//! What one thread holds at a time: `Lock`, `RLock`, `Mutex`. Their guards are in `conditions`.

use super::{Dead, Grip, Holder, Holder::Alive, Model, Move};
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
            Verb::LockDisown => {
                if matches!(self.lock, Some(Alive(_))) && !self.terms.by_holder_only {
                    self.lock = Some(Holder::Nobody);
                }
                Said::Done
            }
            Verb::RLockRelease if self.rlock == mine => {
                self.rlock_released();
                Said::Done
            }
            Verb::RLockRelease if self.rlock.is_none() => Said::NotLocked,
            Verb::RLockRelease => Said::NotOwner,
            Verb::MutexClear => {
                self.mutex_poison = Poison::None;
                Said::Done
            }
            _ => return None,
        })
    }

    pub(super) fn held_grants(&self, who: usize, verb: Verb) -> Vec<Move> {
        let mine = Some(Alive(who));
        let says = |said, change: &dyn Fn(&mut Self)| vec![self.says(who, said, change)];
        match verb {
            Verb::Lock(_) if self.lock.is_none() => says(Said::Done, &|model| {
                model.lock = mine;
                // A stale one is forgotten.
                let before = model.grips[who][With::Lock as usize].pop();
                before.iter().for_each(|grip| model.forgets(grip));
                model.gets_guard(who, With::Lock);
            }),
            Verb::RLock(_) if self.rlock.is_none() || self.rlock == mine => {
                let depth = if self.rlock.is_none() { 1 } else { self.depth + 1 };
                says(Said::Done, &|model| {
                    (model.rlock, model.depth) = (mine, depth);
                    model.gets_guard(who, With::RLock);
                })
            }
            Verb::Lock(_) if self.lock == Some(Dead) => says(Said::OwnerDied, &|_| {}),
            Verb::RLock(_) if self.rlock == Some(Dead) => says(Said::OwnerDied, &|_| {}),
            Verb::Mutex(_) if self.mutex == mine => says(Said::WouldDeadlock, &|_| {}),
            Verb::Mutex(_) if self.mutex.is_none() || self.mutex == Some(Dead) => {
                let poison = self.mutex_poison_found();
                let value = self.mutex_value + 1;
                says(Said::Got(value, poison), &|model| {
                    (model.mutex, model.mutex_poison, model.mutex_value) = (mine, poison, value);
                    model.gets_guard(who, With::Mutex);
                })
            }
            _ => Vec::new(),
        }
    }

    fn gets_guard(&mut self, who: usize, with: With) {
        self.grips[who][with as usize].push(Grip::default());
    }

    /// Who takes the mutex over from a dead holder poisons it.
    pub(super) fn mutex_poison_found(&self) -> Poison {
        if self.mutex == Some(Dead) { Poison::Died } else { self.mutex_poison }
    }
}
