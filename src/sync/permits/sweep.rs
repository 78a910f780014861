//! Looking for dead holders, and taking their permits over: what makes permits come back.
//!
//! Whether a holder lives costs ten microseconds to find out, most of them in `/proc`, and several times that after a
//! sleep. Whether its process still runs costs one or two, and tells of most of the dead. So nobody asks while a permit is free, and who asks does so in two rounds: a few holders are asked closely,
//! many are looked at in passing. Each round begins where the last one, of whatever process, stopped.

use std::cell::Cell;

use super::{Permit, PermitPool, place};
use crate::atomic::{Ordering, thread_local};
use crate::error::AcquireError;
use crate::owner::Token;
use crate::owner::liveness::{self, CLOSELY, IN_PASSING, Liveness};
use crate::time::Deadline;
use crate::wait::Wait;

/// How long who polls believes that there was no dead holder: as long as the shortest slice.
const BELIEVED_NANOS: u64 = 1_000_000;

thread_local! {
    /// The pool in which this thread, not waiting, last found nobody dead; and until when it believes that.
    static NONE_DEAD: Cell<(usize, Deadline)> = const { Cell::new((0, Deadline::PAST)) };
}

impl<const N: usize, W: Wait> PermitPool<N, W> {
    /// Takes over a permit whose holder is dead, and never a free one. For who cleans up before anybody comes to need the
    /// permit: dropping it frees it, and wakes one who waits. It asks about every holder, which takes some ten
    /// microseconds each.
    ///
    /// # Errors
    /// `WouldBlock` if no holder is known to be dead.
    ///
    /// # Example
    /// ```
    /// # let pool = shmsync::PermitPool::<3>::new();
    /// while let Ok(permit) = pool.recover() {
    ///     println!("{} was left behind", permit.index());
    /// }
    /// ```
    pub fn recover(&self) -> Result<Permit<'_, N, W>, AcquireError> {
        let mine = Token::mine();
        let permit = self.slots.iter().enumerate().find_map(|(index, slot)| {
            let seen = Token(slot.load(Ordering::Relaxed));
            if seen.is_free() || liveness::of(seen) != Liveness::Dead {
                return None;
            }
            // As in `take_over_among`.
            slot.compare_exchange(seen.0, mine.0, Ordering::Acquire, Ordering::Relaxed).ok()?;
            Some(Permit::new(self, index, mine, seen))
        });
        permit.ok_or(AcquireError::WouldBlock)
    }

    /// Takes a permit over from a dead holder, for callers that may ask again and again.
    pub(super) fn take_over_unless_just_tried(&self) -> Option<Permit<'_, N, W>> {
        let here = std::ptr::from_ref(self).addr();
        let now = Deadline::now();
        let (pool, until) = NONE_DEAD.with(Cell::get);
        if pool == here && now < until {
            return None;
        }
        let permit = self.take_over();
        let until = if permit.is_some() { Deadline::PAST } else { now.plus(BELIEVED_NANOS) };
        NONE_DEAD.with(|none| none.set((here, until)));
        permit
    }

    /// Takes a permit over from a dead holder, or one that is free meanwhile.
    pub(super) fn take_over(&self) -> Option<Permit<'_, N, W>> {
        // Relaxed, and not even atomic as a whole: a hint. Two who sweep the same part have only wasted some time.
        let swept = self.swept.load(Ordering::Relaxed);
        let (mut closely, mut in_passing) = (swept as usize % N, (swept >> 32) as usize % N);
        let permit = self.take_over_among(&mut closely, CLOSELY, |holder| liveness::of_again(holder) == Liveness::Dead);
        let permit = match permit {
            None if N > CLOSELY => self.take_over_among(&mut in_passing, IN_PASSING, liveness::is_gone),
            permit => permit,
        };
        self.swept.store(closely as u64 | (in_passing as u64) << 32, Ordering::Relaxed);
        permit
    }

    /// One round, `from` where it is to begin the next time. Asks about `questions` holders at most; those that cost
    /// nothing do not count: the caller itself, and the same one several times in a row.
    fn take_over_among(
        &self,
        from: &mut usize,
        mut questions: usize,
        is_dead: impl Fn(Token) -> bool,
    ) -> Option<Permit<'_, N, W>> {
        let mine = Token::mine();
        let mut alive = mine;
        let (before, after) = self.slots.split_at(*from);
        for (slot, index) in after.iter().chain(before).zip((*from..N).chain(0..*from)) {
            let seen = Token(slot.load(Ordering::Relaxed));
            let free = seen.is_free();
            if !free && !seen.same_thread(alive) && !seen.same_thread(mine) {
                if questions == 0 {
                    *from = index;
                    return None;
                }
                questions -= 1;
            }
            if !free && (seen.same_thread(alive) || !is_dead(seen)) {
                alive = seen;
                continue;
            }
            // edge: release -> acquire (Acquire end), for a free slot. For a dead holder's (invariant 2): what it wrote
            // after its last atomic access is not ordered by anything in the language; its death was proven through
            // the kernel, which orders it. A failure means that another was faster.
            if slot.compare_exchange(seen.0, mine.0, Ordering::Acquire, Ordering::Relaxed).is_ok() {
                *from = index;
                place::remember(mine, index);
                return Some(Permit::new(self, index, mine, if free { Token::FREE } else { seen }));
            }
        }
        None
    }
}
