//! `Lock`, and with it the owned word of `RLock` and `Mutex`.
//!
//! Edges: release -> acquire, the prover's mark -> recover, disown -> acquire; the wake of a release; the hint that who has
//! slept leaves behind.

use std::sync::Arc;

use loom::thread;
use shmsync::{AcquireError, Lock};

use crate::support::*;

struct Room {
    lock: Lock,
    guarded: Guarded,
}

fn room() -> Arc<Room> {
    Arc::new(Room { lock: Lock::new(), guarded: Guarded::new() })
}

fn visit(room: &Room) {
    room.lock.acquire().unwrap();
    room.guarded.bump();
    room.lock.release().unwrap();
}

fn visit_soon(room: &Room) {
    match room.lock.acquire_for(SOON) {
        Ok(()) => {
            room.guarded.bump();
            room.lock.release().unwrap();
        }
        Err(error) => assert_eq!(error, AcquireError::TimedOut),
    }
}

fn two_visitors() {
    let room = room();
    let other = start(&room, visit);
    visit(&room);
    other.join().unwrap();
    assert_eq!(room.guarded.get(), 2);
    assert!(!room.lock.is_locked());
}

fn three_visitors() {
    let room = room();
    let others = [start(&room, visit), start(&room, visit)];
    visit(&room);
    join(others);
    assert_eq!(room.guarded.get(), 3);
}

/// Who gives up has a wake-up on its conscience if it did not leave `WAITERS` behind.
fn a_visitor_gives_up() {
    let room = room();
    room.lock.acquire().unwrap();
    let others = [start(&room, visit_soon), start(&room, visit)];
    room.guarded.bump();
    room.lock.release().unwrap();
    join(others);
    assert!(room.guarded.get() >= 2);
}

/// Somebody released it for another, whose writes the next holder sees although they are not the releaser's.
fn a_visitor_disowns() {
    let room = room();
    let visitor = start(&room, |room: &Room| {
        room.lock.acquire().unwrap();
        room.guarded.bump();
        room.lock.disown();
    });
    let next = start(&room, visit);
    while !format!("{:?}", room.lock).contains("nobody in particular") {
        thread::yield_now();
    }
    room.lock.release().unwrap();
    join([visitor, next]);
}

/// Takes it, be it from a dead holder; whether it was.
fn enter(room: &Room) -> bool {
    loop {
        match room.lock.acquire() {
            Ok(()) => return false,
            Err(AcquireError::OwnerDied(_)) if room.lock.recover().is_ok() => return true,
            Err(AcquireError::OwnerDied(_)) => {}
            Err(other) => panic!("{other}"),
        }
    }
}

/// Whoever is killed, the others get on: one of them takes over, and only if there is something to take over.
fn one_of_three_visitors_is_killed() {
    fn visit_bravely(room: &Room) -> bool {
        let recovered = enter(room);
        room.guarded.bump();
        room.lock.release().unwrap();
        recovered
    }
    let room = room();
    let killed = start(&room, |room: &Room| mortal(|| visit(room)));
    let other = start(&room, visit_bravely);
    let here = visit_bravely(&room);
    let recoveries = u32::from(here) + u32::from(other.join().unwrap());
    let survived = killed.join().unwrap().is_some();
    assert!(recoveries <= u32::from(!survived));
}

/// Who takes over need not be who found out, and sees all the same what the dead holder did.
fn a_death_is_found_out_by_another() {
    let room = room();
    let other = start(&room, |room: &Room| {
        enter(room);
        room.guarded.bump();
        room.lock.release().unwrap();
    });
    let killed = start(&room, |room: &Room| mortal(|| visit(room)));
    killed.join().unwrap();
    if room.lock.try_acquire().is_ok() {
        room.lock.release().unwrap();
    }
    other.join().unwrap();
}

/// Who is killed in the middle of the release of a lock that others sleep on has freed it, or still holds it.
fn a_releaser_is_killed() {
    let room = room();
    let killed = start(&room, |room: &Room| {
        enter(room);
        mortal(|| room.lock.release().unwrap())
    });
    let other = start(&room, |room: &Room| {
        enter(room);
        room.guarded.bump();
        room.lock.release().unwrap();
    });
    enter(&room);
    room.guarded.bump();
    room.lock.release().unwrap();
    other.join().unwrap();
    killed.join().unwrap();
}

#[test]
fn two_exclude_each_other_and_wake_each_other() {
    explore(6, two_visitors);
}

#[test]
fn three_exclude_each_other_and_wake_each_other() {
    explore(3, three_visitors);
}

#[test]
fn who_gives_up_strands_nobody() {
    explore(3, a_visitor_gives_up);
}

#[test]
fn a_disowned_lock_is_handed_on_whole() {
    explore(2, a_visitor_disowns);
}

#[test]
fn every_edge_is_needed() {
    assert_needed("sync/owned.rs", "edge: release -> acquire (Acquire end): what", &[two_visitors]);
    assert_needed("sync/owned.rs", "edge: release -> acquire (Release end): what this", &[two_visitors]);
    let mark = "edge: release -> acquire (Release end): what the prover";
    assert_needed_by_kills("sync/owned.rs", mark, a_death_is_found_out_by_another);
    assert_needed("sync/owned.rs", "Release: a release by somebody else", &[a_visitor_disowns]);
}

#[test]
fn every_wake_is_needed() {
    assert_needed("sync/owned.rs", "(Word::low_half(&self.word), 1)", &[two_visitors]);
}

/// Who has slept takes the lock with `WAITERS` set, because others may sleep still.
#[test]
fn a_sleeper_must_not_take_the_hint_away() {
    const WAITERS: u64 = 1 << 31;
    let without_hint = |seen: u64, mine: u64| Some(if seen == 0 { mine & !WAITERS } else { mine });
    let text = "edge: release -> acquire (Acquire end): what";
    assert_caught("sync/owned.rs", text, without_hint, three_visitors);
}

#[test]
fn the_killed_strand_nobody() {
    explore_kills(2, one_of_three_visitors_is_killed);
    explore_kills(2, a_releaser_is_killed);
    explore_kills(2, a_death_is_found_out_by_another);
}
