//! Values that nobody shares yet, or nobody any more: their defaults, and the data of those that are had alone.

mod support;

use std::panic::{self, AssertUnwindSafe};

use shmsync::wait::Wait;
use shmsync::{
    Barrier, BoundedSemaphore, Event, Mutex, Once, OnceCell, PermitPool, PoisonCause, ReleaseError, RwLock, Semaphore,
};
use support::*;

every_backend!(defaults_are_fresh, data_is_had_without_locking, torn_data_is_told_of);

fn defaults_are_fresh<W: Wait>() {
    let semaphore = Semaphore::<W>::default();
    assert_eq!(semaphore.value(), 0);
    semaphore.release().unwrap();
    assert_eq!(semaphore.value(), 1);
    assert_eq!(BoundedSemaphore::<W>::default().release(), Err(ReleaseError::Overflow), "none, and no more than none");
    let event = Event::<W>::default();
    assert!(!event.is_set());
    event.set();
    assert!(event.wait_timeout(SOON));
    let barrier = Barrier::<W>::default();
    assert_eq!((barrier.parties(), barrier.n_waiting(), barrier.is_broken()), (1, 0, false));
    assert!(barrier.wait().unwrap().is_leader());
    assert!(Barrier::<W, 2>::default().join().is_some_and(|member| member.wait().unwrap().is_leader()));
    assert_eq!(PermitPool::<3, W>::default().available(), 3);
    let once = Once::<W>::default();
    assert!(!once.is_completed());
    once.call_once(|| {});
    assert!(once.is_completed());
    assert_eq!(OnceCell::<u32, W>::default().get(), None);
    assert_eq!(*Mutex::<[u32; 2], W>::default().lock().unwrap(), [0, 0]);
}

fn data_is_had_without_locking<W: Wait>() {
    let mut mutex = Mutex::<_, W>::new_in(vec![1]);
    mutex.get_mut().unwrap().push(2);
    assert_eq!(mutex.lock().unwrap().len(), 2);
    assert_eq!(mutex.into_inner().unwrap(), [1, 2]);
    let mut rwlock = RwLock::<_, 4, W>::new_in(vec![1]);
    rwlock.get_mut().unwrap().push(2);
    assert_eq!(rwlock.read().unwrap().len(), 2);
    assert_eq!(rwlock.into_inner().unwrap(), [1, 2]);
}

fn torn_data_is_told_of<W: Wait>() {
    let (mut mutex, mut rwlock) = (Mutex::<_, W>::new_in(1), RwLock::<_, 4, W>::new_in(1));
    let torn = panic::catch_unwind(AssertUnwindSafe(|| {
        let (mut one, mut other) = (mutex.lock().unwrap(), rwlock.write().unwrap());
        (*one, *other) = (2, 3);
        panic::resume_unwind(Box::new("half way"));
    }));
    assert!(torn.is_err());
    let error = mutex.get_mut().unwrap_err();
    assert!(matches!(error.cause(), PoisonCause::Panicked(owner) if owner.tid() == gettid()));
    *error.into_inner() += 2;
    assert_eq!(mutex.into_inner().unwrap_err().into_inner(), 4);
    let error = rwlock.get_mut().unwrap_err();
    assert!(matches!(error.cause(), PoisonCause::Panicked(owner) if owner.tid() == gettid()));
    *error.into_inner() += 2;
    assert_eq!(rwlock.into_inner().unwrap_err().into_inner(), 5);
}

#[test]
fn short_forms_are_of_the_platforms_backend() {
    assert_eq!(*Mutex::from(7).lock().unwrap(), 7);
    static ONCE: Once = Once::new();
    static CELL: OnceCell<u32> = OnceCell::new();
    ONCE.call_once(|| CELL.set(7).unwrap());
    ONCE.call_once(|| unreachable!("it was called"));
    assert_eq!(CELL.get(), Some(&7));
}
