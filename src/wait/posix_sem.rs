//! Sleeping on a `sem_t` beside the word, for systems without a futex across processes.
//!
//! One 64-bit word rules it. Bit 31 tells its two forms apart:
//!
//! | bit 31 | the rest | meaning | who may leave it |
//! |---|---|---|---|
//! | 0 | 0 | no `sem_t` yet | the first waiter, by a CAS that names it as maker |
//! | 0 | a maker's token | somebody makes the `sem_t` | the maker; anybody who proves it dead, by becoming the maker |
//! | 1 | the counts below | usable | nobody |
//!
//! | bits | what |
//! |---|---|
//! | 0–15 | posts under way: sent, and not yet taken |
//! | 32–43 | sleepers that came in this era, and that no post is under way to |
//! | 44–55 | the same of the era before |
//! | 56–63 | era: units of 268 ms, modulo 2⁸ |
//!
//! A waker turns sleepers into posts under way, then posts. A sleeper that takes a post turns it into nothing; one that
//! leaves without takes its count back, or, if a waker was faster, the post. So the three counts add up to those inside.
//!
//! *The killed* leave counts behind, and any error in the counts would last as long as somebody always sleeps. But no
//! sleep is longer than a slice (contract, rule 4), so what was counted two eras ago is over: it is forgotten.
//!
//! *Posts are not addressed, so they get stolen*, above all by their sender: who notifies and then waits on the same
//! word takes its own post before the sleeper is awake, and the sleeper sleeps out its slice. That was seen as a
//! ping-pong of 580 µs instead of 20, and at a barrier of eight as 3 ms a round. So whoever is about to sleep first lets
//! those wake to whom posts are under way.

use super::{Deadline, Wait, Woken, Word, spin};
use crate::atomic::{AtomicU64, Ordering, fence};
use crate::owner::Token;
use crate::owner::liveness::{self, Liveness};
use crate::sys;
use crate::sys::sem::Sem;

/// A process-shared `sem_t` kept inside the primitive, made by the first waiter: 40 bytes.
#[cfg_attr(not(loom), derive(zerocopy::FromBytes))]
#[repr(C)]
pub struct PosixSem {
    state: AtomicU64,
    sem: Sem,
}

/// How long a newcomer lets others run while posts are under way, before it naps instead: some sleeps and wakes.
const GIVE_WAY_NANOS: u64 = 100_000;

/// While the `sem_t` is being made, or posts are not taken, waiting is napping: a little longer than waking takes. In a crowd
/// there is always a post under way, so the naps double, and end at a millisecond: 256 processes that fought for one lock
/// napped half a million times a second, and had a third of `sem_t`'s throughput.
const NAP_NANOS: u64 = 20_000;
const LONGEST_NAP_NANOS: u64 = 1_000_000;

#[derive(Clone, Copy, PartialEq, Eq)]
struct State(u64);

impl State {
    const READY: u64 = 1 << 31;
    const POSTS: u64 = 0xffff;
    const NOW_SHIFT: u32 = 32;
    const BEFORE_SHIFT: u32 = 44;
    const ERA_SHIFT: u32 = 56;
    /// Sleepers of an era fill 12 bits.
    const MOST: u64 = 0xfff;
    /// 2²⁸ ns: more than twice the longest slice, so that one that began in an era is over before the next but one.
    const ERA_NANOS_SHIFT: u32 = 28;

    /// Usable, and nobody inside.
    fn fresh(now: Deadline) -> Self {
        Self(Self::era_of(now) << Self::ERA_SHIFT | Self::READY)
    }

    fn era_of(now: Deadline) -> u64 {
        now.nanos() >> Self::ERA_NANOS_SHIFT & 0xff
    }

    fn is_ready(self) -> bool {
        self.0 & Self::READY != 0
    }

    fn posts(self) -> u64 {
        self.0 & Self::POSTS
    }

    fn sleepers(self) -> u32 {
        ((self.0 >> Self::NOW_SHIFT & Self::MOST) + (self.0 >> Self::BEFORE_SHIFT & Self::MOST)) as u32
    }

    fn era(self) -> u64 {
        self.0 >> Self::ERA_SHIFT
    }

    /// Whether its era is the present one, so that its posts count.
    fn is_of(self, now: Deadline) -> bool {
        self.at(now) == self
    }

    /// What counts still at the time `now`.
    fn at(self, now: Deadline) -> Self {
        let kept = match Self::era_of(now).wrapping_sub(self.era()) & 0xff {
            1 => (self.0 >> Self::NOW_SHIFT & Self::MOST) << Self::BEFORE_SHIFT,
            // Now; or in the past, when the caller was held up since it looked at the clock: by two seconds at the most,
            // for else what the killed left behind would come to life again after a minute, and stay as long.
            0 | 0xf8.. => return self,
            _ => 0,
        };
        Self(Self::fresh(now).0 | kept)
    }

    /// One sleeper more in the present era; `None` when they cannot be counted any more.
    fn entered(self) -> Option<Self> {
        (self.0 >> Self::NOW_SHIFT & Self::MOST < Self::MOST).then(|| Self(self.0 + (1 << Self::NOW_SHIFT)))
    }

    /// One sleeper less, of whichever era; `None` if none is counted.
    fn left(self) -> Option<Self> {
        let shift = [Self::BEFORE_SHIFT, Self::NOW_SHIFT].into_iter().find(|&era| self.0 >> era & Self::MOST > 0)?;
        Some(Self(self.0 - (1 << shift)))
    }

    /// One sleeper to whom a post is under way; `None` if none is counted.
    fn posted(self) -> Option<Self> {
        let left = self.left()?;
        Some(Self(left.0 + u64::from(left.posts() < Self::POSTS)))
    }

    /// One post less under way.
    fn taken(self) -> Self {
        Self(self.0 - u64::from(self.posts() > 0))
    }
}

impl PosixSem {
    /// Makes the `sem_t` unless it is there. `false` while somebody else is at it.
    fn make(&self) -> bool {
        // edge: sem made -> sem used (Acquire end)
        let state = self.state.load(Ordering::Acquire);
        if State(state).is_ready() {
            if self.sem.is_sound() {
                return true;
            }
            // Scribbled over: once more from the beginning. Those who sleep on it do so until their slice ends.
            let _ = self.state.compare_exchange(state, 0, Ordering::Relaxed, Ordering::Relaxed);
            return false;
        }
        let maker = Token(state);
        if !maker.is_free() && liveness::of(maker) != Liveness::Dead {
            return false;
        }
        let me = Token::mine();
        // Acquire: the writes of a maker that died come before ours.
        if self.state.compare_exchange(state, me.0, Ordering::Acquire, Ordering::Relaxed).is_err() {
            return false;
        }
        // Nobody waits on it: until it is ready all others nap. A maker that dies here is replaced by the next.
        self.sem.init();
        // edge: sem made -> sem used (Release end). A CAS: who was taken for dead in error, and has been replaced, must
        // not declare ready what its successor is making.
        let fresh = State::fresh(Deadline::now());
        self.state.compare_exchange(me.0, fresh.0, Ordering::Release, Ordering::Relaxed).is_ok()
    }

    /// Changes the counts by `change` if that gives a state; whether it did.
    ///
    /// Relaxed: the counts order nothing but themselves; the word and the `sem_t` carry what is published.
    fn update(&self, change: impl Fn(State) -> Option<State>) -> bool {
        let mut seen = State(self.state.load(Ordering::Relaxed));
        while seen.is_ready() {
            let Some(next) = change(seen) else { return false };
            match self.state.compare_exchange_weak(seen.0, next.0, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(now) => seen = State(now),
            }
        }
        false
    }

    /// Leaves without having taken a post; `true` if one had come all the same, just now, and so this is a wake.
    fn leave(&self) -> bool {
        if self.update(State::left) {
            return false;
        }
        // A post is under way to us. If it is not there yet, somebody will wake for nothing later.
        let came = self.sem.try_wait();
        came && self.update(|state| Some(state.taken()))
    }

    /// Lets those go first to whom posts are under way, as long as the word stays and the deadline has not come, for some
    /// milliseconds. Then whoever still has not taken his was killed, or others come all the time. Whether a signal handler
    /// ran in a nap meanwhile, which ends it, too.
    fn gives_way_interrupted(&self, word: Word<'_>, expected: u32, until: Deadline) -> bool {
        if cfg!(loom) {
            return false; // a courtesy, on which nothing depends; and the model's clocks stand still
        }
        let mut began = None;
        let mut nap = NAP_NANOS;
        while State(self.state.load(Ordering::Relaxed)).posts() > 0 && word.load(Ordering::Relaxed) == expected {
            let now = Deadline::now();
            if now >= until || !State(self.state.load(Ordering::Relaxed)).is_of(now) {
                break;
            }
            let naps = now.since(*began.get_or_insert(now)) > GIVE_WAY_NANOS || !spin::yield_now();
            if !naps {
                continue;
            }
            if nap > LONGEST_NAP_NANOS {
                break;
            }
            if sys::nap_until(until.min(now.plus(nap)).nanos()) {
                return true;
            }
            nap *= 2;
        }
        false
    }
}

impl super::held::Held for PosixSem {}

impl Wait for PosixSem {
    const IN_KINDS: &'static str = "PosixSem";
    #[cfg(not(loom))]
    const NEW: Self = Self { state: AtomicU64::new(0), sem: Sem::NEW };
    #[cfg(loom)]
    fn new() -> Self {
        Self { state: AtomicU64::new(0), sem: Sem::new() }
    }

    fn wait(&self, word: Word<'_>, expected: u32, until: Deadline) -> Woken {
        let ready = self.make();
        if ready && self.gives_way_interrupted(word, expected, until) {
            return Woken::Interrupted;
        }
        let now = Deadline::now();
        if !ready || !self.update(|state| state.at(now).entered()) {
            if now >= until {
                return Woken::TimedOut;
            }
            let interrupted = sys::nap_until(until.min(now.plus(NAP_NANOS)).nanos());
            return if interrupted { Woken::Interrupted } else { Woken::Look };
        }
        // edge: sleeper counted <-> word changed. Sleeper: count, fence, look at the word. Waker: change the word,
        // fence, look at the counts. In the one order of the fences either the sleeper sees the change or the waker
        // sees the sleeper; without both fences each could miss the other, and the sleeper would sleep out its slice.
        fence(Ordering::SeqCst);
        if word.load(Ordering::Relaxed) != expected {
            return if self.leave() { Woken::Called } else { Woken::Look };
        }
        match self.sem.wait(until.nanos()) {
            sys::sem::Wait::Posted => {
                self.update(|state| Some(state.taken()));
                Woken::Called
            }
            _ if self.leave() => Woken::Called,
            sys::sem::Wait::TimedOut => Woken::TimedOut,
            sys::sem::Wait::Interrupted => Woken::Interrupted,
        }
    }

    fn wake(&self, _word: Word<'_>, n: u32) -> u32 {
        fence(Ordering::SeqCst); // edge: sleeper counted <-> word changed (the waker's end)
        let mut woken = 0;
        // edge: sem made -> sem used (Acquire end)
        if !State(self.state.load(Ordering::Acquire)).is_ready() || !self.sem.is_sound() {
            return 0;
        }
        // One at a time, so that a waker that is killed has kept at most one from being woken by others.
        while woken < n && self.update(State::posted) {
            self.sem.post();
            woken += 1;
        }
        woken
    }
}

impl std::fmt::Debug for PosixSem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = State(self.state.load(Ordering::Relaxed));
        f.debug_struct("PosixSem").field("sleepers", &state.is_ready().then(|| state.sleepers())).finish()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_before_the_last_era_is_forgotten() {
        let at_era = |era: u64| Deadline::PAST.plus(era << State::ERA_NANOS_SHIFT);
        for now in 0..0x100 {
            let left = |then: u64| {
                let counted = State::fresh(at_era(then)).entered().and_then(State::entered).and_then(State::posted);
                let state = counted.expect("room for two").at(at_era(0x1000 + now));
                (state.sleepers(), state.posts())
            };
            assert_eq!(left(now), (1, 1), "in the era itself");
            assert_eq!(left(now + 0xff), (1, 0), "in the one after it");
            assert_eq!(left(now + 1), (1, 1), "by somebody who was held up");
            for then in now + 9..now + 0xff {
                assert_eq!(left(then), (0, 0), "counted in {then}, looked at in {now}");
            }
        }
    }

    #[test]
    fn counts_end_where_their_bits_do() {
        let now = Deadline::PAST;
        let full = (0..State::MOST).fold(State::fresh(now), |state, _| state.entered().expect("room"));
        assert!(u64::from(full.sleepers()) == State::MOST && full.entered().is_none());
        let wake_one = |state: State| state.entered().and_then(State::posted).expect("room for one");
        let most = (0..State::POSTS).fold(State::fresh(now), |state, _| wake_one(state));
        assert_eq!((most.posts(), most.sleepers()), (State::POSTS, 0));
        assert!(wake_one(most) == most);
        let none = State::fresh(now);
        assert!(none.left().is_none() && none.posted().is_none() && none.taken() == none);
    }

    #[test]
    fn what_a_dead_thread_began_to_make_is_made() {
        let of = |maker: Token| PosixSem { state: AtomicU64::new(maker.0), ..PosixSem::NEW };
        assert!(of(Token::FREE).make());
        assert!(!of(Token::mine()).make(), "this thread is at it");
        let began = of(std::thread::spawn(Token::mine).join().unwrap());
        // The kernel forgets a thread a moment after it has been joined.
        let end = Deadline::now().plus(20_000_000_000);
        while !began.make() {
            assert!(Deadline::now() < end, "{began:?}");
            std::thread::yield_now();
        }
        assert!(began.make());
    }
}
