//! What a condition counts: waiters that a signal ends, more of them than can be counted, notifications of nobody, and of
//! the dead.

mod support;

use std::time::Duration;

use shmsync::wait::Wait;
use shmsync::{AcquireError, Condition, Lock};
use support::*;
use zerocopy::FromBytes;

every_backend!(
    an_interruptible_wait_is_interrupted,
    an_interruptible_wait_is_a_wait_while_no_signal_comes,
    notifying_none_does_nothing,
    who_cannot_be_counted_sleeps_too,
    signals_to_the_dead_are_forgotten,
);

fn shared<W: Wait>() -> Shm<(Lock<W>, Condition<W>, Tally)> {
    Shm::new((Lock::new_in(), Condition::new_in(), Tally::new()))
}

fn an_interruptible_wait_is_interrupted<W: Wait>() {
    for (flags, timeout) in [(0, None), (libc::SA_RESTART, None), (libc::SA_RESTART, Some(SOON))] {
        let (world, handled) = (shared::<W>(), Shm::new(Tally::new()));
        let (lock, cond, _) = &*world;
        let waiter = fork(|| {
            let mut guard = lock.lock().unwrap();
            count_signals_in(&handled, flags);
            assert_eq!(cond.wait_interruptible(&mut guard, timeout), Err(AcquireError::Interrupted));
            assert_eq!(lock.holder().map(|owner| owner.tid()), Some(gettid()), "the lock is held again");
        });
        handled.reaches(1);
        pester(&waiter, &handled, || state(waiter.pid()) == 'Z');
        join([waiter]);
        assert!(format!("{cond:?}").contains("waiters: 0"), "{cond:?}");
    }
}

fn an_interruptible_wait_is_a_wait_while_no_signal_comes<W: Wait>() {
    let world = shared::<W>();
    let (lock, cond, waiting) = &*world;
    let waiter = fork(|| {
        let mut guard = lock.lock().unwrap();
        keeps_time(ms(10), |timeout| assert_eq!(cond.wait_interruptible(&mut guard, Some(timeout)), Ok(false)));
        for timeout in [None, Some(SOON)] {
            waiting.up();
            assert_eq!(cond.wait_interruptible(&mut guard, timeout), Ok(true));
        }
    });
    for n in 1..=2 {
        waiting.reaches(n);
        drop(lock.lock().unwrap());
        cond.notify_one();
    }
    join([waiter]);
}

fn notifying_none_does_nothing<W: Wait>() {
    let world = shared::<W>();
    let (lock, cond, waiting) = &*world;
    let woken = Shm::new(Tally::new());
    let waiter = fork(|| {
        let mut guard = lock.lock().unwrap();
        waiting.up();
        cond.wait(&mut guard).unwrap();
        woken.up();
    });
    waiting.reaches(1);
    drop(lock.lock().unwrap());
    // More than a waiter lets pass to others.
    for _ in 0..300 {
        cond.notify(0);
    }
    woken.stays(0, SLICES);
    cond.notify(1);
    join([waiter]);
}

/// A wait for no reason is one that slept.
fn who_cannot_be_counted_sleeps_too<W: Wait>() {
    let mut bytes = vec![0; size_of::<Condition<W>>()];
    bytes[..8].copy_from_slice(&(0xfff_u64 << 44).to_ne_bytes());
    let cond = Condition::<W>::read_from_bytes(&bytes).unwrap();
    assert!(format!("{cond:?}").contains("waiters: 4095"), "{cond:?}");
    let lock = Lock::<W>::new_in();
    let mut guard = lock.lock().unwrap();
    assert_eq!(cond.wait_timeout(&mut guard, Duration::ZERO), Ok(false));
    let (woken, took) = timed(|| cond.wait_timeout(&mut guard, SOON));
    assert!(woken == Ok(true) && took < SOON, "{woken:?} after {took:?}");
    let mut asked = 0;
    keeps_time(ms(100), |timeout| {
        asked = 0;
        let keep_waiting = |(): &mut ()| {
            asked += 1;
            true
        };
        assert_eq!(cond.wait_timeout_while(&mut guard, timeout, keep_waiting), Ok(false));
    });
    // The first slice is 12 ms.
    assert!((2..100).contains(&asked), "asked {asked} times in a tenth of a second");
}

/// Who was notified and is killed before it runs leaves its signal, which must not stay for others.
fn signals_to_the_dead_are_forgotten<W: Wait>() {
    let world = shared::<W>();
    let (lock, cond, waiting) = &*world;
    let waiter = || {
        fork(|| {
            let mut guard = lock.lock().unwrap();
            waiting.up();
            cond.wait(&mut guard).unwrap();
        })
    };
    let mut dead = [waiter(), waiter()];
    waiting.reaches(2);
    drop(lock.lock().unwrap());
    for child in &mut dead {
        asleep(child.pid());
        child.stop();
    }
    cond.notify_one();
    assert!(format!("{cond:?}").contains("waiters: 1, signals: 1"), "{cond:?}");
    dead.iter_mut().for_each(Child::kill);
    let living = waiter();
    eventually("forgotten", || match format!("{cond:?}") {
        shown if shown.contains("waiters: 1, signals: 0") => Ok(()),
        shown => Err(shown),
    });
    assert_ne!(state(living.pid()), 'Z', "and nobody was woken by that");
    cond.notify_one();
    join([living]);
}
