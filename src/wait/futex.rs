//! Sleeping on the word itself, by the shared futex: no state at all.

use super::{Deadline, Wait, Woken, Word};
use crate::sys;

/// The shared futex of Linux. Zero bytes: the kernel finds the sleepers by the word's place in memory.
///
/// Since [`wait`](Wait::wait) always has a deadline, a signal handler ends it even when installed with `SA_RESTART`.
#[derive(Debug, Default, zerocopy::FromBytes)]
#[repr(C)]
pub struct Futex;

impl super::held::Held for Futex {}

impl Wait for Futex {
    const IN_KINDS: &'static str = "";
    const NEW: Self = Self;

    // Rules 1 and 2: the kernel compares the word and queues the sleeper under the lock that `wake` takes, too.
    fn wait(&self, word: Word<'_>, expected: u32, until: Deadline) -> Woken {
        match sys::futex::wait(word.address(), expected, until.nanos()) {
            sys::futex::Wait::Woken => Woken::Called,
            sys::futex::Wait::Changed => Woken::Look,
            sys::futex::Wait::TimedOut => Woken::TimedOut,
            sys::futex::Wait::Interrupted => Woken::Interrupted,
        }
    }

    fn wake(&self, word: Word<'_>, n: u32) -> u32 {
        // The kernel wakes one even when it is told none.
        if n == 0 { 0 } else { sys::futex::wake(word.address(), n) }
    }
}
