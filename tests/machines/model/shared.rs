//! What several hold at a time: `RwLock` and `PermitPool`.

use super::{ALL, Dead, Holder::Alive, Model, Move, Stage};
use crate::verb::*;

impl Model {
    pub(super) fn begin_shared(&mut self, who: usize, verb: Verb) -> Option<Said> {
        let mine = Some(Alive(who));
        match verb {
            Verb::ReadDrop => self.reads[who] -= 1,
            Verb::WriteDrop { panics } => {
                (self.writer, self.inside) = (None, false);
                if panics {
                    self.rw_poison = Poison::Panicked;
                }
            }
            Verb::RwClear => self.rw_poison = Poison::None,
            Verb::PermitDrop => {
                let held = self.permits.iter_mut().find(|permit| **permit == mine).expect("a permit");
                *held = None;
            }
            _ => return None,
        }
        Some(Said::Done)
    }

    pub(super) fn shared_grants(&self, who: usize, verb: Verb) -> Vec<Move> {
        match verb {
            Verb::Read(_) => self.reads(who),
            Verb::Write(how) => self.writes(who, how),
            Verb::Permit(_) => {
                let free = self.permits_that(who, |permit| permit.is_none(), false);
                if free.is_empty() { self.permits_that(who, |permit| permit == Some(Dead), true) } else { free }
            }
            Verb::PermitRecover => {
                let dead = self.permits_that(who, |permit| permit == Some(Dead), true);
                if dead.is_empty() { vec![self.says(who, Said::WouldBlock, |_| {})] } else { dead }
            }
            _ => Vec::new(),
        }
    }

    /// What a dead writer leaves that was inside: who finds out, poisons.
    fn rw_poison_found(&self) -> Poison {
        if self.writer == Some(Dead) && self.inside { Poison::Died } else { self.rw_poison }
    }

    fn is_vacant(&self) -> bool {
        self.writer.is_none() || self.writer == Some(Dead)
    }

    fn reads(&self, who: usize) -> Vec<Move> {
        if self.writer == Some(Alive(who)) {
            return vec![self.says(who, Said::WouldDeadlock, |_| {})];
        }
        // Who reads already looks no further.
        if self.reads[who] == 0 && self.writer == Some(Dead) {
            let poison = self.rw_poison_found();
            return vec![self.goes_on(true, |model| {
                (model.writer, model.inside, model.rw_poison) = (None, false, poison);
            })];
        }
        let others = (0..ALL).filter(|&other| other != who && self.reads[other] > 0).count();
        // Who reads already is let in, whoever waits.
        if self.reads[who] == 0 && !(self.writer.is_none() && others < self.terms.slots) {
            return Vec::new();
        }
        vec![self.says(who, Said::Got(self.rw_value, self.rw_poison), |model| model.reads[who] += 1)]
    }

    fn writes(&self, who: usize, how: How) -> Vec<Move> {
        if self.reads[who] > 0 || self.inside && self.writer == Some(Alive(who)) {
            return vec![self.says(who, Said::WouldDeadlock, |_| {})];
        }
        let draining = self.writer == Some(Alive(who));
        let poison = self.rw_poison_found();
        let readers = self.reads.iter().any(|&reads| reads > 0);
        if !readers && (draining || self.is_vacant()) {
            let value = self.rw_value + 1;
            return vec![self.says(who, Said::Got(value, poison), |model| {
                (model.writer, model.inside) = (Some(Alive(who)), true);
                (model.rw_value, model.rw_poison) = (value, poison);
            })];
        }
        if self.is_vacant() && matches!(how, How::Soon | How::Ever) {
            // From now on new readers hold back.
            return vec![self.goes_on(true, |model| {
                (model.writer, model.inside, model.rw_poison) = (Some(Alive(who)), false, poison);
                model.stage(who, Stage::Draining);
            })];
        }
        Vec::new()
    }

    /// A writer that waits for readers lets new ones in again.
    pub(super) fn gives_up(&mut self, who: usize) {
        if self.writer == Some(Alive(who)) && !self.inside {
            self.writer = None;
        }
    }

    fn permits_that(&self, who: usize, are: impl Fn(Option<super::Holder>) -> bool, reclaimed: bool) -> Vec<Move> {
        let which = (0..self.permits.len()).filter(|&index| are(self.permits[index]));
        which
            .map(|index| {
                self.says(who, Said::Permit { index, reclaimed }, |model| model.permits[index] = Some(Alive(who)))
            })
            .collect()
    }
}
