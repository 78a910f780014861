//! Guards that lost their lock before they wait: they take it first, and release nobody else's.

mod support;

use std::thread;

use shmsync::wait::Wait;
use shmsync::{Condition, Lock, RLock};
use support::*;

every_backend!(a_guard_whose_lock_another_has_waits_for_it, a_guard_of_a_free_lock_takes_it);

fn a_guard_whose_lock_another_has_waits_for_it<W: Wait>() {
    let world = Shm::new((Lock::<W>::new_in(), Condition::<W>::new_in(), Tally::new()));
    let (lock, cond, steps) = &*world;
    let mut guard = lock.lock().unwrap();
    let other = fork(|| {
        lock.release().unwrap(); // anybody may
        lock.acquire().unwrap();
        steps.up();
        thread::sleep(SLICES);
        assert_eq!(lock.holder().map(|owner| owner.tid()), Some(gettid()), "nobody released it");
        steps.up();
        lock.release().unwrap();
    });
    steps.reaches(1);
    assert_eq!(cond.wait_timeout(&mut guard, ms(1)), Ok(false));
    assert_eq!(steps.get(), 2, "it waited for the lock, and only then on the condition");
    assert_eq!(lock.holder().map(|owner| owner.tid()), Some(gettid()));
    drop(guard);
    assert!(!lock.is_locked());
    join([other]);
}

fn a_guard_of_a_free_lock_takes_it<W: Wait>() {
    let cond = Condition::<W>::new_in();
    let lock = Lock::<W>::new_in();
    let mut guard = lock.lock().unwrap();
    lock.release().unwrap();
    assert_eq!(cond.wait_timeout(&mut guard, ms(1)), Ok(false));
    assert!(lock.is_locked());
    drop(guard);
    assert!(!lock.is_locked());

    let rlock = RLock::<W>::new_in();
    let mut guard = rlock.lock().unwrap();
    rlock.release().unwrap();
    assert_eq!(cond.wait_timeout(&mut guard, ms(1)), Ok(false));
    assert_eq!((rlock.is_mine(), rlock.depth()), (true, 1));
    drop(guard);
    assert!(!rlock.is_mine());
}
