//! RLock: belongs to one thread of one process, which nests it as deep as it likes. (The shared verbs: acquire.rs.)

mod support;

use std::thread;
use std::time::{Duration, Instant};

use shmsync::wait::Wait;
use shmsync::{AcquireError, Owner, RLock, ReleaseError};
use support::*;

every_backend!(
    nests_and_counts,
    guards_nest,
    every_verb_nests,
    releasing_a_free_one_is_an_error,
    released_from_elsewhere_is_an_error,
    a_forked_child_is_somebody_else,
    another_thread_is_somebody_else,
    free_for_others_only_after_the_last_release,
    debug_does_not_block,
    a_dead_holder_is_reported_whatever_the_depth,
    a_blocked_one_learns_of_the_death,
    recover_has_one_winner,
    there_is_nothing_to_recover,
    kills_leave_the_others_going,
);

/// What anybody can see of it.
fn seen<W: Wait>(lock: &RLock<W>) -> (u32, bool, Option<u32>) {
    (lock.depth(), lock.is_mine(), lock.holder().as_ref().map(Owner::tid))
}

#[track_caller]
fn assert_not_owner(result: Result<(), ReleaseError>, tid: u32) {
    match result {
        Err(ReleaseError::NotOwner(Some(owner))) => assert_eq!(owner.tid(), tid),
        other => panic!("{other:?} instead of NotOwner of tid {tid}"),
    }
}

/// Locks three deep in a child that is then killed.
fn die_holding<W: Wait>(lock: &RLock<W>) -> Child {
    die_after(|| (0..3).for_each(|_| lock.acquire().unwrap()))
}

fn nests_and_counts<W: Wait>() {
    let lock = RLock::<W>::new_in();
    assert_eq!(seen(&lock), (0, false, None));
    for depth in 1..=1000 {
        lock.acquire().unwrap();
        assert_eq!(seen(&lock), (depth, true, Some(gettid())));
    }
    for depth in (0..1000).rev() {
        assert_eq!(lock.release(), Ok(()));
        assert_eq!(lock.depth(), depth);
    }
    assert_eq!(seen(&lock), (0, false, None));
}

fn guards_nest<W: Wait>() {
    let lock = RLock::<W>::new_in();
    let outer = lock.lock().unwrap();
    let inner = lock.try_lock().unwrap();
    let innermost = lock.lock_for(Duration::ZERO).unwrap();
    assert_eq!(lock.depth(), 3);
    drop(outer);
    drop(innermost);
    assert_eq!((lock.depth(), lock.is_mine()), (1, true));
    drop(inner);
    assert_eq!(seen(&lock), (0, false, None));
}

fn every_verb_nests<W: Wait>() {
    let lock = RLock::<W>::new_in();
    for _ in 0..2 {
        lock.acquire().unwrap();
        lock.try_acquire().unwrap();
        lock.acquire_for(Duration::ZERO).unwrap();
        lock.acquire_for(Duration::MAX).unwrap();
        lock.acquire_until(Instant::now()).unwrap();
        lock.acquire_interruptible(None).unwrap();
    }
    assert_eq!(lock.depth(), 12);
}

fn releasing_a_free_one_is_an_error<W: Wait>() {
    let lock = RLock::<W>::new_in();
    assert_eq!(lock.release(), Err(ReleaseError::NotLocked));
    lock.acquire().unwrap();
    assert_eq!(lock.release(), Ok(()));
    assert_eq!(lock.release(), Err(ReleaseError::NotLocked));
    assert_eq!(seen(&lock), (0, false, None));
    assert_eq!(lock.try_acquire(), Ok(()));
}

fn released_from_elsewhere_is_an_error<W: Wait>() {
    let lock = Shm::new(RLock::<W>::new_in());
    let (held, go) = (Shm::new(Tally::new()), Shm::new(Tally::new()));
    let holder = fork(|| {
        lock.acquire().unwrap();
        lock.acquire().unwrap();
        held.up();
        go.reaches(1);
        assert_eq!(lock.depth(), 2, "the errors changed nothing");
        lock.release().unwrap();
        lock.release().unwrap();
    });
    held.reaches(1);
    for _ in 0..3 {
        assert_not_owner(lock.release(), holder.pid());
        assert!(!lock.is_mine());
    }
    go.up();
    join([holder]);
    assert_eq!(lock.release(), Err(ReleaseError::NotLocked));
}

fn a_forked_child_is_somebody_else<W: Wait>() {
    let lock = Shm::new(RLock::<W>::new_in());
    lock.acquire().unwrap();
    lock.acquire().unwrap();
    let parent = gettid();
    join([fork(|| {
        assert!(!lock.is_mine());
        assert_eq!(lock.holder().as_ref().map(Owner::tid), Some(parent));
        assert_not_owner(lock.release(), parent);
        assert_eq!(lock.try_acquire(), Err(AcquireError::WouldBlock));
        assert_eq!(lock.acquire_for(ms(1)), Err(AcquireError::TimedOut));
    })]);
    assert_eq!(seen(&lock), (2, true, Some(parent)));
}

fn another_thread_is_somebody_else<W: Wait>() {
    let lock = RLock::<W>::new_in();
    lock.acquire().unwrap();
    let holder = gettid();
    thread::scope(|scope| {
        scope.spawn(|| {
            assert!(!lock.is_mine());
            assert_not_owner(lock.release(), holder);
            assert_eq!(lock.try_acquire(), Err(AcquireError::WouldBlock));
        });
    });
    assert_eq!(seen(&lock), (1, true, Some(holder)));
}

fn free_for_others_only_after_the_last_release<W: Wait>() {
    let (lock, about) = (Shm::new(RLock::<W>::new_in()), Shm::new(Tally::new()));
    lock.acquire().unwrap();
    lock.acquire().unwrap();
    let mut waiter = fork(|| {
        about.up();
        lock.acquire().unwrap();
        assert_eq!(seen(&lock), (1, true, Some(gettid())));
        lock.release().unwrap();
    });
    about.reaches(1);
    asleep(waiter.pid());
    lock.release().unwrap();
    assert_eq!(waiter.wait_exit(SLICES), None, "one of two releases is not enough");
    lock.release().unwrap();
    join([waiter]);
}

fn debug_does_not_block<W: Wait>() {
    let lock = RLock::<W>::new_in();
    let free = format!("{lock:?}");
    lock.acquire().unwrap();
    let held = format!("{lock:?}");
    assert_ne!(free, held);
    assert!(held.contains(&gettid().to_string()), "{held} does not name the holder");
}

fn a_dead_holder_is_reported_whatever_the_depth<W: Wait>() {
    let lock = Shm::new(RLock::<W>::new_in());
    let dead = die_holding(&lock);
    let pid = dead.pid();
    let every_verb = || {
        assert_died(lock.try_acquire(), pid);
        assert_died(lock.acquire(), pid);
        assert_died(lock.acquire_for(Duration::ZERO), pid);
        assert_died(lock.acquire_until(Instant::now()), pid);
        assert_died(lock.acquire_interruptible(None), pid);
        assert_died(lock.lock(), pid);
        assert_died(lock.try_lock(), pid);
        assert_died(lock.lock_for(SOON), pid);
        assert!(!lock.is_mine());
    };
    every_verb();
    drop(dead); // Reaped: the pid no longer exists.
    every_verb();
    lock.recover().unwrap();
    assert_eq!(seen(&lock), (1, true, Some(gettid())));
    lock.acquire().unwrap();
    lock.release().unwrap();
    lock.release().unwrap();
    assert_eq!(seen(&lock), (0, false, None));
}

fn a_blocked_one_learns_of_the_death<W: Wait>() {
    let (lock, held, about) = (Shm::new(RLock::<W>::new_in()), Shm::new(Tally::new()), Shm::new(Tally::new()));
    let mut holder = fork(|| {
        lock.acquire().unwrap();
        held.up();
        until_killed();
    });
    held.reaches(1);
    let pid = holder.pid();
    let waiters = team(3, |_| {
        about.up();
        assert_died(lock.acquire(), pid);
    });
    about.reaches(3);
    waiters.iter().for_each(|waiter| asleep(waiter.pid()));
    holder.kill();
    join(waiters);
}

fn recover_has_one_winner<W: Wait>() {
    const RIVALS: u32 = 5;
    for _ in 0..10 {
        let lock = Shm::new(RLock::<W>::new_in());
        let (ready, tried, won) = (Shm::new(Tally::new()), Shm::new(Tally::new()), Shm::new(Tally::new()));
        let _dead = die_holding(&lock);
        join(team(RIVALS, |_| {
            ready.up();
            while ready.get() < RIVALS {}
            let result = lock.recover();
            tried.up();
            match result {
                Ok(()) => {
                    won.up();
                    tried.reaches(RIVALS);
                    assert_eq!(seen(&lock), (1, true, Some(gettid())));
                    lock.release().unwrap();
                }
                other => assert_eq!(other, Err(AcquireError::WouldBlock)),
            }
        }));
        assert_eq!(won.get(), 1);
        assert_eq!(lock.try_acquire(), Ok(()));
    }
}

fn there_is_nothing_to_recover<W: Wait>() {
    let lock = Shm::new(RLock::<W>::new_in());
    assert_eq!(lock.recover(), Err(AcquireError::WouldBlock));
    lock.acquire().unwrap();
    assert_eq!(lock.recover(), Err(AcquireError::WouldBlock));
    join([fork(|| assert_eq!(lock.recover(), Err(AcquireError::WouldBlock)))]);
    assert_eq!(seen(&lock), (1, true, Some(gettid())));
}

fn kills_leave_the_others_going<W: Wait>() {
    let world = Shm::new((RLock::<W>::new_in(), Naked::new(), Naked::new()));
    let (lock, left, right) = &*world;
    kill_at_random(4, 60, |_, rounds| {
        let mended = match lock.acquire() {
            Ok(()) => false,
            Err(AcquireError::OwnerDied(_)) => match lock.recover() {
                Ok(()) => true,
                other => return assert_eq!(other, Err(AcquireError::WouldBlock)),
            },
            other => panic!("{other:?}"),
        };
        lock.acquire().unwrap();
        assert_eq!(seen(lock), (2, true, Some(gettid())));
        // SAFETY: the lock is held.
        unsafe {
            if mended {
                right.set(left.get());
            }
            assert_eq!(left.get(), right.get(), "torn, and nobody said so");
            left.bump();
            right.bump();
        }
        lock.release().unwrap();
        lock.release().unwrap();
        rounds.up();
    });
}
