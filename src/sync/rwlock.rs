//! Many readers or one writer, and the data: std's `RwLock` between processes. An [owned word](super::owned) for the
//! writers, a [slot](slots) for each reader, and a poison word as `Mutex` has one.
//!
//! A reader writes its token in a free slot, then looks whether there is a writer. A writer takes the word, then waits
//! until every slot was free once. So readers that find different slots share no cache line that anybody writes, every
//! participant is named by what it holds, and the dead are found out one by one.
//!
//! | writers' word | `writing` | meaning | who may leave it, to where |
//! |---|---|---|---|
//! | free | 0 | readers may enter | a writer: its token |
//! | token | 0 | a writer waits for the readers inside to leave; new ones hold back | it: 1, or free if it gives up |
//! | token | 1 | a writer is inside, alone | it: 0, then free |
//! | a dead token | 0 or 1 | that writer died; with 1 the data may be torn | who finds out: its own, then poison |
//!
//! | word to sleep on | meaning | who changes it |
//! |---|---|---|
//! | `turn`, bit 0 | `SLEEPERS`: a reader may sleep | such a reader: set; who wakes them: a new number, flags cleared |
//! | `turn`, bit 1 | `FULL`: one may sleep for want of a slot | as above; it is who leaves a slot that wakes then |
//! | `turn`, rest | how often readers were woken | |
//! | `awaited`, bits 0–15 | the slot for which the writer sleeps, plus one | that writer; who leaves that slot: 0 |
//! | `awaited`, rest | how often it was woken | who leaves that slot |
//!
//! The writer sleeps for one slot after the other, so that of sixteen readers that leave few make a system call.
//!
//! # Invariants
//! 1. Who writes holds the word, and after taking it has seen every slot free.
//! 2. Who reads holds a slot, and after taking it has seen the word free; a thread's further reads may share the slot.
//! 3. Therefore a reader and a writer are never inside together (below), and writers exclude each other by the word.
//! 4. `writing` is set whenever the data may be half-written: a writer killed while it waits for readers tears nothing,
//!    and poisons nothing.
//!
//! # Edges
//! *slot taken <-> writer there.* The reader stores its slot, then loads the word; the writer stores the word, then
//! loads the slots. All four are `SeqCst` (or, where the word was taken after a wait, a `SeqCst` fence follows), so
//! they have one order. If the writer's load misses the reader's store, then it comes before it in this order, and the
//! writer's store before that; so the reader's load, which comes after its store, sees the writer, and the slot is
//! given back. If the reader's load misses the writer's store, then likewise the writer sees the slot taken, and waits.
//!
//! *slot freed <-> awaited.* The writer stores which slot it awaits, then loads that slot, then sleeps; the reader
//! frees the slot, then loads what is awaited. Again one sees the other. *slot freed <-> full:* the same between a
//! reader that announces `FULL`, then looks at all slots, and one that frees its slot, then looks at `turn`.
//!
//! *announced -> vacated.* A reader that is going to sleep sets `SLEEPERS`, then `WAITERS` in the word; whoever frees
//! the word with that in it sees the first, too.
//!
//! *reader left -> drained.* What a reader read, it read before the writer that saw its slot free writes.
//! *write released -> entered.* What a writer wrote is seen by whoever finds the word free, or takes it, afterwards.
#![allow(unsafe_code)]

mod gate;
mod guard;
mod slots;

use std::cell::UnsafeCell;
use std::fmt;
use std::time::{Duration, Instant};

use super::mutex::try_lock_error;
use super::poison::{LockResult, PoisonError, TryLockError, TryLockResult};
use crate::atomic::constructor;
use crate::error::AcquireError;
use crate::owner::Owner;
use crate::time::{Deadline, Patience};
use crate::wait::{Platform, Wait};
use gate::Gate;
pub use guard::{RwLockReadGuard, RwLockWriteGuard};

/// A reader-writer lock between processes, with the manners of std's.
///
/// Any number of readers up to `READERS`, or one writer. A writer that panics *or dies* poisons it: the next to enter,
/// reader or writer, gets the guard inside a [`PoisonError`] that says who and how. A reader that dies is forgotten,
/// one that panics changes nothing. All-zero bytes are a fresh, unlocked one round zeroed data, which must be plain
/// when it lives in shared memory ([`Shared`](crate::Shared) asks for `zerocopy::FromBytes`).
///
/// Writers go first: as soon as one waits for the readers inside, new ones hold back. So writers that come without a
/// break keep readers out. A thread that reads already may read again all the same, where std's may deadlock.
///
/// # How many readers
/// Each reader inside holds one of `READERS` slots, and each slot fills 128 bytes, so that readers on different CPUs do
/// not slow each other down. A reader that finds no slot waits until one is free. What counts is how many are *inside
/// at once*: about one for each CPU that runs readers, and one for each that sleeps or is preempted inside. The default
/// of 16 takes two kilobytes, and a writer looks at all of them: too many slots cost little, at 64 some 10 ns for each
/// write, too few cost readers their sleep.
///
/// # Example
/// ```
/// use shmsync::{RwLock, Shared};
///
/// let prices = Shared::anonymous(RwLock::new([100_u64, 101]))?;
/// {
///     let one = prices.read().unwrap();
///     let another = prices.read().unwrap();
///     assert_eq!(one[0] + another[1], 201);
/// }
/// prices.write().unwrap()[1] = 102;
/// assert_eq!(prices.read().unwrap()[1], 102);
/// # Ok::<(), shmsync::Error>(())
/// ```
///
/// With another number of slots, in a struct of your own:
/// ```
/// use shmsync::RwLock;
///
/// #[derive(zerocopy::FromBytes)]
/// #[repr(C)]
/// struct Routes {
///     table: RwLock<[u32; 256], 64>,
/// }
///
/// let routes = Routes { table: RwLock::new_in([0; 256]) };
/// routes.table.write().unwrap()[7] = 1;
/// ```
#[cfg_attr(not(loom), derive(zerocopy::FromBytes))]
#[repr(C)]
pub struct RwLock<T, const READERS: usize = 16, W: Wait = Platform> {
    gate: Gate<READERS, W>,
    data: UnsafeCell<T>,
}

// SAFETY: the data is reached through guards only; either one that writes, so that sharing the lock sends `T` from
// writer to writer, or several that read, which share it (invariant 3).
unsafe impl<T: Send + Sync, const READERS: usize, W: Wait> Sync for RwLock<T, READERS, W> {}

impl<T> RwLock<T> {
    constructor! {
        /// An unlocked lock round `data`, with the default number of slots for readers.
        pub fn new(data: T) -> Self {
            Self::new_in(data)
        }
    }
}

impl<T, const READERS: usize, W: Wait> RwLock<T, READERS, W> {
    constructor! {
        /// An unlocked lock round `data`, with any number of slots for readers, on the backend `W`.
        pub fn new_in(data: T) -> Self {
            Self { gate: Gate::new(), data: UnsafeCell::new(data) }
        }
    }

    /// Enters for reading, waiting as long as it takes.
    ///
    /// What the last writer did before it let go happens before this returns.
    ///
    /// # Errors
    /// The guard inside a [`PoisonError`] if a writer died or panicked since the last `clear_poison`.
    ///
    /// # Panics
    /// If the calling thread holds it for writing.
    ///
    /// # Example
    /// ```
    /// # let lock = shmsync::RwLock::new(7);
    /// let value = *lock.read().unwrap();
    /// assert_eq!(value, 7);
    /// ```
    #[inline]
    pub fn read(&self) -> LockResult<RwLockReadGuard<'_, T, READERS, W>> {
        match self.gate.read(Patience::UNFAILING) {
            // SAFETY: just entered for reading.
            Ok(place) => self.poisoned_or(unsafe { RwLockReadGuard::new(self, place) }),
            Err(error) => impossible(error, "RwLock::read"),
        }
    }

    /// Enters for reading if that is possible without waiting.
    ///
    /// # Errors
    /// `WouldBlock`; `Poisoned` with the guard; `WouldDeadlock` if the calling thread holds it for writing.
    #[inline]
    pub fn try_read(&self) -> TryLockResult<RwLockReadGuard<'_, T, READERS, W>> {
        self.read_with(Patience::NONE).map_err(would_block)
    }

    /// Enters for reading, waiting for at most `timeout` of monotonic time. A zero timeout tries once.
    ///
    /// # Errors
    /// `TimedOut`; `Poisoned` with the guard; `WouldDeadlock` if the calling thread holds it for writing.
    pub fn try_read_for(&self, timeout: Duration) -> TryLockResult<RwLockReadGuard<'_, T, READERS, W>> {
        self.read_with(Patience::until(Deadline::after(timeout)))
    }

    /// Enters for reading, waiting until `deadline` at most. A past deadline tries once.
    ///
    /// # Errors
    /// As `try_read_for`.
    pub fn try_read_until(&self, deadline: Instant) -> TryLockResult<RwLockReadGuard<'_, T, READERS, W>> {
        self.read_with(Patience::until(Deadline::at(deadline)))
    }

    #[inline]
    fn read_with(&self, patience: Patience) -> TryLockResult<RwLockReadGuard<'_, T, READERS, W>> {
        let place = self.gate.read(patience).map_err(try_lock_error)?;
        // SAFETY: just entered for reading.
        Ok(self.poisoned_or(unsafe { RwLockReadGuard::new(self, place) })?)
    }

    /// Enters for writing, waiting as long as it takes.
    ///
    /// What all readers and writers did before they let go happens before this returns.
    ///
    /// # Errors
    /// The guard inside a [`PoisonError`] if a writer died or panicked since the last `clear_poison`.
    ///
    /// # Panics
    /// If the calling thread holds it already, for writing or for reading; or as [`Mutex::lock`](crate::Mutex::lock) does.
    ///
    /// # Example
    /// ```
    /// # let lock = shmsync::RwLock::new([1, 1]);
    /// let mut pair = lock.write().unwrap_or_else(|poisoned| {
    ///     let mut torn = poisoned.into_inner();
    ///     *torn = [0, 0]; // repaired
    ///     lock.clear_poison();
    ///     torn
    /// });
    /// pair[0] += 1;
    /// pair[1] += 1;
    /// ```
    #[inline]
    pub fn write(&self) -> LockResult<RwLockWriteGuard<'_, T, READERS, W>> {
        match self.gate.write(Patience::UNFAILING) {
            // SAFETY: just entered for writing.
            Ok(()) => self.poisoned_or(unsafe { RwLockWriteGuard::new(self) }),
            Err(error) => impossible(error, "RwLock::write"),
        }
    }

    /// Enters for writing if that is possible without waiting.
    ///
    /// # Errors
    /// `WouldBlock`; `Poisoned` with the guard; `WouldDeadlock` if the calling thread holds it, for writing or reading.
    #[inline]
    pub fn try_write(&self) -> TryLockResult<RwLockWriteGuard<'_, T, READERS, W>> {
        self.write_with(Patience::NONE).map_err(would_block)
    }

    /// Enters for writing, waiting for at most `timeout` of monotonic time. A zero timeout tries once.
    ///
    /// # Errors
    /// `TimedOut`; `Poisoned` with the guard; `WouldDeadlock` if the calling thread holds it, for writing or reading, or
    /// waits for a writer in a circle of threads, as [`Mutex::try_lock_for`](crate::Mutex::try_lock_for) does.
    pub fn try_write_for(&self, timeout: Duration) -> TryLockResult<RwLockWriteGuard<'_, T, READERS, W>> {
        self.write_with(Patience::until(Deadline::after(timeout)))
    }

    /// Enters for writing, waiting until `deadline` at most. A past deadline tries once.
    ///
    /// # Errors
    /// As `try_write_for`.
    pub fn try_write_until(&self, deadline: Instant) -> TryLockResult<RwLockWriteGuard<'_, T, READERS, W>> {
        self.write_with(Patience::until(Deadline::at(deadline)))
    }

    #[inline]
    fn write_with(&self, patience: Patience) -> TryLockResult<RwLockWriteGuard<'_, T, READERS, W>> {
        self.gate.write(patience).map_err(try_lock_error)?;
        // SAFETY: just entered for writing.
        Ok(self.poisoned_or(unsafe { RwLockWriteGuard::new(self) })?)
    }

    /// What was entered for, the guard or the data, inside an error if there is poison.
    #[inline]
    fn poisoned_or<G>(&self, inside: G) -> LockResult<G> {
        match self.gate.poison() {
            None => Ok(inside),
            Some(cause) => Err(PoisonError::new(inside, cause)),
        }
    }

    /// Whether a writer is known to have died or panicked. A death is not known before somebody tries to enter.
    #[must_use]
    pub fn is_poisoned(&self) -> bool {
        self.gate.poison().is_some()
    }

    /// Declares the data sound again.
    pub fn clear_poison(&self) {
        self.gate.clear_poison();
    }

    /// Who writes, or waits for the readers inside to leave; `None` if nobody does. Out of date as soon as it is known.
    #[must_use]
    pub fn writer(&self) -> Option<Owner> {
        self.gate.writer.holder()
    }

    /// Who reads: one thread may be found twice. Out of date as soon as it is known.
    ///
    /// # Example
    /// ```
    /// # let lock = shmsync::RwLock::new(7);
    /// let guard = lock.read().unwrap();
    /// assert_eq!(lock.readers().count(), 1);
    /// assert!(lock.readers().all(|reader| reader.is_alive()));
    /// # drop(guard);
    /// ```
    pub fn readers(&self) -> impl Iterator<Item = Owner> {
        self.gate.slots.taken().filter_map(|place| place.token.owner())
    }

    /// The data, without locking: the exclusive borrow proves that nobody else in this process can.
    ///
    /// # Errors
    /// The data inside a [`PoisonError`] if it may be torn.
    pub fn get_mut(&mut self) -> LockResult<&mut T> {
        match self.gate.poison() {
            None => Ok(self.data.get_mut()),
            Some(cause) => Err(PoisonError::new(self.data.get_mut(), cause)),
        }
    }

    /// The data of a lock that is not needed any more.
    ///
    /// # Errors
    /// The data inside a [`PoisonError`] if it may be torn.
    pub fn into_inner(self) -> LockResult<T> {
        match self.gate.poison() {
            None => Ok(self.data.into_inner()),
            Some(cause) => Err(PoisonError::new(self.data.into_inner(), cause)),
        }
    }
}

#[cold]
fn impossible(error: AcquireError, verb: &str) -> ! {
    match error {
        AcquireError::WouldDeadlock => panic!("shmsync: {verb}: {error}"),
        other => unreachable!("a patient wait ended with {other}"),
    }
}

fn would_block<G>(error: TryLockError<G>) -> TryLockError<G> {
    match error {
        TryLockError::TimedOut => TryLockError::WouldBlock,
        other => other,
    }
}

impl<T: Default, const READERS: usize, W: Wait> Default for RwLock<T, READERS, W> {
    fn default() -> Self {
        Self::new_in(T::default())
    }
}

impl<T> From<T> for RwLock<T> {
    fn from(data: T) -> Self {
        Self::new(data)
    }
}

/// Shows the state, not the data: looking at that would mean waiting.
impl<T, const READERS: usize, W: Wait> fmt::Debug for RwLock<T, READERS, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RwLock")
            .field("writer", &self.gate.writer.describe())
            .field("readers", &self.readers().collect::<Vec<_>>())
            .field("poison", &self.gate.poison())
            .finish_non_exhaustive()
    }
}
