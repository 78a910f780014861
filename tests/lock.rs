//! Lock: held by somebody, released by anybody, reported when its holder is dead. (The shared verbs: acquire.rs.)

mod support;

use std::panic::{self, AssertUnwindSafe};
use std::thread;
use std::time::{Duration, Instant};

use shmsync::wait::Wait;
use shmsync::{AcquireError, Lock, Owner, ReleaseError};
use support::*;

every_backend!(
    starts_free_and_names_its_holder,
    releasing_a_free_one_is_an_error,
    released_by_another_process,
    released_by_another_thread,
    a_blocked_one_gets_it,
    guards_release_on_drop,
    a_guard_unwinds,
    debug_does_not_block,
    every_later_verb_reports_a_dead_holder,
    everyone_blocked_learns_of_the_death,
    a_thread_that_ended_is_a_dead_holder,
    recover_has_one_winner,
    there_is_nothing_to_recover,
    releasing_for_a_dead_holder_frees,
    a_disowned_lock_outlives_its_holder,
    a_forked_child_is_not_the_holder,
    kills_leave_the_others_going,
);

/// Locks in a child that is then killed.
fn die_holding<W: Wait>(lock: &Lock<W>) -> Child {
    die_after(|| lock.acquire().unwrap())
}

fn starts_free_and_names_its_holder<W: Wait>() {
    let lock = Lock::<W>::new_in();
    assert_eq!((lock.is_locked(), lock.holder()), (false, None));
    lock.acquire().unwrap();
    assert!(lock.is_locked());
    assert_eq!(lock.holder().as_ref().map(Owner::tid), Some(gettid()));
    assert_eq!(lock.try_acquire(), Err(AcquireError::WouldBlock), "it does not nest");
    assert_eq!(lock.acquire_for(ms(1)), Err(AcquireError::TimedOut), "it does not nest");
    lock.release().unwrap();
    assert_eq!((lock.is_locked(), lock.holder()), (false, None));
}

fn releasing_a_free_one_is_an_error<W: Wait>() {
    let lock = Lock::<W>::new_in();
    assert_eq!(lock.release(), Err(ReleaseError::NotLocked));
    lock.acquire().unwrap();
    assert_eq!(lock.release(), Ok(()));
    assert_eq!(lock.release(), Err(ReleaseError::NotLocked));
    assert_eq!(lock.try_acquire(), Ok(()), "the errors changed nothing");
}

fn released_by_another_process<W: Wait>() {
    let lock = Shm::new(Lock::<W>::new_in());
    lock.acquire().unwrap();
    join([fork(|| assert_eq!(lock.release(), Ok(())))]);
    // And the other way round: it comes back from a child that has ended well.
    join([fork(|| {
        lock.acquire().unwrap();
        lock.disown();
    })]);
    assert_eq!(lock.release(), Ok(()));
}

fn released_by_another_thread<W: Wait>() {
    let lock = Lock::<W>::new_in();
    lock.acquire().unwrap();
    thread::scope(|scope| assert_eq!(scope.spawn(|| lock.release()).join().unwrap(), Ok(())));
    assert_eq!(lock.try_acquire(), Ok(()));
}

fn a_blocked_one_gets_it<W: Wait>() {
    let (lock, about, got) = (Shm::new(Lock::<W>::new_in()), Shm::new(Tally::new()), Shm::new(Tally::new()));
    lock.acquire().unwrap();
    let waiters = team(3, |_| {
        about.up();
        lock.acquire().unwrap();
        assert_eq!(lock.holder().as_ref().map(Owner::tid), Some(gettid()));
        got.up();
        lock.release().unwrap();
    });
    about.reaches(3);
    waiters.iter().for_each(|waiter| asleep(waiter.pid()));
    got.stays(0, SLICES);
    lock.release().unwrap();
    join(waiters);
    assert_eq!(got.get(), 3);
    assert!(!lock.is_locked());
}

fn guards_release_on_drop<W: Wait>() {
    let lock = Lock::<W>::new_in();
    let guard = lock.lock().unwrap();
    assert!(lock.is_locked());
    assert_eq!(lock.try_lock().err(), Some(AcquireError::WouldBlock));
    assert_eq!(lock.lock_for(ms(1)).err(), Some(AcquireError::TimedOut));
    drop(guard);
    assert!(!lock.is_locked());
    drop(lock.try_lock().unwrap());
    drop(lock.lock_for(Duration::ZERO).unwrap());
    assert!(!lock.is_locked());
}

fn a_guard_unwinds<W: Wait>() {
    let lock = Lock::<W>::new_in();
    let unwound = panic::catch_unwind(AssertUnwindSafe(|| {
        let _guard = lock.lock().unwrap();
        panic::resume_unwind(Box::new(()));
    }));
    assert!(unwound.is_err());
    assert_eq!(lock.try_acquire(), Ok(()));
}

fn debug_does_not_block<W: Wait>() {
    let lock = Lock::<W>::new_in();
    let free = format!("{lock:?}");
    lock.acquire().unwrap();
    let held = format!("{lock:?}");
    assert_ne!(free, held);
    assert!(held.contains(&gettid().to_string()), "{held} does not name the holder");
}

fn every_later_verb_reports_a_dead_holder<W: Wait>() {
    let lock = Shm::new(Lock::<W>::new_in());
    let dead = die_holding(&lock);
    let pid = dead.pid();
    let every_verb = || {
        assert_died(lock.try_acquire(), pid);
        assert_died(lock.acquire(), pid);
        assert_died(lock.acquire_for(SOON), pid);
        assert_died(lock.acquire_for(Duration::ZERO), pid);
        assert_died(lock.acquire_until(Instant::now()), pid);
        assert_died(lock.acquire_interruptible(None), pid);
        assert_died(lock.lock(), pid);
        assert_died(lock.try_lock(), pid);
        assert_died(lock.lock_for(SOON), pid);
        assert!(lock.is_locked(), "nobody has taken it");
        assert_eq!(lock.holder().map(|owner| (owner.tid(), owner.is_alive())), Some((pid, false)));
    };
    every_verb();
    join([fork(every_verb)]);
    drop(dead); // Reaped: the pid no longer exists.
    every_verb();
}

fn everyone_blocked_learns_of_the_death<W: Wait>() {
    let (lock, held, about) = (Shm::new(Lock::<W>::new_in()), Shm::new(Tally::new()), Shm::new(Tally::new()));
    let mut holder = fork(|| {
        lock.acquire().unwrap();
        held.up();
        until_killed();
    });
    held.reaches(1);
    let pid = holder.pid();
    let waiters = team(4, |i| {
        about.up();
        assert_died(if i % 2 == 0 { lock.acquire() } else { lock.acquire_for(SOON) }, pid);
    });
    about.reaches(4);
    waiters.iter().for_each(|waiter| asleep(waiter.pid()));
    thread::sleep(SLICES); // So that they are in their longest slices.
    holder.kill();
    let ((), took) = timed(|| join(waiters));
    assert!(took < Duration::from_secs(3), "it took {took:?}");
}

fn a_thread_that_ended_is_a_dead_holder<W: Wait>() {
    let lock = Lock::<W>::new_in();
    let tid = thread::scope(|scope| {
        let holder = scope.spawn(|| {
            lock.acquire().unwrap();
            gettid()
        });
        holder.join().unwrap()
    });
    // Its id goes away a moment after it was joined: this waits as long as it takes.
    assert_died(lock.acquire(), tid);
}

fn recover_has_one_winner<W: Wait>() {
    const RIVALS: u32 = 6;
    for _ in 0..20 {
        let lock = Shm::new(Lock::<W>::new_in());
        let (ready, tried, won) = (Shm::new(Tally::new()), Shm::new(Tally::new()), Shm::new(Tally::new()));
        let dead = die_holding(&lock);
        join(team(RIVALS, |_| {
            assert_died(lock.try_acquire(), dead.pid());
            ready.up();
            while ready.get() < RIVALS {}
            let result = lock.recover();
            tried.up();
            match result {
                Ok(()) => {
                    won.up();
                    tried.reaches(RIVALS); // Living holder for all the others.
                    assert_eq!(lock.holder().as_ref().map(Owner::tid), Some(gettid()));
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
    let lock = Shm::new(Lock::<W>::new_in());
    assert_eq!(lock.recover(), Err(AcquireError::WouldBlock));
    assert!(!lock.is_locked());
    lock.acquire().unwrap();
    assert_eq!(lock.recover(), Err(AcquireError::WouldBlock));
    join([fork(|| assert_eq!(lock.recover(), Err(AcquireError::WouldBlock)))]);
    lock.disown();
    assert_eq!(lock.recover(), Err(AcquireError::WouldBlock));
    assert!(lock.is_locked());
}

fn releasing_for_a_dead_holder_frees<W: Wait>() {
    let lock = Shm::new(Lock::<W>::new_in());
    for _ in 0..2 {
        let dead = die_holding(&lock);
        assert_died(lock.try_acquire(), dead.pid());
        assert_eq!(lock.release(), Ok(()));
        assert_eq!(lock.release(), Err(ReleaseError::NotLocked));
    }
    let _dead = die_holding(&lock);
    assert_eq!(lock.release(), Ok(()), "although nobody has noticed the death yet");
    assert_eq!(lock.try_acquire(), Ok(()));
}

fn a_disowned_lock_outlives_its_holder<W: Wait>() {
    let (lock, held) = (Shm::new(Lock::<W>::new_in()), Shm::new(Tally::new()));
    let mut child = fork(|| {
        lock.acquire().unwrap();
        lock.disown();
        held.up();
        until_killed();
    });
    held.reaches(1);
    assert_eq!((lock.holder(), lock.is_locked()), (None, true));
    child.kill();
    assert_eq!(lock.try_acquire(), Err(AcquireError::WouldBlock));
    assert_eq!(lock.acquire_for(SLICES), Err(AcquireError::TimedOut));
    assert_eq!((lock.holder(), lock.is_locked()), (None, true));
    join([fork(|| assert_eq!(lock.release(), Ok(())))]);
    assert_eq!(lock.try_acquire(), Ok(()));
}

fn a_forked_child_is_not_the_holder<W: Wait>() {
    let lock = Shm::new(Lock::<W>::new_in());
    lock.acquire().unwrap();
    let parent = gettid();
    join([fork(|| {
        assert_eq!(lock.holder().as_ref().map(Owner::tid), Some(parent));
        assert_eq!(lock.try_acquire(), Err(AcquireError::WouldBlock));
        lock.release().unwrap();
        lock.acquire().unwrap();
        assert_eq!(lock.holder().as_ref().map(Owner::tid), Some(gettid()));
        assert_ne!(gettid(), parent);
        lock.release().unwrap();
    })]);
}

/// Two counters that are equal whenever nobody is inside; only the error of a death may come with unequal ones.
fn kills_leave_the_others_going<W: Wait>() {
    struct World<W: Wait> {
        lock: Lock<W>,
        left: Naked,
        right: Naked,
    }
    let world = Shm::new(World { lock: Lock::<W>::new_in(), left: Naked::new(), right: Naked::new() });
    kill_at_random(4, 60, |_, rounds| {
        let mended = match world.lock.acquire() {
            Ok(()) => false,
            Err(AcquireError::OwnerDied(_)) => match world.lock.recover() {
                Ok(()) => true,
                other => return assert_eq!(other, Err(AcquireError::WouldBlock)),
            },
            other => panic!("{other:?}"),
        };
        // SAFETY: the lock is held.
        unsafe {
            if mended {
                world.right.set(world.left.get());
            }
            assert_eq!(world.left.get(), world.right.get(), "torn, and nobody said so");
            world.left.bump();
            world.right.bump();
        }
        world.lock.release().unwrap();
        rounds.up();
    });
}
