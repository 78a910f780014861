//! PermitPool: who waits gets a permit as soon as there is one, or keeps its time.

mod support;

use std::time::Instant;

use shmsync::wait::Wait;
use shmsync::{AcquireError, PermitPool};
use support::permit_pool::*;
use support::*;

every_backend!(
    timed_verbs_keep_time,
    a_blocked_one_gets_it,
    many_wait_for_many,
    killed_waiters_swallow_nothing,
    signals_end_only_interruptible_waits,
);

fn timed_verbs_keep_time<W: Wait>() {
    let pool = PermitPool::<1, W>::new_in();
    let _held = pool.acquire().unwrap();
    for timeout in [us(100), ms(3), ms(40)] {
        keeps_time(timeout, |timeout| assert!(pool.acquire_for(timeout).is_err()));
        keeps_time(timeout, |timeout| assert!(pool.acquire_until(Instant::now() + timeout).is_err()));
    }
}

fn a_blocked_one_gets_it<W: Wait>() {
    let (pool, about, got) = (shared::<3, W>(), Shm::new(Tally::new()), Shm::new(Tally::new()));
    let mut held = take_all(&pool);
    let waiters = team(4, |_| {
        about.up();
        let permit = pool.acquire().unwrap();
        assert_eq!(permit.reclaimed(), None);
        got.up();
        got.reaches(3);
    });
    about.reaches(4);
    waiters.iter().for_each(|waiter| asleep(waiter.pid()));
    got.stays(0, SLICES);
    for i in 1..=3 {
        drop(held.pop());
        got.reaches(i);
    }
    join(waiters);
    assert_eq!((pool.available(), got.get()), (3, 4));
}

/// All give back at once: nobody may be left asleep, nor have to wait for the end of a slice.
fn many_wait_for_many<W: Wait>() {
    let mut took = Vec::new();
    for _ in 0..20 {
        let (pool, about, got) = (shared::<8, W>(), Shm::new(Tally::new()), Shm::new(Tally::new()));
        let held = take_all(&pool);
        let waiters = team(8, |_| {
            about.up();
            let _permit = pool.acquire().unwrap();
            got.up();
            got.reaches(8);
        });
        about.reaches(8);
        waiters.iter().for_each(|waiter| asleep(waiter.pid()));
        let ((), time) = timed(|| {
            drop(held);
            join(waiters);
        });
        took.push(time);
        assert_eq!(pool.available(), 8);
    }
    took.sort_unstable();
    assert!(took[10] < ms(60), "{took:?}");
}

fn killed_waiters_swallow_nothing<W: Wait>() {
    let (pool, about, got) = (shared::<2, W>(), Shm::new(Tally::new()), Shm::new(Tally::new()));
    let held = take_all(&pool);
    let waiters = |n| {
        let before = about.get();
        let team = team(n, |_| {
            about.up();
            let _permit = pool.acquire().unwrap();
            got.up();
            got.reaches(2);
        });
        about.reaches(before + n);
        team.iter().for_each(|waiter| asleep(waiter.pid()));
        team
    };
    let mut dead = waiters(4);
    let living = waiters(2);
    dead.iter_mut().for_each(Child::kill);
    drop(held);
    join(living);
    assert_eq!(got.get(), 2);
    drop(take_all(&pool));
    // What is known of the waiters heals. (A `PosixSem` forgets those that were killed after half a second.)
    eventually("healed", || {
        drop(pool.acquire().unwrap());
        let shown = format!("{:?}", *pool);
        if shown.contains("waited_for: false") { Ok(()) } else { Err(shown) }
    });
}

fn signals_end_only_interruptible_waits<W: Wait>() {
    let (pool, handled, done) = (shared::<1, W>(), Shm::new(Tally::new()), Shm::new(Tally::new()));
    let held = pool.acquire().unwrap();
    let child = fork(|| {
        count_signals_in(&handled, libc::SA_RESTART);
        let interrupted = pool.acquire_interruptible(None).map(|permit| permit.index());
        assert_eq!(interrupted, Err(AcquireError::Interrupted));
        done.up();
        drop(pool.acquire().unwrap());
    });
    handled.reaches(1);
    pester(&child, &handled, || done.get() == 1);
    let before = handled.get();
    pester(&child, &handled, || handled.get() >= before + 20);
    assert_eq!(state(child.pid()), 'S', "acquire goes on");
    drop(held);
    join([child]);
}
