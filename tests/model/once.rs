//! `Once` and `OnceCell`: one initialisation, seen whole by everybody, whoever dies in the middle of it.
//!
//! Edges: initialised -> used; the wake of the owned word, whose own edges are in `lock`.

use std::sync::Arc;

use shmsync::{Lock, Once, OnceCell, PoisonCause};

use crate::support::*;

struct Room {
    once: Once,
    /// Equal, but in the middle of an initialisation.
    halves: [Guarded; 2],
    /// Something to do in the middle of it, where a thread can be killed.
    pause: Lock,
}

fn room() -> Arc<Room> {
    Arc::new(Room { once: Once::new(), halves: [Guarded::new(), Guarded::new()], pause: Lock::new() })
}

/// Initialises unless that was done. Nobody is told of a failure that was none, nor finds one that he is not told of.
fn call(room: &Room) {
    room.once.call_once_with(|failed| {
        let [left, right] = room.halves.each_ref().map(Guarded::get);
        match failed {
            None => assert_eq!((left, right), (0, 0), "somebody was here before"),
            Some(PoisonCause::Died(_)) => assert!(left - right <= 1),
            Some(other) => panic!("{other:?}"),
        }
        if left == right {
            room.halves[0].bump();
        }
        let _ = room.pause.is_locked();
        room.halves[1].bump();
    });
    let [left, right] = room.halves.each_ref().map(Guarded::get);
    assert_eq!(left, right, "torn, after it was completed");
    assert!(left > 0, "not initialised");
}

fn two_callers() {
    let room = room();
    let other = start(&room, call);
    call(&room);
    other.join().unwrap();
    assert_eq!(room.halves[1].get(), 1);
}

fn three_callers() {
    let room = room();
    let others = [start(&room, call), start(&room, call)];
    call(&room);
    join(others);
    assert_eq!(room.halves[1].get(), 1);
}

fn somebody_who_only_looks() {
    let room = room();
    let looker = start(&room, |room: &Room| if room.once.is_completed() { room.halves[1].get() } else { 1 });
    call(&room);
    assert_eq!(looker.join().unwrap(), 1);
}

/// A closure that fails leaves the cell to the next, and a value is never seen before it is there. Loom knows when the
/// cell that is the value was made, and fails a look at it that is not ordered after that.
fn one_of_two_fails() {
    struct Cell {
        cell: OnceCell<Guarded>,
        inside: Guarded,
    }
    fn look(cell: &Cell) -> u32 {
        let made = cell.cell.get_or_init(|| {
            cell.inside.bump();
            Guarded::new()
        });
        made.get()
    }
    let cell = Arc::new(Cell { cell: OnceCell::new(), inside: Guarded::new() });
    let others = [
        start(&cell, look),
        start(&cell, |cell: &Cell| {
            let found = cell.cell.get_or_try_init(|| {
                cell.inside.bump();
                Err(())
            });
            found.map_or(0, Guarded::get)
        }),
    ];
    look(&cell);
    assert_eq!(join(others), [0, 0]);
}

fn one_of_two_callers_is_killed() {
    let room = room();
    let killed = start(&room, |room: &Room| mortal(|| call(room)));
    call(&room);
    killed.join().unwrap();
}

fn one_of_three_callers_is_killed() {
    let room = room();
    let killed = start(&room, |room: &Room| mortal(|| call(room)));
    let other = start(&room, call);
    call(&room);
    other.join().unwrap();
    killed.join().unwrap();
    assert!(room.halves[1].get() <= 2, "initialised again without a death");
}

#[test]
fn one_of_two_initialises_for_both() {
    explore(4, two_callers);
}

#[test]
fn one_of_three_initialises_for_all() {
    explore(2, three_callers);
}

#[test]
fn who_sees_it_completed_sees_what_was_initialised() {
    explore(6, somebody_who_only_looks);
}

#[test]
fn a_failure_leaves_it_to_the_next() {
    explore(2, one_of_two_fails);
}

#[test]
fn every_edge_is_needed() {
    assert_needed("sync/once.rs", "edge: initialised -> used (Acquire end)", &[somebody_who_only_looks]);
    assert_needed("sync/once.rs", "edge: initialised -> used (Release end)", &[somebody_who_only_looks]);
    // What the initialiser that failed wrote is seen by the next.
    assert_needed("sync/owned.rs", "edge: release -> acquire (Acquire end): what", &[one_of_two_fails]);
    assert_needed("sync/owned.rs", "edge: release -> acquire (Release end): what this", &[one_of_two_fails]);
}

#[test]
fn the_wake_is_needed() {
    assert_needed("sync/owned.rs", "(Word::low_half(&self.word), 1)", &[two_callers]);
}

#[test]
fn the_killed_are_taken_over_from() {
    explore_kills(3, one_of_two_callers_is_killed);
    explore_kills(1, one_of_three_callers_is_killed);
}
