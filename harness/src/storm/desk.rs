//! What a worker has: its dice, its place in the region, and the books in which it writes down what it saw.

use super::MAX_WORKERS;
use crate::clock::Clock;
use crate::crew::Padded;
use crate::work;
use shmsync::Owner;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use std::thread;
use std::time::Duration;

/// The place of whoever checks in a calm, beside the workers'.
pub(super) const CHECKER: usize = MAX_WORKERS;

/// A worker's place in the region.
#[derive(Debug, Default)]
pub(super) struct Slot {
    /// The last worker here that is as good as dead: written *before* it is killed. Lives are counted from 1.
    pub(super) doomed: AtomicU64,
    /// How much the workers here have done.
    pub(super) beats: AtomicU64,
    /// The number of the last calm for which this worker stood aside.
    pub(super) aside: AtomicU64,
    /// The station it is at, for messages.
    pub(super) station: AtomicU32,
}

/// Who recovered what from whom, and when.
#[derive(Debug, Default)]
struct Record {
    /// Its number plus one, written last.
    number: AtomicU64,
    station: AtomicU32,
    dead: AtomicU32,
    began: AtomicU64,
    ended: AtomicU64,
}

/// A recovery, as read from the books.
#[derive(Debug, Clone, Copy)]
pub(super) struct Recovery {
    pub(super) station: usize,
    /// Thread id of the dead.
    pub(super) dead: u32,
    /// When the recoverer's verb began and ended, in nanoseconds of the monotonic clock.
    pub(super) began: u64,
    pub(super) ended: u64,
}

const RECORDS: usize = 4096;

/// The books, shared by all.
#[derive(Debug)]
pub(super) struct Books {
    pub(super) slots: [Padded<Slot>; MAX_WORKERS + 1],
    /// Zero while it storms, the number of the calm in a calm.
    pub(super) calm: Padded<AtomicU64>,
    /// Broken promises; the words are in the panic of whoever saw it.
    pub(super) violations: AtomicU64,
    next_record: Padded<AtomicU64>,
    records: [Record; RECORDS],
}

impl Books {
    pub(super) fn new() -> Self {
        Self {
            slots: std::array::from_fn(|_| Padded(Slot::default())),
            calm: Padded(AtomicU64::new(0)),
            violations: AtomicU64::new(0),
            next_record: Padded(AtomicU64::new(0)),
            records: std::array::from_fn(|_| Record::default()),
        }
    }

    /// The records from `cursor` on that are whole. One whose writer was killed half way is passed over in the end.
    pub(super) fn read(&self, cursor: &mut u64) -> Vec<Recovery> {
        let end = self.next_record.0.load(Relaxed);
        let mut found = Vec::new();
        *cursor = (*cursor).max(end.saturating_sub(RECORDS as u64 / 2));
        while *cursor < end {
            let record = &self.records[*cursor as usize % RECORDS];
            if record.number.load(Acquire) == *cursor + 1 {
                found.push(Recovery {
                    station: record.station.load(Relaxed) as usize,
                    dead: record.dead.load(Relaxed),
                    began: record.began.load(Relaxed),
                    ended: record.ended.load(Relaxed),
                });
            } else if end - *cursor < 64 {
                break; // Perhaps it is just being written.
            }
            *cursor += 1;
        }
        found
    }
}

/// A worker's own.
pub(super) struct Desk<'a> {
    pub(super) books: &'a Books,
    pub(super) index: usize,
    /// Which worker of this place it is.
    pub(super) life: u64,
    pub(super) dice: fastrand::Rng,
    /// When the present verb began.
    pub(super) began: u64,
    pub(super) station: usize,
}

impl<'a> Desk<'a> {
    pub(super) fn new(books: &'a Books, index: usize, life: u64, seed: u64) -> Self {
        Self { books, index, life, dice: fastrand::Rng::with_seed(seed), began: 0, station: 0 }
    }

    pub(super) fn slot(&self) -> &'a Slot {
        &self.books.slots[self.index].0
    }

    /// Goes to a station.
    pub(super) fn go_to(&mut self, station: usize) {
        self.station = station;
        self.began = Clock::monotonic_ns();
        self.slot().station.store(station as u32, Relaxed);
    }

    /// This worker, in a number that is never zero.
    pub(super) fn name(&self) -> u64 {
        (self.index as u64) << 48 | self.life
    }

    /// Whether whoever bears that name is dead, or about to be killed.
    pub(super) fn is_doomed(&self, name: u64) -> bool {
        let slot = (name >> 48) as usize % (MAX_WORKERS + 1);
        self.books.slots[slot].0.doomed.load(SeqCst) >= name & ((1 << 48) - 1)
    }

    /// A promise is broken: counts it for all to see and ends this worker with the words.
    #[track_caller]
    pub(super) fn violated(&self, what: &str) -> ! {
        self.books.violations.fetch_add(1, SeqCst);
        panic!("VIOLATION at slot {}, life {}, station {}: {what}", self.index, self.life, self.station);
    }

    /// Writes down that this worker took over from a dead one.
    pub(super) fn recovered_from(&self, dead: Owner) {
        // Who is being reaped while it is looked at cannot be proven dead, and counts as alive for that moment.
        let alive = || dead.is_alive() && (thread::sleep(Duration::from_millis(1)), dead.is_alive()).1;
        if alive() {
            self.violated(&format!("{dead} was reported dead and is alive"));
        }
        let number = self.books.next_record.0.fetch_add(1, Relaxed);
        let record = &self.books.records[number as usize % RECORDS];
        record.station.store(self.station as u32, Relaxed);
        record.dead.store(dead.tid(), Relaxed);
        record.began.store(self.began, Relaxed);
        record.ended.store(Clock::monotonic_ns(), Relaxed);
        record.number.store(number + 1, Release);
    }

    /// A while of some length: mostly none, sometimes a short section, sometimes one that sleeps.
    pub(super) fn ponder(&mut self) {
        match self.dice.u32(0..16) {
            0..8 => {}
            8..13 => work::run(self.dice.u64(50..3000)),
            13 => thread::yield_now(),
            _ => thread::sleep(Duration::from_micros(self.dice.u64(20..200))),
        }
    }

    /// A timeout between zero and `most` milliseconds.
    pub(super) fn moment(&mut self, most: u64) -> Duration {
        Duration::from_micros(self.dice.u64(0..most * 1000))
    }
}
