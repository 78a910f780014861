//! A reusable barrier: arrive, wait for the others, go on. Its word is told in [`state`].
//!
//! The word knows how many arrived, not who. So that a party's death can be known, parties may become [`member`]s.

mod member;
mod state;

use std::fmt;
use std::time::Duration;

use crate::atomic::{AtomicU32, AtomicU64, Ordering, constructor, fresh};
use crate::error::BarrierError;
use crate::owner::Cpu;
use crate::sys;
use crate::time::{Deadline, Patience};
use crate::wait::sleep::{Sleeper, Slept};
use crate::wait::spin::Spin;
use crate::wait::{Platform, Wait, Word};
pub use member::Member;
use member::Members;
use state::{Round, State};

/// A barrier between processes: Python's `multiprocessing.Barrier` in sixteen bytes.
///
/// A fixed number of parties meet; none goes on before all have come. Then it is ready for the next round. When one
/// gives up, it breaks for all, until a [`reset`](Self::reset). All-zero bytes are one for a single party.
///
/// A party that dies before it arrives, or in the action, is waited for, unless it has [`join`](Self::join)ed: the death of a member breaks
/// the barrier. `MEMBERS` is how many can join, at eight bytes each; none by default.
///
/// # Example
/// ```
/// use shmsync::Barrier;
///
/// let barrier = Barrier::new(2);
/// let leaders: usize = std::thread::scope(|scope| {
///     let other = scope.spawn(|| barrier.wait().unwrap());
///     let here = barrier.wait().unwrap();
///     [here, other.join().unwrap()].iter().filter(|party| party.is_leader()).count()
/// });
/// assert_eq!(leaders, 1);
/// ```
#[cfg_attr(not(loom), derive(zerocopy::FromBytes))]
#[repr(C)]
pub struct Barrier<W: Wait = Platform, const MEMBERS: usize = 0> {
    word: AtomicU64,
    /// Never written after the creation; atomic because other processes' bytes must not be plain memory.
    parties: AtomicU32,
    wait: W,
    members: Members<MEMBERS>,
}

impl Barrier {
    constructor! {
        /// A barrier for `parties`; zero counts as one.
        ///
        /// # Panics
        /// If there are 2²⁴ parties or more.
        #[must_use]
        pub fn new(parties: u32) -> Self {
            Self::new_in(parties)
        }
    }
}

impl<W: Wait> Barrier<W> {
    constructor! {
        /// A barrier for `parties` on the backend `W`; zero counts as one.
        ///
        /// # Panics
        /// If there are 2²⁴ parties or more.
        #[must_use]
        pub fn new_in(parties: u32) -> Self {
            Self::with_members(parties)
        }
    }
}

impl<W: Wait, const MEMBERS: usize> Barrier<W, MEMBERS> {
    constructor! {
        /// A barrier for `parties`, of which `MEMBERS` can [`join`](Self::join); zero counts as one.
        ///
        /// # Panics
        /// If there are 2²⁴ parties or more.
        #[must_use]
        pub fn with_members(parties: u32) -> Self {
            assert!(parties <= State::MOST_PARTIES, "a barrier is for fewer than 2^24 parties");
            Self {
                word: AtomicU64::new(0),
                parties: AtomicU32::new(parties),
                wait: fresh!(W),
                members: Members::new(),
            }
        }
    }

    /// Arrives, and waits until all parties have, as long as it takes.
    ///
    /// What any party did before it arrived happens before the return of every party.
    ///
    /// # Errors
    /// `Broken`.
    pub fn wait(&self) -> Result<BarrierWaitResult, BarrierError> {
        self.meet(Patience::FOREVER, None::<fn()>)
    }

    /// Arrives, and waits for at most `timeout` of monotonic time. Running out of time breaks the barrier for all, unless
    /// it ran out before this round had begun, while the action of the last one went on.
    ///
    /// # Errors
    /// `TimedOut` if it was this caller's time that ran out, else `Broken`.
    pub fn wait_timeout(&self, timeout: Duration) -> Result<BarrierWaitResult, BarrierError> {
        self.meet(Patience::until(Deadline::after(timeout)), None::<fn()>)
    }

    /// Like [`wait`](Self::wait); the last to arrive runs its `action` before anybody goes on.
    ///
    /// If the action panics, the barrier breaks, and the panic goes on.
    ///
    /// # Errors
    /// `Broken`.
    pub fn wait_with(&self, action: impl FnOnce()) -> Result<BarrierWaitResult, BarrierError> {
        self.meet(Patience::FOREVER, Some(action))
    }

    fn meet(&self, patience: Patience, action: Option<impl FnOnce()>) -> Result<BarrierWaitResult, BarrierError> {
        let mut waiting = Waiting { barrier: self, sleeper: Sleeper::new(patience), spin: Spin::new() };
        loop {
            // edge: depart -> arrive of the next round (Acquire end)
            let seen = State(self.word.load(Ordering::Acquire));
            if seen.is_broken() {
                return Err(BarrierError::Broken);
            }
            let index = seen.arrivals();
            if index >= self.parties() {
                // The leader's action runs still. This party is early for the next round, and may break none.
                waiting.for_the_end_of(seen, false)?;
                continue;
            }
            let leader = index + 1 == self.parties();
            let next = if leader && action.is_none() { seen.next_round(false) } else { seen.with_arrival() };
            // edge: arrive -> depart. Release publishes what this party did; Acquire, for the last one, receives what
            // the others did, which are all in this chain of read-modify-writes.
            if self.word.compare_exchange(seen.0, next.0, Ordering::AcqRel, Ordering::Relaxed).is_err() {
                continue;
            }
            match action {
                Some(action) if leader => self.lead(next, action)?,
                _ if leader => self.wake_all(seen),
                _ => waiting.for_the_end_of(next, true)?,
            }
            return Ok(BarrierWaitResult { index, leader });
        }
    }

    /// The leader's part where there is an action: all have arrived, nobody has gone on.
    fn lead(&self, arrived: State, action: impl FnOnce()) -> Result<(), BarrierError> {
        struct AbortOnPanic<'a, W: Wait, const MEMBERS: usize>(&'a Barrier<W, MEMBERS>);
        impl<W: Wait, const MEMBERS: usize> Drop for AbortOnPanic<'_, W, MEMBERS> {
            fn drop(&mut self) {
                self.0.abort();
            }
        }
        let panicking = AbortOnPanic(self);
        action();
        std::mem::forget(panicking);
        // Unless somebody timed out, aborted or reset while the action ran.
        let mut round = Round::Open;
        self.update(|seen| {
            round = seen.round_of(arrived);
            (round == Round::Open).then(|| seen.next_round(false))
        });
        if round == Round::Broken { Err(BarrierError::Broken) } else { Ok(()) }
    }

    fn wake_all(&self, before: State) {
        if before.has_sleepers() {
            self.wait.wake(Word::low_half(&self.word), u32::MAX);
        }
    }

    /// Changes the state with `change` for as long as that gives one; wakes those who slept in the old one.
    fn update(&self, mut change: impl FnMut(State) -> Option<State>) {
        let mut seen = State(self.word.load(Ordering::Acquire));
        while let Some(next) = change(seen) {
            match self.word.compare_exchange_weak(seen.0, next.0, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return self.wake_all(seen),
                Err(now) => seen = State(now),
            }
        }
    }

    /// Breaks the barrier: everybody who waits, and everybody who comes before a `reset`, gets `Broken`.
    pub fn abort(&self) {
        self.update(|seen| (!seen.is_broken()).then(|| seen.broken()));
    }

    /// Makes the barrier whole and empty. Whoever is waiting gets `Broken`.
    pub fn reset(&self) {
        self.update(|seen| (seen.is_broken() || seen.arrivals() > 0).then(|| seen.next_round(true)));
    }

    /// How many must meet.
    #[must_use]
    pub fn parties(&self) -> u32 {
        self.parties.load(Ordering::Relaxed).clamp(1, State::MOST_PARTIES)
    }

    /// How many wait at this moment; zero when it is broken.
    #[must_use]
    pub fn n_waiting(&self) -> u32 {
        let seen = State(self.word.load(Ordering::Relaxed));
        if seen.is_broken() { 0 } else { seen.arrivals().min(self.parties()) }
    }

    /// Whether it is broken.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        State(self.word.load(Ordering::Relaxed)).is_broken()
    }
}

/// One party's wait.
struct Waiting<'a, W: Wait, const MEMBERS: usize> {
    barrier: &'a Barrier<W, MEMBERS>,
    sleeper: Sleeper,
    spin: Spin,
}

impl<W: Wait, const MEMBERS: usize> Waiting<'_, W, MEMBERS> {
    /// Waits until the round ends that `arrived` belongs to; `breaks` it when the time runs out.
    fn for_the_end_of(&mut self, arrived: State, breaks: bool) -> Result<(), BarrierError> {
        let word = &self.barrier.word;
        loop {
            let seen = State(word.load(Ordering::Acquire)); // edge: arrive -> depart (Acquire end)
            match seen.round_of(arrived) {
                Round::Completed => return Ok(()),
                Round::Broken => return Err(BarrierError::Broken),
                Round::Open if !self.sleeper.only_looks() && self.spin() => continue,
                Round::Open => {}
            }
            let asleep = seen.with_sleepers();
            // Needs no order: the futex compares the low half again under its own lock, and every end changes it.
            if !seen.has_sleepers()
                && word.compare_exchange(seen.0, asleep.0, Ordering::Relaxed, Ordering::Relaxed).is_err()
            {
                continue;
            }
            match self.sleeper.sleep(&self.barrier.wait, Word::low_half(word), asleep.low()) {
                Slept::Woken | Slept::Interrupted => {}
                Slept::SliceEnded => self.barrier.break_for_the_dead(),
                Slept::Expired if breaks => return self.give_up(arrived),
                Slept::Expired => return Err(BarrierError::TimedOut),
            }
        }
    }

    /// Spinning pays when all parties can run at once; when they outnumber the CPUs, those who spin keep the others
    /// from arriving, and only letting them run helps.
    fn spin(&mut self) -> bool {
        if self.barrier.parties() <= sys::thread::online_cpus() {
            self.spin.again(Cpu::UNKNOWN)
        } else {
            self.spin.yield_to_partner()
        }
    }

    /// Breaks the barrier, unless the round ended in the last moment.
    fn give_up(&self, arrived: State) -> Result<(), BarrierError> {
        let mut round = Round::Open;
        self.barrier.update(|seen| {
            round = seen.round_of(arrived);
            (round == Round::Open).then(|| seen.broken())
        });
        match round {
            Round::Open => Err(BarrierError::TimedOut),
            Round::Broken => Err(BarrierError::Broken),
            Round::Completed => Ok(()),
        }
    }
}

/// That the barrier was passed, and as which party.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BarrierWaitResult {
    index: u32,
    leader: bool,
}

impl BarrierWaitResult {
    /// In which order this party arrived: from zero to the number of parties less one, each once a round.
    #[must_use]
    pub fn index(&self) -> u32 {
        self.index
    }

    /// Whether this party was the last to arrive. True for exactly one a round.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        self.leader
    }
}

impl<W: Wait, const MEMBERS: usize> Default for Barrier<W, MEMBERS> {
    /// A barrier for a single party, as zero bytes are.
    fn default() -> Self {
        Self::with_members(0)
    }
}

impl<W: Wait, const MEMBERS: usize> fmt::Debug for Barrier<W, MEMBERS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Barrier")
            .field("parties", &self.parties())
            .field("waiting", &self.n_waiting())
            .field("broken", &self.is_broken())
            .finish()
    }
}
