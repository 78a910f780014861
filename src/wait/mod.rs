//! The seam between the primitives and what they sleep on: the trait [`Wait`], its contract and its backends.
//!
//! A primitive keeps its state in one atomic word and embeds one backend. All algorithms are written once, over
//! [`Wait`]; which backends exist on a system and which of them is [`Platform`] are two decisions.
//!
//! | backend | bytes | sleeps on | where |
//! |---|---|---|---|
//! | [`Futex`] | 0 | the word itself, by the shared futex | Linux |
//! | [`KernelRobust`] | 32 | as `Futex`; the kernel gives notice of a holder's death | Linux, for what has a holder |
//! | [`PosixSem`] | 40 | an unnamed process-shared `sem_t` beside the word | wherever `sem_init` can share |

#[cfg(not(loom))]
mod futex;
pub(crate) mod held;
#[cfg(not(loom))]
mod kernel_robust;
#[cfg(loom)]
mod model;
mod posix_sem;
pub(crate) mod sleep;
pub(crate) mod spin;

use crate::atomic::{AtomicU32, AtomicU64, Ordering};

pub use crate::time::Deadline;
#[cfg(not(loom))]
pub use futex::Futex;
#[cfg(not(loom))]
pub use kernel_robust::KernelRobust;
#[cfg(loom)]
pub use model::Model;
pub use posix_sem::PosixSem;

/// The backend that `Lock::new()` and its like use: the best one here.
#[cfg(not(loom))]
pub type Platform = Futex;
/// The backend that `Lock::new()` and its like use.
#[cfg(loom)]
pub type Platform = Model;

// What zerocopy asks of a backend's bytes; loom's atomics have none to speak of.
#[cfg(loom)]
use crate::model::FromBytes;
#[cfg(not(loom))]
use zerocopy::FromBytes;

/// The 32 bits that a waiter watches: a whole word, or the low half of a 64-bit one.
#[derive(Debug, Clone, Copy)]
pub struct Word<'a> {
    bits: Bits<'a>,
    to_be_taken: bool,
}

#[derive(Debug, Clone, Copy)]
enum Bits<'a> {
    Whole(&'a AtomicU32),
    LowHalf(&'a AtomicU64),
}

impl<'a> Word<'a> {
    /// All of `word`.
    #[must_use]
    pub fn whole(word: &'a AtomicU32) -> Self {
        Self { bits: Bits::Whole(word), to_be_taken: false }
    }

    /// The low 32 bits of `word`, whatever the byte order.
    #[must_use]
    pub fn low_half(word: &'a AtomicU64) -> Self {
        Self { bits: Bits::LowHalf(word), to_be_taken: false }
    }

    /// Says that each wake is for something that is in the word until somebody takes it, as a lock is: then it does not matter
    /// who gets the wake. Whoever waits has seen the word since, and nothing was in it, so there is nothing left to wake for.
    pub(crate) fn to_be_taken(self) -> Self {
        Self { to_be_taken: true, ..self }
    }

    /// The present value. Of a 64-bit word all of it is read and half thrown away: Rust has no atomic access to parts.
    fn load(self, ordering: Ordering) -> u32 {
        match self.bits {
            Bits::Whole(word) => word.load(ordering),
            Bits::LowHalf(word) => word.load(ordering) as u32,
        }
    }

    /// What a kernel would read there.
    #[cfg(loom)]
    fn peek(self) -> u32 {
        match self.bits {
            Bits::Whole(word) => word.peek(),
            Bits::LowHalf(word) => word.peek() as u32,
        }
    }

    /// Where the 32 bits are, for a kernel that reads them itself.
    #[cfg(not(loom))]
    fn address(self) -> *const u32 {
        match self.bits {
            Bits::Whole(word) => word.as_ptr(),
            Bits::LowHalf(word) => word.as_ptr().cast::<u32>().wrapping_add(usize::from(cfg!(target_endian = "big"))),
        }
    }
}

/// Why a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Woken {
    /// A `wake` counted it among those that it had to wake: look at the word again.
    Called,
    /// The word has another value, or for no reason: look at the word again.
    Look,
    /// The deadline passed.
    TimedOut,
    /// A signal handler ran.
    Interrupted,
}

/// How threads of any process sleep until a word changes.
///
/// # The contract
///
/// 1. `wait` returns without sleeping if the word does not hold `expected`.
/// 2. A `wake(word, n)` that comes after a change of the word wakes at least `n` of those who wait for the value
///    before the change, or all of them if they are fewer: whoever checked the word before the change is asleep by
///    the time of the wake, or never falls asleep.
/// 3. `wait` may return for no reason. Every caller loops.
/// 4. `wait` returns soon after `until`. Callers never pass a moment further than a slice away (D4), so that a wake
///    which died with its process delays the others and loses nothing.
/// 5. Whatever bytes are found in the state, both verbs return, and touch nothing but the state and the word. (For
///    `PosixSem` that holds of bytes that do not change during the call: glibc ends the process over a damaged `sem_t`.)
/// 6. A process killed inside either verb leaves a state that satisfies 1 to 5.
/// 7. `wake` may be called from a signal handler, also one that interrupts a `wait` on the same word, and leaves `errno` as
///    it is.
///
/// It is sealed: a backend is part of the layout of every primitive.
pub trait Wait: private::Sealed + held::Held + FromBytes + Send + Sync + 'static {
    /// A fresh state. Its bytes are all zero.
    #[cfg(not(loom))]
    const NEW: Self;
    /// A fresh state.
    #[cfg(loom)]
    fn new() -> Self;

    /// What the names of kinds of objects say of it: "Lock" and "Lock on PosixSem". Empty for the futex.
    #[doc(hidden)]
    const IN_KINDS: &'static str;

    /// Sleeps while `word` holds `expected`, at the latest until `until`.
    fn wait(&self, word: Word<'_>, expected: u32, until: Deadline) -> Woken;

    /// Wakes up to `n` sleepers; returns how many it had to wake. Zero is certain: nobody slept.
    fn wake(&self, word: Word<'_>, n: u32) -> u32;
}

mod private {
    /// Keeps [`Wait`](super::Wait) to this crate.
    pub trait Sealed {}
    #[cfg(not(loom))]
    impl Sealed for super::Futex {}
    #[cfg(not(loom))]
    impl Sealed for super::KernelRobust {}
    #[cfg(loom)]
    impl Sealed for super::Model {}
    impl Sealed for super::PosixSem {}
}
