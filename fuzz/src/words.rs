//! 64-bit words that mean something to the crate, or nothing: random bits alone would never be a living holder.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use arbitrary::Arbitrary;
use shmsync::Shared;

/// A word that somebody else has written.
#[derive(Arbitrary, Debug, Clone, Copy)]
pub enum Scribble {
    Any(u64),
    Small(u8),
    /// Near a power of two: sizes, offsets, flags.
    Near(u8, i8),
    /// Of the first 16 KiB, as places are.
    Place(u16),
    /// The thread that called [`remember_me`], with some bits of the word changed: a living holder, or somebody like it.
    Me(u32),
    /// The first process of the namespace: alive, and nobody who ever lets go.
    First(u32),
    /// A thread id that no system gives out.
    Dead(u32),
    /// Two halves, as a word beside flags.
    Halves(u16, u16),
}

impl Scribble {
    pub fn word(self) -> u64 {
        match self {
            Self::Any(word) => word,
            Self::Small(word) => word.into(),
            Self::Near(bit, by) => (1_u64 << (bit % 64)).wrapping_add_signed(by.into()),
            Self::Place(at) => u64::from(at & 0x3fff) & !7,
            Self::Me(change) => me() ^ flags(change),
            Self::First(change) => (me() & !0x3fff_ffff | 1) ^ flags(change),
            Self::Dead(change) => (me() & !0x3fff_ffff | 0x3fff_fff0) ^ flags(change),
            Self::Halves(low, high) => u64::from(low) | u64::from(high) << 32,
        }
    }
}

/// Mostly the two flags of a futex word, seldom a bit of what says who it is.
fn flags(change: u32) -> u64 {
    let flags = u64::from(change & 3) << 30;
    if change & 4 == 0 { flags } else { flags | 1 << (change >> 3 & 63) }
}

static ME: OnceLock<u64> = OnceLock::new();

fn me() -> u64 {
    ME.get().copied().unwrap_or(0)
}

/// Learns the word of a lock that the calling thread holds.
pub fn remember_me() {
    ME.get_or_init(|| {
        let lock = Shared::anonymous(Probe::default()).expect("memory for a lock");
        lock.0.acquire().expect("nobody else has it");
        // The same eight bytes as a number, in another mapping of them.
        let same = Shared::<AtomicU64>::from_handle(&lock.handle()).expect("a lock has eight bytes");
        let word = same.load(Ordering::Relaxed);
        lock.0.release().expect("it was acquired above");
        word
    });
}

/// A lock of eight bytes, with the alignment of a number.
#[derive(Default, zerocopy::FromBytes)]
#[repr(C)]
struct Probe(shmsync::Lock);

const _: () = assert!(size_of::<Probe>() == 8 && align_of::<Probe>() == 8);
