//! `RwLock`: its slots, its writers' word, and who wakes whom.

use std::sync::Arc;

use shmsync::{RwLock, TryLockError};

use crate::support::*;

type Room<const N: usize> = RwLock<Guarded, N>;

fn room<const N: usize>() -> Arc<Room<N>> {
    Arc::new(RwLock::new_in(Guarded::new()))
}

fn write<const N: usize>(room: &Room<N>) {
    room.write().unwrap().bump();
}

fn read<const N: usize>(room: &Room<N>) -> u32 {
    room.read().unwrap().get()
}

fn write_soon<const N: usize>(room: &Room<N>) {
    match room.try_write_for(SOON) {
        Ok(guard) => _ = guard.bump(),
        Err(error) => assert!(matches!(error, TryLockError::TimedOut)),
    }
}

fn a_reader_and_a_writer() {
    let room = room::<2>();
    let other = start(&room, write);
    assert!(read(&room) <= 1);
    other.join().unwrap();
    assert_eq!(read(&room), 1);
}

fn two_writers() {
    let room = room::<1>();
    let other = start(&room, write);
    write(&room);
    other.join().unwrap();
    assert_eq!(read(&room), 2);
}

fn two_readers_and_a_slot() {
    let room = room::<1>();
    let other = start(&room, read);
    read(&room);
    other.join().unwrap();
    write(&room);
}

fn a_reader_and_two_writers() {
    let room = room::<1>();
    let others = [start(&room, write), start(&room, write)];
    assert!(read(&room) <= 2);
    join(others);
    assert_eq!(read(&room), 2);
}

fn two_readers_and_a_writer() {
    let room = room::<1>();
    let others = [start(&room, read), start(&room, read)];
    write(&room);
    assert!(join(others).iter().all(|&seen| seen <= 1));
}

fn a_writer_gives_up() {
    let room = room::<2>();
    let others = [start(&room, |room| write_soon(room)), start(&room, |room| _ = read(room))];
    read(&room);
    join(others);
    write(&room);
}

#[test]
fn a_reader_and_a_writer_exclude_each_other_and_wake_each_other() {
    explore(3, a_reader_and_a_writer);
}

#[test]
fn two_writers_exclude_each_other() {
    explore(3, two_writers);
}

#[test]
fn two_readers_share_a_slot() {
    explore(3, two_readers_and_a_slot);
}

#[test]
fn a_reader_gets_in_beside_two_writers() {
    explore(2, a_reader_and_two_writers);
}

#[test]
fn a_writer_gets_in_beside_two_readers() {
    explore(1, two_readers_and_a_writer);
}

#[test]
fn who_gives_up_strands_nobody() {
    explore(2, a_writer_gives_up);
}

/// But for the fence of a writer that has waited: without it a reader is inside together with the second of two writers
/// only after three preemptions, which takes long.
#[test]
fn every_edge_and_wake_is_needed() {
    let models = [a_reader_and_a_writer, two_readers_and_a_slot, a_reader_and_two_writers, two_writers];
    for (file, edge) in [
        ("sync/rwlock/gate.rs", "a fence says it again"),
        ("sync/rwlock/slots.rs", "edge: reader left -> drained"),
        ("sync/owned.rs", "edge: write released -> entered"),
        ("sync/owned.rs", "edge: announced -> vacated"),
        ("sync/rwlock/gate/readers.rs", "wait.wake("),
    ] {
        assert_needed(file, edge, &models);
    }
}

fn a_mortal_writer() {
    let room = room::<1>();
    let other = start(&room, |room| _ = mortal(|| room.write().map(|guard| guard.bump()).map_err(drop)));
    let _ = room.read().map(|guard| guard.get()).map_err(drop);
    other.join().unwrap();
    let _ = room.write().map(|guard| guard.bump()).map_err(drop);
}

fn a_mortal_reader() {
    let room = room::<1>();
    let other = start(&room, |room| _ = mortal(|| room.read().map(|guard| guard.get()).map_err(drop)));
    write(&room);
    other.join().unwrap();
    assert_eq!(read(&room), 1);
    write(&room);
}

#[test]
fn a_writer_may_die_anywhere() {
    explore_kills(2, a_mortal_writer);
}

#[test]
fn a_reader_may_die_anywhere() {
    explore_kills(2, a_mortal_reader);
}
