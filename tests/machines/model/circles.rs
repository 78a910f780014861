//! Circles of threads that wait for each other, where they are found out.

use super::{ALL, Holder::Alive, Model, Stage};
use crate::verb::*;

impl Model {
    /// Whom somebody waits for, where a circle of such is found out.
    fn waits_for(&self, who: usize) -> Option<usize> {
        let call = self.calls[who].as_ref()?;
        let holder = match (&call.stage, call.verb) {
            (Stage::Waiting, Verb::Lock(_)) | (Stage::Waiting | Stage::Back(..), Verb::Wait(With::Lock, ..)) => {
                self.lock
            }
            (Stage::Waiting, Verb::RLock(_)) | (Stage::Waiting | Stage::Back(..), Verb::Wait(With::RLock, ..)) => {
                self.rlock
            }
            (Stage::Waiting, Verb::Mutex(_)) | (Stage::Back(..), Verb::Wait(With::Mutex, ..)) => self.mutex,
            (Stage::Waiting, Verb::Write(_)) => self.writer,
            _ => None,
        };
        match holder {
            Some(Alive(other)) if other != who => Some(other),
            _ => None,
        }
    }

    pub(super) fn is_in_circle(&self, who: usize) -> bool {
        let mut at = who;
        for _ in 0..ALL {
            match self.waits_for(at) {
                Some(next) if next == who => return true,
                Some(next) => at = next,
                None => return false,
            }
        }
        false
    }
}
