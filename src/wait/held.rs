//! What an owned word tells its backend of being held: nothing to most, and to the robust futex all that it needs.

use crate::owner::Token;

/// A backend that may want to know who holds the word beside it. By default it does not, at no cost.
///
/// Nobody outside the crate can name it.
pub trait Held {
    /// Whether only the holder may free the word.
    const BY_HOLDER_ONLY: bool = false;

    /// Does what the calling thread's first `taking` would do besides, as long as it must wait in any case.
    fn prepare(&self) {}

    /// Runs `take`, which tries to make `me` the holder; returns whether it did.
    #[inline]
    fn taking(&self, me: Token, take: impl FnOnce() -> bool) -> bool {
        let _ = me;
        take()
    }

    /// Runs `free`, which frees the word; unless only its holder may, and the caller is not: `None`.
    #[inline]
    fn freeing<R>(&self, free: impl FnOnce() -> R) -> Option<R> {
        Some(free())
    }

    /// Whether the calling thread holds the word, which `word` reads.
    #[inline]
    fn is_mine(&self, word: impl FnOnce() -> Token) -> bool {
        word().is_mine()
    }

    /// Whether the kernel's mark on the word, which reads `marked`, proves that its holder on record is dead, without a look
    /// at that.
    fn mark_is_proof(&self, marked: Token) -> bool {
        let _ = marked;
        false
    }

    /// Who the backend knows to have taken the word last, while it is held.
    fn holder_on_record(&self) -> Option<Token> {
        None
    }
}
