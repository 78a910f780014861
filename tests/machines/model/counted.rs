//! What has no holder: semaphores, `Event`, `Barrier`; and `Once`.

use super::{ALL, Dead, Holder::Alive, Model, Move, Stage};
use crate::verb::*;

impl Model {
    pub(super) fn begin_counted(&mut self, who: usize, verb: Verb) -> Option<Said> {
        Some(match verb {
            Verb::SemRelease(n) => released(&mut self.sem, n, shmsync::SEM_VALUE_MAX),
            Verb::BoundedRelease(n) => released(&mut self.bounded, n, self.terms.bound),
            Verb::EventWait(_) if self.event => Said::Told(true),
            Verb::EventSet => {
                self.event = true;
                self.settle_all(|verb| matches!(verb, Verb::EventWait(_)), |_| Said::Told(true));
                Said::Done
            }
            Verb::EventClear => {
                self.event = false;
                Said::Done
            }
            Verb::Meet(how) => return self.arrives(who, how == How::Zero, false),
            Verb::MeetBadly => return self.arrives(who, false, true),
            Verb::Abort => {
                self.breaks();
                Said::Done
            }
            Verb::Reset => {
                self.breaks();
                (self.broken, self.arrived) = (false, 0);
                Said::Done
            }
            Verb::CallEnd(End::Dies) => {
                self.bury(who);
                Said::Gone
            }
            Verb::CallEnd(end) => {
                self.running = None;
                if end == End::Panics {
                    self.once_failed = Poison::Panicked;
                    return Some(Said::Panicked);
                }
                self.completed = true;
                Said::Done
            }
            _ => return None,
        })
    }

    pub(super) fn counted_grants(&self, who: usize, verb: Verb) -> Vec<Move> {
        match verb {
            Verb::Sem(_) if self.sem > 0 => vec![self.says(who, Said::Done, |model| model.sem -= 1)],
            Verb::Bounded(_) if self.bounded > 0 => vec![self.says(who, Said::Done, |model| model.bounded -= 1)],
            Verb::Call if self.completed => vec![self.says(who, Said::Done, |_| {})],
            Verb::Call if self.running.is_none() || self.running == Some(Dead) => {
                let failed = if self.running == Some(Dead) { Poison::Died } else { self.once_failed };
                vec![self.says(who, Said::Began(failed), |model| {
                    (model.running, model.once_failed) = (Some(Alive(who)), failed);
                })]
            }
            _ => Vec::new(),
        }
    }

    /// All who wait by such a verb will say this.
    fn settle_all(&mut self, by: impl Fn(Verb) -> bool, said: impl Fn(&Stage) -> Said) {
        for who in 0..ALL {
            match &self.calls[who] {
                Some(call) if by(call.verb) && matches!(call.stage, Stage::Waiting | Stage::Arrived(_)) => {
                    let said = said(&call.stage);
                    self.stage(who, Stage::Verdict(said));
                }
                _ => {}
            }
        }
    }

    fn meets(verb: Verb) -> bool {
        matches!(verb, Verb::Meet(_) | Verb::MeetBadly)
    }

    fn breaks(&mut self) {
        self.broken = true;
        self.settle_all(Self::meets, |_| Said::Broken);
    }

    fn arrives(&mut self, who: usize, hasty: bool, badly: bool) -> Option<Said> {
        if self.broken {
            return Some(Said::Broken);
        }
        let index = self.arrived;
        if index + 1 < self.terms.parties && hasty {
            self.breaks();
            return Some(Said::TimedOut);
        }
        if index + 1 < self.terms.parties {
            self.arrived += 1;
            self.stage(who, Stage::Arrived(index));
            return None;
        }
        if badly {
            // Meanwhile the time of another may run out.
            self.stage(who, Stage::Acting);
            return None;
        }
        self.arrived = 0;
        self.settle_all(Self::meets, |stage| match stage {
            Stage::Arrived(index) => Said::Met { index: *index, leader: false },
            _ => unreachable!("nobody waits before it has arrived"),
        });
        Some(Said::Met { index, leader: true })
    }

    pub(super) fn fails_to_act(&mut self, who: usize) {
        self.breaks();
        self.stage(who, Stage::Verdict(Said::Panicked));
    }

    /// For an event's and a barrier's waits the rest is done by others; but time may pass.
    pub(super) fn timeout(&self, who: usize, verb: Verb) -> Vec<Move> {
        let must = verb.how() == How::Zero;
        match (verb, verb.how()) {
            (_, How::Ever) => Vec::new(),
            (Verb::Meet(_), _) => vec![Move { must, ..self.says(who, Said::TimedOut, Self::breaks) }],
            _ => vec![Move { must, ..self.says(who, Said::Told(false), |_| {}) }],
        }
    }
}

fn released(count: &mut u32, n: u32, most: u32) -> Said {
    if n > most - *count {
        return Said::Overflow;
    }
    *count += n;
    Said::Done
}
