//! A `sem_t` of the model: a count, and those who sleep until it is not zero.

use super::sleep::{Beds, End};
use crate::model;

/// How a wait on the semaphore ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(dead_code, reason = "no signals in the model")]
pub(crate) enum Wait {
    Posted,
    TimedOut,
    Interrupted,
}

pub(crate) struct Sem(Beds<u32>);

impl Sem {
    pub(crate) fn new() -> Self {
        Self(Beds::new(0))
    }

    pub(crate) fn init(&self) {
        if model::step() {
            self.0.enter().data = 0;
        }
    }

    pub(crate) fn wait(&self, until: u64) -> Wait {
        if !model::step() {
            return Wait::TimedOut;
        }
        let mut room = self.0.enter();
        while room.data == 0 {
            let end;
            (room, end) = self.0.sleep(room, until);
            if model::stops_next() {
                drop(room);
                model::step();
                unreachable!("it stopped");
            }
            if end == End::TimedOut && room.data == 0 {
                return Wait::TimedOut;
            }
        }
        room.data -= 1;
        Wait::Posted
    }

    pub(crate) fn try_wait(&self) -> bool {
        if !model::step() {
            return false;
        }
        let mut room = self.0.enter();
        let posted = room.data > 0;
        room.data -= u32::from(posted);
        posted
    }

    pub(crate) fn post(&self) {
        if model::step() {
            let mut room = self.0.enter();
            room.data += 1;
            self.0.wake(&mut room, 1);
        }
    }
}
