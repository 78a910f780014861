//! What an object is, in words and in a number, so that programs which were not compiled together mean the same.

use std::sync::atomic::{
    AtomicBool, AtomicI8, AtomicI16, AtomicI32, AtomicI64, AtomicIsize, AtomicU8, AtomicU16, AtomicU32, AtomicU64,
    AtomicUsize,
};
use std::{fmt, str};

use zerocopy::FromBytes;

use super::text::KindName;
use crate::shm::layout::{self, HASH_OF_NOTHING};
use crate::shm::what::short_type_name;
use crate::sync::{
    Barrier, BoundedSemaphore, Condition, Event, Lock, Mutex, Once, OnceCell, PermitPool, RLock, RwLock, Semaphore,
};
use crate::wait::Wait;

const LONGEST: usize = size_of::<KindName>();

/// The kind of an [`Object`]: a name that all programs use for it, and a number for what its size does not tell.
///
/// Two programs that ask a [`Region`](crate::Region) for the same name get the same object only if its kind, its size, its
/// alignment and the crate's layout stamp agree.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    text: [u8; LONGEST],
    length: usize,
    stamp: u64,
}

impl Kind {
    /// That of no name and no number.
    pub(super) const UNSTAMPED: Self = Self { text: [0; LONGEST], length: 0, stamp: 0 };

    /// A kind of that name, which is to be the same in all programs and versions that share it.
    ///
    /// The names of this crate's own types, such as `Lock` or `Mutex<u64>`, are theirs: give a type of yours another one.
    ///
    /// # Panics
    /// If the name is empty or longer than 128 bytes; in a constant that is an error at compile time.
    #[must_use]
    pub const fn new(name: &str) -> Self {
        assert!(!name.is_empty(), "a kind has a name");
        Self::UNSTAMPED.then(name)
    }

    /// The same with a number: give each version of a type its own if its size may stay the same.
    #[must_use]
    pub const fn stamp(mut self, stamp: u64) -> Self {
        self.stamp = layout::hash(&stamp.to_le_bytes(), self.stamp);
        self
    }

    /// The kind of what holds another: `Kind::new("Ring").of(T::KIND)` is called `Ring<u64>` for `u64`.
    ///
    /// # Panics
    /// As `new`.
    #[must_use]
    pub const fn of(self, inner: Self) -> Self {
        self.then("<").then_kind(inner).then(">")
    }

    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &str {
        let (name, _) = self.text.split_at(self.length);
        match str::from_utf8(name) {
            Ok(name) => name,
            Err(_) => unreachable!(), // It is made of texts.
        }
    }

    /// That of a plain value or of an array, of which only the name of the type is known, as the compiler tells it.
    pub(super) fn of_type<T>(what: &str) -> Self {
        let text = format!("{what}<{}>", short_type_name::<T>());
        let end = (0..=text.len().min(LONGEST)).rfind(|&end| text.is_char_boundary(end)).unwrap_or(0);
        Self::new(&text[..end]).stamp(layout::hash(text.as_bytes(), HASH_OF_NOTHING))
    }

    /// What the directory says of such an object, beside its name, its size and its alignment.
    pub(super) fn stamp_for(&self, size: usize, align: usize) -> u64 {
        layout::stamp(size as u64, align as u64, self.stamp)
    }

    const fn then(mut self, text: &str) -> Self {
        let (bytes, mut i) = (text.as_bytes(), 0);
        assert!(self.length + bytes.len() <= LONGEST, "the name of a kind has more than 128 bytes");
        while i < bytes.len() {
            self.text[self.length + i] = bytes[i];
            i += 1;
        }
        self.length += i;
        self
    }

    const fn then_kind(self, inner: Self) -> Self {
        let stamp = if inner.stamp == 0 { self.stamp } else { layout::hash(&inner.stamp.to_le_bytes(), self.stamp) };
        Self { stamp, ..self }.then(inner.name())
    }

    const fn then_number(self, number: usize) -> Self {
        const DIGITS: [&str; 10] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
        let self_ = if number >= 10 { self.then_number(number / 10) } else { self };
        self_.then(DIGITS[number % 10])
    }

    const fn on(self, backend: &str) -> Self {
        if backend.is_empty() { self } else { self.then(" on ").then(backend) }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kind({}, {:#x})", self.name(), self.stamp)
    }
}

/// What may stand in a [`Region`](crate::Region) under a name, with [`get`](crate::Region::get) and its like: every
/// primitive of this crate on every backend, atomics, numbers, arrays of them, and what you implement it for.
///
/// ```
/// use shmsync::{Kind, Lock, Object, Region};
/// use std::sync::atomic::AtomicU64;
/// use zerocopy::FromBytes;
///
/// #[derive(FromBytes)]
/// #[repr(C)]
/// struct Account {
///     lock: Lock,
///     balance: AtomicU64,
/// }
///
/// impl Object for Account {
///     const KIND: Kind = Kind::new("Account").stamp(1); // 2 when the fields change their meaning
/// }
///
/// let region = Region::anonymous(4096)?;
/// let account = region.get_or_init::<Account>("alice")?;
/// # assert!(!account.lock.is_locked());
/// # Ok::<(), shmsync::Error>(())
/// ```
pub trait Object: FromBytes + Sync {
    /// What it is called in all programs that share it.
    const KIND: Kind;
}

macro_rules! primitives {
    ($($type:ident),+) => {$(
        impl<W: Wait> Object for $type<W> {
            const KIND: Kind = Kind::new(stringify!($type)).on(W::IN_KINDS);
        }
    )+};
}
primitives!(Lock, RLock, Semaphore, BoundedSemaphore, Condition, Event, Once);

impl<T: FromBytes + Send + Object, W: Wait> Object for Mutex<T, W> {
    const KIND: Kind = Kind::new("Mutex").of(T::KIND).on(W::IN_KINDS);
}

impl<T: FromBytes + Send + Object, const READERS: usize, W: Wait> Object for RwLock<T, READERS, W> {
    const KIND: Kind =
        Kind::new("RwLock").then("<").then_kind(T::KIND).then(", ").then_number(READERS).then(">").on(W::IN_KINDS);
}

impl<T: FromBytes + Send + Object, W: Wait> Object for OnceCell<T, W> {
    const KIND: Kind = Kind::new("OnceCell").of(T::KIND).on(W::IN_KINDS);
}

impl<const N: usize, W: Wait> Object for PermitPool<N, W> {
    const KIND: Kind = Kind::new("PermitPool").then("<").then_number(N).then(">").on(W::IN_KINDS);
}

impl<const MEMBERS: usize, W: Wait> Object for Barrier<W, MEMBERS> {
    const KIND: Kind = match MEMBERS {
        0 => Kind::new("Barrier").on(W::IN_KINDS),
        _ => Kind::new("Barrier").then("<").then_number(MEMBERS).then(">").on(W::IN_KINDS),
    };
}

macro_rules! plain {
    ($($type:ident),+) => {$(
        impl Object for $type {
            const KIND: Kind = Kind::new(stringify!($type));
        }
    )+};
}
plain!(u8, u16, u32, u64, u128, usize, i8, i16, i32, i64, i128, isize, f32, f64);
plain!(AtomicU8, AtomicU16, AtomicU32, AtomicU64, AtomicUsize, AtomicI8, AtomicI16, AtomicI32, AtomicI64, AtomicIsize);
// AtomicBool is not FromBytes: most bytes are no bool.
const _: fn(AtomicBool) = drop;

impl Object for () {
    const KIND: Kind = Kind::new("()");
}

impl<T: Object, const N: usize> Object for [T; N] {
    const KIND: Kind = Kind::new("[").then_kind(T::KIND).then("; ").then_number(N).then("]");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wait::{KernelRobust, PosixSem};

    #[test]
    fn kinds_have_names_that_people_can_read() {
        fn name<T: Object>() -> String {
            T::KIND.to_string()
        }
        assert_eq!(name::<Lock>(), "Lock");
        assert_eq!(name::<Lock<PosixSem>>(), "Lock on PosixSem");
        assert_eq!(name::<Mutex<[AtomicU64; 12], KernelRobust>>(), "Mutex<[AtomicU64; 12]> on KernelRobust");
        assert_eq!(name::<RwLock<u64>>(), "RwLock<u64, 16>");
        assert_eq!(name::<PermitPool<1024>>(), "PermitPool<1024>");
        assert_eq!(
            (name::<Barrier>(), name::<Barrier<PosixSem, 8>>()),
            ("Barrier".into(), "Barrier<8> on PosixSem".into())
        );
        assert_eq!(Kind::of_type::<Option<std::time::Duration>>("value").name(), "value<Option<Duration>>");
    }

    #[test]
    fn every_number_counts() {
        let plain = Kind::new("Account");
        let all = [
            plain.stamp_for(8, 8),
            plain.stamp_for(8, 4),
            plain.stamp(1).stamp_for(8, 8),
            plain.stamp(2).stamp_for(8, 8),
            Kind::new("Mutex").of(plain.stamp(1)).stamp_for(8, 8),
        ];
        for (i, one) in all.iter().enumerate() {
            assert!(!all[i + 1..].contains(one), "{i}");
        }
    }

    #[test]
    fn a_type_with_a_long_name_is_told_by_its_stamp() {
        type Long<T> = (T, T, T, T);
        let [one, two] =
            [Kind::of_type::<Long<Long<Long<u64>>>>("value"), Kind::of_type::<Long<Long<Long<i64>>>>("value")];
        assert_eq!((one.name().len(), one.stamp == two.stamp), (128, false));
    }
}
