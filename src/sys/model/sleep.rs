//! Those who sleep on one thing, in the order in which they will be woken.

use std::collections::VecDeque;
use std::sync::Arc;

use loom::sync::{Condvar, Mutex, MutexGuard};

use super::{NOW, monotonic_nanos};
use crate::model;

/// How a sleep ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Woken,
    TimedOut,
}

/// Sleepers, and what is looked at before one falls asleep.
#[derive(Debug)]
pub(crate) struct Beds(Arc<House>);

#[derive(Debug)]
struct House {
    room: Mutex<Room>,
    bell: Condvar,
}

#[derive(Debug, Default)]
pub(crate) struct Room {
    /// For the owner of the beds.
    pub(crate) count: u32,
    asleep: VecDeque<Sleeper>,
    next: u32,
    /// Whether somebody has died: from then on slices end.
    alarm: bool,
}

#[derive(Debug)]
struct Sleeper {
    name: u32,
    /// Whether it waits for the bell. Who sleeps by the clock finds out by its absence from the queue.
    by_bell: bool,
}

loom::lazy_static! {
    static ref HOUSES: std::sync::Mutex<Vec<Arc<House>>> = std::sync::Mutex::default();
}

/// Ends every slice.
pub(super) fn alarm_all() {
    let houses = HOUSES.lock().unwrap().clone();
    for house in houses {
        house.room.lock().unwrap().alarm = true;
        house.bell.notify_all();
    }
}

impl Beds {
    pub(crate) fn new() -> Self {
        let house = Arc::new(House { room: Mutex::new(Room::default()), bell: Condvar::new() });
        HOUSES.lock().unwrap().push(Arc::clone(&house));
        Self(house)
    }

    pub(crate) fn enter(&self) -> MutexGuard<'_, Room> {
        self.0.room.lock().unwrap()
    }

    /// Falls asleep in the same step that leaves the room.
    pub(crate) fn sleep<'a>(&'a self, mut room: MutexGuard<'a, Room>, until: u64) -> (MutexGuard<'a, Room>, End) {
        /// Who sleeps until a moment nearer than this sleeps until its caller's deadline, since no slice is as short.
        const SHORTEST_SLICE: u64 = 1_000_000;
        let is_slice = until - monotonic_nanos().min(until) >= SHORTEST_SLICE;
        let name = room.next;
        room.next += 1;
        // Who dies in its sleep does so at any moment, as the clock's sleepers wake.
        let by_bell = is_slice && !room.alarm && !model::stops_next();
        room.asleep.push_back(Sleeper { name, by_bell });
        if by_bell {
            room = self.0.bell.wait(room).unwrap();
        } else {
            drop(room);
            if is_slice {
                loom::thread::yield_now();
            }
            room = self.enter();
        }
        let Some(place) = room.asleep.iter().position(|sleeper| sleeper.name == name) else {
            return (room, End::Woken);
        };
        room.asleep.remove(place);
        NOW.with(|now| now.set(until.max(now.get())));
        (room, End::TimedOut)
    }

    /// Wakes up to `n`, who have slept longest; returns how many.
    pub(crate) fn wake(&self, room: &mut Room, n: u32) -> u32 {
        let n = room.asleep.len().min(n as usize);
        for sleeper in room.asleep.drain(..n) {
            if sleeper.by_bell && !room.alarm {
                // The bell rings for them in the order in which they fell asleep, too.
                self.0.bell.notify_one();
            }
        }
        n as u32
    }
}
