//! What each type shows of itself, for who looks at a program that hangs: the state, word for word, without blocking.

mod support;

use std::fmt::Debug;
use std::panic::{self, AssertUnwindSafe};

use shmsync::wait::{KernelRobust, PosixSem, Wait};
use shmsync::{
    AcquireError, Barrier, BoundedSemaphore, Condition, Event, Lock, Mutex, Once, OnceCell, PermitPool, RLock, RwLock,
    Semaphore, TryLockError,
};
use support::*;

every_backend!(locks, guards, semaphores, what_has_no_holder, once_and_its_cell, poison, waiters, the_dead);

/// `shown` as `{:?}` shows it, with TID for the calling thread's id.
#[track_caller]
fn shows(shown: impl Debug, expected: &str) {
    assert_eq!(format!("{shown:?}").replace(&format!("tid {}", gettid()), "TID"), expected);
}

fn locks<W: Wait>() {
    let lock = Lock::<W>::new_in();
    shows(&lock, r#"Lock { state: "free" }"#);
    lock.acquire().unwrap();
    shows(&lock, r#"Lock { state: "held by TID" }"#);
    shows(lock.holder(), "Some(Owner(TID))");
    lock.disown();
    shows(&lock, r#"Lock { state: "held by nobody in particular" }"#);
    let rlock = RLock::<W>::new_in();
    shows(&rlock, r#"RLock { state: "free", depth: 0 }"#);
    let _guards = [rlock.lock(), rlock.lock()];
    shows(&rlock, r#"RLock { state: "held by TID", depth: 2 }"#);
    let rwlock = RwLock::<_, 2, W>::new_in(7);
    shows(&rwlock, r#"RwLock { writer: "free", readers: [], poison: None, .. }"#);
    let read = rwlock.read().unwrap();
    shows(&rwlock, r#"RwLock { writer: "free", readers: [Owner(TID)], poison: None, .. }"#);
    drop(read);
    let _write = rwlock.write().unwrap();
    shows(&rwlock, r#"RwLock { writer: "held by TID", readers: [], poison: None, .. }"#);
}

fn guards<W: Wait>() {
    let lock = Lock::<W>::new_in();
    shows(lock.lock().unwrap(), r#"LockGuard { lock: Lock { state: "held by TID" }, held: true }"#);
    let rlock = RLock::<W>::new_in();
    shows(rlock.lock().unwrap(), r#"RLockGuard { lock: RLock { state: "held by TID", depth: 1 }, held: true }"#);
    let pool = PermitPool::<1, W>::new_in();
    shows(pool.acquire().unwrap(), "Permit { index: 0, reclaimed: None }");
    // Those with data show that, as std's do.
    let (mutex, rwlock) = (Mutex::<_, W>::new_in("data"), RwLock::<_, 2, W>::new_in("data"));
    shows(mutex.lock().unwrap(), r#""data""#);
    assert_eq!(mutex.lock().unwrap().to_string(), "data");
    shows(rwlock.read().unwrap(), r#""data""#);
    assert_eq!(rwlock.read().unwrap().to_string(), "data");
    shows(rwlock.write().unwrap(), r#""data""#);
    assert_eq!(rwlock.write().unwrap().to_string(), "data");
}

fn semaphores<W: Wait>() {
    shows(Semaphore::<W>::new_in(3), "Semaphore { value: 3, waited_for: false }");
    let bounded = BoundedSemaphore::<W>::new_in(3);
    bounded.acquire().unwrap();
    shows(&bounded, "BoundedSemaphore { value: 2, bound: 3, waited_for: false }");
    let pool = PermitPool::<2, W>::new_in();
    let _permit = pool.acquire().unwrap();
    shows(&pool, "PermitPool { available: 1, capacity: 2, waited_for: false }");
}

fn what_has_no_holder<W: Wait>() {
    let event = Event::<W>::new_in();
    shows(&event, "Event { set: false, waited_for: false }");
    event.set();
    shows(&event, "Event { set: true, waited_for: false }");
    shows(Condition::<W>::new_in(), "Condition { waiters: 0, signals: 0 }");
    let barrier = Barrier::<W>::new_in(2);
    shows(&barrier, "Barrier { parties: 2, waiting: 0, broken: false }");
    barrier.abort();
    shows(&barrier, "Barrier { parties: 2, waiting: 0, broken: true }");
}

fn once_and_its_cell<W: Wait>() {
    let once = Once::<W>::new_in();
    shows(&once, r#"Once { state: "not completed" }"#);
    once.call_once(|| shows(&once, r#"Once { state: "held by TID to complete it" }"#));
    shows(&once, r#"Once { state: "completed" }"#);
    let cell = OnceCell::<u32, W>::new_in();
    shows(&cell, r#"OnceCell { state: Once { state: "not completed" }, .. }"#);
    cell.set(7).unwrap();
    shows(&cell, "OnceCell { value: 7 }");
}

fn poison<W: Wait>() {
    let mutex = Mutex::<_, W>::new_in(7);
    shows(&mutex, r#"Mutex { state: "free", poison: None, .. }"#);
    let me = format!("tid {}", gettid());
    let unwound = panic::catch_unwind(AssertUnwindSafe(|| {
        let _guard = mutex.lock();
        panic::resume_unwind(Box::new(()));
    }));
    assert!(unwound.is_err());
    shows(&mutex, r#"Mutex { state: "free", poison: Some(Panicked(Owner(TID))), .. }"#);
    let error = mutex.lock().unwrap_err();
    shows(&error, "PoisonError { cause: Panicked(Owner(TID)), .. }");
    assert_eq!(error.to_string(), format!("poisoned lock: {me} panicked while holding it"));
    assert_eq!(error.cause().to_string(), format!("{me} panicked"));
    let held = mutex.try_lock().unwrap_err();
    shows(&held, "WouldDeadlock");
    assert_eq!(held.to_string(), AcquireError::WouldDeadlock.to_string());
    drop((held, error));
    let poisoned = mutex.try_lock().unwrap_err();
    shows(&poisoned, "Poisoned(PoisonError { cause: Panicked(Owner(TID)), .. })");
    assert_eq!(poisoned.to_string(), format!("poisoned lock: {me} panicked while holding it"));
    drop(poisoned);
    mutex.clear_poison();

    let [blocks, late] = [TryLockError::<()>::WouldBlock, TryLockError::TimedOut];
    shows(&blocks, "WouldBlock");
    shows(&late, "TimedOut");
    assert_eq!(blocks.to_string(), "it is locked, and taking it would block");
    assert_eq!(late.to_string(), "timed out waiting for the lock");
}

/// Whether somebody waits is shown, too.
fn waiters<W: Wait>() {
    struct All<W: Wait> {
        lock: Lock<W>,
        semaphore: Semaphore<W>,
        bounded: BoundedSemaphore<W>,
        pool: PermitPool<1, W>,
        event: Event<W>,
        condition: Condition<W>,
        barrier: Barrier<W>,
    }
    let all = Shm::new(All {
        lock: Lock::<W>::new_in(),
        semaphore: Semaphore::new_in(0),
        bounded: BoundedSemaphore::new_in(1),
        pool: PermitPool::new_in(),
        event: Event::new_in(),
        condition: Condition::new_in(),
        barrier: Barrier::new_in(2),
    });
    all.lock.acquire().unwrap();
    all.bounded.acquire().unwrap();
    let _permit = all.pool.acquire().unwrap();
    let _team = team(7, |i| match i {
        0 => all.lock.acquire().unwrap(),
        1 => all.semaphore.acquire().unwrap(),
        2 => all.bounded.acquire().unwrap(),
        3 => drop(all.pool.acquire()),
        4 => all.event.wait(),
        5 => {
            let lock = Lock::<W>::new_in();
            all.condition.wait(&mut lock.lock().unwrap()).unwrap();
        }
        _ => drop(all.barrier.wait()),
    });
    let come = |shown: &dyn Debug, part: &str| {
        eventually("shown", || match format!("{shown:?}") {
            shown if shown.contains(part) => Ok(()),
            shown => Err(shown),
        });
    };
    come(&all.lock, &format!(r#""held by tid {}, waited for""#, gettid()));
    come(&all.semaphore, "waited_for: true");
    come(&all.bounded, "waited_for: true");
    come(&all.pool, "waited_for: true");
    come(&all.event, "waited_for: true");
    come(&all.condition, "waiters: 1, signals: 0");
    come(&all.barrier, "waiting: 1");
}

/// Who has been told of a death finds it written down.
fn the_dead<W: Wait>() {
    let (lock, mutex) = (Shm::new(Lock::<W>::new_in()), Shm::new(Mutex::<_, W>::new_in(0)));
    let dead = die_after(|| lock.acquire().unwrap());
    assert_died(lock.try_acquire(), dead.pid());
    shows(&*lock, &format!(r#"Lock {{ state: "held by tid {}, who died" }}"#, dead.pid()));
    let dead = die_after(|| std::mem::forget(mutex.lock()));
    let error = mutex.lock().unwrap_err();
    assert_eq!(error.to_string(), format!("poisoned lock: tid {} died while holding it", dead.pid()));
    assert_eq!(error.cause().to_string(), format!("tid {} died", dead.pid()));
}

#[test]
fn backends() {
    shows(KernelRobust::NEW, "KernelRobust { .. }");
    shows(PosixSem::NEW, "PosixSem { sleepers: None }");
}
