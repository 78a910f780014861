//! Sleeping on loom: what the contract promises and nothing more.
//!
//! The word is read by a relaxed load under the lock that `wake` takes, too. So a waiter may see an old value, but not
//! one from before a change whose wake came first: rules 1 and 2 as the kernel keeps them.

use super::{Deadline, Wait, Woken, Word};
use crate::model;
use crate::sys::sleep::{Beds, End};

/// The backend of the loom models.
#[derive(Debug)]
pub struct Model(Beds);

impl super::held::Held for Model {}

impl Wait for Model {
    const IN_KINDS: &'static str = "Model";

    fn new() -> Self {
        Self(Beds::new())
    }

    fn wait(&self, word: Word<'_>, expected: u32, until: Deadline) -> Woken {
        if !model::step() {
            return Woken::TimedOut;
        }
        let room = self.0.enter();
        if word.peek() != expected {
            return Woken::Look;
        }
        let (room, end) = self.0.sleep(room, until.nanos());
        drop(room);
        if model::stops_next() {
            // Killed asleep, or with a wake in hand.
            model::step();
        }
        match end {
            End::Woken => Woken::Called,
            End::TimedOut => Woken::TimedOut,
        }
    }

    #[track_caller]
    fn wake(&self, _word: Word<'_>, n: u32) -> u32 {
        if !model::step() || model::is_muted() {
            return 0;
        }
        let mut room = self.0.enter();
        self.0.wake(&mut room, n)
    }
}
