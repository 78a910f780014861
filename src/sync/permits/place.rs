//! Where a thread looks first.
//!
//! Each keeps to the slot that it used last, and begins with one whose cache line no other begins with, as long as
//! there are enough lines. Who finds its own slot taken goes round from there and takes the first that is free: in a
//! pool that is not nearly full that is a neighbour, in a line which is its own, too. Who has slept goes round from
//! where a permit was last freed, which the turn says.

use std::cell::Cell;

use super::LINE;
use crate::atomic::thread_local;
use crate::owner::Token;

thread_local! {
    /// The thread id, and the index of the slot that this thread used last, in whichever pool. With the id, because a
    /// forked child would otherwise begin where its parent is.
    static LAST: Cell<(u32, u32)> = const { Cell::new((0, 0)) };
}

/// The slot that the thread `mine` used last, if a pool of `n` has it.
#[inline]
pub(super) fn last_of(mine: Token, n: usize) -> Option<usize> {
    let (who, last) = LAST.with(Cell::get);
    (who == mine.low() && (last as usize) < n).then_some(last as usize)
}

/// Where the thread `mine` begins to look in a pool of `n`.
pub(super) fn first_of(mine: Token, n: usize) -> usize {
    last_of(mine, n).unwrap_or_else(|| first_index(mine.low(), n))
}

/// The thread `mine` has taken this slot, or given it back.
#[inline]
pub(super) fn remember(mine: Token, index: usize) {
    LAST.with(|last| last.set((mine.low(), index as u32)));
}

/// Where a thread begins that has used no slot yet. Consecutive thread ids, which is what the workers of a pool tend
/// to have, come to different lines if they are no more than there are whole lines, and to different slots of these
/// if they are no more than those.
fn first_index(tid: u32, n: usize) -> usize {
    let lines = (n / LINE).max(1);
    let tid = tid as usize;
    (tid % lines * LINE + tid / lines % LINE) % n
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn first_slots_are_spread() {
        for n in [1, 2, 3, 7, 8, 9, 12, 64, 100, 1024] {
            for tid in [1, 4711, 4_194_000] {
                assert!((tid..tid + 100).all(|tid| first_index(tid, n) < n));
                let lines: HashSet<_> = (0..n / LINE).map(|i| first_index(tid + i as u32, n) / LINE).collect();
                assert_eq!(lines.len(), n / LINE, "{n} slots");
            }
        }
        let all: HashSet<_> = (0..64).map(|i| first_index(4096 + i, 64)).collect();
        assert_eq!(all.len(), 64);
    }

    #[test]
    fn a_thread_begins_where_it_was_last() {
        let mine = Token::mine();
        assert_eq!(last_of(mine, 100), None, "nothing yet");
        for index in [0, 1, 5, 70] {
            remember(mine, index);
            assert_eq!((last_of(mine, index + 1), first_of(mine, index + 1)), (Some(index), index));
            assert_eq!(last_of(mine, index), None, "the pool is smaller");
            let another = std::thread::spawn(Token::mine).join().unwrap();
            assert_eq!(last_of(another, 100), None, "as in a child that was forked from this thread");
            assert_eq!(first_of(another, 100), first_index(another.low(), 100));
        }
    }
}
