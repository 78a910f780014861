//! Poison, as in std, with the cause: a mutex remembers that a holder panicked or died while holding it.

use std::error::Error;
use std::fmt;

use crate::error::AcquireError;
use crate::owner::{Owner, Token};

/// The result of locking a [`Mutex`](super::Mutex): the guard, or the guard inside an error.
pub type LockResult<G> = Result<G, PoisonError<G>>;

/// The result of trying to lock a [`Mutex`](super::Mutex).
pub type TryLockResult<G> = Result<G, TryLockError<G>>;

/// What may have left a mutex's data torn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PoisonCause {
    /// The holder's thread ended without releasing: it was killed, or exited.
    Died(Owner),
    /// The holder panicked.
    Panicked(Owner),
}

impl PoisonCause {
    /// The word that a mutex keeps: the culprit's token, marked dead if it died. Never zero, which is "clean".
    pub(super) fn into_word(self) -> u64 {
        match self {
            Self::Died(owner) => owner.token().marked_dead().0,
            Self::Panicked(owner) => owner.token().0,
        }
    }

    pub(super) fn from_word(word: u64) -> Option<Self> {
        let token = Token(word);
        match word {
            0 => None,
            _ if token.is_marked_dead() => Some(Self::Died(token.dead_owner())),
            _ => Some(Self::Panicked(token.dead_owner())),
        }
    }
}

impl fmt::Display for PoisonCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Died(owner) => write!(f, "{owner} died"),
            Self::Panicked(owner) => write!(f, "{owner} panicked"),
        }
    }
}

/// The mutex is locked, but its data may be torn: an earlier holder died or panicked while holding it.
///
/// It carries the guard: look, repair, and call [`Mutex::clear_poison`](super::Mutex::clear_poison).
pub struct PoisonError<G> {
    guard: G,
    cause: PoisonCause,
}

impl<G> PoisonError<G> {
    pub(super) fn new(guard: G, cause: PoisonCause) -> Self {
        Self { guard, cause }
    }

    /// The guard, poison or not.
    #[must_use]
    pub fn into_inner(self) -> G {
        self.guard
    }

    /// The guard, for looking.
    #[must_use]
    pub fn get_ref(&self) -> &G {
        &self.guard
    }

    /// The guard, for repairing.
    #[must_use]
    pub fn get_mut(&mut self) -> &mut G {
        &mut self.guard
    }

    /// Who left the data torn, and how.
    #[must_use]
    pub fn cause(&self) -> PoisonCause {
        self.cause
    }
}

impl<G> fmt::Debug for PoisonError<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoisonError").field("cause", &self.cause).finish_non_exhaustive()
    }
}

impl<G> fmt::Display for PoisonError<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "poisoned lock: {} while holding it", self.cause)
    }
}

impl<G> Error for PoisonError<G> {}

/// Why a mutex was not locked, or was locked poisoned, by a trying or timed form.
#[non_exhaustive]
pub enum TryLockError<G> {
    /// Locked, but its data may be torn.
    Poisoned(PoisonError<G>),
    /// Another thread holds it, and the call was not to wait.
    WouldBlock,
    /// The deadline passed first.
    TimedOut,
    /// The calling thread itself holds it, or somebody does who waits, be it by way of others, for what the calling
    /// thread holds. Shown by the thread that got it, it says who waits for whom.
    WouldDeadlock,
}

impl<G> fmt::Debug for TryLockError<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Poisoned(error) => f.debug_tuple("Poisoned").field(error).finish(),
            Self::WouldBlock => f.write_str("WouldBlock"),
            Self::TimedOut => f.write_str("TimedOut"),
            Self::WouldDeadlock => f.write_str("WouldDeadlock"),
        }
    }
}

impl<G> fmt::Display for TryLockError<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Poisoned(error) => error.fmt(f),
            Self::WouldBlock => f.write_str("it is locked, and taking it would block"),
            Self::TimedOut => f.write_str("timed out waiting for the lock"),
            Self::WouldDeadlock => AcquireError::WouldDeadlock.fmt(f),
        }
    }
}

impl<G> Error for TryLockError<G> {}

impl<G> From<PoisonError<G>> for TryLockError<G> {
    fn from(error: PoisonError<G>) -> Self {
        Self::Poisoned(error)
    }
}
