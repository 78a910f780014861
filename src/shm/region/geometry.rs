//! Where what lies in a region of named objects, from the payload's beginning on.
//!
//! | bytes | what |
//! |-------|------|
//! | 0–7 | the directory's lock |
//! | 8–15 | `epoch`: one more with each removal |
//! | 16–23 | `pinned`: not zero if somebody was attached whom the kernel does not count; then nothing is ever used again |
//! | 24–31 | `entries`: how many the directory has; written before the region is published, read once by each who opens |
//! | 32–255 | reserved: zeros; not looked at |
//! | 256–8447 | who is attached: 256 slots of 32 bytes, see `attached` |
//! | 8448–.. | the directory: `entries` × 256 bytes, see `entry` |
//! | ..–end | the heap: objects at multiples of 64 bytes, see `heap` |

use std::ops::Range;

use zerocopy::FromBytes;

use super::entry::Entry;
use crate::atomic::AtomicU64;
use crate::sync::Lock;

/// How many may be attached with a slot of their own. Those that are more share one, see `attached`.
pub(super) const SLOTS: usize = 256;

/// The first bytes, of fixed size.
#[derive(FromBytes)]
#[repr(C)]
pub(super) struct Head {
    pub(super) lock: Lock,
    pub(super) epoch: AtomicU64,
    pub(super) pinned: AtomicU64,
    pub(super) entries: AtomicU64,
    reserved: [AtomicU64; 28],
    pub(super) slots: [Slot; SLOTS],
}

/// One place among those attached, see `attached`.
#[derive(Debug, FromBytes)]
#[repr(C)]
pub(super) struct Slot {
    /// Since when, at the latest.
    pub(super) epoch: AtomicU64,
    /// The token of the thread that attached; it tells where the number of the process means something.
    pub(super) who: AtomicU64,
    pub(super) pid: AtomicU64,
    reserved: AtomicU64,
}

const DIRECTORY: usize = size_of::<Head>();
const _: () = assert!(DIRECTORY == 8448 && DIRECTORY % align_of::<Entry>() == 0);

/// What a new region's head begins with: the fields of [`Head`] as far as they are not zero.
pub(super) fn first_words(entries: usize) -> [u64; 4] {
    [0, 1, 0, entries as u64]
}

/// How a payload is divided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Geometry {
    /// How many entries the directory has.
    pub(super) entries: usize,
    pub(super) heap: Range<usize>,
}

impl Geometry {
    /// The most entries that a directory may have: a look through all of them must end.
    pub(super) const MOST_ENTRIES: usize = 1 << 16;
    /// Where the directory begins.
    pub(super) const DIRECTORY: usize = DIRECTORY;

    /// For so many objects, which need so many bytes; and the size of the payload. `None` if no memory is that large.
    pub(super) fn new(entries: usize, room: usize) -> Option<(Self, usize)> {
        let entries = entries.clamp(1, Self::MOST_ENTRIES);
        let heap = DIRECTORY + entries * size_of::<Entry>();
        let size = room.checked_next_multiple_of(64)?.checked_add(heap)?;
        Some((Self { entries, heap: heap..size }, size))
    }

    /// That of a region whose payload has `size` bytes and says that it has so many entries; `None` if it has not.
    pub(super) fn of(size: usize, entries: u64) -> Option<Self> {
        let entries = usize::try_from(entries).ok().filter(|n| (1..=Self::MOST_ENTRIES).contains(n))?;
        let heap = DIRECTORY + entries * size_of::<Entry>();
        (heap <= size).then_some(Self { entries, heap: heap..size })
    }

    /// How many objects a region of so much room is made for, if nobody says.
    pub(super) fn usual_entries(room: usize) -> usize {
        (room / 4096).clamp(64, 4096)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::mem::offset_of;

    /// The table at the head of this file.
    #[test]
    fn the_bytes_are_where_they_are_promised() {
        let found =
            [offset_of!(Head, epoch), offset_of!(Head, pinned), offset_of!(Head, entries), offset_of!(Head, slots)];
        assert_eq!((found, size_of::<Slot>(), Geometry::DIRECTORY), ([8, 16, 24, 256], 32, 8448));
    }

    #[test]
    fn what_is_made_is_found_again_and_nothing_else() {
        for (entries, room) in [(0, 0), (1, 1), (64, 4096), (Geometry::MOST_ENTRIES + 5, 100)] {
            let (made, size) = Geometry::new(entries, room).unwrap();
            assert!(made.heap.len() >= room && made.heap.end == size && made.heap.start % 64 == 0);
            assert_eq!(Geometry::of(size, made.entries as u64), Some(made));
        }
        assert_eq!(Geometry::new(64, usize::MAX), None);
        assert_eq!(Geometry::new(64, usize::MAX - 63), None);
        for wrong in [0, 2, Geometry::MOST_ENTRIES as u64 + 1, u64::MAX] {
            assert_eq!(Geometry::of(DIRECTORY + 256, wrong), None);
        }
        assert_eq!(Geometry::of(0, 1), None);
    }
}
