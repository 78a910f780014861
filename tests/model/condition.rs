//! `Condition`: who is notified goes on, nobody else does, and a waiter that leaves takes nobody's signal with it.
//!
//! Edges: notify -> wait; the wake of a notification.
//!
//! Waiters count themselves under the lock before they wait, and whoever notifies hands out as many tokens as it means
//! to release; a waiter that goes on without one was woken for no reason, which only a death excuses.

use std::sync::Arc;

use loom::sync::atomic::{AtomicU32, Ordering};
use loom::thread;
use shmsync::{AcquireError, Condition, Lock, LockGuard};

use crate::condition_on_unlock::one_waiter_for_a_change_on_unlock;
use crate::support::*;

pub struct Room {
    lock: Lock,
    pub changed: Condition,
    /// Changed with the lock held.
    pub waiting: AtomicU32,
    /// Changed with the lock held.
    pub tokens: AtomicU32,
    pub guarded: Guarded,
}

pub fn room() -> Arc<Room> {
    Arc::new(Room {
        lock: Lock::new(),
        changed: Condition::new(),
        waiting: AtomicU32::new(0),
        tokens: AtomicU32::new(0),
        guarded: Guarded::new(),
    })
}

impl Room {
    pub fn lock(&self) -> LockGuard<'_> {
        loop {
            match self.lock.lock() {
                Ok(guard) => return guard,
                // Only here may somebody have died: take over, and let the next round have it.
                Err(AcquireError::OwnerDied(_)) if self.lock.recover().is_ok() => self.lock.release().unwrap(),
                Err(AcquireError::OwnerDied(_)) => {}
                Err(other) => panic!("{other}"),
            }
        }
    }

    /// Lets others run until `n` wait or have waited; with the lock held.
    pub fn once_waiting(&self, n: u32) -> LockGuard<'_> {
        loop {
            let guard = self.lock();
            if self.waiting.load(Ordering::Relaxed) >= n {
                return guard;
            }
            drop(guard);
            thread::yield_now();
        }
    }

    pub fn hand_out(&self, tokens: u32) {
        self.tokens.fetch_add(tokens, Ordering::Relaxed);
    }
}

/// Waits once, and takes its token.
pub fn wait(room: &Room) {
    let mut guard = room.lock();
    room.waiting.fetch_add(1, Ordering::Relaxed);
    room.changed.wait(&mut guard).unwrap();
    take_token(room);
}

fn take_token(room: &Room) {
    assert!(room.tokens.fetch_sub(1, Ordering::Relaxed) > 0, "woken for no reason");
}

/// The condition's purpose: whoever waits for the data to change does not miss it.
fn one_waiter_for_a_change() {
    let room = room();
    let waiter = start(&room, |room: &Room| {
        let mut guard = room.lock();
        room.changed.wait_while(&mut guard, |()| room.guarded.get() == 0).unwrap();
    });
    let guard = room.lock();
    room.guarded.bump();
    drop(guard);
    room.changed.notify_one();
    waiter.join().unwrap();
}

/// The same, notified with the lock held.
fn one_waiter_for_a_change_under_the_lock() {
    let room = room();
    let waiter = start(&room, |room: &Room| {
        let mut guard = room.lock();
        room.changed.wait_while(&mut guard, |()| room.guarded.get() == 0).unwrap();
    });
    let guard = room.lock();
    room.guarded.bump();
    room.changed.notify_all();
    drop(guard);
    waiter.join().unwrap();
}

/// What came before a notify is seen after the wait, be it done without the lock.
fn notify_publishes() {
    let room = room();
    let waiter = start(&room, |room: &Room| {
        wait(room);
        room.guarded.get()
    });
    let guard = room.once_waiting(1);
    room.hand_out(1);
    drop(guard);
    room.guarded.bump();
    room.changed.notify_one();
    assert_eq!(waiter.join().unwrap(), 1);
}

/// The same for a notification of all, and of a waiter that may be giving up.
fn notify_all_publishes_to_who_gives_up() {
    let room = room();
    let waiter = start(&room, |room: &Room| {
        let mut guard = room.lock();
        room.waiting.fetch_add(1, Ordering::Relaxed);
        if room.changed.wait_timeout(&mut guard, SOON).unwrap() { room.guarded.get() } else { 1 }
    });
    drop(room.once_waiting(1));
    room.guarded.bump();
    room.changed.notify_all();
    assert_eq!(waiter.join().unwrap(), 1);
}

fn notify_one_publishes_to_who_gives_up() {
    let room = room();
    let others = [(); 2].map(|()| {
        start(&room, |room: &Room| {
            let mut guard = room.lock();
            room.waiting.fetch_add(1, Ordering::Relaxed);
            if room.changed.wait_timeout(&mut guard, SOON).unwrap() { room.guarded.get() } else { 1 }
        })
    });
    drop(room.once_waiting(2));
    room.guarded.bump();
    room.changed.notify_one();
    assert_eq!(join(others), [1, 1]);
}

/// One goes on for each `notify_one`.
fn two_waiters_one_by_one() {
    let room = room();
    let waiters = [start(&room, wait), start(&room, wait)];
    let guard = room.once_waiting(2);
    room.hand_out(1);
    room.changed.notify_one();
    drop(guard);
    let guard = room.lock();
    room.hand_out(1);
    room.changed.notify_one();
    drop(guard);
    join(waiters);
}

fn two_waiters_at_once() {
    let room = room();
    let waiters = [start(&room, wait), start(&room, wait)];
    let guard = room.once_waiting(2);
    room.hand_out(2);
    room.changed.notify_all();
    drop(guard);
    join(waiters);
}

/// Who comes after a notification is not meant by it.
fn a_late_waiter_is_not_meant() {
    let room = room();
    let waiters = [start(&room, wait), start(&room, wait)];
    let mut guard = room.once_waiting(2);
    room.hand_out(1);
    room.changed.notify_one();
    assert_eq!(room.changed.wait_timeout(&mut guard, SOON), Ok(false));
    room.hand_out(1);
    room.changed.notify_one();
    drop(guard);
    join(waiters);
}

/// Who gives up leaves the signal to another, or takes it and says so.
fn a_waiter_gives_up() {
    let room = room();
    let patient = start(&room, wait);
    let hasty = start(&room, |room: &Room| {
        let mut guard = room.lock();
        if room.changed.wait_timeout(&mut guard, SOON).unwrap() {
            take_token(room);
            room.hand_out(1);
            room.changed.notify_one();
        }
    });
    let guard = room.once_waiting(1);
    room.hand_out(1);
    room.changed.notify_one();
    drop(guard);
    patient.join().unwrap();
    hasty.join().unwrap();
}

/// A signal whose taker is killed reaches the other, or is not missed by it.
fn one_of_two_waiters_is_killed() {
    fn wait(room: &Room) {
        let mut guard = room.lock();
        room.waiting.fetch_add(1, Ordering::Relaxed);
        while room.tokens.load(Ordering::Relaxed) == 0 {
            match room.changed.wait(&mut guard) {
                Ok(()) => {}
                Err(AcquireError::OwnerDied(_)) => guard = room.lock(),
                Err(other) => panic!("{other}"),
            }
        }
    }
    let room = room();
    let killed = start(&room, |room: &Room| mortal(|| wait(room)));
    let waiter = start(&room, wait);
    let guard = room.once_waiting(1);
    room.hand_out(1);
    room.changed.notify_one();
    room.changed.notify_one();
    drop(guard);
    waiter.join().unwrap();
    killed.join().unwrap();
}

/// A killed notifier notifies or does not; whoever notifies after it reaches everybody.
fn one_of_two_notifiers_is_killed() {
    let room = room();
    let waiter = start(&room, |room: &Room| {
        let mut guard = room.lock();
        room.changed.wait_while(&mut guard, |()| room.tokens.load(Ordering::Relaxed) == 0).unwrap();
    });
    let notifier = start(&room, |room: &Room| mortal(|| room.changed.notify_one()));
    let guard = room.lock();
    room.hand_out(1);
    drop(guard);
    room.changed.notify_one();
    waiter.join().unwrap();
    notifier.join().unwrap();
}

#[test]
fn a_change_is_not_missed() {
    explore(4, one_waiter_for_a_change);
    explore(4, one_waiter_for_a_change_under_the_lock);
}

#[test]
fn a_notification_publishes() {
    explore(3, notify_publishes);
    explore(3, notify_all_publishes_to_who_gives_up);
}

#[test]
fn notify_one_releases_exactly_one() {
    explore(2, two_waiters_one_by_one);
}

#[test]
fn notify_all_releases_all() {
    explore(2, two_waiters_at_once);
}

#[test]
fn a_signal_is_for_those_before_it() {
    explore(1, a_late_waiter_is_not_meant);
}

#[test]
fn who_gives_up_swallows_no_signal() {
    explore(2, a_waiter_gives_up);
}

#[test]
fn every_edge_is_needed() {
    let models = [notify_publishes, notify_all_publishes_to_who_gives_up, notify_one_publishes_to_who_gives_up];
    assert_needed("sync/condition.rs", "edge:", &models);
    assert_needed("sync/condition/notify.rs", "edge:", &models);
}

#[test]
fn every_wake_is_needed() {
    let models = [notify_publishes, one_waiter_for_a_change_on_unlock];
    assert_needed("sync/condition/notify.rs", "wait.wake(", &models);
}

#[test]
fn the_killed_strand_nobody() {
    explore_kills(1, one_of_two_waiters_is_killed);
    explore_kills(2, one_of_two_notifiers_is_killed);
}
