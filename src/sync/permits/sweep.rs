//! Looking for dead holders, and taking their permits over: what makes permits come back.
//!
//! Whether a holder lives costs some microseconds to find out, most of them in `/proc`. So nobody asks while a permit is
//! free, and who asks does not ask about all: it begins where the last one, of whatever process, stopped.

use std::cell::Cell;

use super::{Permit, PermitPool, place};
use crate::atomic::{Ordering, thread_local};
use crate::owner::Token;
use crate::owner::liveness::{self, Liveness};
use crate::time::Deadline;
use crate::wait::Wait;

/// How many holders are asked about at once: some 50 µs, three times that on a machine that is busy. At the end of a
/// first slice (3 ms) that is 2 to 5 % of a core, for some milliseconds; at the end of a last one (100 ms) 0.05 to 0.2 %.
const AT_ONCE: usize = 8;

/// In pools of more than 256 a waiter asks about more of them, so that this many slices see them all. With 1024 living
/// holders that costs 0.2 % of a core in the end, and was seen to cost 1.5 % on a busy machine. Waiters share the work.
const SLICES_PER_SWEEP: usize = 32;

/// How long who polls believes that there was no dead holder: as long as the shortest slice.
const BELIEVED_NANOS: u64 = 1_000_000;

/// How many holders a waiter asks about at the end of a slice.
pub(super) const fn per_slice(slots: usize) -> usize {
    let share = slots.div_ceil(SLICES_PER_SWEEP);
    if share > AT_ONCE { share } else { AT_ONCE }
}

thread_local! {
    /// The pool in which this thread, not waiting, last found nobody dead; and until when it believes that.
    static NONE_DEAD: Cell<(usize, Deadline)> = const { Cell::new((0, Deadline::PAST)) };
}

impl<const N: usize, W: Wait> PermitPool<N, W> {
    /// Takes a permit over from a dead holder, for callers that may ask again and again.
    pub(super) fn take_over_unless_just_tried(&self) -> Option<Permit<'_, N, W>> {
        let here = std::ptr::from_ref(self).addr();
        let now = Deadline::now();
        let (pool, until) = NONE_DEAD.with(Cell::get);
        if pool == here && now < until {
            return None;
        }
        let permit = self.take_over(AT_ONCE);
        let until = if permit.is_some() { Deadline::PAST } else { now.plus(BELIEVED_NANOS) };
        NONE_DEAD.with(|none| none.set((here, until)));
        permit
    }

    /// Takes a permit over from a dead holder, or one that is free meanwhile. Asks about `questions` holders at most;
    /// those that cost nothing do not count: the caller itself, and the same one several times in a row.
    pub(super) fn take_over(&self, mut questions: usize) -> Option<Permit<'_, N, W>> {
        let mine = Token::mine();
        let mut alive = mine;
        // Relaxed, and not even atomic as a whole: a hint. Two who sweep the same part have only wasted some time.
        let from = (self.swept.load(Ordering::Relaxed) % N as u64) as usize;
        let (before, after) = self.slots.split_at(from);
        for (slot, index) in after.iter().chain(before).zip((from..N).chain(0..from)) {
            let seen = Token(slot.load(Ordering::Relaxed));
            let free = seen.is_free();
            if !free && !seen.same_thread(alive) && !seen.same_thread(mine) {
                if questions == 0 {
                    self.swept.store(index as u64, Ordering::Relaxed);
                    return None;
                }
                questions -= 1;
            }
            if !free && (seen.same_thread(alive) || liveness::of(seen) != Liveness::Dead) {
                alive = seen;
                continue;
            }
            // edge: release -> acquire (Acquire end), for a free slot. For a dead holder's (invariant 2): what it wrote
            // after its last atomic access is not ordered by anything in the language; its death was proven through
            // the kernel, which orders it. A failure means that another was faster.
            if slot.compare_exchange(seen.0, mine.0, Ordering::Acquire, Ordering::Relaxed).is_ok() {
                self.swept.store(index as u64, Ordering::Relaxed);
                place::remember(mine, index);
                return Some(Permit::new(self, index, mine, if free { Token::FREE } else { seen }));
            }
        }
        None
    }
}
