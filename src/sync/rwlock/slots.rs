//! The readers' slots: who reads is written in one of them, and each has a cache line to itself.
//!
//! | slot | meaning | who may leave it, to where |
//! |---|---|---|
//! | 0 | free | a reader: its token |
//! | token | that thread reads, or is about to look whether it may | that thread: 0; a prover of its death: 0 |
//!
//! A slot is left by a compare-and-swap of the token that it holds: whoever is slow, or was taken for dead, cannot free
//! the slot of its next holder.
//!
//! `reads` counts the guards of the thread that holds the slot: zero until it has seen that it may read, then one, and
//! one more for each read inside a read that would otherwise wait for a writer who waits for this slot. Nobody else
//! writes it, so it needs neither order nor read-modify-writes; the next holder wears a dead one's count off.

use crate::atomic::{AtomicU64, Ordering, constructor};
use crate::owner::Token;
use crate::owner::liveness;

/// Two cache lines of 64 bytes, which some processors fetch in pairs, or one of 128.
#[cfg_attr(not(loom), derive(zerocopy::FromBytes))]
#[repr(C, align(128))]
struct Slot {
    reader: AtomicU64,
    reads: AtomicU64,
}

impl Slot {
    constructor! {
        fn new() -> Self {
            Self { reader: AtomicU64::new(0), reads: AtomicU64::new(0) }
        }
    }

    fn token(&self) -> Token {
        Token(self.reader.load(Ordering::Relaxed))
    }
}

/// A slot, and what its holder wrote in it.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) slot: usize,
    pub(super) token: Token,
}

#[cfg_attr(not(loom), derive(zerocopy::FromBytes))]
#[repr(C)]
pub(super) struct Slots<const N: usize>([Slot; N]);

impl<const N: usize> Slots<N> {
    #[cfg(not(loom))]
    pub(super) const fn new() -> Self {
        Self([const { Slot::new() }; N])
    }
    #[cfg(loom)]
    pub(super) fn new() -> Self {
        Self(std::array::from_fn(|_| Slot::new()))
    }

    /// Where the calling thread looks first: a slot for each CPU, so that readers that run at the same time do not
    /// meet, however many threads there are, and a slot's line stays where it is.
    #[inline]
    pub(super) fn preferred() -> Place {
        const { assert!(0 < N && N <= 0xffff, "a RwLock has between 1 and 65535 slots for readers") };
        let token = Token::mine();
        let cpu = token.cpu();
        let number = if cpu.is_known() { usize::from(cpu.0) } else { token.low() as usize };
        Place { slot: number % N, token }
    }

    /// Takes that slot, if it is free.
    #[inline]
    pub(super) fn claim(&self, place: Place) -> bool {
        self.replace(place.slot, Token::FREE, place.token)
    }

    #[inline]
    fn replace(&self, slot: usize, free: Token, mine: Token) -> bool {
        let slot = &self.0[slot];
        // edge: slot taken <-> writer there (the reader's store)
        let claimed = slot.reader.compare_exchange(free.0, mine.0, Ordering::SeqCst, Ordering::Relaxed).is_ok();
        if claimed {
            slot.reads.store(0, Ordering::Relaxed);
        }
        claimed
    }

    /// From now on the slot's holder, the caller, has a guard.
    #[inline]
    pub(super) fn begin_read(&self, place: Place) {
        self.0[place.slot].reads.store(1, Ordering::Relaxed);
    }

    /// Takes the first free slot from the preferred one on.
    pub(super) fn claim_any(&self) -> Option<Place> {
        let Place { slot: first, token } = Self::preferred();
        for slot in (first..N).chain(0..first) {
            let seen = self.0[slot].token();
            // Free, though perhaps not zero: scribbled bytes are worn off.
            if seen.is_free() && self.replace(slot, seen, token) {
                return Some(Place { slot, token });
            }
        }
        None
    }

    /// Counts one more read in the slot with which the calling thread reads already, if it does.
    pub(super) fn nest(&self) -> Option<Place> {
        let place = self.mine()?;
        let reads = &self.0[place.slot].reads;
        let depth = reads.load(Ordering::Relaxed);
        (depth > 0).then(|| {
            reads.store(depth.wrapping_add(1), Ordering::Relaxed);
            place
        })
    }

    /// Takes a read of the caller's back; whether it was the slot's last.
    #[inline]
    pub(super) fn end_read(&self, place: Place) -> bool {
        let reads = &self.0[place.slot].reads;
        let depth = reads.load(Ordering::Relaxed);
        if depth > 1 {
            reads.store(depth - 1, Ordering::Relaxed);
        }
        depth <= 1
    }

    /// Frees a slot of the caller, or of a dead one; false if it holds something else by now.
    #[inline]
    pub(super) fn free(&self, place: Place) -> bool {
        let reader = &self.0[place.slot].reader;
        // edge: reader left -> drained (Release end). SeqCst for the edges slot freed <-> awaited, slot freed <-> full.
        reader.compare_exchange(place.token.0, Token::FREE.0, Ordering::SeqCst, Ordering::Relaxed).is_ok()
    }

    /// The first slot from `from` on that is taken.
    #[inline]
    pub(super) fn first_taken(&self, from: usize) -> Option<Place> {
        self.0[from..].iter().zip(from..).find_map(|(reader, slot)| {
            // edge: reader left -> drained (Acquire end), and the second halves of all `<->` edges with slots.
            let token = Token(reader.reader.load(Ordering::SeqCst));
            (!token.is_free()).then_some(Place { slot, token })
        })
    }

    /// Whether nobody could take a slot.
    pub(super) fn are_full(&self) -> bool {
        // edge: slot freed <-> full (the waiting reader's load)
        self.0.iter().all(|slot| !Token(slot.reader.load(Ordering::SeqCst)).is_free())
    }

    /// What the slot holds, for looking only.
    pub(super) fn token(&self, slot: usize) -> Token {
        self.0[slot].token()
    }

    /// The slot that the calling thread holds, if it holds one.
    pub(super) fn mine(&self) -> Option<Place> {
        let me = Token::mine();
        self.taken().find(|place| place.token.same_thread(me))
    }

    /// Those held by threads that are found dead, at a waiter's slice's end.
    pub(super) fn dead(&self) -> impl Iterator<Item = Place> {
        liveness::found_dead(self.taken().map(|place| (place, place.token)))
    }

    /// All that are taken, for looking only.
    pub(super) fn taken(&self) -> impl Iterator<Item = Place> + Clone {
        let places = self.0.iter().enumerate().map(|(slot, reader)| Place { slot, token: reader.token() });
        places.filter(|place| !place.token.is_free())
    }
}
