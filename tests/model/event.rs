//! `Event`: a set releases everybody who waits, whatever follows it.
//!
//! Edges: set -> wait, set -> clear; the wake of a set; that every set writes (D14), and counts.

use std::sync::Arc;

use loom::sync::atomic::{AtomicU32, Ordering};
use loom::thread;
use shmsync::Event;

use crate::support::*;

struct Room {
    event: Event,
    guarded: Guarded,
    /// Work to do, for protocols that look for it themselves.
    work: AtomicU32,
    /// How many waiters went on.
    released: AtomicU32,
}

fn room() -> Arc<Room> {
    Arc::new(Room {
        event: Event::new(),
        guarded: Guarded::new(),
        work: AtomicU32::new(0),
        released: AtomicU32::new(0),
    })
}

fn wait(room: &Room) -> u32 {
    room.event.wait();
    let seen = room.guarded.get();
    room.released.fetch_add(1, Ordering::Relaxed);
    seen
}

fn publish(room: &Room) {
    room.guarded.bump();
    room.event.set();
}

/// Lets others run until somebody sleeps on the event, or is about to.
fn until_somebody_waits(room: &Room) {
    while !format!("{:?}", room.event).contains("waited_for: true") {
        thread::yield_now();
    }
}

fn one_waiter() {
    let room = room();
    let waiter = start(&room, wait);
    publish(&room);
    assert_eq!(waiter.join().unwrap(), 1);
}

fn two_waiters() {
    let room = room();
    let waiters = [start(&room, wait), start(&room, wait)];
    publish(&room);
    assert_eq!(join(waiters), [1, 1]);
}

fn somebody_who_only_looks() {
    let room = room();
    let looker = start(&room, |room: &Room| if room.event.is_set() { room.guarded.get() } else { 1 });
    publish(&room);
    assert_eq!(looker.join().unwrap(), 1);
}

/// Nobody who waits at the time of a set misses it, even if it is taken back before they look.
fn set_and_cleared_at_once() {
    let room = room();
    let waiter = start(&room, wait);
    until_somebody_waits(&room);
    publish(&room);
    room.event.clear();
    assert_eq!(waiter.join().unwrap(), 1);
}

fn set_and_cleared_at_once_with_two_waiters() {
    let room = room();
    let waiters = [start(&room, wait), start(&room, wait)];
    until_somebody_waits(&room);
    publish(&room);
    room.event.clear();
    while room.released.load(Ordering::Relaxed) == 0 {
        thread::yield_now();
    }
    room.event.set(); // for one that came too late for the first
    join(waiters);
}

/// Who waits, clears and then looks for work finds all that was announced before its clear (D14).
fn wait_then_clear() {
    let room = room();
    let worker = start(&room, |room: &Room| {
        let mut done = 0;
        while done < 2 {
            room.event.wait();
            room.event.clear();
            done = room.work.load(Ordering::Relaxed);
        }
    });
    for done in 1..=2 {
        room.work.store(done, Ordering::Relaxed);
        room.event.set();
    }
    worker.join().unwrap();
}

/// True means that the event was set, with all that came before.
fn a_waiter_gives_up() {
    let room = room();
    let patient = start(&room, wait);
    let hasty = start(&room, |room: &Room| if room.event.wait_timeout(SOON) { room.guarded.get() } else { 1 });
    publish(&room);
    assert_eq!([patient.join().unwrap(), hasty.join().unwrap()], [1, 1]);
}

fn a_waiter_gives_up_on_a_set_that_is_taken_back() {
    let room = room();
    let hasty = start(&room, |room: &Room| if room.event.wait_timeout(SOON) { room.guarded.get() } else { 1 });
    publish(&room);
    room.event.clear();
    assert_eq!(hasty.join().unwrap(), 1);
}

fn one_of_two_setters_is_killed() {
    let room = room();
    let waiter = start(&room, |room: &Room| room.event.wait());
    let setter = start(&room, |room: &Room| mortal(|| room.event.set()));
    room.event.set();
    waiter.join().unwrap();
    setter.join().unwrap();
}

/// The only setter may die once it has set: what is set is set, and everybody learns of it.
fn the_setter_is_killed() {
    let room = room();
    let waiter = start(&room, |room: &Room| room.event.wait());
    let setter = start(&room, |room: &Room| mortal(|| room.event.set()));
    setter.join().unwrap();
    if !room.event.is_set() {
        room.event.set();
    }
    waiter.join().unwrap();
}

fn one_of_two_waiters_is_killed() {
    let room = room();
    let killed = start(&room, |room: &Room| mortal(|| room.event.wait()));
    let waiter = start(&room, |room: &Room| room.event.wait());
    room.event.set();
    room.event.clear();
    room.event.set();
    killed.join().unwrap();
    waiter.join().unwrap();
}

#[test]
fn a_set_wakes_one_and_publishes() {
    explore(6, one_waiter);
}

#[test]
fn a_set_wakes_two_and_publishes() {
    explore(2, two_waiters);
}

#[test]
fn who_sees_it_set_sees_what_came_before() {
    explore(6, somebody_who_only_looks);
}

#[test]
fn a_set_that_is_cleared_releases_who_waits() {
    explore(4, set_and_cleared_at_once);
    explore(1, set_and_cleared_at_once_with_two_waiters);
}

#[test]
fn a_worker_that_waits_then_clears_misses_no_set() {
    explore(4, wait_then_clear);
}

#[test]
fn who_gives_up_strands_nobody() {
    explore(2, a_waiter_gives_up);
    explore(6, a_waiter_gives_up_on_a_set_that_is_taken_back);
}

#[test]
fn every_edge_is_needed() {
    let models = [one_waiter, somebody_who_only_looks, set_and_cleared_at_once, wait_then_clear, a_waiter_gives_up];
    assert_needed("sync/event.rs", "edge:", &models);
}

#[test]
fn every_wake_is_needed() {
    assert_needed("sync/event.rs", "wait.wake(", &[one_waiter]);
}

#[test]
fn a_set_must_always_write() {
    let only_if_clear = |old: u64, new: u64| (old & 1 == 0).then_some(new);
    assert_caught("sync/event.rs", "edge: set -> wait, set -> clear (Release end)", only_if_clear, wait_then_clear);
}

#[test]
fn sets_must_be_counted() {
    let uncounted = |old: u64, new: u64| Some(new & 0x3ff | old & !0x3ff);
    assert_caught("sync/event.rs", "edge: set -> wait, set -> clear (Release end)", uncounted, set_and_cleared_at_once);
}

#[test]
fn the_killed_strand_nobody() {
    explore_kills(2, one_of_two_setters_is_killed);
    explore_kills(3, the_setter_is_killed);
    explore_kills(1, one_of_two_waiters_is_killed);
}
