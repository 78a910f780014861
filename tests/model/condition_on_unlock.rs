//! `Condition`, whose sleepers are woken when a guard unlocks: by its drop, by a wait, and by neither if the notifier is
//! killed between.
//!
//! In the room of `condition`, whose `every_wake_is_needed` leaves the wake out.

use std::sync::Arc;

use loom::sync::atomic::Ordering;
use shmsync::{AcquireError, Condition, Mutex};

use crate::condition::{Room, room, wait};
use crate::support::*;

/// A wake that waits for the unlock: the waiter may have slept at the notification, or be falling asleep between that and
/// the unlock.
pub fn one_waiter_for_a_change_on_unlock() {
    let room = room();
    let waiter = start(&room, |room: &Room| {
        let mut guard = room.lock();
        room.changed.wait_while(&mut guard, |()| room.guarded.get() == 0).unwrap();
    });
    let mut guard = room.lock();
    room.guarded.bump();
    room.changed.notify_one_on_unlock(&mut guard);
    drop(guard);
    waiter.join().unwrap();
}

/// The guard does not unlock by its drop but by a wait, which ends only when the other has been woken.
fn change_and_wait_for_the_answer() {
    let room = room();
    let waiter = start(&room, |room: &Room| {
        let mut guard = room.lock();
        room.changed.wait_while(&mut guard, |()| room.guarded.get() == 0).unwrap();
        room.guarded.bump();
        room.changed.notify_all_on_unlock(&mut guard);
    });
    let mut guard = room.lock();
    room.guarded.bump();
    room.changed.notify_all_on_unlock(&mut guard);
    room.changed.wait_while(&mut guard, |()| room.guarded.get() == 1).unwrap();
    drop(guard);
    waiter.join().unwrap();
}

/// The same with a mutex, whose guard is another.
fn change_and_wait_for_the_answer_with_a_mutex() {
    let shared = Arc::new((Mutex::new(0), Condition::new()));
    let waiter = start(&shared, |(data, changed): &(Mutex<u32>, Condition)| {
        let mut guard = data.lock().unwrap();
        changed.wait_while(&mut guard, |data| *data == 0).unwrap();
        *guard += 1;
        changed.notify_one_on_unlock(&mut guard);
    });
    let (data, changed) = &*shared;
    let mut guard = data.lock().unwrap();
    *guard += 1;
    changed.notify_one_on_unlock(&mut guard);
    changed.wait_while(&mut guard, |data| *data == 1).unwrap();
    drop(guard);
    waiter.join().unwrap();
}

/// What a guard owes to two is not forgotten for the second condition, nor for the second notification of one.
fn what_is_owed_adds_up() {
    let room = Arc::new((room(), Condition::new()));
    let waiters = [start(&room, |(room, _)| wait(room)), start(&room, |(room, _)| wait(room))];
    let other = start(&room, |(room, second)| {
        let mut guard = room.lock();
        second.wait_while(&mut guard, |()| room.guarded.get() == 0).unwrap();
    });
    let (first, second) = &*room;
    let mut guard = first.once_waiting(2);
    first.hand_out(2);
    first.guarded.bump();
    first.changed.notify_one_on_unlock(&mut guard);
    first.changed.notify_one_on_unlock(&mut guard);
    second.notify_one_on_unlock(&mut guard);
    drop(guard);
    join(waiters);
    other.join().unwrap();
}

/// Killed between the unlock and the wake, too: whoever was told goes on, though no other notification is for it.
fn a_notifier_on_unlock_is_killed() {
    let room = room();
    let waiter = start(&room, |room: &Room| {
        let mut guard = room.lock();
        room.waiting.fetch_add(1, Ordering::Relaxed);
        while room.tokens.load(Ordering::Relaxed) == 0 {
            match room.changed.wait(&mut guard) {
                Ok(()) => {}
                Err(AcquireError::OwnerDied(_)) => guard = room.lock(),
                Err(other) => panic!("{other}"),
            }
        }
    });
    let notifier = start(&room, |room: &Room| {
        mortal(|| {
            let mut guard = room.lock();
            room.changed.notify_one_on_unlock(&mut guard);
        })
    });
    let guard = room.once_waiting(1);
    room.hand_out(1);
    room.changed.notify_one();
    drop(guard);
    waiter.join().unwrap();
    notifier.join().unwrap();
}

#[test]
fn a_change_is_not_missed() {
    explore(4, one_waiter_for_a_change_on_unlock);
    explore(3, change_and_wait_for_the_answer);
    explore(3, change_and_wait_for_the_answer_with_a_mutex);
}

#[test]
fn a_guard_owes_to_all_that_were_told() {
    explore(1, what_is_owed_adds_up);
}

#[test]
fn the_killed_strand_nobody() {
    explore_kills(1, a_notifier_on_unlock_is_killed);
}
