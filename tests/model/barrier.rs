//! `Barrier`: nobody goes on before all have come, and when one gives up, all do.
//!
//! Edges: arrive -> depart, depart -> arrive of the next round; the wake of a round's end.

use std::sync::Arc;

use shmsync::{Barrier, BarrierError, BarrierWaitResult};

use crate::support::*;

struct Room {
    barrier: Barrier,
    /// Written by one party in each round, read by the others in the next.
    guarded: Guarded,
}

fn room(parties: u32) -> Arc<Room> {
    Arc::new(Room { barrier: Barrier::new(parties), guarded: Guarded::new() })
}

type Outcome = Result<BarrierWaitResult, BarrierError>;

fn wait_soon(room: &Room) -> Outcome {
    room.barrier.wait_timeout(SOON)
}

/// One writes, all meet, the other reads, all meet, one writes.
fn two_parties_two_rounds() {
    let room = room(2);
    let reader = start(&room, |room: &Room| {
        let first = room.barrier.wait().unwrap();
        assert_eq!(room.guarded.get(), 1);
        room.barrier.wait().unwrap();
        first
    });
    room.guarded.bump();
    let first = room.barrier.wait().unwrap();
    room.barrier.wait().unwrap();
    room.guarded.bump();
    let other = reader.join().unwrap();
    assert_ne!(first.is_leader(), other.is_leader());
    assert_eq!(first.index() + other.index(), 1);
}

fn three_parties() {
    let room = room(3);
    let others = [(); 2].map(|()| {
        start(&room, |room: &Room| {
            let met = room.barrier.wait().unwrap();
            assert_eq!(room.guarded.get(), 1);
            met
        })
    });
    room.guarded.bump();
    let here = room.barrier.wait().unwrap();
    let [a, b] = join(others);
    let mut indices = [here, a, b].map(|met| met.index());
    indices.sort_unstable();
    assert_eq!(indices, [0, 1, 2]);
    assert_eq!([here, a, b].iter().filter(|met| met.is_leader()).count(), 1);
}

/// The leader's action comes after all arrivals and before all departures.
fn with_an_action() {
    fn meet(room: &Room) -> Outcome {
        let met = room.barrier.wait_with(|| assert_eq!(room.guarded.bump(), 1));
        assert_eq!(room.guarded.get(), 2);
        met
    }
    let room = room(2);
    let other = start(&room, meet);
    // Before the barrier the other does not touch it.
    room.guarded.bump();
    let here = meet(&room).unwrap();
    assert_ne!(here.is_leader(), other.join().unwrap().unwrap().is_leader());
}

/// Who arrives while the action runs waits for its end, and is in the next round: of a barrier for one, the actions
/// exclude each other.
fn an_arrival_during_the_action() {
    fn meet(room: &Room) {
        let met = room.barrier.wait_with(|| {
            room.guarded.bump();
        });
        assert!(met.unwrap().is_leader());
    }
    let room = room(1);
    let others = [start(&room, meet), start(&room, meet)];
    meet(&room);
    join(others);
    assert_eq!(room.guarded.get(), 3);
}

/// Either both pass, or the hasty one times out and the patient one learns of it.
fn one_gives_up() {
    let room = room(2);
    let hasty = start(&room, wait_soon);
    let patient = room.barrier.wait();
    match hasty.join().unwrap() {
        Ok(met) => assert_ne!(met.is_leader(), patient.unwrap().is_leader()),
        Err(BarrierError::TimedOut) => assert_eq!(patient, Err(BarrierError::Broken)),
        Err(BarrierError::Broken) => panic!("nobody else gives up"),
    }
}

/// Both give up: the first breaks it, the other finds it broken.
fn two_give_up() {
    let room = room(3);
    let other = start(&room, wait_soon);
    let mut errors = [wait_soon(&room).unwrap_err(), other.join().unwrap().unwrap_err()];
    errors.sort_by_key(|error| *error == BarrierError::Broken);
    assert_eq!(errors, [BarrierError::TimedOut, BarrierError::Broken]);
    assert!(room.barrier.is_broken());
}

/// A reset breaks the round of who waits, or comes before it; then it is the hasty one that ends the wait.
fn a_reset() {
    let room = room(2);
    let waiter = start(&room, wait_soon);
    room.guarded.bump();
    room.barrier.reset();
    let error = waiter.join().unwrap().unwrap_err();
    assert!(error == BarrierError::TimedOut || !room.barrier.is_broken());
    room.barrier.reset();
    assert!(!room.barrier.is_broken());
}

/// Who finds the barrier broken knows what its breaker did before; who arrives after a reset, what the resetter did.
fn breaking_publishes() {
    let room = room(1);
    let breaker = start(&room, |room: &Room| {
        room.guarded.bump();
        room.barrier.abort();
    });
    if room.barrier.wait() == Err(BarrierError::Broken) {
        assert_eq!(room.guarded.get(), 1);
    }
    breaker.join().unwrap();
}

fn resetting_publishes() {
    let room = room(1);
    room.barrier.abort();
    let resetter = start(&room, |room: &Room| {
        room.guarded.bump();
        room.barrier.reset();
    });
    if room.barrier.wait().is_ok() {
        assert_eq!(room.guarded.get(), 1);
    }
    resetter.join().unwrap();
}

/// The barrier breaks under a waiter; who waits sees what the breaker did.
fn breaking_publishes_to_a_waiter() {
    let room = room(2);
    let breaker = start(&room, |room: &Room| {
        room.guarded.bump();
        room.barrier.abort();
    });
    assert_eq!(room.barrier.wait(), Err(BarrierError::Broken));
    assert_eq!(room.guarded.get(), 1);
    breaker.join().unwrap();
}

fn a_party_is_killed() {
    let room = room(2);
    let killed = start(&room, |room: &Room| mortal(|| room.barrier.wait_with(|| ())));
    // Passed if the other arrived before it died; else its time runs out, be it as the last to come.
    let outcome = wait_soon(&room);
    assert_ne!(outcome, Err(BarrierError::Broken));
    let other = killed.join().unwrap();
    if other.is_some_and(|other| other.is_ok()) {
        assert!(outcome.is_ok());
    }
}

#[test]
fn two_meet_twice() {
    explore(2, two_parties_two_rounds);
}

#[test]
fn three_meet() {
    explore(2, three_parties);
}

#[test]
fn an_action_is_between_arrival_and_departure() {
    explore(4, with_an_action);
    explore(2, an_arrival_during_the_action);
}

#[test]
fn who_gives_up_breaks_it_for_all() {
    explore(4, one_gives_up);
    explore(3, two_give_up);
}

#[test]
fn a_reset_breaks_the_round_and_mends_the_barrier() {
    explore(4, a_reset);
}

#[test]
fn every_edge_is_needed() {
    let models = [
        two_parties_two_rounds,
        with_an_action,
        breaking_publishes,
        resetting_publishes,
        breaking_publishes_to_a_waiter,
        one_gives_up,
    ];
    assert_needed("sync/barrier.rs", "edge:", &models);
}

#[test]
fn every_wake_is_needed() {
    assert_needed("sync/barrier.rs", "wait.wake(", &[two_parties_two_rounds]);
}

#[test]
fn the_killed_strand_nobody() {
    explore_kills(2, a_party_is_killed);
}
