//! The owned word: a lock whose holder is inside the word that is compared and swapped. `Lock`, `RLock` and `Mutex`
//! are made of it.
//!
//! | word | meaning | who may leave it, to where |
//! |---|---|---|
//! | 0 | free | anybody: its own token |
//! | token | held | a releaser: 0; a waiter: + `WAITERS`; the kernel or a prover of death: + `OWNER_DIED` |
//! | token + `WAITERS` | held, somebody may sleep | a releaser: 0, then it wakes one; a prover: + `OWNER_DIED` |
//! | token + `OWNER_DIED` | the holder is dead | a recoverer: its own token; a releaser: 0 |
//! | `NOBODY`, with the boot | held, its holder disowned it | as held, and dead only after a reboot |
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

mod contended;

use crate::atomic::{AtomicU64, Ordering, constructor, fresh};
use crate::error::{AcquireError, ReleaseError};
use crate::owner::liveness::{self, Liveness};
use crate::owner::{Owner, Token};
use crate::time::Patience;
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
        self.take(Token::FREE, Token::mine())
    }

    /// Makes `mine` the holder of a word that reads `seen`, free or dead. Otherwise what it holds.
    #[inline]
    fn take(&self, seen: Token, mine: Token) -> Result<(), Token> {
        let mut now = seen;
        let taken = self.wait.taking(mine, || {
            // edge: release -> acquire (Acquire end): what the last holder wrote is seen by this one.
            let taken = self.word.compare_exchange(seen.0, mine.0, Ordering::Acquire, Ordering::Relaxed);
            now = Token(taken.unwrap_or_else(|now| now));
            taken.is_ok()
        });
        if taken { Ok(()) } else { Err(now) }
    }

    /// Takes the word, waiting as long as `patience` lasts.
    #[inline]
    pub(super) fn acquire(&self, patience: Patience) -> Result<(), AcquireError> {
        match self.take_free() {
            Ok(()) => Ok(()),
            Err(_) => self.acquire_contended(patience),
        }
    }

    /// Tries once, and tells a dead holder from a live one.
    pub(super) fn try_acquire(&self) -> Result<(), AcquireError> {
        let Err(mut seen) = self.take_free() else { return Ok(()) };
        loop {
            if seen.is_free() {
                // A free word with a hint left in it: only scribbled bytes, or a kernel that cleaned up, leave one.
                match self.take(seen, Token::mine().with_waiters_of(seen)) {
                    Ok(()) => return Ok(()),
                    Err(now) => seen = now,
                }
            } else if seen.is_marked_dead() || liveness::is_dead_cached(seen) && self.mark_dead(seen) {
                seen = self.examine(seen)?;
            } else {
                return Err(AcquireError::WouldBlock);
            }
        }
    }

    /// The error for a word that is marked dead; or what it is now, if the mark is not proven.
    ///
    /// The kernel's mark takes the thread id out, wakes one waiter only, and is an error if a thread of another PID
    /// namespace with the holder's id died here. Its holder is on record then, unless it died in the instant between
    /// taking the word and leaving its name: the stamp tells whether the record is this holder's.
    fn examine(&self, seen: Token) -> Result<Token, AcquireError> {
        let mut dead = seen;
        if let Some(holder) = self.wait.holder_on_record().filter(|&holder| seen.is_without_id_of(holder)) {
            let alive = !self.wait.mark_is_proof(seen) && liveness::of(holder) != Liveness::Dead;
            dead = if alive { holder } else { holder.marked_dead() }.with_waiters_of(seen);
            // Relaxed: puts back what was there.
            if let Err(now) = self.word.compare_exchange(seen.0, dead.0, Ordering::Relaxed, Ordering::Relaxed) {
                return Ok(Token(now));
            }
            self.wake_all(seen);
            if alive {
                return Ok(dead);
            }
        }
        Err(AcquireError::OwnerDied(dead.dead_owner()))
    }

    /// After a slice: is the holder alive?
    fn check_holder(&self) -> Result<(), AcquireError> {
        let seen = self.token();
        if !seen.is_free() && liveness::of_again(seen) == Liveness::Dead && self.mark_dead(seen) {
            return self.examine(seen.marked_dead()).map(drop);
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
            // edge: release -> acquire (Release end): what the prover knows of the dead, whoever recovers knows.
            match self.word.compare_exchange(now.0, now.marked_dead().0, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => break,
                Err(other) if Token(other) == seen.with_waiters() => now = Token(other),
                Err(other) => return Token(other).is_marked_dead() && Token(other).same_thread(seen),
            }
        }
        self.wake_all(now);
        true
    }

    fn wake_all(&self, before: Token) {
        if before.has_waiters() {
            self.wait.wake(Word::low_half(&self.word), u32::MAX);
        }
    }

    /// Takes over from a dead holder, whom it returns; `WouldBlock` if there is none. One of many callers wins.
    pub(super) fn recover(&self) -> Result<Token, AcquireError> {
        let mut seen = self.token();
        loop {
            if seen.is_free() || liveness::of(seen) != Liveness::Dead {
                return Err(AcquireError::WouldBlock);
            }
            if let Ok(now) = self.examine(seen) {
                seen = now;
                continue;
            }
            // What the dead holder wrote is not ordered by anything in the language; its death was proven through the
            // kernel, which orders it.
            match self.take(seen, Token::mine().with_waiters_of(seen)) {
                Ok(()) => return Ok(seen),
                Err(now) => seen = now,
            }
        }
    }

    /// Frees the word, whoever holds it, and wakes a sleeper.
    ///
    /// Always inlined, as are `release_own` and `freeing`: as a call it saves registers, and those stores are waited for by the
    /// atomic instruction behind them (0.5 ns of 4.3).
    #[inline(always)]
    pub(super) fn release(&self) -> Result<(), ReleaseError> {
        let freed = self.wait.freeing(|| {
            // edge: release -> acquire (Release end): what this holder wrote is seen by the next.
            let held = Token(self.word.swap(Token::FREE.0, Ordering::Release));
            if held.has_waiters() {
                self.wake_one();
            }
            if held.is_free() { Err(ReleaseError::NotLocked) } else { Ok(()) }
        });
        freed.unwrap_or_else(|| Err(self.not_mine()))
    }

    /// Frees the word if the calling thread holds it.
    ///
    /// That is not looked up first: a load of the word would wait for the atomic instruction that took it, and the next one
    /// for the load. So it bets that the thread is where it was, and that nobody waits.
    #[inline(always)]
    pub(super) fn release_own(&self) -> Result<(), ReleaseError> {
        if W::BY_HOLDER_ONLY {
            return self.release();
        }
        let Some(mine) = Token::mine_if_known() else { return Err(self.not_mine()) };
        // edge: release -> acquire (Release end), as in `release`.
        match self.word.compare_exchange(mine.0, Token::FREE.0, Ordering::Release, Ordering::Relaxed) {
            Ok(_) => Ok(()),
            Err(held) => self.release_if_mine(Token(held)),
        }
    }

    /// `release_own` for a guard, whatever comes of it. With a list to mend it is a call: else the guard's drop is too large to
    /// be inlined, and so the guard is put together in memory, and copied there.
    #[inline(always)]
    pub(super) fn release_guarded(&self) {
        // An error: somebody else released it, as a lock's rules may allow; or this is a forked child's copy of its
        // parent's guard; or scribbled bytes.
        if W::BY_HOLDER_ONLY {
            self.release_listed();
        } else {
            let _ = self.release_own();
        }
    }

    #[inline(never)]
    fn release_listed(&self) {
        let _ = self.release();
    }

    /// What is left to do if the bet was lost.
    #[cold]
    fn release_if_mine(&self, held: Token) -> Result<(), ReleaseError> {
        if held.is_mine() { self.release() } else { Err(self.not_mine()) }
    }

    #[cold]
    pub(super) fn not_mine(&self) -> ReleaseError {
        let held = self.token();
        if held.is_free() { ReleaseError::NotLocked } else { ReleaseError::NotOwner(held.owner()) }
    }

    /// Wakes one sleeper; whether there was one.
    #[cold]
    pub(super) fn wake_one(&self) -> bool {
        self.wait.wake(Word::low_half(&self.word), 1) > 0
    }

    /// Has nobody in particular hold the word from now on. A dead holder stays the holder: nobody in particular does not die,
    /// so a death that nobody has noticed yet would never be told.
    pub(super) fn disown(&self) {
        let mut seen = self.token();
        while !W::BY_HOLDER_ONLY && !seen.is_free() && !seen.is_marked_dead() {
            if !seen.is_mine() && liveness::of(seen) == Liveness::Dead && self.mark_dead(seen) {
                return;
            }
            let nobody = seen.disowned();
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
        self.wait.is_mine(|| self.token())
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

/// What `RwLock` asks of its writers' word besides: its readers look at the word, and sleep elsewhere.
impl<W: Wait> OwnedWord<W> {
    /// `take_free`, in the one order of all `SeqCst` accesses.
    #[inline]
    pub(super) fn take_free_in_order(&self) -> bool {
        let mine = Token::mine();
        // Acquire, too, like `take`: what the last holder wrote is seen by this one. (A model's fence hides that.)
        let take = || self.word.compare_exchange(Token::FREE.0, mine.0, Ordering::SeqCst, Ordering::Relaxed).is_ok();
        self.wait.taking(mine, take)
    }

    /// `token`, in the one order of all `SeqCst` accesses; what the last holder wrote is seen by who finds it free.
    #[inline]
    pub(super) fn token_in_order(&self) -> Token {
        Token(self.word.load(Ordering::SeqCst)) // edge: write released -> entered (Acquire end)
    }

    /// Whether there is something to `recover`, for who asks again and again. A free word may seem so.
    pub(super) fn is_dead_again(&self) -> bool {
        liveness::of_again(self.token()) == Liveness::Dead
    }

    /// Sets `WAITERS` for somebody who sleeps elsewhere, if the word is still `seen`; whether it is.
    pub(super) fn announce(&self, seen: Token) -> bool {
        // edge: announced -> vacated (Release end): who vacates sees what the announcer wrote before. A write even if
        // the bit is set already, for only what is written is seen.
        let announced = seen.with_waiters();
        self.word.compare_exchange(seen.0, announced.0, Ordering::Release, Ordering::Relaxed).is_ok()
    }

    /// Frees the word, and leaves the waking to `pass_on`, which learns what it held.
    #[inline]
    pub(super) fn vacate(&self, pass_on: impl FnOnce(Token)) {
        self.wait.freeing(|| {
            // edge: write released -> entered (Release end); edge: announced -> vacated (Acquire end)
            pass_on(Token(self.word.swap(Token::FREE.0, Ordering::AcqRel)));
        });
    }
}
