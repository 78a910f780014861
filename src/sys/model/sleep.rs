//! Those who sleep on one thing, in the order in which they will be woken.

use std::collections::VecDeque;

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
pub(crate) struct Beds<T> {
    room: Mutex<Room<T>>,
    bell: Condvar,
}

#[derive(Debug)]
pub(crate) struct Room<T> {
    pub(crate) data: T,
    asleep: VecDeque<Sleeper>,
    next: u32,
}

#[derive(Debug)]
struct Sleeper {
    name: u32,
    /// Whether it waits for the bell. Who sleeps by the clock finds out by its absence from the queue.
    by_bell: bool,
}

impl<T> Beds<T> {
    pub(crate) fn new(data: T) -> Self {
        Self { room: Mutex::new(Room { data, asleep: VecDeque::new(), next: 0 }), bell: Condvar::new() }
    }

    pub(crate) fn enter(&self) -> MutexGuard<'_, Room<T>> {
        self.room.lock().unwrap()
    }

    /// Falls asleep in the same step that leaves the room.
    pub(crate) fn sleep<'a>(&'a self, mut room: MutexGuard<'a, Room<T>>, until: u64) -> (MutexGuard<'a, Room<T>>, End) {
        /// Who sleeps until a moment nearer than this sleeps until its caller's deadline, since no slice is as short.
        const SHORTEST_SLICE: u64 = 1_000_000;
        let is_slice = until - monotonic_nanos().min(until) >= SHORTEST_SLICE;
        let name = room.next;
        room.next += 1;
        let by_bell = is_slice && !model::slices_end() && !model::stops_next();
        room.asleep.push_back(Sleeper { name, by_bell });
        if by_bell {
            room = self.bell.wait(room).unwrap();
            debug_assert!(room.asleep.iter().all(|sleeper| sleeper.name != name), "loom's bell rings out of turn");
            return (room, End::Woken);
        }
        drop(room);
        if is_slice {
            loom::thread::yield_now();
        }
        room = self.enter();
        let Some(place) = room.asleep.iter().position(|sleeper| sleeper.name == name) else { return (room, End::Woken) };
        room.asleep.remove(place);
        NOW.with(|now| now.set(until.max(now.get())));
        (room, End::TimedOut)
    }

    /// Wakes up to `n`, who have slept longest; returns how many.
    pub(crate) fn wake(&self, room: &mut Room<T>, n: u32) -> u32 {
        let n = room.asleep.len().min(n as usize);
        for sleeper in room.asleep.drain(..n) {
            if sleeper.by_bell {
                self.bell.notify_one();
            }
        }
        n as u32
    }
}
