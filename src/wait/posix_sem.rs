//! Sleeping on a `sem_t` beside the word, for systems without a futex across processes.
//!
//! One 64-bit word rules it, which [`state`] tells: who makes the `sem_t`, and how many sleep on it. Wakers turn sleepers
//! into posts.
//!
//! *Posts are not addressed, so they get stolen*, above all by their sender: who notifies and then waits on the same
//! word takes its own post before the sleeper is awake, and the sleeper sleeps out its slice. That was seen as a
//! ping-pong of 580 µs instead of 20, and at a barrier of eight as 3 ms a round. So whoever is about to sleep first lets
//! those wake to whom posts are under way.
//!
//! *But not for a lock.* There a wake says only that the lock was free. Who is about to sleep has found it held again, by
//! somebody who will wake the next; so the post has nothing left to tell, and whoever takes it does the sleeper it was sent to
//! a service. (In a crowd there is always a post under way, and giving way was to nap: 256 processes that fought for one
//! lock napped 46 000 times a second, spun after each, and had 0.78 of `sem_t`'s throughput. Now they never nap, and have
//! 0.96.)
//!
//! *Who wakes many is helped.* Each post is a system call. A waker of 32 was seen at it for 150 µs (traced, 3.6 µs each), while
//! those that it had woken on its CPU could not run, and those of the other CPU were back already and gave way. So posts are
//! promised all at once, and whoever gives way sends of them. A waker that is killed between two posts is replaced likewise.

mod state;

use super::{Deadline, Wait, Woken, Word, spin};
use crate::atomic::{AtomicU64, Ordering, fence};
use crate::owner::Token;
use crate::owner::liveness::{self, Liveness};
use crate::sys;
use crate::sys::sem::Sem;
use state::State;

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
/// there is always a post under way, so the naps double, and end at a millisecond.
const NAP_NANOS: u64 = 20_000;
const LONGEST_NAP_NANOS: u64 = 1_000_000;

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
    fn update(&self, change: impl Fn(State) -> Option<State>) -> bool {
        self.updated(change).is_some()
    }

    /// Likewise; what they were before.
    ///
    /// Relaxed: the counts order nothing but themselves; the word and the `sem_t` carry what is published. (Who is sent a
    /// post by a third party may look at the word and find it as it was. It comes back, and its fence shows the change.)
    fn updated(&self, change: impl Fn(State) -> Option<State>) -> Option<State> {
        let mut seen = State(self.state.load(Ordering::Relaxed));
        while seen.is_ready() {
            let next = change(seen)?;
            match self.state.compare_exchange_weak(seen.0, next.0, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Some(seen),
                Err(now) => seen = State(now),
            }
        }
        None
    }

    /// Sends a post, if `change` says that there is somebody to send it to.
    fn send(&self, change: impl Fn(State) -> Option<State>) -> bool {
        let send = self.update(change);
        if send {
            self.sem.post();
        }
        send
    }

    /// Leaves without having taken a post; `true` if a waker has counted this one among those that it woke.
    fn leave(&self) -> bool {
        if let Some(before) = self.updated(State::left) {
            return before.sleepers() == 0; // It left by a post that was due.
        }
        // A post is under way to us. If it is not there yet, somebody will wake for nothing later.
        let came = self.sem.try_wait();
        came && self.update(|state| Some(state.taken()))
    }

    /// Lets those go first to whom posts are under way, and sends what is due, as long as the word stays and the deadline
    /// has not come, for some milliseconds. Then whoever still has not taken his was killed, or others come all the time. Whether a signal handler
    /// ran in a nap meanwhile, which ends it, too.
    fn gives_way_interrupted(&self, word: Word<'_>, expected: u32, until: Deadline) -> bool {
        if cfg!(loom) {
            return false; // a courtesy, on which nothing depends; and the model's clocks stand still
        }
        let mut began = None;
        let mut nap = NAP_NANOS;
        loop {
            let state = State(self.state.load(Ordering::Relaxed));
            let now = Deadline::now();
            if !state.is_awaited() || word.load(Ordering::Relaxed) != expected || now >= until || !state.is_of(now) {
                return false;
            }
            if self.send(State::sent) {
                continue;
            }
            let naps = now.since(*began.get_or_insert(now)) > GIVE_WAY_NANOS || !spin::yield_now();
            if !naps {
                continue;
            }
            if nap > LONGEST_NAP_NANOS {
                return false;
            }
            if sys::nap_until(until.min(now.plus(nap)).nanos()) {
                return true;
            }
            nap *= 2;
        }
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
        if ready && !word.to_be_taken && self.gives_way_interrupted(word, expected, until) {
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
        // edge: sem made -> sem used (Acquire end)
        if !State(self.state.load(Ordering::Acquire)).is_ready() || !self.sem.is_sound() {
            return 0;
        }
        // Those to whom posts are due have been counted by the waker that promised them. (To count them again would keep more
        // on a semaphore's list of those on the way than come.)
        if n <= 1 {
            let before = if n == 1 { self.updated(State::posted) } else { None };
            let Some(before) = before else { return 0 };
            self.sem.post();
            return before.sleepers().min(1);
        }
        // Promised all at once, and sent one at a time, by whoever comes by: a waker that is killed has kept at most one
        // from being woken by others.
        let Some(before) = self.updated(|state| state.promised(n)) else { return 0 };
        for _ in 0..before.sleepers() + before.due() as u32 {
            if !self.send(State::sent) {
                break;
            }
        }
        before.promises(n)
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
    use crate::atomic::AtomicU32;

    /// The waker was killed, or does not run, when it had promised them and before it sent any.
    #[test]
    fn who_comes_by_sends_the_posts_that_are_due() {
        let is_sent: [fn(&PosixSem, Word<'_>); 3] = [
            |wait, word| assert!(!wait.gives_way_interrupted(word, 1, Deadline::now().plus(50_000_000))),
            |wait, word| assert!(wait.wake(word, u32::MAX) <= 2),
            |wait, word| assert!(wait.wake(word, 1) + wait.wake(word, 1) <= 2),
        ];
        for sends in is_sent {
            let (wait, word) = (PosixSem::NEW, AtomicU32::new(0));
            let counts = || State(wait.state.load(Ordering::Relaxed));
            let whole = Word::whole(&word);
            std::thread::scope(|scope| {
                let sleepers = [(); 2].map(|()| {
                    scope.spawn(|| {
                        while word.load(Ordering::Relaxed) == 0 {
                            let end = Deadline::now().plus(20_000_000_000);
                            assert_ne!(wait.wait(whole, 0, end), Woken::TimedOut, "no post came: {:x}", counts().0);
                        }
                    })
                });
                while counts().sleepers() < 2 {
                    std::thread::yield_now();
                }
                word.store(1, Ordering::SeqCst);
                assert!(wait.update(|state| state.promised(2)));
                sends(&wait, whole);
                // Joined where ThreadSanitizer sees it.
                sleepers.into_iter().for_each(|sleeper| sleeper.join().unwrap());
            });
            assert_eq!((counts().due(), counts().sleepers()), (0, 0));
        }
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
