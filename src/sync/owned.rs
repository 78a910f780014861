//! The owned word: a lock whose holder is inside the word that is compared and swapped. `Lock`, `RLock` and `Mutex`
//! are made of it.
//!
//! | word | meaning | who may leave it, to where |
//! |---|---|---|
//! | 0 | free | anybody: its own token |
//! | token | held | a releaser: 0; a waiter: + `WAITERS`; the kernel or a prover of death: + `OWNER_DIED` |
//! | token + `WAITERS` | held, somebody may sleep | a releaser: 0, then it wakes one; a prover: + `OWNER_DIED` |
//! | token + `OWNER_DIED` | the holder is dead | a recoverer: its own token; a releaser: 0 |
//! | `NOBODY` | held, its holder disowned it | as held, and never dead |
//!
//! `WAITERS` is a hint: too high costs a needless wake; too low costs a sleeper one slice, so nobody who knows of a
//! sleeper drops it. It is Drepper's third state ("Futexes Are Tricky", mutex 2): who has slept takes the lock with
//! the bit set, because others may sleep still.
//!
//! Invariants:
//! 1. One compare-and-swap takes the word and names the holder.
//! 2. A waiter has seen `WAITERS` in the word after its last look that found it held: it leaves, by timeout or signal,
//!    only in such a state. So a wake that it swallowed is repeated by the next release.
//! 3. `OWNER_DIED` is set only on the very token that was proven dead.

use crate::atomic::{AtomicU64, Ordering, constructor, fresh};
use crate::error::{AcquireError, ReleaseError};
use crate::owner::liveness::{self, Liveness};
use crate::owner::{Owner, Token};
use crate::time::Patience;
use crate::wait::sleep::{Sleeper, Slept};
use crate::wait::spin::Spin;
use crate::wait::{Wait, Word};

#[cfg_attr(not(loom), derive(zerocopy::FromBytes))]
#[repr(C)]
pub(super) struct OwnedWord<W> {
    word: AtomicU64,
    wait: W,
}

impl<W: Wait> OwnedWord<W> {
    constructor! {
        pub(super) fn new() -> Self {
            Self { word: AtomicU64::new(0), wait: fresh!(W) }
        }
    }

    /// Takes the word if it is free: the whole of an uncontended acquire. Otherwise what it holds.
    #[inline]
    pub(super) fn take_free(&self) -> Result<(), Token> {
        // edge: release -> acquire (Acquire end): what the last holder wrote is seen by this one.
        match self.word.compare_exchange(Token::FREE.0, Token::mine().0, Ordering::Acquire, Ordering::Relaxed) {
            Ok(_) => Ok(()),
            Err(seen) => Err(Token(seen)),
        }
    }

    /// Takes the word, waiting as long as `patience` lasts.
    #[inline]
    pub(super) fn acquire(&self, patience: Patience) -> Result<(), AcquireError> {
        match self.take_free() {
            Ok(()) => Ok(()),
            Err(_) => self.acquire_contended(patience),
        }
    }

    #[cold]
    pub(super) fn acquire_contended(&self, patience: Patience) -> Result<(), AcquireError> {
        let mut sleeper = Sleeper::new(patience);
        if sleeper.only_looks() {
            return self.try_acquire().map_err(|error| match error {
                AcquireError::WouldBlock => AcquireError::TimedOut,
                other => other,
            });
        }
        let mut mine = Token::mine();
        let mut spin = Spin::new();
        loop {
            let Some(held) = self.take_or_announce(mine, &mut spin)? else { return Ok(()) };
            match sleeper.sleep(&self.wait, Word::low_half(&self.word), held.low()) {
                Slept::Woken => spin = Spin::new(),
                Slept::SliceEnded => self.check_holder()?,
                Slept::Expired => return Err(AcquireError::TimedOut), // invariant 2: `held` had waiters
                Slept::Interrupted => return Err(AcquireError::Interrupted),
            }
            mine = Token::mine().with_waiters();
        }
    }

    /// Spins until the word can be taken as `mine` (`None`), or returns the held word in which sleepers are announced.
    fn take_or_announce(&self, mine: Token, spin: &mut Spin) -> Result<Option<Token>, AcquireError> {
        let mut spinning = true;
        let mut seen = Token(self.word.load(Ordering::Relaxed));
        loop {
            let next = if seen.is_free() {
                mine.with_waiters_of(seen)
            } else if seen.is_marked_dead() {
                return Err(AcquireError::OwnerDied(seen.dead_owner()));
            } else if spinning && spin.again(seen.cpu()) {
                seen = Token(self.word.load(Ordering::Relaxed));
                continue;
            } else if seen.has_waiters() {
                return Ok(Some(seen));
            } else {
                spinning = false;
                seen.with_waiters()
            };
            // edge: release -> acquire (Acquire end), when this takes the word. Announcing needs no order: the futex
            // compares the word again under its own lock, and a release that misses the bit has changed the word.
            match self.word.compare_exchange(seen.0, next.0, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) if seen.is_free() => return Ok(None),
                Ok(_) => return Ok(Some(next)),
                Err(now) => seen = Token(now),
            }
        }
    }

    /// Tries once, and tells a dead holder from a live one.
    pub(super) fn try_acquire(&self) -> Result<(), AcquireError> {
        let Err(mut seen) = self.take_free() else { return Ok(()) };
        loop {
            if seen.is_free() {
                // A free word with a hint left in it: only scribbled bytes, or a kernel that cleaned up, leave one.
                let mine = Token::mine().with_waiters_of(seen);
                match self.word.compare_exchange(seen.0, mine.0, Ordering::Acquire, Ordering::Relaxed) {
                    Ok(_) => return Ok(()), // edge: release -> acquire
                    Err(now) => seen = Token(now),
                }
            } else if seen.is_marked_dead() || liveness::is_dead_cached(seen) && self.mark_dead(seen) {
                return Err(AcquireError::OwnerDied(seen.dead_owner()));
            } else {
                return Err(AcquireError::WouldBlock);
            }
        }
    }

    /// After a slice: is the holder alive?
    fn check_holder(&self) -> Result<(), AcquireError> {
        let seen = Token(self.word.load(Ordering::Relaxed));
        if !seen.is_free() && liveness::of(seen) == Liveness::Dead && self.mark_dead(seen) {
            return Err(AcquireError::OwnerDied(seen.dead_owner()));
        }
        Ok(())
    }

    /// Sets `OWNER_DIED` on a word whose holder was proven dead; false if it is not the same word any more.
    ///
    /// The mark outlives the proof: a thread id may be reused. And it is told to all, so that nobody sleeps on.
    fn mark_dead(&self, seen: Token) -> bool {
        if seen.is_marked_dead() {
            return true;
        }
        // Only this very token, or the same with a hint that came meanwhile (invariant 3).
        let mut now = seen;
        loop {
            // Relaxed: says nothing of what the dead holder wrote; `recover` has the Acquire.
            match self.word.compare_exchange(now.0, now.marked_dead().0, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => break,
                Err(other) if Token(other) == seen.with_waiters() => now = Token(other),
                Err(other) => return Token(other).is_marked_dead() && Token(other).same_thread(seen),
            }
        }
        if now.has_waiters() {
            self.wait.wake(Word::low_half(&self.word), u32::MAX);
        }
        true
    }

    /// Takes over from a dead holder, whom it returns; `WouldBlock` if there is none. One of many callers wins.
    pub(super) fn recover(&self) -> Result<Token, AcquireError> {
        let mut seen = Token(self.word.load(Ordering::Relaxed));
        loop {
            if seen.is_free() || liveness::of(seen) != Liveness::Dead {
                return Err(AcquireError::WouldBlock);
            }
            let mine = Token::mine().with_waiters_of(seen);
            // edge: the dead holder's own Acquire -> recover. What the dead wrote after its last atomic access is not
            // ordered by anything in the language; its death was proven through the kernel, which orders it.
            match self.word.compare_exchange(seen.0, mine.0, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return Ok(seen),
                Err(now) => seen = Token(now),
            }
        }
    }

    /// Frees the word, whoever holds it, and wakes a sleeper.
    #[inline]
    pub(super) fn release(&self) -> Result<(), ReleaseError> {
        // edge: release -> acquire (Release end): what this holder wrote is seen by the next.
        let held = Token(self.word.swap(Token::FREE.0, Ordering::Release));
        if held.has_waiters() {
            self.wake_one();
        }
        if held.is_free() { Err(ReleaseError::NotLocked) } else { Ok(()) }
    }

    #[cold]
    fn wake_one(&self) {
        self.wait.wake(Word::low_half(&self.word), 1);
    }

    /// Has nobody in particular hold the word from now on. A dead holder stays one.
    pub(super) fn disown(&self) {
        let mut seen = Token(self.word.load(Ordering::Relaxed));
        while !seen.is_free() && !seen.is_marked_dead() {
            let nobody = Token::NOBODY.with_waiters_of(seen);
            // Release: a release by somebody else, which learned of this by other means, need not repeat it.
            match self.word.compare_exchange_weak(seen.0, nobody.0, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => seen = Token(now),
            }
        }
    }

    /// What the word holds, for looking only.
    #[inline]
    pub(super) fn token(&self) -> Token {
        Token(self.word.load(Ordering::Relaxed))
    }

    pub(super) fn holder(&self) -> Option<Owner> {
        self.token().owner()
    }

    #[inline]
    pub(super) fn is_mine(&self) -> bool {
        self.token().same_thread(Token::mine())
    }

    /// `free`, `held by tid 4711`, ..: for `Debug`.
    pub(super) fn describe(&self) -> String {
        let token = self.token();
        let held = match token.owner() {
            _ if token.is_free() => return String::from("free"),
            Some(owner) => format!("held by {owner}"),
            None => String::from("held by nobody in particular"),
        };
        let dead = if token.is_marked_dead() { ", who died" } else { "" };
        let waiters = if token.has_waiters() { ", waited for" } else { "" };
        held + dead + waiters
    }
}
