//! Who waits for what: the table in a region's header.
//!
//! | entry  | what |
//! |--------|------|
//! | `who`  | the waiting thread's token; zero: the entry is free |
//! | `wait` | bit 0: it waits. Bit 1: its call can return an error. Bit 2: or panic, as it is not unwinding. Bits 3–47: the byte of the payload where the word is that it waits for, a multiple of eight. Bits 48–63: the number of this wait |
//!
//! A thread that is killed leaves its entry behind; who finds no free one takes a dead thread's. (Not one of another PID
//! namespace, whose death nobody here can prove: after 248 of them the table is full, and nothing is found.) The number makes every
//! wait in an entry another than the one before, until after 65,536 of them.
//!
//! What another process writes here can make a deadlock be overlooked, or be told where there is none. Nothing else: the
//! byte that an entry names is checked, and read by the kernel, before it is believed.

use crate::atomic::{AtomicU64, Ordering, fence};
use crate::owner::liveness;
use crate::owner::{Owner, Token};
use crate::time::Deadline;

/// How many threads of all processes may be in a region's table: what fits in its first page, beside the header. The
/// others wait as they would without one.
pub(super) const ENTRIES: usize = if cfg!(loom) { 2 } else { 248 };

/// How many entries are asked about whose threads may be dead, at the most, by who finds none free.
const QUESTIONS: usize = 4;

/// As it is in a region. All-zero: nobody waits.
#[cfg_attr(not(loom), derive(zerocopy::FromBytes))]
#[repr(C)]
pub(crate) struct WaitTable {
    entries: [Entry; ENTRIES],
}

#[cfg_attr(not(loom), derive(zerocopy::FromBytes))]
#[repr(C)]
struct Entry {
    who: AtomicU64,
    wait: AtomicU64,
}

/// One wait of one thread.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Wait(u64);

impl Wait {
    const WAITS: u64 = 1;
    const CAN_FAIL: u64 = 2;
    const CAN_PANIC: u64 = 4;
    const OFFSET: u64 = ((1 << 48) - 1) & !7;
    const ONE: u64 = 1 << 48;

    fn next(self, offset: u64, can_fail: bool) -> Self {
        let form = match can_fail {
            true => Self::CAN_FAIL,
            false if std::thread::panicking() => 0, // a second panic would end the process
            false => Self::CAN_PANIC,
        };
        Self((self.0 & !(Self::ONE - 1)).wrapping_add(Self::ONE) | offset & Self::OFFSET | form | Self::WAITS)
    }

    pub(super) fn offset(self) -> u64 {
        self.0 & Self::OFFSET
    }

    pub(super) fn can_fail(self) -> bool {
        self.0 & Self::CAN_FAIL != 0
    }

    pub(super) fn can_panic(self) -> bool {
        self.0 & Self::CAN_PANIC != 0
    }
}

impl WaitTable {
    #[cfg(loom)]
    pub(crate) fn new() -> Self {
        Self { entries: std::array::from_fn(|_| Entry { who: AtomicU64::new(0), wait: AtomicU64::new(0) }) }
    }

    /// Enters `me`, which waits for the word at `offset`. Its entry, or `None` if there is none left.
    pub(crate) fn enter(&self, me: Token, offset: u64, can_fail: bool) -> Option<usize> {
        let entry = self.claim(me)?;
        let wait = &self.entries[entry].wait;
        let next = Wait(wait.load(Ordering::Relaxed)).next(offset, can_fail);
        // edge: waits -> looked at again (Release end): what the thread let go before is seen by who finds it waiting.
        wait.store(next.0, Ordering::Release);
        Some(entry)
    }

    fn claim(&self, me: Token) -> Option<usize> {
        let claim = |entry: &usize, seen: u64| {
            let who = &self.entries[*entry].who;
            // Acquire: the wait's number goes on from what the last user left.
            who.load(Ordering::Relaxed) == seen
                && who.compare_exchange(seen, me.0, Ordering::Acquire, Ordering::Relaxed).is_ok()
        };
        // From its own place on, so that the threads of a crowd do not all try the same entries.
        let from = me.low() as usize % ENTRIES;
        let all = |from: usize| (from..ENTRIES).chain(0..from);
        let replaces_dead = |&entry: &usize| self.bury(entry).is_some_and(|dead| claim(&entry, dead));
        // Who asks again at its next slice asks others, lest a few of the living hide the dead behind them.
        let somewhere = Deadline::now().nanos() as usize % ENTRIES;
        all(from).find(|entry| claim(entry, 0)).or_else(|| all(somewhere).take(QUESTIONS).find(replaces_dead))
    }

    /// Ends the wait in this entry if its thread is dead, whose token it returns. First the wait and then the thread, or
    /// the next one would for a moment seem to wait for what the dead one waited for.
    fn bury(&self, entry: usize) -> Option<u64> {
        let Entry { who, wait } = &self.entries[entry];
        let (waited, dead) = (wait.load(Ordering::Relaxed), who.load(Ordering::Relaxed));
        let over = waited & !Wait::WAITS;
        (liveness::is_gone(Token(dead))
            && wait.compare_exchange(waited, over, Ordering::Relaxed, Ordering::Relaxed).is_ok())
        .then_some(dead)
    }

    /// The wait is over.
    pub(crate) fn leave(&self, entry: usize) {
        let Entry { who, wait } = &self.entries[entry];
        wait.store(wait.load(Ordering::Relaxed) & !Wait::WAITS, Ordering::Relaxed);
        // Release: who claims the entry continues the number.
        who.store(0, Ordering::Release);
        // edge: left -> looked at again (Release end): who sees the thread hold what it takes from now on sees that this
        // wait is over. A fence, because what it takes is taken by a fast path that has no release.
        fence(Ordering::Release);
    }

    /// Who waits in this entry, and for what; `None` if nobody does.
    pub(super) fn look(&self, entry: usize) -> Option<(Token, Wait)> {
        // Relaxed, for who believes it looks again, behind a fence.
        let wait = self.entries[entry].wait.load(Ordering::Relaxed);
        let who = Token(self.entries[entry].who.load(Ordering::Relaxed));
        (wait & Wait::WAITS != 0 && who.0 != 0).then_some((who, Wait(wait)))
    }

    /// All who wait, those among them that have died, and from which byte of the payload on lies what they wait for. For
    /// looking only.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = (Owner, u64)> + '_ {
        (0..ENTRIES).filter_map(|entry| self.look(entry)).map(|(who, wait)| (who.dead_owner(), wait.offset()))
    }

    /// Where `thread` waits.
    pub(super) fn entry_of(&self, thread: Token) -> Option<usize> {
        (0..ENTRIES).find(|&entry| self.look(entry).is_some_and(|(who, _)| who.same_thread(thread)))
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
    use std::{thread, time};

    fn table() -> Box<WaitTable> {
        zerocopy::FromZeros::new_box_zeroed().unwrap()
    }

    #[test]
    fn a_wait_says_for_what_it_is_and_how_it_may_end() {
        for (number, flags) in [(0, 0), (1, 7), (0x7fff, 1), (0xffff, 7)] {
            let before = Wait(number << 48 | 24 | flags);
            for (offset, can_fail) in [(0, true), (8, false), (4096, true), (Wait::OFFSET, false)] {
                let next = before.next(offset, can_fail);
                assert_eq!((next.offset(), next.can_fail(), next.can_panic()), (offset, can_fail, !can_fail));
                assert_eq!((next.0 & Wait::WAITS, next.0 >> 48), (Wait::WAITS, (number + 1) & 0xffff));
            }
        }
    }

    #[test]
    fn who_unwinds_has_no_way_to_be_told() {
        struct Waits<'a>(&'a Cell<Wait>);
        impl Drop for Waits<'_> {
            fn drop(&mut self) {
                self.0.set(Wait(0).next(8, false));
            }
        }
        let wait = Cell::new(Wait(0).next(8, false));
        assert!(wait.get().can_panic());
        let unwound = catch_unwind(AssertUnwindSafe(|| {
            let _waits = Waits(&wait);
            resume_unwind(Box::new(()));
        }));
        assert!(unwound.is_err() && !wait.get().can_fail() && !wait.get().can_panic());
    }

    #[test]
    fn who_has_left_does_not_seem_to_wait() {
        let (table, mine) = (table(), Token::mine());
        let entry = table.enter(mine, 8, true).unwrap();
        assert!(table.look(entry).is_some_and(|(who, wait)| who == mine && wait.offset() == 8));
        assert_eq!(table.bury(entry), None, "it lives");
        table.leave(entry);
        assert!(table.look(entry).is_none());
        // Nor does who has claimed the entry after it, and not entered its wait yet.
        table.entries[entry].who.store(mine.0, Ordering::Relaxed);
        assert!(table.look(entry).is_none());
        let first = table.entries[entry].wait.load(Ordering::Relaxed);
        table.entries[entry].who.store(0, Ordering::Relaxed);
        assert_eq!(table.enter(mine, 8, true), Some(entry), "each has a place to begin with");
        assert_ne!(table.entries[entry].wait.load(Ordering::Relaxed) >> 48, first >> 48, "another wait");
        // Nor does nobody.
        table.entries[entry].who.store(0, Ordering::Relaxed);
        assert!(table.look(entry).is_none());
    }

    #[test]
    fn the_dead_are_buried_with_their_waits() {
        let (table, dead) = (table(), thread::spawn(Token::mine).join().unwrap());
        let entry = table.enter(dead, 8, true).unwrap();
        assert!(table.look(entry).is_some());
        // The kernel forgets a thread a moment after it has been joined.
        let end = time::Instant::now() + time::Duration::from_secs(20);
        let buried = loop {
            match table.bury(entry) {
                None if time::Instant::now() < end => thread::yield_now(),
                buried => break buried,
            }
        };
        assert_eq!(buried, Some(dead.0));
        assert!(table.look(entry).is_none());
    }

    /// Four are asked about at a time, and not always the same four.
    #[test]
    fn the_living_do_not_hide_the_dead() {
        let (table, mine) = (table(), Token::mine());
        for entry in &table.entries {
            entry.who.store(mine.0, Ordering::Relaxed);
        }
        assert_eq!(table.enter(mine, 8, true), None, "all are taken, and alive");
        let dead = thread::spawn(Token::mine).join().unwrap();
        table.entries[200].who.store(dead.0, Ordering::Relaxed);
        let end = time::Instant::now() + time::Duration::from_secs(20);
        let found = std::iter::repeat_with(|| table.enter(mine, 8, true)).find(|found| {
            assert!(time::Instant::now() < end, "never asked about");
            found.is_some()
        });
        assert_eq!(found, Some(Some(200)));
    }
}
