//! The verbs that Lock, RLock, Semaphore and BoundedSemaphore share: time, signals, and one at a time.

mod support;

use std::time::{Duration, Instant};

use shmsync::wait::{Futex, PosixSem, Wait};
use shmsync::{AcquireError, BoundedSemaphore, Lock, RLock, ReleaseError, Semaphore};
use support::*;

/// The shared verbs, so that each promise is written once.
trait Verbs: Send + Sync {
    /// One that can be acquired once.
    fn fresh() -> Self;
    fn acquire(&self) -> Result<(), AcquireError>;
    fn try_acquire(&self) -> Result<(), AcquireError>;
    fn acquire_for(&self, timeout: Duration) -> Result<(), AcquireError>;
    fn acquire_until(&self, deadline: Instant) -> Result<(), AcquireError>;
    fn acquire_interruptible(&self, timeout: Option<Duration>) -> Result<(), AcquireError>;
    fn release(&self) -> Result<(), ReleaseError>;
}

macro_rules! verbs {
    ($($type:ident($($start:expr)?)),+) => {$(
        impl<W: Wait> Verbs for $type<W> {
            fn fresh() -> Self {
                $type::new_in($($start)?)
            }
            fn acquire(&self) -> Result<(), AcquireError> {
                $type::acquire(self)
            }
            fn try_acquire(&self) -> Result<(), AcquireError> {
                $type::try_acquire(self)
            }
            fn acquire_for(&self, timeout: Duration) -> Result<(), AcquireError> {
                $type::acquire_for(self, timeout)
            }
            fn acquire_until(&self, deadline: Instant) -> Result<(), AcquireError> {
                $type::acquire_until(self, deadline)
            }
            fn acquire_interruptible(&self, timeout: Option<Duration>) -> Result<(), AcquireError> {
                $type::acquire_interruptible(self, timeout)
            }
            fn release(&self) -> Result<(), ReleaseError> {
                $type::release(self)
            }
        }
    )+};
}
verbs!(Lock(), RLock(), Semaphore(1), BoundedSemaphore(1));

/// Each test for every primitive with every backend: `lock_futex::zero_tries_once`.
macro_rules! every_primitive {
    ($($test:ident),+ $(,)?) => {
        for_backend!(lock_futex, Lock<Futex>, $($test),+);
        for_backend!(lock_posix_sem, Lock<PosixSem>, $($test),+);
        for_backend!(rlock_futex, RLock<Futex>, $($test),+);
        for_backend!(rlock_posix_sem, RLock<PosixSem>, $($test),+);
        for_backend!(semaphore_futex, Semaphore<Futex>, $($test),+);
        for_backend!(semaphore_posix_sem, Semaphore<PosixSem>, $($test),+);
        for_backend!(bounded_futex, BoundedSemaphore<Futex>, $($test),+);
        for_backend!(bounded_posix_sem, BoundedSemaphore<PosixSem>, $($test),+);
    };
}

every_primitive!(
    free_is_taken_by_every_verb,
    zero_and_past_try_once,
    timeouts_are_kept,
    a_timeout_beyond_the_clock_waits,
    signals_are_hidden,
    signals_do_not_stretch_a_timeout,
    interruptible_is_interrupted,
    interruptible_is_acquire_while_no_signal_comes,
    two_processes_one_at_a_time,
    eight_processes_one_at_a_time,
    stopped_waiters_are_overtaken,
);

/// Takes it in a child of its own, which keeps it until it is told to give it back or is dropped.
struct Holder {
    child: Child,
    give_back: Shm<Tally>,
}

impl Holder {
    fn of(p: &impl Verbs) -> Self {
        let (held, give_back) = (Shm::new(Tally::new()), Shm::new(Tally::new()));
        let child = fork(|| {
            p.acquire().unwrap();
            held.up();
            give_back.reaches(1);
            p.release().unwrap();
        });
        held.reaches(1);
        Self { child, give_back }
    }

    fn release(self) {
        self.give_back.up();
        join([self.child]);
    }
}

type Form<P> = fn(&P) -> Result<(), AcquireError>;

fn free_is_taken_by_every_verb<P: Verbs>() {
    let p = P::fresh();
    let past = Instant::now();
    let forms: [Form<P>; 7] = [
        P::acquire,
        P::try_acquire,
        |p| p.acquire_for(Duration::ZERO),
        |p| p.acquire_for(Duration::MAX),
        |p| p.acquire_until(Instant::now()),
        |p| p.acquire_interruptible(None),
        |p| p.acquire_interruptible(Some(Duration::ZERO)),
    ];
    for acquire in forms {
        assert_eq!(acquire(&p), Ok(()));
        assert_eq!(p.release(), Ok(()));
    }
    assert_eq!(p.acquire_until(past), Ok(()), "a past deadline still tries");
}

fn zero_and_past_try_once<P: Verbs>() {
    let p = Shm::new(P::fresh());
    let past = Instant::now();
    let holder = Holder::of(&*p);
    keeps_time(Duration::ZERO, |_| assert_eq!(p.try_acquire(), Err(AcquireError::WouldBlock)));
    keeps_time(Duration::ZERO, |zero| assert_eq!(p.acquire_for(zero), Err(AcquireError::TimedOut)));
    keeps_time(Duration::ZERO, |_| assert_eq!(p.acquire_until(past), Err(AcquireError::TimedOut)));
    keeps_time(Duration::ZERO, |zero| assert_eq!(p.acquire_interruptible(Some(zero)), Err(AcquireError::TimedOut)));
    holder.release();
    assert_eq!(p.acquire_until(past), Ok(()));
}

fn timeouts_are_kept<P: Verbs>() {
    let p = Shm::new(P::fresh());
    let _holder = Holder::of(&*p);
    for timeout in [Duration::from_micros(10), ms(1), ms(7), ms(230)] {
        keeps_time(timeout, |timeout| assert_eq!(p.acquire_for(timeout), Err(AcquireError::TimedOut)));
    }
    keeps_time(ms(7), |timeout| assert_eq!(p.acquire_until(Instant::now() + timeout), Err(AcquireError::TimedOut)));
    keeps_time(ms(7), |timeout| assert_eq!(p.acquire_interruptible(Some(timeout)), Err(AcquireError::TimedOut)));
}

/// Forks a child that waits for `p` in `wait`, and returns when it sleeps.
fn blocked(wait: impl Fn()) -> Child {
    let about = Shm::new(Tally::new());
    let child = fork(|| {
        about.up();
        wait();
    });
    about.reaches(1);
    asleep(child.pid());
    child
}

fn a_timeout_beyond_the_clock_waits<P: Verbs>() {
    let p = Shm::new(P::fresh());
    let holder = Holder::of(&*p);
    let mut waiter = blocked(|| {
        assert_eq!(p.acquire_for(Duration::MAX), Ok(()));
        assert_eq!(p.release(), Ok(()));
        assert_eq!(p.acquire_until(Instant::now() + Duration::from_secs(1 << 40)), Ok(()));
        p.release().unwrap();
    });
    assert_eq!(waiter.wait_exit(SLICES), None, "nobody released it");
    holder.release();
    join([waiter]);
}

fn signals_are_hidden<P: Verbs>() {
    for flags in [0, libc::SA_RESTART] {
        let p = Shm::new(P::fresh());
        let handled = Shm::new(Tally::new());
        let holder = Holder::of(&*p);
        let mut waiter = blocked(|| {
            count_signals_in(&handled, flags);
            assert_eq!(p.acquire(), Ok(()));
        });
        handled.reaches(1); // The handler is in place: it counted a signal that the child sent itself.
        pester(&waiter, &handled, || handled.get() > 50);
        assert_eq!(waiter.wait_exit(ms(20)), None, "a signal must not end the wait");
        holder.release();
        join([waiter]);
    }
}

fn signals_do_not_stretch_a_timeout<P: Verbs>() {
    let p = Shm::new(P::fresh());
    let handled = Shm::new(Tally::new());
    let _holder = Holder::of(&*p);
    let done = Shm::new(Tally::new());
    let waiter = fork(|| {
        count_signals_in(&handled, 0);
        keeps_time(ms(150), |timeout| assert_eq!(p.acquire_for(timeout), Err(AcquireError::TimedOut)));
        done.up();
        until_killed();
    });
    handled.reaches(1);
    pester(&waiter, &handled, || done.get() > 0);
}

fn interruptible_is_interrupted<P: Verbs>() {
    for flags in [0, libc::SA_RESTART] {
        for timeout in [None, Some(SOON), Some(Duration::MAX)] {
            let p = Shm::new(P::fresh());
            let handled = Shm::new(Tally::new());
            let _holder = Holder::of(&*p);
            let waiter = fork(|| {
                count_signals_in(&handled, flags);
                assert_eq!(p.acquire_interruptible(timeout), Err(AcquireError::Interrupted));
            });
            handled.reaches(1);
            asleep(waiter.pid());
            // A signal may come in the moment between two slices, when there is nothing to interrupt: send more.
            pester(&waiter, &handled, || state(waiter.pid()) == 'Z');
            join([waiter]);
        }
    }
}

fn interruptible_is_acquire_while_no_signal_comes<P: Verbs>() {
    let p = Shm::new(P::fresh());
    let holder = Holder::of(&*p);
    let mut waiter = blocked(|| assert_eq!(p.acquire_interruptible(None), Ok(())));
    assert_eq!(waiter.wait_exit(SLICES), None, "the end of a slice is no signal");
    holder.release();
    join([waiter]);
}

fn one_at_a_time<P: Verbs>(processes: u32, rounds: u32) {
    let (p, sum) = (Shm::new(P::fresh()), Shm::new(Naked::new()));
    join(team(processes, |_| {
        for round in 0..rounds {
            match round % 3 {
                0 => p.acquire().unwrap(),
                1 => p.acquire_for(SOON).unwrap(),
                _ => while p.try_acquire() == Err(AcquireError::WouldBlock) {},
            }
            // SAFETY: `p` is acquired.
            unsafe { sum.bump() };
            p.release().unwrap();
        }
    }));
    // SAFETY: all others have ended.
    assert_eq!(unsafe { sum.get() }, u64::from(processes * rounds));
    assert_eq!(p.try_acquire(), Ok(()), "free at the end");
}

fn two_processes_one_at_a_time<P: Verbs>() {
    one_at_a_time::<P>(2, 15_000);
}

fn eight_processes_one_at_a_time<P: Verbs>() {
    one_at_a_time::<P>(8, 1_500);
}

fn stopped_waiters_are_overtaken<P: Verbs>() {
    let p = Shm::new(P::fresh());
    let holder = Holder::of(&*p);
    let mut stopped: Vec<_> = (0..3)
        .map(|_| {
            blocked(|| {
                p.acquire().unwrap();
                p.release().unwrap();
            })
        })
        .collect();
    stopped.iter_mut().for_each(Child::stop);
    let waiter = blocked(|| {
        p.acquire().unwrap();
        p.release().unwrap();
    });
    holder.release();
    join([waiter]); // Although whatever wakes the first waiters is lost on them.
    stopped.iter_mut().for_each(Child::resume);
    join(stopped);
}
