//! What can be seen of an object by who has only the name of its kind: its state in words, and who holds it.
//!
//! Of what is generic the first bytes say all, whatever the type is that they guard: a `Mutex<T>` begins as a `Mutex<()>`
//! does, a `OnceCell<T>` is a `Once` and a value. A kind that is not known here is one of the users' own; and so is one that
//! has only the name of a primitive, and another stamp or size. Of plain values numbers alone are shown: a type behind
//! `value<..>` may be anybody's, whatever it is called, and nothing here may write into it.

use std::fmt::Debug;
use std::sync::atomic::{
    AtomicI8, AtomicI16, AtomicI32, AtomicI64, AtomicIsize, AtomicU8, AtomicU16, AtomicU32, AtomicU64, AtomicUsize,
};

use zerocopy::FromBytes;

use super::entry::Record;
use super::kind::{Kind, Object};
use super::store::Store;
use crate::owner::Owner;
use crate::sync::{
    Barrier, BoundedSemaphore, Condition, Event, Lock, Mutex, Once, PermitPool, RLock, RwLock, Semaphore, TryLockError,
};
use crate::wait::{Futex, KernelRobust, PosixSem, Wait};

/// A primitive, or a number.
pub(super) trait Look {
    /// In words, or figures.
    fn state(&self) -> String;

    /// Who holds it, dead or alive.
    fn holders(&self) -> Vec<Owner> {
        Vec::new()
    }

    /// Takes over from a dead holder and lets go; whether there was one. `None`: nobody ever holds such a thing, or what a
    /// dead one held comes back by itself.
    fn recover(&self) -> Option<bool> {
        None
    }
}

macro_rules! held_alone {
    ($($type:ident),+) => {$(
        impl<W: Wait> Look for $type<W> {
            fn state(&self) -> String {
                format!("{self:?}")
            }
            fn holders(&self) -> Vec<Owner> {
                self.holder().into_iter().collect()
            }
            fn recover(&self) -> Option<bool> {
                let recovered = $type::recover(self).is_ok();
                if recovered {
                    // An error would mean that scribbled bytes took it from under us.
                    let _ = self.release();
                }
                Some(recovered)
            }
        }
    )+};
}
held_alone!(Lock, RLock);

impl<W: Wait> Look for Mutex<(), W> {
    fn state(&self) -> String {
        format!("{self:?}")
    }
    fn holders(&self) -> Vec<Owner> {
        self.holder().into_iter().collect()
    }
    fn recover(&self) -> Option<bool> {
        let dead = self.holder().is_some_and(|holder| !holder.is_alive());
        // Who takes over from a dead holder gets the guard with the poison, which stays: the data may be torn.
        Some(dead && matches!(self.try_lock(), Err(TryLockError::Poisoned(_))))
    }
}

impl<const READERS: usize, W: Wait> Look for RwLock<(), READERS, W> {
    fn state(&self) -> String {
        format!("{self:?}")
    }
    fn holders(&self) -> Vec<Owner> {
        self.writer().into_iter().chain(self.readers()).collect()
    }
    fn recover(&self) -> Option<bool> {
        let dead = self.writer().is_some_and(|writer| !writer.is_alive());
        // Poisoned only if that one had been let in; one who was killed while readers were inside has torn nothing.
        drop(dead.then(|| self.try_write()));
        Some(dead && self.writer().is_none_or(|writer| writer.is_alive()))
    }
}

/// A pool, whose size is in its kind only.
struct Permits<'a>(&'a [AtomicU64]);

impl Look for Permits<'_> {
    fn state(&self) -> String {
        let free = self.0.len() - PermitPool::<1>::holders_among(self.0).count();
        format!("PermitPool {{ available: {free}, capacity: {} }}", self.0.len())
    }
    fn holders(&self) -> Vec<Owner> {
        PermitPool::<1>::holders_among(self.0).collect()
    }
}

/// All that has nothing but its own words.
struct Shown<T>(T);

impl<T: Debug> Look for Shown<T> {
    fn state(&self) -> String {
        format!("{:?}", self.0)
    }
}

/// The object, if it is of a kind that is known here.
pub(super) fn look<'a>(store: &'a Store, record: &Record) -> Option<Box<dyn Look + 'a>> {
    let (begin, size) = store.place_of(record)?;
    let kind = record.kind.to_text();
    let known = Known { store, kind: &kind, record, begin, size };
    known
        .on::<Futex>()
        .or_else(|| known.on::<PosixSem>())
        .or_else(|| known.on::<KernelRobust>())
        .or_else(|| known.number())
}

struct Known<'a, 'b> {
    store: &'a Store,
    kind: &'b str,
    record: &'b Record,
    begin: usize,
    size: usize,
}

impl<'a> Known<'a, '_> {
    /// The object as a `T`, of which it has at least the bytes.
    fn as_<T: FromBytes + Sync>(&self) -> Option<&'a T> {
        let fits = self.size >= size_of::<T>() && self.record.align >= align_of::<T>() as u64;
        self.store.at(self.begin).filter(|_| fits)
    }

    /// Whether it is just that, as `get` would find.
    fn is<T: Object>(&self) -> bool {
        self.is_exactly::<T>(&T::KIND)
    }

    fn is_exactly<T>(&self, kind: &Kind) -> bool {
        self.size == size_of::<T>() && self.record.align == align_of::<T>() as u64 && self.agrees(kind)
    }

    fn agrees(&self, kind: &Kind) -> bool {
        let stamp = usize::try_from(self.record.align).map(|align| kind.stamp_for(self.size, align));
        self.kind == kind.name() && stamp == Ok(self.record.stamp)
    }

    /// Whether its kind has that name, and no number that it got from a type.
    fn is_unstamped(&self) -> bool {
        usize::try_from(self.record.align).map(|align| Kind::UNSTAMPED.stamp_for(self.size, align))
            == Ok(self.record.stamp)
    }

    /// What is between `Mutex<` and `>`, or `> on PosixSem`.
    fn parameters_of<W: Wait>(&self, generic: &str) -> Option<&str> {
        let inner = self.kind.strip_prefix(generic)?.strip_prefix('<')?;
        let inner = match W::IN_KINDS {
            "" => inner,
            backend => inner.strip_suffix(backend)?.strip_suffix(" on ")?,
        };
        inner.strip_suffix('>')
    }

    /// A primitive on that backend.
    fn on<W: Wait>(&self) -> Option<Box<dyn Look + 'a>> {
        macro_rules! among {
            ($($type:ident),+) => {$(
                if self.is::<$type<W>>() {
                    return Some(Box::new(Shown(self.as_::<$type<W>>()?)));
                }
            )+};
        }
        among!(Semaphore, BoundedSemaphore, Condition, Event, Once, Barrier);
        if self.is::<Lock<W>>() {
            return Some(Box::new(Borrowed(self.as_::<Lock<W>>()?)));
        }
        if self.is::<RLock<W>>() {
            return Some(Box::new(Borrowed(self.as_::<RLock<W>>()?)));
        }
        if self.parameters_of::<W>("Mutex").is_some() {
            return Some(Box::new(Borrowed(self.as_::<Mutex<(), W>>()?)));
        }
        if self.parameters_of::<W>("OnceCell").is_some() {
            return Some(Box::new(Shown(self.as_::<Once<W>>()?)));
        }
        if self.parameters_of::<W>("Barrier").is_some_and(|_| self.is_unstamped()) {
            return Some(Box::new(Shown(self.as_::<Barrier<W>>()?)));
        }
        if let Some(permits) = self.parameters_of::<W>("PermitPool").filter(|_| self.is_unstamped()) {
            return self.permits::<W>(permits.parse().ok()?);
        }
        let (_, readers) = self.parameters_of::<W>("RwLock")?.rsplit_once(", ")?;
        self.rwlock::<W>(readers.parse().ok()?)
    }

    fn permits<W: Wait>(&self, permits: usize) -> Option<Box<dyn Look + 'a>> {
        let before = size_of::<PermitPool<1, W>>() - size_of::<AtomicU64>();
        let size = permits.checked_mul(size_of::<AtomicU64>())?.checked_add(before)?;
        let slots = self.store.slice(self.begin + before, permits).filter(|_| self.size == size)?;
        Some(Box::new(Permits(slots)))
    }

    /// The slots come last, so one with fewer of them is a part of it, and the writer's word is in the same place. As many
    /// of them are looked at as one of these numbers says.
    fn rwlock<W: Wait>(&self, readers: usize) -> Option<Box<dyn Look + 'a>> {
        macro_rules! with_slots {
            ($($slots:literal),+) => {{
                let mut found: Option<Box<dyn Look + 'a>> = None;
                $(if $slots <= readers {
                    let part = Borrowed(self.as_::<RwLock<(), $slots, W>>()?);
                    found = Some(Box::new(Partly { part, slots: $slots, of: readers }));
                })+
                found
            }};
        }
        with_slots!(1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 512, 1024)
    }

    /// A number, as an object or as a plain value.
    fn number(&self) -> Option<Box<dyn Look + 'a>> {
        macro_rules! among {
            ($($type:ident),+) => {$(
                if self.is::<$type>() || self.is_exactly::<$type>(&Kind::of_type::<$type>("value")) {
                    return Some(Box::new(Shown(self.as_::<$type>()?)));
                }
            )+};
        }
        among!(u8, u16, u32, u64, u128, usize, i8, i16, i32, i64, i128, isize, f32, f64);
        among!(AtomicU8, AtomicU16, AtomicU32, AtomicU64, AtomicUsize);
        among!(AtomicI8, AtomicI16, AtomicI32, AtomicI64, AtomicIsize);
        None
    }
}

/// A lock for readers, of which the first slots are looked at.
struct Partly<T> {
    part: T,
    slots: usize,
    of: usize,
}

impl<T: Look> Look for Partly<T> {
    fn state(&self) -> String {
        let state = self.part.state();
        let Self { slots, of, .. } = self;
        if slots == of { state } else { format!("{state} (of {of} slots for readers {slots} were looked at)") }
    }
    fn holders(&self) -> Vec<Owner> {
        self.part.holders()
    }
    fn recover(&self) -> Option<bool> {
        self.part.recover()
    }
}

struct Borrowed<'a, T>(&'a T);

impl<T: Look> Look for Borrowed<'_, T> {
    fn state(&self) -> String {
        self.0.state()
    }
    fn holders(&self) -> Vec<Owner> {
        self.0.holders()
    }
    fn recover(&self) -> Option<bool> {
        self.0.recover()
    }
}
