//! A semaphore whose permits know their holders: N slots, each an [owned word](super::owned) without waiters of its
//! own, and one word to sleep on.
//!
//! | slot | meaning | who may leave it, to where |
//! |---|---|---|
//! | 0 | free | anybody: its own token |
//! | token | held by that thread | the holder: 0; a prover of its death: the prover's own token |
//!
//! The word to sleep on is the [`turn`]. Invariants:
//! 1. The slots are the only truth. There is no count that a kill could tear: whatever is lost with a killed process
//!    is a hint or a wake.
//! 2. One compare-and-swap takes a permit and names its holder, also when it takes over from the dead. So at every
//!    instant a permit is free, or held by somebody who lives, or held by somebody of whom that can be found out.
//! 3. A holder frees exactly its own token. A permit that was taken over is not freed a second time.
//! 4. Nobody sleeps who has not, *after* announcing it in the turn, looked at every slot; and a releaser looks at the
//!    turn after it freed its slot. Both are in the one order of the `SeqCst` accesses: either the waiter finds the
//!    slot free or the releaser finds the waiter announced (Dekker; edge: slot freed <-> waiter announced).
//! 5. A releaser that finds waiters changes the turn before it wakes one, so a waiter that looked before that and is
//!    not asleep yet never falls asleep.
//!
//! So no wake-up is lost but with a killed releaser, waker or woken waiter, and then a slice heals it. A permit is
//! never lost: by 2, the next who finds none free takes it over.
//!
//! *Where to look first* is the business of [`place`]: at a slot of the thread's own, so that while there are more
//! permits than takers, a pair of acquire and release is two read-modify-writes of a line that nobody else writes, and
//! one load of the turn, which nobody writes either.
//!
//! *False sharing.* Eight slots share a line. With a line each, looking at 1024 slots would read 64 KiB instead of 8;
//! and when neighbours do collide, the pool is so full that they compete anyway. The turn has its line for itself: all
//! releasers read it.

mod permit;
mod place;
mod sweep;
mod turn;

use std::fmt;
use std::time::{Duration, Instant};

use crate::atomic::{AtomicU64, Ordering, constructor, fresh};
use crate::error::AcquireError;
use crate::owner::{Cpu, Owner, Token};
use crate::time::{Deadline, Patience};
use crate::wait::sleep::{Sleeper, Slept};
use crate::wait::spin::Spin;
use crate::wait::{Platform, Wait, Word};
pub use permit::Permit;
use turn::Turn;

/// Slots in a cache line.
const LINE: usize = 8;

/// How many slots one look of a spinning waiter reads, going round: two lines. A spin is some sixty looks, so it sees
/// a thousand slots, and takes none of their lines from its holder more than once or twice.
const SPIN_LOOKS: usize = 2 * LINE;

/// A semaphore whose permits come back: `N` permits, each with the name of its holder inside.
///
/// A [`Permit`] is released when it is dropped; and if its holder's thread dies first, by whatever means, the next
/// who finds no permit free takes that one over, and learns of it from [`Permit::reclaimed`]. This is what System V's
/// `SEM_UNDO` gives and a POSIX semaphore does not. Permits are numbered, so that each can stand for something: a
/// buffer, a connection, a GPU.
///
/// All-zero bytes are a fresh pool with all permits free. It takes eight bytes per permit and some eighty for waiting.
///
/// # How soon a death is noticed
/// Who waits looks for dead holders from time to time: first every three milliseconds, at last ten times a second. Each
/// time it looks whether the processes of 16 of them still run, and asks about 2 of them closely. The next look, of
/// whichever waiter, goes on there: so of 8 holders a dead one is found by the first, and one whose id is another's by now,
/// or that was the first thread of a process which goes on without it, by the fourth.
///
/// # Errors of the acquiring verbs
/// None but what each verb lists.
///
/// # Example
/// ```
/// use shmsync::{AcquireError, PermitPool, Shared};
///
/// let buffers = Shared::anonymous(PermitPool::<3>::new())?; // beside `[[u8; 4096]; 3]`, say
/// let mine = buffers.acquire()?;
/// let also_mine = buffers.acquire_for(std::time::Duration::from_millis(10))?;
/// assert_ne!(mine.index(), also_mine.index());
/// assert_eq!((buffers.available(), buffers.capacity()), (1, 3));
///
/// if let Some(owner) = mine.reclaimed() {
///     eprintln!("{owner} died while it used buffer {}", mine.index()); // so clean that up first
/// }
/// drop(mine);
/// assert_eq!(buffers.available(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[cfg_attr(not(loom), derive(zerocopy::FromBytes))]
#[repr(C)]
pub struct PermitPool<const N: usize, W: Wait = Platform> {
    turn: AtomicU64,
    wait: W,
    /// Where the next look for dead holders begins: a hint.
    swept: AtomicU64,
    /// Keeps the turn's line apart from the slots', wherever in a line the pool begins.
    _apart: [u64; LINE - 2],
    slots: [AtomicU64; N],
}

impl<const N: usize> PermitPool<N> {
    constructor! {
        /// A pool with all `N` permits free. `N` must not be zero; that is an error at compile time.
        #[must_use]
        pub fn new() -> Self {
            Self::new_in()
        }
    }
}

impl<const N: usize, W: Wait> PermitPool<N, W> {
    const IS_POSSIBLE: () = assert!(N > 0 && N <= Turn::MOST_SLOTS, "a pool has 1 to 2^20 permits");

    constructor! {
        /// A pool with all `N` permits free on the backend `W`.
        #[must_use]
        pub fn new_in() -> Self {
            #[cfg(not(loom))]
            let slots = [const { AtomicU64::new(0) }; N];
            #[cfg(loom)]
            let slots = std::array::from_fn(|_| AtomicU64::new(0));
            Self { turn: AtomicU64::new(0), wait: fresh!(W), swept: AtomicU64::new(0), _apart: [0; LINE - 2], slots }
        }
    }

    /// Acquires a permit, waiting as long as it takes.
    ///
    /// Signals do not end the wait. What the last holder of this very permit did before it dropped it happens before
    /// this returns.
    ///
    /// # Errors
    /// None so far: never `WouldBlock`, `TimedOut` or `Interrupted`.
    #[inline]
    pub fn acquire(&self) -> Result<Permit<'_, N, W>, AcquireError> {
        self.acquire_with(Patience::FOREVER)
    }

    /// Acquires a permit if that is possible without waiting.
    ///
    /// Finding none free, it asks whether some of the holders are dead, once in a millisecond.
    ///
    /// # Errors
    /// `WouldBlock` if not.
    ///
    /// # Example
    /// ```
    /// # use shmsync::{AcquireError, PermitPool};
    /// let pool = PermitPool::<1>::new();
    /// let permit = pool.try_acquire()?;
    /// assert_eq!(pool.try_acquire().unwrap_err(), AcquireError::WouldBlock);
    /// assert_eq!(pool.holder(0), pool.holders().next().map(|(_, owner)| owner));
    /// # drop(permit);
    /// # Ok::<(), AcquireError>(())
    /// ```
    #[inline]
    pub fn try_acquire(&self) -> Result<Permit<'_, N, W>, AcquireError> {
        match self.take_own() {
            Some(permit) => Ok(permit),
            None => self.look_once().ok_or(AcquireError::WouldBlock),
        }
    }

    /// Acquires a permit, waiting for at most `timeout` of monotonic time.
    ///
    /// A zero timeout tries once; one that overflows the clock waits for ever.
    ///
    /// # Errors
    /// `TimedOut`.
    pub fn acquire_for(&self, timeout: Duration) -> Result<Permit<'_, N, W>, AcquireError> {
        self.acquire_with(Patience::until(Deadline::after(timeout)))
    }

    /// Acquires a permit, waiting until `deadline` at most. A past deadline tries once.
    ///
    /// # Errors
    /// `TimedOut`.
    pub fn acquire_until(&self, deadline: Instant) -> Result<Permit<'_, N, W>, AcquireError> {
        self.acquire_with(Patience::until(Deadline::at(deadline)))
    }

    /// Acquires a permit, or returns when a signal handler has run during the sleep.
    ///
    /// For languages that must act on a Ctrl-C between two waits. A signal that comes just before the sleep does not
    /// end it, as with every system call; `None` sets no timeout.
    ///
    /// # Errors
    /// `Interrupted`, `TimedOut`.
    pub fn acquire_interruptible(&self, timeout: Option<Duration>) -> Result<Permit<'_, N, W>, AcquireError> {
        self.acquire_with(Patience::interruptible(timeout))
    }

    #[inline]
    fn acquire_with(&self, patience: Patience) -> Result<Permit<'_, N, W>, AcquireError> {
        match self.take_own() {
            Some(permit) => Ok(permit),
            None => self.acquire_contended(patience),
        }
    }

    /// Takes the slot that this thread used last, if it is free: the whole of an uncontended acquire.
    #[inline]
    fn take_own(&self) -> Option<Permit<'_, N, W>> {
        let () = Self::IS_POSSIBLE;
        let mine = Token::mine();
        let index = place::last_of(mine, N)?;
        // edge: release -> acquire (Acquire end): what the last holder of this slot wrote is seen by this one.
        let taken = self.slots[index].compare_exchange(0, mine.0, Ordering::Acquire, Ordering::Relaxed);
        taken.is_ok().then(|| Permit::new(self, index, mine, Token::FREE))
    }

    #[cold]
    fn acquire_contended(&self, patience: Patience) -> Result<Permit<'_, N, W>, AcquireError> {
        let mut sleeper = Sleeper::new(patience);
        if sleeper.only_looks() {
            return self.look_once().ok_or(AcquireError::TimedOut);
        }
        let mut spin = Spin::new();
        let mut from = place::first_of(Token::mine(), N);
        loop {
            let turn = match self.take_or_announce(from, &mut spin) {
                Ok(permit) => return Ok(permit),
                Err(turn) => turn,
            };
            match sleeper.sleep(&self.wait, Word::low_half(&self.turn), turn.low()) {
                Slept::Woken => spin = Spin::new(),
                Slept::SliceEnded => {
                    if let Some(permit) = self.take_over() {
                        return Ok(permit);
                    }
                }
                // Leaving swallows no wake: the permit that came with it is there for the last look.
                Slept::Expired => return self.look_once().ok_or(AcquireError::TimedOut),
                // Signals may come faster than any slice ends, and the caller come back after each.
                Slept::Interrupted => return self.take_over_unless_just_tried().ok_or(AcquireError::Interrupted),
            }
            from = Turn(self.turn.load(Ordering::Relaxed)).last_freed() % N;
        }
    }

    /// One look at everything, for who does not wait (any more).
    #[cold]
    fn look_once(&self) -> Option<Permit<'_, N, W>> {
        self.take_among(place::first_of(Token::mine(), N), N).ok().or_else(|| self.take_over_unless_just_tried())
    }

    /// Spins until a permit is taken, or returns the turn in which sleepers are announced, and which was good for none.
    fn take_or_announce(&self, mut from: usize, spin: &mut Spin) -> Result<Permit<'_, N, W>, Turn> {
        let first = from;
        let mut look = self.take_among(from, N);
        while let Err(partner) = look {
            if !spin.again(partner) {
                break;
            }
            look = self.take_among(from, SPIN_LOOKS.min(N));
            from = (from + SPIN_LOOKS) % N;
        }
        match look {
            Ok(permit) => Ok(permit),
            Err(_) => {
                let turn = Turn::announce(&self.turn); // invariant 4: first this, then all slots
                self.take_among(first, N).map_err(|_| turn)
            }
        }
    }

    /// Takes the first free one of `count` slots beginning with `from`. If there is none: the CPU of some holder, if
    /// possible another than the caller's own, so that there is somebody to spin for.
    fn take_among(&self, from: usize, count: usize) -> Result<Permit<'_, N, W>, Cpu> {
        let mine = Token::mine();
        let mut partner = mine.cpu();
        let (before, after) = self.slots.split_at(from);
        for (slot, index) in after.iter().chain(before).zip((from..N).chain(0..from)).take(count) {
            // edge: slot freed <-> waiter announced (the waiter's end, when it has announced itself)
            let seen = Token(slot.load(Ordering::SeqCst));
            if !seen.is_free() {
                if seen.cpu() != mine.cpu() {
                    partner = seen.cpu();
                }
                continue;
            }
            // edge: release -> acquire (Acquire end). From whatever was seen: scribbled flags do not make it held.
            if slot.compare_exchange(seen.0, mine.0, Ordering::Acquire, Ordering::Relaxed).is_ok() {
                place::remember(mine, index);
                return Ok(Permit::new(self, index, mine, Token::FREE));
            }
        }
        Err(partner)
    }

    /// Frees a slot that still holds `held`, and wakes a waiter.
    #[inline]
    fn release(&self, index: usize, held: Token) {
        // edge: release -> acquire (Release end). edge: slot freed <-> waiter announced (the releaser's end): this and
        // the load below are SeqCst, which on x86 costs no more than what they are anyway.
        let freed = self.slots[index].compare_exchange(held.0, 0, Ordering::SeqCst, Ordering::Relaxed);
        if freed.is_err() {
            return; // invariant 3
        }
        turn::fence_in_models();
        if Turn(self.turn.load(Ordering::SeqCst)).has_sleepers() {
            self.wake_one(index);
        }
    }

    #[cold]
    fn wake_one(&self, freed: usize) {
        let passed = Turn::pass(&self.turn, freed); // invariant 5
        if self.wait.wake(Word::low_half(&self.turn), 1) == 0 {
            passed.clear(&self.turn);
        }
    }

    /// The number of permits.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        N
    }

    /// The number of free permits at this moment, counted one by one. Out of date as soon as it is known. Those of
    /// dead holders are not free until somebody takes them over.
    #[must_use]
    pub fn available(&self) -> usize {
        self.slots.iter().filter(|slot| Token(slot.load(Ordering::Relaxed)).is_free()).count()
    }

    /// Who holds permit `index`, dead or alive; `None` if it is free. Out of date as soon as it is known.
    ///
    /// # Panics
    /// If there is no such permit.
    #[must_use]
    pub fn holder(&self, index: usize) -> Option<Owner> {
        Token(self.slots[index].load(Ordering::Relaxed)).owner()
    }

    /// The permits that are held, and by whom, dead or alive.
    ///
    /// # Example
    /// ```
    /// # let pool = shmsync::PermitPool::<3>::new();
    /// let stuck = pool.holders().filter(|(_, owner)| !owner.is_alive()).count();
    /// println!("{stuck} permits wait for being taken over");
    /// ```
    pub fn holders(&self) -> impl Iterator<Item = (usize, Owner)> + '_ {
        (0..N).filter_map(|index| self.holder(index).map(|owner| (index, owner)))
    }

    /// Who holds permits, for those who know neither `N` nor more of a pool than where its slots are.
    #[cfg(not(loom))]
    pub(crate) fn holders_among(slots: &[AtomicU64]) -> impl Iterator<Item = Owner> {
        slots.iter().filter_map(|slot| Token(slot.load(Ordering::Relaxed)).owner())
    }
}

impl<const N: usize, W: Wait> Default for PermitPool<N, W> {
    fn default() -> Self {
        Self::new_in()
    }
}

impl<const N: usize, W: Wait> fmt::Debug for PermitPool<N, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PermitPool")
            .field("available", &self.available())
            .field("capacity", &N)
            .field("waited_for", &Turn(self.turn.load(Ordering::Relaxed)).has_sleepers())
            .finish()
    }
}
