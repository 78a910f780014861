//! Prototypes that settle how to wait for a lock: the three-state futex lock, with one policy each.
//!
//! How to spin, all else being equal (workload `spin`): for 24 µs or less, with pauses between two looks that grow in one
//! way or another.
//!
//! And to whom a released lock belongs (workload `starvation`):
//!
//! | policy | a released lock belongs to |
//! |---|---|
//! | [`Library`] | whoever takes it first |
//! | [`AfterLosses`] | a sleeper, once one has been woken for nothing 32 times |
//! | [`AfterMillis`] | a sleeper, once one has waited for 10 ms |
//!
//! With the latter two a waiter that has had enough sets `RESERVED`. Who releases such a lock leaves it free and reserved: then
//! only those take it who have slept, and the kernel wakes the one of them that has slept longest. (So a hand-over to a
//! thread that must be woken first, in which time nobody works. That is the price, and what is measured.)
//!
//! They name nobody and do not notice a death: prototypes, not peers to be used.
#![allow(unsafe_code)]

use super::{LockPeer, Peer};
use std::marker::PhantomData;
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

const HELD: u32 = 1;
const WAITERS: u32 = 2;
const RESERVED: u32 = 4;

/// How to wait.
pub trait Policy: Sync {
    /// For the table.
    const NAME: &'static str;

    /// How long to spin before a sleep.
    const SPIN: Duration = Duration::from_micros(24);

    /// How many pauses before the next look, of one that has made so many already.
    fn pauses(so_far: u32) -> u32 {
        // 1, 2, 4, 8, 16, 16 ..
        (so_far + 1).min(16)
    }

    /// Whether it has waited for too long, after so many losses since then.
    fn had_enough(losses: u32, since: Instant) -> bool {
        let _ = (losses, since);
        false
    }
}

macro_rules! policies {
    ($($(#[$doc:meta])* $policy:ident($name:literal) { $($body:tt)* })+) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $policy;

        impl Policy for $policy {
            const NAME: &'static str = $name;
            $($body)*
        }
    )+};
}

policies! {
    /// As the library waits.
    Library("as the library") {}
    /// Looks as often as it can.
    EachPause("a look at every pause") {
        fn pauses(_: u32) -> u32 {
            1
        }
    }
    /// A shorter back-off.
    UpToFour("up to 4 pauses") {
        fn pauses(so_far: u32) -> u32 {
            (so_far + 1).min(4)
        }
    }
    /// Never later than an eighth of the wait.
    AnEighth("an eighth of the wait") {
        fn pauses(so_far: u32) -> u32 {
            (so_far / 8).clamp(1, 16)
        }
    }
    /// Stays away at first, then looks often.
    AwayFirst("16 pauses, then at every one") {
        fn pauses(so_far: u32) -> u32 {
            if so_far == 0 { 16 } else { 1 }
        }
    }
    /// A tenth of the spin.
    Short("spins for 2.4 µs") {
        const SPIN: Duration = Duration::from_nanos(2400);
    }
    /// Goes to sleep at once.
    NoSpin("does not spin") {
        const SPIN: Duration = Duration::ZERO;
    }
    /// Has had enough after 32 losses.
    AfterLosses("handed over after 32 losses") {
        fn had_enough(losses: u32, _: Instant) -> bool {
            losses >= 32
        }
    }
    /// Has had enough after 10 ms.
    AfterMillis("handed over after 10 ms") {
        fn had_enough(_: u32, since: Instant) -> bool {
            since.elapsed() >= Duration::from_millis(10)
        }
    }
}

/// The lock.
#[derive(Debug)]
pub struct Prototype<P> {
    word: AtomicU32,
    policy: PhantomData<P>,
}

impl<P: Policy> Peer for Prototype<P> {
    fn name() -> String {
        format!("prototype, {}", P::NAME)
    }

    fn new(_size: u32) -> Self {
        Self { word: AtomicU32::new(0), policy: PhantomData }
    }
}

impl<P: Policy> LockPeer for Prototype<P> {
    #[inline]
    fn with<R>(&self, section: impl FnOnce() -> R) -> R {
        if !self.replace(0, HELD) {
            self.wait();
        }
        let result = section();
        if !self.replace(HELD, 0) {
            self.pass_on();
        }
        result
    }
}

impl<P: Policy> Prototype<P> {
    fn replace(&self, seen: u32, new: u32) -> bool {
        self.word.compare_exchange(seen, new, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    #[cold]
    fn wait(&self) {
        let (came, mut losses) = (Instant::now(), 0);
        loop {
            let slept = if losses > 0 { WAITERS } else { 0 };
            let seen = self.spin(losses > 0);
            if seen & HELD == 0 && (seen & RESERVED == 0 || losses > 0) {
                if self.replace(seen, seen & WAITERS | slept | HELD) {
                    return;
                }
                continue;
            }
            let reserved = if seen & HELD != 0 && P::had_enough(losses, came) { RESERVED } else { 0 };
            let announced = seen | WAITERS | reserved;
            if announced == seen || self.replace(seen, announced) {
                self.futex(libc::FUTEX_WAIT, announced, Some(&libc::timespec { tv_sec: 0, tv_nsec: 100_000_000 }));
                losses += 1;
            }
        }
    }

    /// Looks until it may be taken, or the spin is over; what was seen last.
    fn spin(&self, has_slept: bool) -> u32 {
        let (mut paused, mut end) = (0, None);
        loop {
            let seen = self.word.load(Ordering::Relaxed);
            if seen & HELD == 0 && (seen & RESERVED == 0 || has_slept) || P::SPIN.is_zero() {
                return seen;
            }
            let pauses = P::pauses(paused);
            (0..pauses).for_each(|_| std::hint::spin_loop());
            paused += pauses;
            // Asking the clock takes as long as a pause or two.
            if paused >= 16 && Instant::now() >= *end.get_or_insert_with(|| Instant::now() + P::SPIN) {
                return self.word.load(Ordering::Relaxed);
            }
        }
    }

    #[cold]
    fn pass_on(&self) {
        let free = |seen| if seen & RESERVED == 0 { 0 } else { RESERVED | WAITERS };
        // Always `Ok`, for every word has a successor.
        let _ = self.word.fetch_update(Ordering::Release, Ordering::Relaxed, |seen| Some(free(seen)));
        self.futex(libc::FUTEX_WAKE, 1, None);
    }

    fn futex(&self, operation: libc::c_int, value: u32, timeout: Option<&libc::timespec>) {
        let timeout = timeout.map_or(ptr::null(), ptr::from_ref);
        // SAFETY: the word and the timeout outlive the call. Whatever it returns, the caller looks at the word again.
        unsafe { libc::syscall(libc::SYS_futex, self.word.as_ptr(), operation, value, timeout) };
    }
}
