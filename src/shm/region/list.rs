//! [`List`]: a fixed number of items of any kind, each changed whole.
//!
//! What its bytes are, `bytes` says. An item is in the first of its two buffers when it was set an even number of times, and
//! in the second otherwise. Who sets it holds its lock, writes the other buffer, and then counts: so who is killed leaves the
//! old item or the new one. Who reads looks at the count before and after; only if it changes a thousand times in a row, the
//! reader takes the lock, too.

mod bytes;

use std::fmt;
use std::hint;

use bytes::{HEAD, Slot, first_words, words_of};

use super::Region;
use super::directory::Wanted;
use super::entry::Record;
use super::held::{break_open, hold};
use super::item::Item;
use super::kind::Kind;
use crate::atomic::{AtomicU64, Ordering, fence};
use crate::error::{Error, ErrorKind};

const KIND: Kind = Kind::new("List").stamp(1);

/// A list in a [`Region`] of a fixed number of [`Item`]s: Python's `ShareableList`. From [`Region::list`].
///
/// An item may be set to one of another kind, as long as it fits into the room that its first value was given: eight bytes,
/// or as many as its text had, rounded up to a multiple of eight. Setting an item is one step for all others, even if who
/// sets it is killed half way. Readers do not wait for writers.
///
/// ```
/// use shmsync::{Item, Region};
///
/// let region = Region::anonymous(4096)?;
/// let list = region.list("settings", [Item::from("a name"), 7.into(), true.into(), Item::None])?;
/// list.set(1, 2.5)?;
/// assert_eq!(list.get(1)?, Item::Float(2.5));
/// assert_eq!((list.len(), list.index(&true.into())?), (4, Some(2)));
/// assert!(list.set(1, "longer than eight bytes").is_err());
///
/// // Another program would say:
/// let same = region.get_list("settings")?;
/// assert_eq!(same.get(0)?, "a name".into());
/// # Ok::<(), shmsync::Error>(())
/// ```
#[derive(Clone, Copy)]
pub struct List<'a> {
    region: &'a Region,
    record: Record,
    slots: &'a [Slot],
    words: &'a [AtomicU64],
}

/// Lists. How each may fail is said [above](Self#errors).
#[allow(clippy::missing_errors_doc)]
impl Region {
    /// The list of that name; if there is none, a new one of these items. One with another number of items is a
    /// [`LayoutMismatch`](ErrorKind::LayoutMismatch).
    pub fn list<I: Into<Item>>(&self, name: &str, items: impl IntoIterator<Item = I>) -> Result<List<'_>, Error> {
        self.list_with_room(name, 0, items)
    }

    /// [`list`](Self::list), where each item of a new one has room for so many bytes at least.
    ///
    /// ```
    /// let region = shmsync::Region::anonymous(4096)?;
    /// let list = region.list_with_room("names", 100, ["", ""])?;
    /// list.set(1, "a name that was not known in the beginning")?;
    /// # Ok::<(), shmsync::Error>(())
    /// ```
    pub fn list_with_room<I: Into<Item>>(
        &self,
        name: &str,
        room: usize,
        items: impl IntoIterator<Item = I>,
    ) -> Result<List<'_>, Error> {
        let items: Vec<Item> = items.into_iter().map(Into::into).collect();
        let words = first_words(&items, room, self.store.geometry.heap.len()).ok_or_else(|| {
            let message = format!("no region has room for the {} items of list {name:?}", items.len());
            Error::new(ErrorKind::NoSpace, message)
        })?;
        let wanted = Wanted { size: Some(words.len() * 8), ..wanted() };
        let put = |at| {
            // Nobody sees them yet: the entry is published behind them.
            let write = |place: &[AtomicU64]| {
                for (place, word) in place.iter().zip(&words) {
                    place.store(*word, Ordering::Relaxed);
                }
            };
            self.store.slice(at, words.len()).map(write).is_some()
        };
        let record = self.store.find_or_make(&self.attachment, name, &wanted, put)?;
        let list = self.list_at(name, record)?;
        if list.len() != items.len() {
            let message = format!("list {name:?} has {} items, expected {}", list.len(), items.len());
            return Err(Error::new(ErrorKind::LayoutMismatch, message));
        }
        Ok(list)
    }

    /// The list of that name, which must be there.
    pub fn get_list(&self, name: &str) -> Result<List<'_>, Error> {
        let (_, record) = self.store.find(name).ok_or_else(|| self.store.not_found(name))?;
        self.list_at(name, record)
    }

    pub(super) fn list_at(&self, name: &str, record: Record) -> Result<List<'_>, Error> {
        let (offset, size) = wanted().check(&self.store, name, &record)?;
        let slots = || {
            let words = self.store.slice::<AtomicU64>(offset, size / 8)?;
            let length = usize::try_from(words.first()?.load(Ordering::Relaxed)).ok()?;
            let end = length.checked_mul(size_of::<Slot>())?.checked_add(HEAD)?;
            Some((words, self.store.slice(offset + HEAD, length).filter(|_| end <= size)?))
        };
        let (words, slots) = slots().ok_or_else(|| self.store.damaged(name))?;
        Ok(List { region: self, record, slots, words })
    }
}

impl List<'_> {
    /// Frees the locks of its items, whoever holds them; how many were held.
    pub(super) fn break_open(&self) -> usize {
        self.slots.iter().filter(|slot| break_open(&slot.lock)).count()
    }

    /// How many items it has: always the same.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// The item at that index. What was set last is seen whole, and what its setter did before happens before this returns.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) if the list is not so long; [`Busy`](ErrorKind::Busy) and
    /// [`LayoutMismatch`](ErrorKind::LayoutMismatch) only if somebody scribbled.
    pub fn get(&self, index: usize) -> Result<Item, Error> {
        const LOOKS: usize = 1000;
        let slot = self.slot(index)?;
        for _ in 0..LOOKS {
            let before = slot.sets.load(Ordering::Acquire); // edge: item set -> got (Acquire end)
            let item = self.read(index, slot, before)?;
            // edge: next set begun <-> got: who read anything of a later set sees that one was counted in between.
            fence(Ordering::Acquire);
            if slot.sets.load(Ordering::Relaxed) == before {
                return Ok(item);
            }
            hint::spin_loop();
        }
        let _held = self.hold(index, slot)?;
        self.read(index, slot, slot.sets.load(Ordering::Relaxed))
    }

    /// Sets the item at that index.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) if the list is not so long; [`NoSpace`](ErrorKind::NoSpace) if it has not enough
    /// room; [`Busy`](ErrorKind::Busy) if somebody who is setting it has been stopped for ten seconds.
    pub fn set(&self, index: usize, item: impl Into<Item>) -> Result<(), Error> {
        let (item, slot) = (item.into(), self.slot(index)?);
        let (tag, bytes) = item.encode();
        let _held = self.hold(index, slot)?;
        let next = slot.sets.load(Ordering::Relaxed).wrapping_add(1);
        let buffer = self.buffer(index, slot, next)?;
        let room = buffer.len().saturating_sub(1) * 8;
        if bytes.len() > room {
            let message = format!("item {index} of {self} has room for {room} bytes, the new one has {}", bytes.len());
            return Err(Error::new(ErrorKind::NoSpace, message));
        }
        fence(Ordering::Release); // edge: next set begun <-> got
        for (place, word) in buffer.iter().zip(std::iter::once(tag).chain(words_of(&bytes))) {
            place.store(word, Ordering::Relaxed);
        }
        slot.sets.store(next, Ordering::Release); // edge: item set -> got (Release end)
        Ok(())
    }

    /// Each item in turn. Each is what it was at some moment; others may set them meanwhile.
    pub fn iter(&self) -> impl Iterator<Item = Result<Item, Error>> + '_ {
        // The buffers of one moment do not overlap. Those of many moments might, if somebody moves them meanwhile.
        let mut left = size_of_val(self.words);
        (0..self.len()).map(move |index| {
            let item = if left == 0 { Err(self.damaged(index)) } else { self.get(index) }?;
            left = left.saturating_sub(item.bytes_needed());
            Ok(item)
        })
    }

    /// The index of the first such item.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn index(&self, item: &Item) -> Result<Option<usize>, Error> {
        for (index, found) in self.iter().enumerate() {
            if found? == *item {
                return Ok(Some(index));
            }
        }
        Ok(None)
    }

    /// How many such items there are.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn count(&self, item: &Item) -> Result<usize, Error> {
        self.iter().try_fold(0, |count, found| Ok(count + usize::from(found? == *item)))
    }

    fn slot(&self, index: usize) -> Result<&Slot, Error> {
        self.slots.get(index).ok_or_else(|| {
            Error::new(ErrorKind::NotFound, format!("there is no item {index} in {self}, which has {}", self.len()))
        })
    }

    fn hold<'s>(&self, index: usize, slot: &'s Slot) -> Result<super::held::Held<'s>, Error> {
        hold(&slot.lock, format_args!("item {index} of {self}"))
    }

    /// The buffer in which an item is that was set so often: its tag and its room.
    fn buffer(&self, index: usize, slot: &Slot, sets: u64) -> Result<&[AtomicU64], Error> {
        let buffer = || {
            let words = usize::try_from(slot.room.load(Ordering::Relaxed)).ok()? / 8;
            let first = usize::try_from(slot.buffers.load(Ordering::Relaxed)).ok()? / 8;
            let length = words.checked_add(1)?;
            let end = first.checked_add(length.checked_mul(2)?)?;
            // What is in front are the slots, whose locks are not to be written over; and behind it is the next item.
            let is_behind = first >= (HEAD + size_of_val(self.slots)) / 8;
            let before_next = self.slots.get(index + 1).is_none_or(|next| {
                let next = next.buffers.load(Ordering::Relaxed); // it never changes, unless somebody scribbles
                end as u64 <= next / 8
            });
            let both = self.words.get(first..end).filter(|_| is_behind && before_next)?;
            let (even, odd) = both.split_at(length);
            Some(if sets % 2 == 0 { even } else { odd })
        };
        buffer().ok_or_else(|| self.damaged(index))
    }

    fn damaged(&self, index: usize) -> Error {
        Error::new(ErrorKind::LayoutMismatch, format!("what is said of item {index} of {self} is damaged"))
    }

    fn read(&self, index: usize, slot: &Slot, sets: u64) -> Result<Item, Error> {
        let [tag, room @ ..] = self.buffer(index, slot, sets)? else { return Ok(Item::None) };
        let tag = tag.load(Ordering::Relaxed);
        let length = usize::try_from(Item::length_of(tag)).unwrap_or(usize::MAX).min(room.len() * 8);
        let words = room[..length.div_ceil(8)].iter().map(|word| word.load(Ordering::Relaxed));
        let bytes: Vec<u8> = words.flat_map(u64::to_ne_bytes).take(length).collect();
        Ok(Item::decode(tag, &bytes))
    }
}

fn wanted() -> Wanted {
    Wanted { kind: KIND, size: None, align: align_of::<Slot>() }
}

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "list {:?} of {}", self.record.name.to_text(), self.region.store.mapping.place())
    }
}

impl fmt::Debug for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut list = f.debug_list();
        for item in self.iter() {
            match item {
                Ok(item) => list.entry(&item),
                // The rest may be no better, and each might be waited for.
                Err(error) => return list.entry(&format_args!("{error}")).finish(),
            };
        }
        list.finish()
    }
}
