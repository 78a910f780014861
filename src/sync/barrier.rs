//! A reusable barrier in one 64-bit word, beside the number of its parties.
//!
//! | bits | what |
//! |---|---|
//! | 0 | `SLEEPERS`: somebody of this round may sleep on the low half |
//! | 1 | `BROKEN` |
//! | 2–31 | number of rounds that ended, modulo 2³⁰ |
//! | 32–55 | arrivals in this round |
//! | 56–63 | how the last eight rounds ended: bit 56 the last, 1 for a reset |
//!
//! | state | who may leave it, to where |
//! |---|---|
//! | arrivals < parties − 1 | an arriver: arrivals + 1 |
//! | arrivals = parties − 1 | the last arriver, the leader: the next round; with an action first to arrivals + 1 |
//! | arrivals = parties | the leader, after its action: the next round. Who comes now waits for that, then arrives |
//! | any of these | who times out or aborts: + `BROKEN`. A resetter: the next round, ended by reset |
//! | `BROKEN` | a resetter |
//!
//! A round's end clears arrivals and `SLEEPERS` in the same step; the flag belongs to the round. (A flag shared by two
//! rounds hangs: the leader of the first, waking late, clears what a sleeper of the second has set.)
//!
//! A waiter knows how *its* round ended from the bit for it, however late it looks: eight rounds can pass only if
//! others take its place in them, and then a ninth is taken for completed.

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

#[derive(Clone, Copy, PartialEq, Eq)]
struct State(u64);

/// What a state means for somebody who arrived in an earlier one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Round {
    Open,
    Completed,
    Broken,
}

impl State {
    const SLEEPERS: u64 = 1;
    const BROKEN: u64 = 1 << 1;
    const ROUND_SHIFT: u32 = 2;
    const ROUNDS: u64 = (1 << 30) - 1;
    const ARRIVALS_SHIFT: u32 = 32;
    const MOST_PARTIES: u32 = (1 << 24) - 1;
    const HISTORY_SHIFT: u32 = 56;

    fn has_sleepers(self) -> bool {
        self.0 & Self::SLEEPERS != 0
    }

    fn with_sleepers(self) -> Self {
        Self(self.0 | Self::SLEEPERS)
    }

    fn is_broken(self) -> bool {
        self.0 & Self::BROKEN != 0
    }

    /// Broken, and everybody woken.
    fn broken(self) -> Self {
        Self(self.0 & !Self::SLEEPERS | Self::BROKEN)
    }

    fn round(self) -> u64 {
        self.0 >> Self::ROUND_SHIFT & Self::ROUNDS
    }

    fn arrivals(self) -> u32 {
        (self.0 >> Self::ARRIVALS_SHIFT) as u32 & Self::MOST_PARTIES
    }

    fn with_arrival(self) -> Self {
        Self(self.0 + (1 << Self::ARRIVALS_SHIFT))
    }

    /// The next round, empty and whole.
    fn next_round(self, by_reset: bool) -> Self {
        let round = (self.round() + 1) & Self::ROUNDS;
        let history = self.0 >> Self::HISTORY_SHIFT << 1 | u64::from(by_reset);
        Self(history << Self::HISTORY_SHIFT | round << Self::ROUND_SHIFT)
    }

    fn low(self) -> u32 {
        self.0 as u32
    }

    /// How the round of `arrived` stands.
    fn round_of(self, arrived: Self) -> Round {
        match self.round().wrapping_sub(arrived.round()) & Self::ROUNDS {
            0 if self.is_broken() => Round::Broken,
            0 => Round::Open,
            ago @ 1..=8 if self.0 >> Self::HISTORY_SHIFT >> (ago - 1) & 1 == 1 => Round::Broken,
            _ => Round::Completed,
        }
    }
}

/// A barrier between processes: Python's `multiprocessing.Barrier` in sixteen bytes.
///
/// A fixed number of parties meet; none goes on before all have come. Then it is ready for the next round. When one
/// gives up, it breaks for all, until a [`reset`](Self::reset). All-zero bytes are one for a single party.
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
pub struct Barrier<W: Wait = Platform> {
    word: AtomicU64,
    /// Never written after the creation; atomic because other processes' bytes must not be plain memory.
    parties: AtomicU32,
    wait: W,
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
            assert!(parties <= State::MOST_PARTIES, "a barrier is for fewer than 2^24 parties");
            Self { word: AtomicU64::new(0), parties: AtomicU32::new(parties), wait: fresh!(W) }
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

    /// Arrives, and waits for at most `timeout` of monotonic time. Running out of time breaks the barrier for all.
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
                // The leader's action runs still.
                waiting.for_the_end_of(seen)?;
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
                _ => waiting.for_the_end_of(next)?,
            }
            return Ok(BarrierWaitResult { index, leader });
        }
    }

    /// The leader's part where there is an action: all have arrived, nobody has gone on.
    fn lead(&self, arrived: State, action: impl FnOnce()) -> Result<(), BarrierError> {
        struct AbortOnPanic<'a, W: Wait>(&'a Barrier<W>);
        impl<W: Wait> Drop for AbortOnPanic<'_, W> {
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
        self.update(|seen| Some(seen.next_round(true)));
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
struct Waiting<'a, W: Wait> {
    barrier: &'a Barrier<W>,
    sleeper: Sleeper,
    spin: Spin,
}

impl<W: Wait> Waiting<'_, W> {
    fn for_the_end_of(&mut self, arrived: State) -> Result<(), BarrierError> {
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
                Slept::Woken | Slept::SliceEnded | Slept::Interrupted => {}
                Slept::Expired => return self.give_up(arrived),
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

impl<W: Wait> Default for Barrier<W> {
    /// A barrier for a single party, as zero bytes are.
    fn default() -> Self {
        Self::new_in(0)
    }
}

impl<W: Wait> fmt::Debug for Barrier<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Barrier")
            .field("parties", &self.parties())
            .field("waiting", &self.n_waiting())
            .field("broken", &self.is_broken())
            .finish()
    }
}
