//! One entry of the directory: 256 bytes that say what an object is called, what it is, and where.
//!
//! | bytes   | field     | what |
//! |---------|-----------|------|
//! | 0–7     | `state`   | bits 0–1 as below, the rest counts how often the entry was used |
//! | 8–15    | `hash`    | of the name |
//! | 16–23   | `offset`  | where the object begins, from the payload's beginning; a multiple of 64 |
//! | 24–31   | `size`    | in bytes |
//! | 32–39   | `align`   | in bytes |
//! | 40–47   | `stamp`   | of the kind, see [`Kind`](super::kind::Kind) |
//! | 48–55   | `removed` | the epoch in which it was removed, see `attached` |
//! | 56–63   | reserved  | zeros; not looked at |
//! | 64–127  | `name`    | up to 64 bytes, zeros behind them |
//! | 128–255 | `kind`    | up to 128 bytes, zeros behind them |
//!
//! | state     | meaning | who may leave it, to where |
//! |-----------|---------|----------------------------|
//! | 0 (whole) | never used: no entry behind it was put where it is because this one was taken | the directory's holder: `FILLING` |
//! | `FREE`    | used before | the directory's holder: `FILLING` |
//! | `FILLING` | being written; left so by a holder that died, it is as good as `FREE` | the same: `LIVE`; the next holder: `FILLING` |
//! | `LIVE`    | the object may be found | the directory's holder: `REMOVED`, or `FREE` |
//! | `REMOVED` | its name is free, its bytes are not | the directory's holder: `FREE` |
//!
//! Only who holds the directory's lock writes. Who reads does not, so it reads the state before and after, like any
//! sequence lock; each use has another number, so an entry that looks the same is the same.

use std::hint;

use zerocopy::FromBytes;

use super::kind::Kind;
use super::text::{KindName, Name, TextCell};
use crate::atomic::{AtomicU64, Ordering, fence};
use crate::shm::layout;

#[derive(Debug, FromBytes)]
#[repr(C)]
pub(super) struct Entry {
    state: AtomicU64,
    hash: AtomicU64,
    offset: AtomicU64,
    size: AtomicU64,
    align: AtomicU64,
    stamp: AtomicU64,
    removed: AtomicU64,
    reserved: AtomicU64,
    name: TextCell<8>,
    kind: TextCell<16>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Unused,
    Free,
    Filling,
    Live,
    Removed,
}

const FREE: u64 = 0;
const FILLING: u64 = 1;
const LIVE: u64 = 2;
const REMOVED: u64 = 3;
const STATE: u64 = 3;

impl State {
    fn of(word: u64) -> Self {
        match word & STATE {
            _ if word == 0 => Self::Unused,
            FREE => Self::Free,
            FILLING => Self::Filling,
            LIVE => Self::Live,
            _ => Self::Removed,
        }
    }
}

/// A copy of an entry that was one thing while it was read.
#[derive(Clone, Copy)]
pub(super) struct Record {
    pub(super) state: State,
    pub(super) offset: u64,
    pub(super) size: u64,
    pub(super) align: u64,
    pub(super) stamp: u64,
    pub(super) removed: u64,
    pub(super) name: Name,
    pub(super) kind: KindName,
}

pub(super) fn hash_of(name: &str) -> u64 {
    layout::hash(name.as_bytes(), layout::HASH_OF_NOTHING)
}

impl Entry {
    fn word(&self) -> u64 {
        self.state.load(Ordering::Acquire) // edge: published -> found (Acquire end)
    }

    pub(super) fn state(&self) -> State {
        State::of(self.word())
    }

    /// Whether it may be that of a live object with a name of that hash: so that not all of it need be read.
    pub(super) fn may_be(&self, hash: u64) -> bool {
        self.word() & STATE == LIVE && self.hash.load(Ordering::Relaxed) == hash
    }

    /// What it says, read in one piece. `None` if it changed at every look, which only scribblers bring about.
    pub(super) fn read(&self) -> Option<Record> {
        const LOOKS: usize = 1000;
        for _ in 0..LOOKS {
            let before = self.word();
            // Relaxed: not believed unless the state is the same behind the fence.
            let load = |field: &AtomicU64| field.load(Ordering::Relaxed);
            let record = Record {
                state: State::of(before),
                offset: load(&self.offset),
                size: load(&self.size),
                align: load(&self.align),
                stamp: load(&self.stamp),
                removed: load(&self.removed),
                name: self.name.load(),
                kind: self.kind.load(),
            };
            // edge: filling <-> read: who reads anything of a later use sees that the use began.
            fence(Ordering::Acquire);
            if self.state.load(Ordering::Relaxed) == before {
                return Some(record);
            }
            hint::spin_loop();
        }
        None
    }

    // ---- What only the holder of the directory's lock may do ----

    /// Begins another use: from here until `publish` it is nobody's.
    pub(super) fn fill(&self, name: &str, kind: &Kind, offset: usize, size: usize, align: usize) {
        let uses = (self.state.load(Ordering::Relaxed) | STATE).wrapping_add(1);
        self.state.store(uses | FILLING, Ordering::Relaxed);
        fence(Ordering::Release); // edge: filling <-> read
        for (field, value) in [
            (&self.hash, hash_of(name)),
            (&self.offset, offset as u64),
            (&self.size, size as u64),
            (&self.align, align as u64),
            (&self.stamp, kind.stamp_for(size, align)),
            (&self.removed, 0),
        ] {
            field.store(value, Ordering::Relaxed);
        }
        self.name.store(&Name::new(name));
        self.kind.store(&KindName::new(kind.name()));
    }

    /// What was filled in can be found, and all that the caller wrote before, the object's first value among it.
    pub(super) fn publish(&self) {
        self.become_(LIVE); // edge: published -> found (Release end)
    }

    /// The name is free; the bytes are not before all who were attached in this epoch have gone.
    pub(super) fn remove(&self, epoch: u64) {
        self.removed.store(epoch, Ordering::Relaxed);
        self.become_(REMOVED);
    }

    /// Says again in which epoch it was removed.
    pub(super) fn remove_later(&self, epoch: u64) {
        self.removed.store(epoch, Ordering::Relaxed);
    }

    pub(super) fn free(&self) {
        self.become_(FREE);
    }

    fn become_(&self, state: u64) {
        let uses = self.state.load(Ordering::Relaxed) & !STATE;
        // Never back to zero, which would be an entry that was not used before: only a scribbled count is zero here.
        self.state.store(uses.max(STATE + 1) | state, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::mem::offset_of;
    use zerocopy::FromZeros;

    /// The table at the head of this file.
    #[test]
    fn the_bytes_are_where_they_are_promised() {
        let found = [
            offset_of!(Entry, state),
            offset_of!(Entry, hash),
            offset_of!(Entry, offset),
            offset_of!(Entry, size),
            offset_of!(Entry, align),
            offset_of!(Entry, stamp),
            offset_of!(Entry, removed),
            offset_of!(Entry, name),
            offset_of!(Entry, kind),
            size_of::<Entry>(),
        ];
        assert_eq!(found, [0, 8, 16, 24, 32, 40, 48, 64, 128, 256]);
    }

    #[test]
    fn an_entry_goes_through_its_states() {
        let entry = Entry::new_zeroed();
        let state = || entry.read().unwrap().state;
        assert_eq!(state(), State::Unused);
        for use_ in 1..4 {
            entry.fill("jobs", &Kind::new("Lock"), 640, 8, 8);
            assert_eq!(state(), State::Filling);
            entry.publish();
            let record = entry.read().unwrap();
            assert_eq!((record.state, record.offset, record.size, record.align), (State::Live, 640, 8, 8));
            assert_eq!((record.name.to_text(), record.kind.to_text()), ("jobs".into(), "Lock".into()));
            assert!(entry.may_be(hash_of("jobs")) && !entry.may_be(hash_of("job")));
            entry.remove(7);
            assert_eq!((state(), entry.read().unwrap().removed), (State::Removed, 7));
            assert!(!entry.may_be(hash_of("jobs")));
            entry.free();
            assert_eq!((state(), entry.state.load(Ordering::Relaxed)), (State::Free, use_ * 4));
        }
    }
}
