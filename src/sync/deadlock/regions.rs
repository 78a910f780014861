//! The regions that this process has mapped: who waits for a word learns here which table its waiters use.
//!
//! Read at the end of a slice, with locks held by anybody, perhaps in a child that was forked while another thread of its
//! parent was in here. So there is no lock: each record is claimed, filled and published by its own atomics.
//!
//! | `start` | meaning | who may leave it, to where |
//! |---|---|---|
//! | 0 | free | who maps a region: 1 |
//! | 1 | being filled; stays so in a child that was forked at that moment | the same: the payload's address |
//! | address | mapped | who unmaps the region: 0 |
#![allow(unsafe_code)]

use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering, fence};

use super::table::WaitTable;
use crate::atomic::AtomicU64;
use crate::sys;

const FREE: usize = 0;
const CLAIMED: usize = 1;

struct Record {
    start: AtomicUsize,
    length: AtomicUsize,
    table: AtomicPtr<WaitTable>,
    /// How often it was claimed: a region may come to where an earlier one was.
    uses: AtomicUsize,
}

impl Record {
    const fn new() -> Self {
        let table = AtomicPtr::new(ptr::null_mut());
        Self { start: AtomicUsize::new(FREE), length: AtomicUsize::new(0), table, uses: AtomicUsize::new(0) }
    }
}

/// Records are never freed, but used again: there are as many as regions were mapped at one time, rounded up.
struct Block {
    records: [Record; 32],
    next: AtomicPtr<Block>,
}

impl Block {
    const fn new() -> Self {
        Self { records: [const { Record::new() }; 32], next: AtomicPtr::new(ptr::null_mut()) }
    }

    fn following(&self) -> Option<&'static Self> {
        // SAFETY: null, or a block that `after` leaked. (Acquire: what it is made of is seen.)
        unsafe { self.next.load(Ordering::Acquire).as_ref() }
    }

    /// The block behind this one, made if need be.
    fn after(&self) -> &'static Self {
        self.following().unwrap_or_else(|| {
            let new = Box::into_raw(Box::new(Self::new()));
            let made = self.next.compare_exchange(ptr::null_mut(), new, Ordering::AcqRel, Ordering::Acquire);
            if made.is_err() {
                // SAFETY: made by `Box` above, and nobody else has seen it.
                drop(unsafe { Box::from_raw(new) });
            }
            self.following().expect("one was linked, here or by another thread")
        })
    }
}

static FIRST: Block = Block::new();

/// Says where a region is, until it is dropped, which must be before the region is unmapped.
pub(crate) struct Registration(&'static Record);

impl Registration {
    /// The payload is `length` bytes from `start` on, and `table` is its region's.
    ///
    /// # Safety
    /// Both are mapped until this is dropped, and the table is aligned.
    pub(crate) unsafe fn new(start: usize, length: usize, table: *mut WaitTable) -> Self {
        let mut block = &FIRST;
        loop {
            let claim = |record: &&Record| {
                // Acquire: to what the last user of the record stored, this comes after.
                record.start.compare_exchange(FREE, CLAIMED, Ordering::Acquire, Ordering::Relaxed).is_ok()
            };
            if let Some(record) = block.records.iter().find(claim) {
                record.uses.fetch_add(1, Ordering::Release); // Release: after the claim
                // edge: record changes <-> record read: who reads anything of what follows sees the claim or a later one.
                fence(Ordering::Release);
                record.length.store(length, Ordering::Relaxed);
                record.table.store(table, Ordering::Relaxed);
                // edge: region mapped -> found (Release end)
                record.start.store(start, Ordering::Release);
                return Self(record);
            }
            block = block.after();
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.0.start.store(FREE, Ordering::Release);
    }
}

/// Where a word is.
pub(super) struct Place<'a> {
    pub(super) table: &'a WaitTable,
    /// The byte of the payload where the word begins: the same for every process that has mapped the region.
    pub(super) offset: u64,
    start: usize,
    length: usize,
}

/// Where `word` is, if in a region.
pub(super) fn place_of(word: &AtomicU64) -> Option<Place<'_>> {
    if cfg!(loom) {
        return None;
    }
    let address = ptr::from_ref(word).addr();
    let mut block = Some(&FIRST);
    while let Some(Block { records, .. }) = block {
        for record in records {
            let uses = record.uses.load(Ordering::Acquire);
            let start = record.start.load(Ordering::Acquire); // edge: region mapped -> found (Acquire end)
            let length = record.length.load(Ordering::Relaxed);
            let table = record.table.load(Ordering::Relaxed);
            // The record of the word's own region does not change while the word is borrowed, but others may: what was read
            // belongs together only if nobody has claimed it meanwhile.
            fence(Ordering::Acquire);
            let is_whole = start > CLAIMED && record.uses.load(Ordering::Relaxed) == uses;
            if is_whole && address >= start && address - start < length {
                // SAFETY: the region that `word` is in, and so its table, is mapped as long as `word` is borrowed.
                let table = unsafe { &*table };
                return Some(Place { table, offset: (address - start) as u64, start, length });
            }
        }
        block = block.and_then(Block::following);
    }
    None
}

impl Place<'_> {
    /// What the word at `offset` of the same region holds; `None` if there is none.
    ///
    /// The offset comes from a table that anybody may have scribbled over, so it may lead to any bytes, which somebody
    /// may be writing. The kernel reads them for us.
    pub(super) fn peek(&self, offset: u64) -> Option<u64> {
        let offset = usize::try_from(offset).ok()?;
        let last = self.length.checked_sub(size_of::<u64>())?;
        if offset <= last { sys::peek::word(self.start + offset) } else { None }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_found_in_its_region_only_and_only_while_that_is_registered() {
        let table: Box<WaitTable> = zerocopy::FromZeros::new_box_zeroed().unwrap();
        let table = Box::into_raw(table);
        // More than a block holds.
        let regions: Vec<Vec<AtomicU64>> = (0..40).map(|_| (0..4).map(AtomicU64::new).collect()).collect();
        let registrations: Vec<_> = regions
            .iter()
            // SAFETY: the words outlive the registrations, and so does the table.
            .map(|words| unsafe { Registration::new(words.as_ptr().addr(), size_of_val(&words[..3]), table) })
            .collect();
        for words in &regions {
            for (n, word) in words[..3].iter().enumerate() {
                let place = place_of(word).expect("in a region");
                assert_eq!((place.offset, place.table as *const _), (n as u64 * 8, table.cast_const()));
                assert_eq!(place.peek(8), Some(1));
                assert_eq!((place.peek(24), place.peek(u64::MAX)), (None, None), "outside");
            }
            assert!(place_of(&words[3]).is_none(), "behind the region");
        }
        drop(registrations);
        assert!(place_of(&regions[39][0]).is_none());
        // SAFETY: made by `Box`, and nothing refers to it any more.
        drop(unsafe { Box::from_raw(table) });
    }
}
