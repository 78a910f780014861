//! The directory: which objects there are. Found without a lock; made and removed by one process at a time, of which any
//! may be killed at any instruction.
//!
//! There is nothing to repair after that. What the dead holder of the lock can leave, and what the next one sees in it:
//!
//! | killed                                    | is left                        | which is |
//! |-------------------------------------------|--------------------------------|----------|
//! | before anything was written               | nothing                        | |
//! | while an entry was filled, or its object's first value written | a `FILLING` entry | as good as free, its bytes too: only a holder leaves one, and that one is dead |
//! | after it was published                    | a `LIVE` entry                 | the object, made |
//! | while an entry was being removed: its epoch written | a `LIVE` entry with an epoch, which nobody reads | the object, not removed |
//! | after that, before the epoch ended        | a `REMOVED` entry of the present epoch | removed; the epoch is ended by the next who frees (`reclaim`) |
//! | while the removed were freed              | some freed, some not           | what it should be |
//!
//! An object's entry stands at the place that its name's hash says, or at the first behind it (round and round) that was
//! free when it was made. Whoever looks for it stops at an entry that was never used.

use super::attached::Attachment;
use super::entry::{Entry, Record, State, hash_of};
use super::heap;
use super::held::{Held, hold};
use super::kind::Kind;
use super::store::Store;
use super::text::{KindName, Name};
use crate::atomic::Ordering;
use crate::error::{Error, ErrorKind};
use crate::shm::layout::REGION_ALIGN;

/// What somebody asks for under a name.
pub(super) struct Wanted {
    pub(super) kind: Kind,
    /// `None`: any.
    pub(super) size: Option<usize>,
    pub(super) align: usize,
}

/// Of the heap's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Usage {
    pub(super) free: usize,
    /// Of objects that were removed, while somebody is attached who may have them in hand.
    pub(super) kept: usize,
}

impl Store {
    /// The entry of that name. Waits for nobody.
    pub(super) fn find(&self, name: &str) -> Option<(&Entry, Record)> {
        let (hash, name) = (hash_of(name), Name::new(name));
        for entry in self.entries_from(hash) {
            if entry.state() == State::Unused {
                return None;
            }
            if entry.may_be(hash) {
                let found = entry.read().filter(|record| record.state == State::Live && record.name == name);
                if let Some(record) = found {
                    return Some((entry, record));
                }
            }
        }
        None
    }

    /// All that can be found.
    pub(super) fn live(&self) -> impl Iterator<Item = Record> + '_ {
        self.entries().iter().filter_map(Entry::read).filter(|record| record.state == State::Live)
    }

    /// Finds the object of that name, or makes it: `put` writes its first value, so many bytes from the payload's beginning.
    pub(super) fn find_or_make(
        &self,
        attachment: &Attachment,
        name: &str,
        wanted: &Wanted,
        put: impl FnOnce(usize) -> bool,
    ) -> Result<Record, Error> {
        self.check_name(name)?;
        if let Some((_, record)) = self.find(name) {
            return Ok(record);
        }
        let _held = self.hold()?;
        if let Some((_, record)) = self.find(name) {
            return Ok(record);
        }
        let size = wanted.size.unwrap_or(0);
        if wanted.align > REGION_ALIGN {
            let message = format!("object {name:?} is aligned to {} bytes, a region to {REGION_ALIGN}", wanted.align);
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        let find_place = || Some((self.free_entry(name)?, self.free_bytes(size, wanted.align)?));
        let found = find_place().or_else(|| {
            self.reclaim(attachment);
            find_place()
        });
        let Some((entry, offset)) = found else { return Err(self.no_room(name, size)) };
        entry.fill(name, &wanted.kind, offset, size, wanted.align);
        if !put(offset) {
            return Err(self.damaged(name)); // The entry stays FILLING, which is free.
        }
        entry.publish();
        entry.read().filter(|record| record.state == State::Live).ok_or_else(|| self.damaged(name))
    }

    /// Frees the name; and the bytes, as soon as nobody has them in hand, or at once.
    pub(super) fn remove(&self, name: &str, at_once: bool) -> Result<(), Error> {
        let _held = self.hold()?;
        let (entry, _) = self.find(name).ok_or_else(|| self.not_found(name))?;
        if at_once {
            entry.free();
        } else {
            let epoch = &self.head().epoch;
            let now = epoch.load(Ordering::Relaxed);
            entry.remove(now);
            // edge: removed -> attached (Release end): who attaches in the next epoch does not find it.
            epoch.store(now.saturating_add(1), Ordering::Release);
        }
        Ok(())
    }

    /// Where the object of that record begins and how many bytes it has, if these are in the heap: what is before it is
    /// the directory's own.
    pub(super) fn place_of(&self, record: &Record) -> Option<(usize, usize)> {
        let (offset, size) = (usize::try_from(record.offset).ok()?, usize::try_from(record.size).ok()?);
        let heap = &self.geometry.heap;
        (offset >= heap.start && offset.checked_add(size)? <= heap.end).then_some((offset, size))
    }

    pub(super) fn usage(&self) -> Usage {
        let bytes = |of: &[State]| {
            let taken = |record: Record| heap::taken(&self.geometry.heap, record.offset, record.size);
            let records = self.entries().iter().filter_map(Entry::read).filter(|record| of.contains(&record.state));
            heap::free(&self.geometry.heap, &mut records.map(taken).collect::<Vec<_>>())
        };
        let free = bytes(&[State::Live, State::Removed]);
        Usage { free, kept: bytes(&[State::Live]).saturating_sub(free) }
    }

    fn hold(&self) -> Result<Held<'_>, Error> {
        hold(&self.head().lock, format_args!("the directory of {}", self.mapping.place()))
    }

    // ---- What only the holder of the lock may do ----

    /// Frees what was removed, unless somebody is attached who may have it in hand.
    fn reclaim(&self, attachment: &Attachment) {
        let epoch = &self.head().epoch;
        let now = epoch.load(Ordering::Relaxed);
        let oldest = attachment.oldest(self.head());
        let mut in_this_one = false;
        for entry in self.entries().iter().filter(|entry| entry.state() == State::Removed) {
            let Some(Record { removed, .. }) = entry.read() else { continue };
            if removed < oldest {
                entry.free();
            } else if removed >= now {
                // Its remover was killed before the epoch ended; or somebody scribbled a time to come.
                entry.remove_later(now);
                in_this_one = true;
            }
        }
        if in_this_one {
            epoch.store(now.saturating_add(1), Ordering::Release);
        }
    }

    fn free_entry(&self, name: &str) -> Option<&Entry> {
        let is_free = |entry: &&Entry| matches!(entry.state(), State::Unused | State::Free | State::Filling);
        self.entries_from(hash_of(name)).find(is_free)
    }

    fn free_bytes(&self, size: usize, align: usize) -> Option<usize> {
        let heap = &self.geometry.heap;
        let takes = |record: &Record| matches!(record.state, State::Live | State::Removed);
        let records = self.entries().iter().filter_map(Entry::read).filter(takes);
        let mut taken: Vec<_> = records.map(|record| heap::taken(heap, record.offset, record.size)).collect();
        heap::find(heap, &mut taken, size, align)
    }

    // ---- Names and errors ----

    fn entries_from(&self, hash: u64) -> impl Iterator<Item = &Entry> {
        let entries = self.entries();
        let first = (hash % entries.len() as u64) as usize;
        entries[first..].iter().chain(&entries[..first])
    }

    fn check_name(&self, name: &str) -> Result<(), Error> {
        let why = match name {
            "" => "it is empty",
            _ if name.len() > size_of::<Name>() => "it has more than 64 bytes",
            _ if name.chars().any(char::is_control) => "it has control characters",
            _ => return Ok(()),
        };
        Err(Error::new(ErrorKind::InvalidName, format!("{name:?} is no name of an object: {why}")))
    }

    pub(super) fn not_found(&self, name: &str) -> Error {
        Error::new(ErrorKind::NotFound, format!("there is no object {name:?} in {}", self.mapping.place()))
    }

    pub(super) fn damaged(&self, name: &str) -> Error {
        let message = format!("what {} says of object {name:?} is damaged", self.mapping.place());
        Error::new(ErrorKind::LayoutMismatch, message)
    }

    fn no_room(&self, name: &str, size: usize) -> Error {
        let Usage { free, kept } = self.usage();
        let (place, entries) = (self.mapping.place(), self.geometry.entries);
        let message = if self.free_entry(name).is_none() {
            format!("{place} has no room for object {name:?}: it has no more than {entries} entries")
        } else {
            format!(
                "{place} has no room for the {size} bytes of object {name:?}: {free} are free, not all in one piece \
                 perhaps, and {kept} are kept for those who may still use what was removed"
            )
        };
        Error::new(ErrorKind::NoSpace, message)
    }
}

impl Wanted {
    /// Where the object begins and how many bytes it has, if it is what is wanted.
    pub(super) fn check(&self, store: &Store, name: &str, found: &Record) -> Result<(usize, usize), Error> {
        let Ok(size) = usize::try_from(found.size) else { return Err(store.damaged(name)) };
        let expected = self.size.unwrap_or(size);
        let agree = found.kind == KindName::new(self.kind.name())
            && size == expected
            && found.align == self.align as u64
            && found.stamp == self.kind.stamp_for(size, self.align);
        if !agree {
            let message = format!(
                "object {name:?} of {} is something else: found {} of {size} bytes, aligned to {}, stamp {:#x}; \
                 expected {} of {expected} bytes, aligned to {}, stamp {:#x}",
                store.mapping.place(),
                found.kind.to_text(),
                found.align,
                found.stamp,
                self.kind,
                self.align,
                self.kind.stamp_for(expected, self.align),
            );
            return Err(Error::new(ErrorKind::LayoutMismatch, message));
        }
        store.place_of(found).ok_or_else(|| store.damaged(name))
    }
}
