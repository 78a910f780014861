//! Once and OnceCell: initialised once, although initialisers die.

mod support;

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use shmsync::wait::Wait;
use shmsync::{Once, PoisonCause};
use support::once::*;
use support::*;

every_backend!(
    a_killed_initialiser_is_taken_over,
    a_thread_that_ended_within_is_taken_over,
    those_who_wait_take_over_from_the_killed,
    a_chain_of_killed_initialisers,
    killed_at_any_moment,
);

/// A child that is killed in the middle of its initialisation.
fn die_within<W: Wait>(once: &Once<W>) -> Child {
    let inside = Shm::new(Tally::new());
    let mut child = fork(|| {
        once.call_once(|| {
            inside.up();
            until_killed();
        });
    });
    inside.reaches(1);
    child.kill();
    child
}

fn a_killed_initialiser_is_taken_over<W: Wait>() {
    for reap in [false, true] {
        let once = Shm::new(Once::<W>::new_in());
        let mut zombie = Some(die_within(&once));
        let tid = zombie.as_ref().unwrap().pid();
        if reap {
            zombie = None;
        }
        assert!(!once.is_completed());
        let mut cause = None;
        once.call_once_with(|failed| cause = failed);
        assert!(matches!(cause, Some(PoisonCause::Died(owner)) if owner.tid() == tid), "{cause:?}");
        assert!(once.is_completed());
        drop(zombie);
    }
    let (cell, inside) = (empty::<u64, W>(), Shm::new(Tally::new()));
    let mut child = fork(|| {
        cell.get_or_init(|| {
            inside.up();
            until_killed()
        });
    });
    inside.reaches(1);
    child.kill();
    assert_eq!(cell.get(), None);
    assert_eq!(cell.set(11), Ok(()));
    assert_eq!(cell.get(), Some(&11));
}

fn a_thread_that_ended_within_is_taken_over<W: Wait>() {
    let (once, inside) = (Shm::new(Once::<W>::new_in()), Shm::new(Tally::new()));
    let child = fork(|| {
        thread::scope(|scope| {
            scope.spawn(|| {
                once.call_once(|| {
                    inside.up();
                    // SAFETY: ends this thread, without its destructors, and nothing of the scope is used any more.
                    unsafe { libc::syscall(libc::SYS_exit, 0) };
                });
            });
            until_killed();
        });
    });
    inside.reaches(1);
    let mut cause = None;
    once.call_once_with(|failed| cause = failed);
    assert!(matches!(cause, Some(PoisonCause::Died(owner)) if owner.tid() != child.pid()), "{cause:?}");
    assert_ne!(state(child.pid()), 'Z', "its process lives");
}

fn those_who_wait_take_over_from_the_killed<W: Wait>() {
    let mut took = Vec::new();
    for _ in 0..9 {
        let (cell, inside, about) = (empty::<u64, W>(), Shm::new(Tally::new()), Shm::new(Tally::new()));
        let calls = Shm::new(Tally::new());
        let mut first = fork(|| {
            cell.get_or_init(|| {
                inside.up();
                until_killed()
            });
        });
        inside.reaches(1);
        let others = team(4, |_| {
            about.up();
            let value = cell.get_or_init(|| {
                calls.up();
                6
            });
            assert_eq!(value, &6);
        });
        about.reaches(4);
        others.iter().for_each(|other| asleep(other.pid()));
        first.kill();
        let ((), time) = timed(|| join(others));
        assert_eq!(calls.get(), 1);
        took.push(time);
    }
    took.sort_unstable();
    assert!(took[4] < ms(100), "{took:?}");
}

fn a_chain_of_killed_initialisers<W: Wait>() {
    let once = Shm::new(Once::<W>::new_in());
    let mut before = die_within(&once).pid();
    for _ in 0..5 {
        let (told, inside) = (Shm::new(Tally::new()), Shm::new(Tally::new()));
        let mut child = fork(|| {
            once.call_once_with(|failed| {
                if let Some(PoisonCause::Died(owner)) = failed {
                    told.set(owner.tid());
                }
                inside.up();
                until_killed();
            });
        });
        inside.reaches(1);
        assert_eq!(told.get(), before);
        child.kill();
        before = child.pid();
    }
    once.call_once(|| {});
    assert!(once.is_completed());
}

/// Of every cell's initialisers some are killed at whatever moment; one value comes out, and it is a whole one.
fn killed_at_any_moment<W: Wait>() {
    let mut dice = Dice::new();
    for _ in 0..40 {
        let cell = empty::<[AtomicU64; 32], W>();
        let mut team = team(4, |i| {
            let mine = u64::from(i) + 1;
            let value = cell.get_or_init(|| std::array::from_fn(|_| AtomicU64::new(mine)));
            assert!(value.iter().all(|part| part.load(Relaxed) == value[0].load(Relaxed)));
        });
        thread::sleep(Duration::from_micros(dice.below(400)));
        let survivors = team.split_off(2);
        team.iter_mut().for_each(Child::kill);
        join(survivors);
        let value = cell.get().expect("there are survivors");
        assert!((1..=4).contains(&value[0].load(Relaxed)));
        assert!(value.iter().all(|part| part.load(Relaxed) == value[0].load(Relaxed)));
    }
}
