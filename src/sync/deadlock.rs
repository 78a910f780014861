//! Deadlocks are found, not suffered: threads that hold locks of one region and wait, in a circle, for each other's.
//!
//! | file      | its one idea |
//! |-----------|--------------|
//! | `regions` | which region of this process a word lies in, and so which table its waiters use |
//! | `table`   | who waits for what: a few bytes in the region's header |
//! | `circle`  | following waiter to holder to waiter, and the argument that what closes is a deadlock |
//!
//! Nobody looks or is looked at before its first slice has ended. So a lock that is free, or held for less than that,
//! costs what it cost without all this. From then on a waiter is in its region's table until it has the lock, and at the
//! end of each slice it follows the circle. Words outside regions are nobody's business here.
//!
//! Of a circle's threads one is told, and which one is a matter of the table alone, so that all agree: of those whose
//! call has an error to return the last in the table; of those whose call has none, only if there are no others, and none
//! that is unwinding, for it could only panic once more.

mod circle;
mod regions;
mod table;

use crate::atomic::{AtomicU64, Ordering};
use crate::error::{AcquireError, deadlock};
use crate::owner::Token;
#[cfg(loom)]
pub(crate) use circle::find;
#[cfg(not(loom))]
pub(crate) use regions::Registration;
pub(crate) use table::WaitTable;

/// A thread's place in the table of its region, from its first slice's end to the end of its wait.
pub(super) struct Waiting<'a> {
    word: &'a AtomicU64,
    place: regions::Place<'a>,
    /// None until one was to be had.
    entry: Option<usize>,
}

impl<'a> Waiting<'a> {
    /// For the calling thread, which waits for `word`. `None` where nobody would look: outside of every region.
    pub(super) fn on(word: &'a AtomicU64) -> Option<Self> {
        Some(Self { word, place: regions::place_of(word)?, entry: None })
    }

    /// Says, if that is not said yet and the table has room, that the calling thread waits; and whether it is the one to be
    /// told of a deadlock that it is in.
    ///
    /// # Errors
    /// `WouldDeadlock` if so.
    pub(super) fn check(&mut self, can_fail: bool) -> Result<(), AcquireError> {
        let Self { word, place, .. } = self;
        self.entry = self.entry.or_else(|| place.table.enter(Token::mine(), place.offset, can_fail));
        let Some(entry) = self.entry else { return Ok(()) };
        // The own word need not be read by the kernel.
        let peek = |offset| {
            if offset == place.offset { Some(word.load(Ordering::Relaxed)) } else { place.peek(offset) }
        };
        let Some(circle) = circle::find(place.table, entry, peek) else {
            return Ok(());
        };
        if circle.told() != Some(entry) {
            return Ok(());
        }
        deadlock::remember(circle.to_string());
        Err(AcquireError::WouldDeadlock)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(entry) = self.entry {
            self.place.table.leave(entry);
        }
    }
}

/// The error for a thread that asks for what it `holds` itself.
#[cold]
pub(super) fn of_one(holds: &str) -> AcquireError {
    let me = Token::mine().dead_owner();
    deadlock::remember(format!("the calling thread, {me}, {holds}"));
    AcquireError::WouldDeadlock
}
