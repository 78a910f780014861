//! `Semaphore` and `BoundedSemaphore`: permits are conserved, and no sleeper is forgotten.
//!
//! Edges: release -> acquire; the wake after the clear of `WAITERS`.

use std::sync::Arc;

use loom::thread;
use shmsync::{AcquireError, BoundedSemaphore, ReleaseError, Semaphore};

use crate::support::*;

struct Room {
    permits: Semaphore,
    guarded: Guarded,
}

fn room(permits: u32) -> Arc<Room> {
    Arc::new(Room { permits: Semaphore::new(permits), guarded: Guarded::new() })
}

/// One permit is a lock.
fn visit(room: &Room) {
    room.permits.acquire().unwrap();
    room.guarded.bump();
    room.permits.release().unwrap();
}

/// The same by the general release, which is a loop and not an addition.
fn visit_at_length(room: &Room) {
    room.permits.acquire().unwrap();
    room.guarded.bump();
    room.permits.release_many(1).unwrap();
}

fn acquire(room: &Room) {
    room.permits.acquire().unwrap();
}

fn release(room: &Room) {
    room.permits.release().unwrap();
}

fn two_visitors() {
    let room = room(1);
    let other = start(&room, visit_at_length);
    visit(&room);
    other.join().unwrap();
    assert_eq!((room.guarded.get(), room.permits.value()), (2, 1));
}

fn three_visitors() {
    let room = room(1);
    let others = [start(&room, visit), start(&room, visit_at_length)];
    visit(&room);
    join(others);
    assert_eq!((room.guarded.get(), room.permits.value()), (3, 1));
}

fn two_sleepers_and_one_release_of_two() {
    let room = room(0);
    let others = [start(&room, acquire), start(&room, acquire)];
    room.permits.release_many(2).unwrap();
    join(others);
    assert_eq!(room.permits.value(), 0);
}

/// The argument at the top of `semaphore/state.rs`: a late clear of `WAITERS` forgets no sleeper that came before it.
fn sleepers_releasers_and_a_thief<const SLEEPERS: usize>() {
    let room = room(0);
    // Somebody announced itself long ago.
    assert_eq!(room.permits.acquire_for(SOON), Err(AcquireError::TimedOut));
    let releaser = start(&room, release);
    let stolen = room.permits.try_acquire().is_ok();
    let sleepers = [(); SLEEPERS].map(|()| start(&room, acquire));
    thread::yield_now();
    for _ in 1..SLEEPERS {
        release(&room);
    }
    releaser.join().unwrap();
    if stolen {
        release(&room);
    }
    join(sleepers);
    assert_eq!(room.permits.value(), 0);
}

/// Who was called and found nothing sleeps again, and is called again.
fn a_sleeper_and_a_thief() {
    let room = room(0);
    let sleeper = start(&room, acquire);
    release(&room);
    if room.permits.try_acquire().is_ok() {
        release(&room);
    }
    sleeper.join().unwrap();
    assert_eq!(room.permits.value(), 0);
}

fn two_sleepers_and_two_releases() {
    let room = room(0);
    let others = [start(&room, acquire), start(&room, acquire)];
    release(&room);
    release(&room);
    join(others);
    assert_eq!(room.permits.value(), 0);
}

/// Who gives up takes no permit and no other's wake-up with it.
fn a_sleeper_gives_up() {
    let room = room(0);
    let patient = start(&room, acquire);
    let hasty = start(&room, |room| match room.permits.acquire_for(SOON) {
        Ok(()) => room.permits.release().unwrap(),
        Err(error) => assert_eq!(error, AcquireError::TimedOut),
    });
    release(&room);
    patient.join().unwrap();
    hasty.join().unwrap();
    assert_eq!(room.permits.value(), 0);
}

fn one_permit_is_given_back_twice() {
    let permits = Arc::new(BoundedSemaphore::new(1));
    permits.acquire().unwrap();
    let other = start(&permits, |permits: &BoundedSemaphore| permits.release());
    let mut results = [permits.release(), other.join().unwrap()];
    results.sort_by_key(Result::is_err);
    assert_eq!(results, [Ok(()), Err(ReleaseError::Overflow)]);
    assert_eq!(permits.value(), 1);
}

/// Somebody is killed, and what it took is gone; but what was meant for others reaches them.
fn one_of_two_sleepers_is_killed() {
    let room = room(0);
    let others = [start(&room, |room| _ = mortal(|| acquire(room))), start(&room, acquire)];
    release(&room);
    release(&room);
    join(others);
}

fn one_of_two_releasers_is_killed() {
    let room = room(0);
    let sleeper = start(&room, acquire);
    let releaser = start(&room, |room| mortal(|| release(room)));
    room.permits.release_many(1).unwrap();
    sleeper.join().unwrap();
    releaser.join().unwrap();
}

#[test]
fn two_exclude_each_other_and_wake_each_other() {
    explore(4, two_visitors);
}

#[test]
fn three_exclude_each_other_and_wake_each_other() {
    explore(2, three_visitors);
}

#[test]
fn a_release_of_two_wakes_both() {
    explore(2, two_sleepers_and_one_release_of_two);
}

#[test]
fn a_late_clear_forgets_nobody() {
    explore(3, sleepers_releasers_and_a_thief::<1>);
    explore(1, sleepers_releasers_and_a_thief::<2>);
}

#[test]
fn who_gives_up_strands_nobody() {
    explore(2, a_sleeper_gives_up);
}

#[test]
fn the_bound_holds() {
    explore(6, one_permit_is_given_back_twice);
}

#[test]
fn every_edge_is_needed() {
    assert_needed("sync/semaphore.rs", "edge:", &[two_visitors, three_visitors]);
}

#[test]
fn the_wake_after_the_clear_is_needed() {
    // Without the first wake the second does its work; what the first does besides is to make the second rare.
    let second = "u32::MAX); // see `state`";
    assert_needed("sync/semaphore.rs", second, &[sleepers_releasers_and_a_thief::<1>]);
}

#[test]
fn a_permit_that_is_stolen_does_not_use_a_call_up() {
    explore(5, a_sleeper_and_a_thief);
    explore(2, two_sleepers_and_two_releases);
}

/// Wherever somebody is to be counted as on the way no more, one who stays so costs another its wake.
#[test]
fn calls_must_be_taken_back() {
    const CALLED: u64 = 0x7f << 33;
    let still_called =
        |old: u64, new: u64| Some(if new & CALLED < old & CALLED { new & !CALLED | old & CALLED } else { new });
    let places: [(_, Model); 3] = [
        ("taken.0, Ordering::Acquire", two_sleepers_and_two_releases),
        ("announced.0, Ordering::Relaxed", a_sleeper_and_a_thief),
        ("change(seen).0, Ordering::Relaxed", sleepers_releasers_and_a_thief::<1>),
    ];
    for (text, model) in places {
        assert_caught("sync/semaphore.rs", text, still_called, model);
    }
}

#[test]
fn a_killed_sleeper_takes_nothing_from_others() {
    explore_kills(1, one_of_two_sleepers_is_killed);
}

#[test]
fn a_killed_releaser_takes_nothing_from_others() {
    explore_kills(2, one_of_two_releasers_is_killed);
}
