//! Waiting for an [`OwnedWord`] that somebody holds: spin, announce, sleep a slice, and see whether the holder lives.

use super::OwnedWord;
use crate::atomic::Ordering;
use crate::error::AcquireError;
use crate::owner::Token;
use crate::owner::liveness;
use crate::sync::deadlock::Waiting;
use crate::time::Patience;
use crate::wait::sleep::{Sleeper, Slept};
use crate::wait::spin::Spin;
use crate::wait::{Wait, Word};

impl<W: Wait> OwnedWord<W> {
    #[cold]
    pub(in crate::sync) fn acquire_contended(&self, patience: Patience) -> Result<(), AcquireError> {
        let mut sleeper = Sleeper::with_soon_looks(patience);
        if sleeper.only_looks() {
            return self.try_acquire().map_err(|error| match error {
                AcquireError::WouldBlock => AcquireError::TimedOut,
                other => other,
            });
        }
        let mut mine = Token::mine();
        let mut spin = Some(Spin::new());
        let mut waiting = None;
        let mut known = Token::FREE;
        loop {
            // Spun is once after each wake. At a slice's end nothing says that somebody is about to let go.
            let Some(held) = self.take_or_announce(mine, spin.take())? else { return Ok(()) };
            self.wait.prepare();
            if known.is_free() {
                known = held;
            }
            match sleeper.sleep(&self.wait, Word::low_half(&self.word).to_be_taken(), held.low()) {
                Slept::Woken => spin = Some(Spin::new()),
                // In a crowd everybody's slice ends while the lock goes round among the living. Only a holder that stays
                // may be dead, or in a circle; whether this one stays is looked at soon.
                Slept::SliceEnded if !known.same_thread(self.token()) => {
                    known = Token::FREE;
                    sleeper.look_soon();
                }
                Slept::SliceEnded => {
                    self.check_holder()?;
                    let waiting = waiting.get_or_insert_with(|| Waiting::on(&self.word));
                    waiting.as_mut().map_or(Ok(()), |waiting| waiting.check(patience.can_fail))?;
                }
                Slept::Expired => return self.last_look(),
                Slept::Interrupted => {
                    // Signals may come faster than any slice ends, and the caller come back after each.
                    self.report_if_dead()?;
                    return Err(AcquireError::Interrupted);
                }
            }
            mine = Token::mine().with_waiters();
        }
    }

    /// After the deadline, which may come before the first slice ends: who asks again and again for short times must learn
    /// of a death, too. The word had waiters at the last look (invariant 2), and is taken with them.
    #[cold]
    fn last_look(&self) -> Result<(), AcquireError> {
        let seen = self.token();
        if seen.is_free() && self.take(seen, Token::mine().with_waiters()).is_ok() {
            return Ok(());
        }
        self.report_if_dead()?;
        Err(AcquireError::TimedOut)
    }

    /// For who leaves, and may do so again and again before any slice ends.
    fn report_if_dead(&self) -> Result<(), AcquireError> {
        let seen = self.token();
        if !seen.is_free() && liveness::is_dead_cached(seen) && self.mark_dead(seen) {
            self.examine(seen.marked_dead())?;
        }
        Ok(())
    }

    /// Spins until the word can be taken as `mine` (`None`), or returns the held word in which sleepers are announced.
    fn take_or_announce(&self, mine: Token, mut spin: Option<Spin>) -> Result<Option<Token>, AcquireError> {
        let mut seen = self.token();
        loop {
            if seen.is_free() {
                match self.take(seen, mine.with_waiters_of(seen)) {
                    Ok(()) => return Ok(None),
                    Err(now) => seen = now,
                }
            } else if seen.is_marked_dead() {
                seen = self.examine(seen)?;
            } else if spin.as_mut().is_some_and(|spin| spin.again(seen.cpu())) {
                seen = self.token();
            } else if seen.has_waiters() {
                return Ok(Some(seen));
            } else {
                spin = None;
                let announced = seen.with_waiters();
                // Needs no order: the futex compares the word again under its own lock, and a release that misses the
                // bit has changed the word.
                match self.word.compare_exchange(seen.0, announced.0, Ordering::Relaxed, Ordering::Relaxed) {
                    Ok(_) => return Ok(Some(announced)),
                    Err(now) => seen = Token(now),
                }
            }
        }
    }
}
