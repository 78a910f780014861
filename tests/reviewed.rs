//! What a hostile review found in the first whole version, each as the test that fails there.

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::{Duration, Instant};

use shmsync::wait::Wait;
use shmsync::{
    AcquireError, Barrier, BarrierError, Condition, Event, Lock, Mutex, RLock, SEM_VALUE_MAX, Semaphore, Shared,
};
use support::*;

every_backend!(
    who_asks_for_short_times_learns_of_a_death,
    releases_at_once_lose_no_permit,
    many_resets_let_nobody_through,
    a_condition_frees_nobody_elses_rlock,
    a_forked_copy_of_a_guard_frees_nothing,
    a_comer_of_the_next_round_breaks_none,
);

/// The deadline came before the end of the first slice, and the holder was never looked at.
fn who_asks_for_short_times_learns_of_a_death<W: Wait>() {
    let lock = Shm::new(Lock::<W>::new_in());
    let dead = die_after(|| lock.acquire().unwrap());
    let learned = eventually("the death", || match lock.acquire_for(Duration::from_micros(300)) {
        Err(AcquireError::OwnerDied(owner)) => Ok(owner.tid()),
        other => Err(format!("{other:?}")),
    });
    assert_eq!(learned, dead.pid());
}

/// An addition that had room when it looked, beside a release of all there is, carried out of a count of 31 bits.
fn releases_at_once_lose_no_permit<W: Wait>() {
    let sem = Semaphore::<W>::new_in(0);
    let turn = Tally::new();
    thread::scope(|scope| {
        scope.spawn(|| {
            for round in 1..=5_000 {
                while turn.get() < 2 * round - 1 {
                    std::hint::spin_loop();
                }
                let _ = sem.release();
                turn.up();
            }
        });
        for round in 1..=5_000 {
            turn.up();
            let all = sem.release_many(SEM_VALUE_MAX);
            while turn.get() < 2 * round {
                std::hint::spin_loop();
            }
            // Whoever came second was refused, or what it added does not show.
            assert_eq!(sem.value(), if all.is_ok() { SEM_VALUE_MAX } else { 1 });
            assert!(!format!("{sem:?}").contains("true"), "nobody waits: {sem:?}");
            while sem.value() > 0 {
                empty(&sem);
            }
        }
    });
}

/// Back to zero, which acquiring two thousand million times would be, too.
fn empty<W: Wait>(sem: &Semaphore<W>) {
    if sem.value() == 1 {
        sem.acquire().unwrap();
    } else {
        // SAFETY: nobody else uses it now, and zero bytes are a semaphore without permits.
        unsafe { std::ptr::from_ref(sem).cast_mut().write_bytes(0, 1) };
    }
}

/// With nine resets before it looked, a waiter took its round for completed.
fn many_resets_let_nobody_through<W: Wait>() {
    let barrier = Barrier::<W>::new_in(2);
    for _ in 0..20 {
        thread::scope(|scope| {
            let waiter = scope.spawn(|| barrier.wait());
            eventually("the arrival", || {
                (barrier.n_waiting() == 1).then_some(()).ok_or_else(|| format!("{barrier:?}"))
            });
            (0..9).for_each(|_| barrier.reset());
            assert_eq!(waiter.join().unwrap(), Err(BarrierError::Broken));
        });
        assert!(!barrier.is_broken(), "usable at once");
    }
}

/// The lock was released under the guard and taken by another thread; the wait then freed that one's.
fn a_condition_frees_nobody_elses_rlock<W: Wait>() {
    let (lock, condition) = (RLock::<W>::new_in(), Condition::<W>::new_in());
    let mut guard = lock.lock().unwrap();
    lock.release().unwrap();
    let (held, done) = (Tally::new(), Tally::new());
    thread::scope(|scope| {
        scope.spawn(|| {
            lock.acquire().unwrap();
            held.up();
            done.reaches(1);
            assert!(lock.is_mine(), "taken away by a stale guard");
            lock.release().unwrap();
        });
        held.reaches(1);
        scope.spawn(|| {
            thread::sleep(ms(50));
            done.up();
        });
        // Acquires first, since the guard holds nothing, and so waits for the other thread.
        assert_eq!(condition.wait_timeout(&mut guard, ms(10)), Ok(false));
        assert!(lock.is_mine());
    });
}

/// The child of a fork has the bytes of its parent's guards.
fn a_forked_copy_of_a_guard_frees_nothing<W: Wait>() {
    let shared = Shm::new((Mutex::<u32, W>::new_in(0), RLock::<W>::new_in(), Lock::<W>::new_in()));
    let (mutex, rlock, lock) = &*shared;
    let guards = (mutex.lock().unwrap(), rlock.lock().unwrap(), lock.lock().unwrap());
    let mut copies = Some(guards);
    join([fork(|| drop(copies.take()))]);
    assert!(mutex.holder().is_some() && rlock.is_mine() && lock.is_locked());
    drop(copies);
    assert!(mutex.try_lock().is_ok() && rlock.try_acquire().is_ok() && lock.try_acquire().is_ok());
}

/// Its time ran out while the others' action went on, and all of them got `Broken`.
fn a_comer_of_the_next_round_breaks_none<W: Wait>() {
    let barrier = Barrier::<W>::new_in(1);
    let (acting, early) = (Tally::new(), Tally::new());
    thread::scope(|scope| {
        let leader = scope.spawn(|| {
            barrier.wait_with(|| {
                acting.up();
                early.reaches(1);
            })
        });
        acting.reaches(1);
        let began = Instant::now();
        assert_eq!(barrier.wait_timeout(ms(20)), Err(BarrierError::TimedOut));
        assert!(began.elapsed() >= ms(20));
        early.up();
        assert!(leader.join().unwrap().is_ok());
    });
    assert!(!barrier.is_broken());
}

/// A thread that found no descriptor left when it was to read its own start time had another one in its token than in
/// /proc, and so counted as dead while it lived.
#[test]
fn who_cannot_open_a_file_is_not_dead() {
    watched("who_cannot_open_a_file_is_not_dead", || {
        let shared = Shm::new((Lock::new(), Tally::new()));
        let (lock, held) = &*shared;
        let _holder = fork(|| {
            let none = libc::rlimit { rlim_cur: 3, rlim_max: 3 };
            // SAFETY: reads the limit.
            assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const none) }, 0);
            lock.acquire().unwrap();
            held.up();
            until_killed();
        });
        held.reaches(1);
        assert_eq!(lock.acquire_for(ms(300)), Err(AcquireError::TimedOut));
        assert_eq!(lock.try_acquire(), Err(AcquireError::WouldBlock));
    });
}

/// A wait that panics has let go of the mutex: whoever catches that has the guard still, and gets no data by it.
#[test]
fn a_guard_that_lost_its_mutex_gives_no_data() {
    /// Locks, and unlocks, at the end: in a panic, so that of a circle it is not this thread that is told.
    struct AtLast<'a>(&'a Mutex<u64>);

    impl Drop for AtLast<'_> {
        fn drop(&mut self) {
            drop(self.0.lock());
        }
    }

    watched("a_guard_that_lost_its_mutex_gives_no_data", || {
        let panics = |f: &mut dyn FnMut()| catch_unwind(AssertUnwindSafe(f)).is_err();
        let mutexes = Shared::anonymous([Mutex::new(0_u64), Mutex::new(0_u64)]).unwrap();
        let (changed, has_both, has_second) = (Condition::new(), Event::new(), Event::new());
        thread::scope(|scope| {
            let waiter = scope.spawn(|| {
                let _first = mutexes[0].lock().unwrap();
                let mut second = mutexes[1].lock().unwrap();
                has_both.set();
                assert!(panics(&mut || changed.wait(&mut second).unwrap()), "of the circle");
                assert!(panics(&mut || *second = 7), "the other has it");
                assert!(panics(&mut || assert_eq!(*second, 0)), "the other has it");
                changed.notify_all_on_unlock(&mut second);
            });
            let other = scope.spawn(|| {
                has_both.wait();
                let second = mutexes[1].lock().unwrap(); // It waits.
                has_second.set();
                assert!(panics(&mut || {
                    let _at_last = AtLast(&mutexes[0]);
                    panic!("so that the other is told");
                }));
                assert_eq!(*second, 0);
            });
            has_second.wait();
            thread::sleep(ms(30));
            changed.notify_all();
            // Joined where ThreadSanitizer sees it.
            waiter.join().unwrap();
            other.join().unwrap();
        });
        assert_eq!(*mutexes[1].lock().unwrap(), 0);
    });
}
