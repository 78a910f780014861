//! A `sem_t` of the model: a count, and those who sleep until it is not zero.
#![allow(unsafe_code)]

use loom::cell::UnsafeCell;

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

pub(crate) struct Sem {
    beds: Beds,
    /// Written by the making, read by every other use: loom fails the model where they are not ordered.
    made: UnsafeCell<()>,
}

// SAFETY: nothing is ever done through the pointers of `made`.
unsafe impl Sync for Sem {}

impl Sem {
    pub(crate) fn new() -> Self {
        Self { beds: Beds::new(), made: UnsafeCell::new(()) }
    }

    pub(crate) fn init(&self) {
        if model::step() {
            self.made.with_mut(|_| ());
            self.beds.enter().count = 0;
        }
    }

    pub(crate) fn is_sound(&self) -> bool {
        true
    }

    pub(crate) fn wait(&self, until: u64) -> Wait {
        if !model::step() {
            return Wait::TimedOut;
        }
        self.made.with(|_| ());
        let mut room = self.beds.enter();
        while room.count == 0 {
            let end;
            (room, end) = self.beds.sleep(room, until);
            if model::stops_next() {
                drop(room);
                model::step();
                unreachable!("it stopped");
            }
            if end == End::TimedOut && room.count == 0 {
                return Wait::TimedOut;
            }
        }
        room.count -= 1;
        Wait::Posted
    }

    pub(crate) fn try_wait(&self) -> bool {
        if !model::step() {
            return false;
        }
        self.made.with(|_| ());
        let mut room = self.beds.enter();
        let posted = room.count > 0;
        room.count -= u32::from(posted);
        posted
    }

    pub(crate) fn post(&self) {
        if model::step() {
            self.made.with(|_| ());
            let mut room = self.beds.enter();
            room.count += 1;
            self.beds.wake(&mut room, 1);
        }
    }
}
