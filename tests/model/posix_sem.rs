//! `PosixSem`: its count of sleepers against the word, and the making of its `sem_t`.
//!
//! Edges: sem made -> sem used, sleeper counted <-> word changed.
//!
//! The `sem_t` is modelled: a count under a lock, and loom is told of every access that may not race with the making.

use std::sync::Arc;
use std::time::Duration;

use shmsync::model::atomic::{AtomicU32, Ordering::Relaxed};
use shmsync::model::sites;
use shmsync::wait::{Deadline, PosixSem, Wait, Word};
use shmsync::{AcquireError, Event, Lock, Semaphore};

use crate::support::*;

/// Longer than any `SOON`: it does not end unless somebody dies.
const SLICE: Duration = Duration::from_millis(100);

struct Room {
    lock: Lock<PosixSem>,
    permits: Semaphore<PosixSem>,
    event: Event<PosixSem>,
    guarded: Guarded,
}

fn room() -> Arc<Room> {
    Arc::new(Room {
        lock: Lock::new_in(),
        permits: Semaphore::new_in(0),
        event: Event::new_in(),
        guarded: Guarded::new(),
    })
}

fn visit(room: &Room) {
    room.lock.acquire().unwrap();
    room.guarded.bump();
    room.lock.release().unwrap();
}

/// One waits for the other, which makes the `sem_t`; or neither for the other.
fn one_sleeper() {
    let room = room();
    let waiter = start(&room, |room: &Room| {
        room.event.wait();
        room.guarded.get()
    });
    room.guarded.bump();
    room.event.set();
    assert_eq!(waiter.join().unwrap(), 1);
}

/// Both make it, or one does and the other waits for that.
fn two_sleepers() {
    let room = room();
    let waiters = [(); 2].map(|()| start(&room, |room: &Room| room.event.wait()));
    room.event.set();
    join(waiters);
}

fn two_visitors() {
    let room = room();
    let other = start(&room, visit);
    visit(&room);
    other.join().unwrap();
}

fn three_visitors() {
    let room = room();
    let others = [start(&room, visit), start(&room, visit)];
    visit(&room);
    join(others);
    assert_eq!(room.guarded.get(), 3);
}

/// A word to wait on, and nothing else.
struct Place {
    word: AtomicU32,
    wait: PosixSem,
}

impl Place {
    fn new() -> Arc<Self> {
        Arc::new(Self { word: AtomicU32::new(0), wait: PosixSem::new() })
    }

    fn waits(&self) {
        while self.word.load(Relaxed) == 0 {
            self.wait.wait(Word::whole(&self.word), 0, Deadline::after(SLICE));
        }
    }

    fn wakes_all(&self) {
        self.word.fetch_add(1, Relaxed);
        self.wait.wake(Word::whole(&self.word), u32::MAX);
    }
}

/// Posts are promised by one waker, and sent by the other.
fn two_wakers() {
    let place = Place::new();
    let waiter = start(&place, Place::waits);
    let other = start(&place, Place::wakes_all);
    place.wakes_all();
    waiter.join().unwrap();
    other.join().unwrap();
}

/// One promises a post, and is killed before it is sent.
fn one_of_two_wakers_is_killed() {
    let place = Place::new();
    let waiter = start(&place, Place::waits);
    let killed = start(&place, |place: &Place| mortal(|| place.wakes_all()));
    killed.join().unwrap();
    place.wakes_all();
    waiter.join().unwrap();
}

/// Who leaves without a post takes nobody's, or puts it to use.
fn a_sleeper_gives_up() {
    let room = room();
    let patient = start(&room, |room: &Room| room.permits.acquire().unwrap());
    let hasty = start(&room, |room: &Room| match room.permits.acquire_for(SOON) {
        Ok(()) => room.permits.release().unwrap(),
        Err(error) => assert_eq!(error, AcquireError::TimedOut),
    });
    room.permits.release().unwrap();
    patient.join().unwrap();
    hasty.join().unwrap();
}

fn one_of_two_sleepers_is_killed() {
    let room = room();
    let killed = start(&room, |room: &Room| mortal(|| room.event.wait()));
    let waiter = start(&room, |room: &Room| room.event.wait());
    room.event.set();
    waiter.join().unwrap();
    killed.join().unwrap();
}

fn the_waker_is_killed() {
    let room = room();
    let waiter = start(&room, |room: &Room| room.event.wait());
    let setter = start(&room, |room: &Room| mortal(|| room.event.set()));
    setter.join().unwrap();
    if !room.event.is_set() {
        room.event.set();
    }
    waiter.join().unwrap();
}

#[test]
fn one_sleeper_is_posted() {
    explore(4, one_sleeper);
}

#[test]
fn two_sleepers_are_posted() {
    explore(2, two_sleepers);
}

#[test]
fn wakers_send_each_others_posts() {
    explore(3, two_wakers);
}

#[test]
fn visitors_wake_each_other() {
    explore(4, two_visitors);
    explore(2, three_visitors);
}

#[test]
fn who_gives_up_strands_nobody() {
    explore(1, a_sleeper_gives_up);
}

#[test]
fn every_edge_is_needed() {
    // The Acquire in `make` is not among them: the fence that comes after it is one, too.
    let [in_make, others @ ..] = &sites("wait/posix_sem.rs", "edge:")[..] else { unreachable!() };
    assert!(in_make.to_string().contains("load(Ordering::Acquire)"));
    assert_all_needed(4, others, &[one_sleeper, two_visitors]);
}

#[test]
fn the_killed_strand_nobody() {
    explore_kills(1, one_of_two_sleepers_is_killed);
    explore_kills(2, the_waker_is_killed);
    explore_kills(2, one_of_two_wakers_is_killed);
}
