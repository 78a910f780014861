//! `PermitPool`: each permit has one holder, no sleeper is forgotten, and what a dead one held comes back.

use std::sync::Arc;

use shmsync::{AcquireError, PermitPool};

use crate::support::*;

struct Room<const N: usize> {
    pool: PermitPool<N>,
    guarded: [Guarded; N],
}

fn room<const N: usize>() -> Arc<Room<N>> {
    Arc::new(Room { pool: PermitPool::new_in(), guarded: std::array::from_fn(|_| Guarded::new()) })
}

fn visit<const N: usize>(room: &Room<N>) {
    let permit = room.pool.acquire().unwrap();
    room.guarded[permit.index()].bump();
}

fn visits<const N: usize>(room: &Room<N>) -> u32 {
    assert_eq!(room.pool.available(), N);
    room.guarded.iter().map(Guarded::get).sum()
}

fn two_visitors() {
    let room = room::<1>();
    let other = start(&room, visit);
    visit(&room);
    other.join().unwrap();
    assert_eq!(visits(&room), 2);
}

/// The second time by the fast path: each goes for the slot that it had.
fn two_visitors_twice() {
    let room = room::<1>();
    let visit_twice = |room: &Room<1>| {
        visit(room);
        visit(room);
    };
    let other = start(&room, visit_twice);
    visit_twice(&room);
    other.join().unwrap();
    assert_eq!(visits(&room), 4);
}

fn three_visitors() {
    let room = room::<1>();
    let others = [start(&room, visit), start(&room, visit)];
    visit(&room);
    join(others);
    assert_eq!(visits(&room), 3);
}

fn three_visitors_for_two_places() {
    let room = room::<2>();
    let others = [start(&room, visit), start(&room, visit)];
    visit(&room);
    join(others);
    assert_eq!(visits(&room), 3);
}

/// The argument at the top of `turn.rs`: who falls asleep between a vain wake and the clear must not be forgotten.
fn a_sleeper_comes_between_wake_and_clear() {
    let room = room::<1>();
    let held = room.pool.acquire().unwrap();
    // Somebody announced itself long ago.
    assert_eq!(room.pool.acquire_for(SOON).unwrap_err(), AcquireError::TimedOut);
    let others = [start(&room, visit), start(&room, visit)];
    drop(held);
    join(others);
    assert_eq!(visits(&room), 2);
}

/// Who gives up takes no permit and no other's wake-up with it.
fn a_sleeper_gives_up() {
    let room = room::<1>();
    let held = room.pool.acquire().unwrap();
    let patient = start(&room, visit);
    let hasty = start(&room, |room: &Room<1>| match room.pool.acquire_for(SOON) {
        Ok(permit) => drop(permit),
        Err(error) => assert_eq!(error, AcquireError::TimedOut),
    });
    drop(held);
    patient.join().unwrap();
    hasty.join().unwrap();
    assert_eq!(visits(&room), 1);
}

/// Who gives up looks once more, and may take what was freed by then.
fn a_last_look() {
    let room = room::<1>();
    let other = start(&room, visit);
    if let Ok(permit) = room.pool.acquire_for(std::time::Duration::ZERO) {
        room.guarded[permit.index()].bump();
    }
    other.join().unwrap();
}

/// Wherever it is killed, the other gets the permit, and nobody else has it.
fn a_visitor_is_killed() {
    let room = room::<1>();
    let other = start(&room, |room| mortal(|| visit(room)));
    visit(&room);
    other.join().unwrap();
    visit(&room);
    assert!((2..=3).contains(&visits(&room)));
}

/// One releases, one sleeps, and one that may do either is killed.
fn one_of_three_visitors_is_killed() {
    let room = room::<1>();
    let others = [start(&room, |room| mortal(|| visit(room))), start(&room, |room| Some(visit(room)))];
    visit(&room);
    join(others);
    drop(room.pool.acquire().unwrap());
    assert!((2..=3).contains(&visits(&room)));
}

/// Who takes over from the dead, and nothing else, beside one who acquires: one of them gets what a dead one held.
fn a_cleaner_comes_beside_a_visitor() {
    let room = room::<1>();
    let dying = start(&room, |room| mortal(|| visit(room)));
    let cleaner = start(&room, |room| {
        if let Ok(permit) = room.pool.recover() {
            room.guarded[permit.index()].bump();
        }
        Some(())
    });
    visit(&room);
    join([dying, cleaner]);
    visit(&room);
    assert!((2..=4).contains(&visits(&room)));
}

#[test]
fn two_exclude_each_other_and_wake_each_other() {
    explore(4, two_visitors);
    explore(3, two_visitors_twice);
}

#[test]
fn three_exclude_each_other_and_wake_each_other() {
    explore(2, three_visitors);
}

#[test]
fn three_share_two_permits() {
    explore(2, three_visitors_for_two_places);
}

#[test]
fn a_late_clear_forgets_nobody() {
    explore(2, a_sleeper_comes_between_wake_and_clear);
}

#[test]
fn who_gives_up_strands_nobody() {
    explore(4, a_last_look);
    explore(2, a_sleeper_gives_up);
}

#[test]
fn every_wake_is_needed() {
    assert_needed("sync/permits.rs", "wait.wake(", &[two_visitors]);
}

#[test]
fn the_edges_are_needed() {
    assert_needed("sync/permits.rs", "edge: release -> acquire", &[two_visitors, two_visitors_twice]);
    assert_needed("sync/permits/turn.rs", "fence(Ordering::SeqCst)", &[two_visitors]);
    assert_needed("sync/permits/sweep.rs", "edge: release -> acquire", &[a_last_look]);
}

#[test]
fn a_killed_visitor_takes_nothing_from_the_other() {
    explore_kills(2, a_visitor_is_killed);
}

#[test]
fn a_killed_visitor_takes_nothing_from_two_others() {
    explore_kills(1, one_of_three_visitors_is_killed);
}

#[test]
fn a_cleaner_takes_nothing_from_anybody() {
    explore_kills(1, a_cleaner_comes_beside_a_visitor);
}
