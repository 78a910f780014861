//! BoundedSemaphore: a semaphore that knows how many tokens there are. (The shared verbs: acquire.rs.)

mod support;

use shmsync::wait::Wait;
use shmsync::{AcquireError, BoundedSemaphore, ReleaseError, SEM_VALUE_MAX};
use support::*;

every_backend!(
    counts_up_to_its_first_value,
    overflow_changes_nothing,
    the_largest,
    releasers_never_pass_the_bound,
    a_pool_never_gives_out_more_than_it_has,
    debug_does_not_block,
    killed_waiters_swallow_nothing,
);

fn shared<W: Wait>(value: u32) -> Shm<BoundedSemaphore<W>> {
    Shm::new(BoundedSemaphore::new_in(value))
}

fn counts_up_to_its_first_value<W: Wait>() {
    let sem = BoundedSemaphore::<W>::new_in(2);
    assert_eq!(sem.value(), 2);
    assert_eq!(sem.release(), Err(ReleaseError::Overflow));
    assert_eq!((sem.acquire(), sem.acquire()), (Ok(()), Ok(())));
    assert_eq!(sem.try_acquire(), Err(AcquireError::WouldBlock));
    assert_eq!((sem.release(), sem.release()), (Ok(()), Ok(())));
    assert_eq!(sem.release(), Err(ReleaseError::Overflow));
    assert_eq!(sem.value(), 2);
}

fn overflow_changes_nothing<W: Wait>() {
    let sem = BoundedSemaphore::<W>::new_in(5);
    sem.acquire().unwrap();
    sem.acquire().unwrap();
    for n in [3, 4, SEM_VALUE_MAX, SEM_VALUE_MAX + 1, u32::MAX - 2, u32::MAX] {
        assert_eq!(sem.release_many(n), Err(ReleaseError::Overflow));
        assert_eq!(sem.value(), 3);
    }
    assert_eq!(sem.release_many(0), Ok(()));
    assert_eq!(sem.value(), 3);
    assert_eq!(sem.release_many(2), Ok(()));
    assert_eq!(sem.value(), 5);
    assert_eq!(sem.release_many(0), Ok(()), "none is never too many");
}

fn the_largest<W: Wait>() {
    let sem = BoundedSemaphore::<W>::new_in(SEM_VALUE_MAX);
    assert_eq!(sem.release(), Err(ReleaseError::Overflow));
    sem.acquire().unwrap();
    assert_eq!(sem.release_many(2), Err(ReleaseError::Overflow));
    assert_eq!(sem.release(), Ok(()));
    assert_eq!(sem.value(), SEM_VALUE_MAX);
}

fn releasers_never_pass_the_bound<W: Wait>() {
    let (sem, released) = (shared::<W>(50), Shm::new(Tally::new()));
    for _ in 0..50 {
        sem.acquire().unwrap();
    }
    join(team(4, |_| {
        for _ in 0..30 {
            match sem.release() {
                Ok(()) => _ = released.up(),
                other => assert_eq!(other, Err(ReleaseError::Overflow)),
            }
        }
    }));
    assert_eq!((released.get(), sem.value()), (50, 50));
}

fn a_pool_never_gives_out_more_than_it_has<W: Wait>() {
    const TOKENS: u32 = 2;
    let (sem, inside) = (shared::<W>(TOKENS), Shm::new(Tally::new()));
    join(team(5, |_| {
        for round in 0..1_500 {
            sem.acquire().unwrap();
            assert!(inside.up() <= TOKENS);
            if round % 32 == 0 {
                std::thread::yield_now(); // On a busy machine that may take milliseconds.
            }
            inside.down();
            assert_eq!(sem.release(), Ok(()), "who took one can give it back");
        }
    }));
    assert_eq!((sem.value(), sem.release()), (TOKENS, Err(ReleaseError::Overflow)));
}

fn debug_does_not_block<W: Wait>() {
    let sem = BoundedSemaphore::<W>::new_in(4711);
    sem.acquire().unwrap();
    let text = format!("{sem:?}");
    assert!(text.contains("4710") && text.contains("4711"), "{text}");
}

fn killed_waiters_swallow_nothing<W: Wait>() {
    let (sem, about) = (shared::<W>(1), Shm::new(Tally::new()));
    sem.acquire().unwrap();
    let mut waiters = team(4, |_| {
        about.up();
        sem.acquire().unwrap();
        sem.release().unwrap();
    });
    about.reaches(4);
    waiters.iter().for_each(|waiter| asleep(waiter.pid()));
    waiters[..2].iter_mut().for_each(Child::kill);
    sem.release().unwrap();
    join(waiters.drain(2..));
    assert_eq!(sem.value(), 1);
}
