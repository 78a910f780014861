//! Children that hold a lock, and whether they count as dead.

use shmsync::{AcquireError, Lock, Owner};

use super::*;

/// What another process or thread finds in a lock.
pub fn owner_in(lock: &Lock) -> Owner {
    lock.holder().expect("held")
}

/// A child that holds the lock until it is killed.
pub fn holder(lock: &Lock) -> Child {
    let held = Shm::new(Tally::new());
    let child = fork(|| {
        lock.acquire().unwrap();
        held.up();
        until_killed();
    });
    held.reaches(1);
    child
}

/// By every verb that asks.
#[track_caller]
pub fn assert_lives(lock: &Lock) {
    assert!(owner_in(lock).is_alive());
    assert_eq!(lock.try_acquire(), Err(AcquireError::WouldBlock));
    assert_eq!(lock.acquire_for(ms(20)), Err(AcquireError::TimedOut));
    assert_eq!(lock.recover(), Err(AcquireError::WouldBlock));
}

#[track_caller]
pub fn assert_dead(lock: &Lock) {
    let owner = owner_in(lock);
    assert!(!owner.is_alive());
    assert_eq!(lock.acquire_for(SOON), Err(AcquireError::OwnerDied(owner)));
    assert_eq!(lock.recover(), Ok(()));
    lock.release().unwrap();
}

/// A child that gets ready in its own way, and then holds the lock until it is killed. If it cannot, that is told.
pub fn holder_after(prepare: impl FnOnce(), lock: &Lock) -> Child {
    let held = Shm::new(Tally::new());
    let mut child = fork(|| {
        prepare();
        lock.acquire().unwrap();
        held.up();
        until_killed();
    });
    eventually("held", || {
        assert!(child.wait_exit(ms(0)).is_none(), "{}", child.join(SOON).unwrap_err());
        if held.get() > 0 { Ok(()) } else { Err(String::from("not held")) }
    });
    child
}
