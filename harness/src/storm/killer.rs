//! The killer: ends workers, hires others, watches that all go on.

use super::desk::{CHECKER, Desk, Recovery};
use super::report::Report;
use super::site::{STATIONS, Site};
use super::{MAX_WORKERS, Options, calm};
use crate::clock::Clock;
use crate::process::{self, Child};
use crate::region::Region;
use std::collections::HashMap;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::thread;
use std::time::{Duration, Instant};

/// After how many kills, or how much time, all workers stand aside.
const KILLS_PER_CALM: u64 = 64;
const CALM_AT_LEAST_EVERY: Duration = Duration::from_millis(300);

/// One worker in four is never killed, and one at least.
const VETERANS: usize = 4;

/// How many dead may wait for being reaped.
const ZOMBIES: usize = 8;

/// What [`Desk::station`] says of who is at none.
const NOWHERE: u32 = u32::MAX;

/// Storms.
///
/// # Errors
/// There is no shared memory, or the options ask for too few or too many workers.
pub fn run(options: &Options) -> Result<Report, String> {
    if !(2..=MAX_WORKERS).contains(&options.workers) {
        return Err(format!("{} workers; it takes 2 to {MAX_WORKERS}", options.workers));
    }
    let site = Region::new(Site::new()).map_err(|error| format!("no shared memory: {error}"))?;
    let mut killer = Killer::new(options, &site);
    killer.storm();
    Ok(killer.finish())
}

pub(super) struct Killer<'a> {
    pub(super) options: &'a Options,
    pub(super) site: &'a Site,
    pub(super) desk: Desk<'a>,
    dice: fastrand::Rng,
    pub(super) team: Vec<Child>,
    lives: Vec<u64>,
    zombies: Vec<Child>,
    /// When each thread was killed, the last of a reused id.
    deaths: HashMap<u32, u64>,
    cursor: u64,
    watch: Watch,
    pub(super) report: Report,
}

impl<'a> Killer<'a> {
    fn new(options: &'a Options, site: &'a Site) -> Self {
        let names = site.stations().map(|station| station.name());
        let mut killer = Self {
            options,
            site,
            desk: Desk::new(&site.books, CHECKER, 1, options.seed),
            dice: fastrand::Rng::with_seed(options.seed),
            team: Vec::new(),
            lives: Vec::new(),
            zombies: Vec::new(),
            deaths: HashMap::new(),
            cursor: 0,
            watch: Watch::new(options),
            report: Report::new(options, names.into()),
        };
        for index in 0..options.workers {
            killer.lives.push(1);
            let child = killer.hire(index);
            killer.team.push(child);
        }
        killer
    }

    fn storm(&mut self) {
        let start = Instant::now();
        let mut last_calm = (0, start);
        let storming = |report: &Report| report.kills < self.options.kills && start.elapsed() < self.options.time;
        while storming(&self.report) && self.report.is_well() {
            let began = Instant::now();
            thread::sleep(Duration::from_micros(self.dice.u64(100..3000)));
            self.report.asleep += began.elapsed();
            self.tick();
            self.kill();
            self.read_books();
            if let Some(hang) = self.watch.look(self.site, &self.options_veterans()) {
                self.hang(&hang);
            }
            if self.report.kills >= last_calm.0 + KILLS_PER_CALM || last_calm.1.elapsed() > CALM_AT_LEAST_EVERY {
                self.calm();
                last_calm = (self.report.kills, Instant::now());
            }
        }
        if self.report.is_well() {
            self.calm();
        }
        self.report.time = start.elapsed();
    }

    fn calm(&mut self) {
        let began = Instant::now();
        calm::calm(self);
        self.watch = Watch::new(self.options);
        self.report.calms.push(began.elapsed());
    }

    /// Slots whose workers are never killed.
    pub(super) fn options_veterans(&self) -> std::ops::Range<usize> {
        0..(self.options.workers / VETERANS).max(1)
    }

    fn hire(&mut self, index: usize) -> Child {
        let (site, life) = (self.site, self.lives[index]);
        let seed = self.dice.u64(..);
        process::fork(|| {
            work(site, Desk::new(&site.books, index, life, seed));
        })
    }

    pub(super) fn tick(&self) {
        for station in self.site.stations() {
            station.tick();
        }
    }

    fn kill(&mut self) {
        let index = self.dice.usize(self.options_veterans().end..self.options.workers);
        // Before, so that whoever recovers from it finds it doomed.
        self.site.books.slots[index].0.doomed.store(self.lives[index], SeqCst);
        let at = Clock::monotonic_ns();
        let child = &mut self.team[index];
        child.kill();
        self.report.kills += 1;
        self.deaths.insert(child.pid(), at);
        // Before there is another in its place.
        for (station, name) in self.site.stations().iter().zip(&self.report.names) {
            if let Err(what) = station.bury(index) {
                self.report.violations.push(format!("{name}: {what}"));
            }
        }
        self.lives[index] += 1;
        let fresh = self.hire(index);
        let mut dead = std::mem::replace(&mut self.team[index], fresh);
        // One in four stays a zombie for a while.
        if self.dice.u32(0..4) == 0 && self.zombies.len() < ZOMBIES {
            self.zombies.push(dead);
        } else {
            self.report.reap(&mut dead);
            if self.dice.u32(0..8) == 0 {
                self.zombies.drain(..).for_each(|mut zombie| self.report.reap(&mut zombie));
            }
        }
    }

    fn read_books(&mut self) {
        for Recovery { station, dead, began, ended } in self.site.books.read(&mut self.cursor) {
            let Some(&died) = self.deaths.get(&dead) else { continue }; // Already gone: a panic's poison, say.
            self.report.recovered(station, ended.saturating_sub(died), ended.saturating_sub(died.max(began)));
        }
        if self.site.books.violations.load(SeqCst) > 0 {
            self.gather_violations();
        }
    }

    /// A worker says what it saw by a panic: its words are in its last report.
    fn gather_violations(&mut self) {
        let before = self.report.violations.len();
        for mut child in self.team.drain(..).chain(self.zombies.drain(..)) {
            child.wait_exit(Duration::from_millis(1));
            if child.wait_exit(Duration::ZERO).is_none() {
                child.kill();
            }
            self.report.reap(&mut child);
        }
        if self.report.violations.len() == before {
            self.report.violations.push(String::from("a violation by a worker that was killed before it could tell"));
        }
    }

    /// Somebody does not go on.
    pub(super) fn hang(&mut self, what: &str) {
        let (seed, kills) = (self.options.seed, self.report.kills);
        let mut text = format!("HANG: {what}; seed {seed}, kill {kills}");
        for (index, child) in self.team.iter().enumerate() {
            let slot = &self.site.books.slots[index].0;
            let at = slot.station.load(Relaxed) as usize;
            let at = self.report.names.get(at).map_or("nowhere", String::as_str);
            text += &format!("\n  slot {index}, tid {}: at {at}, {} beats", child.pid(), slot.beats.load(Relaxed));
        }
        for (station, name) in self.site.stations().iter().zip(&self.report.names) {
            text += &format!("\n  {name}: {}", station.state());
        }
        self.report.violations.push(text);
    }

    fn finish(mut self) -> Report {
        // They die one after the other, and those that are left may recover from the first.
        self.site.books.slots.iter().for_each(|slot| slot.0.doomed.store(u64::MAX, SeqCst));
        for mut child in self.team.drain(..).chain(self.zombies.drain(..)) {
            child.kill();
            self.report.reap(&mut child);
        }
        self.report.ops = self.site.ops.iter().map(|ops| ops.0.load(Relaxed)).collect();
        self.report
    }
}

/// A worker's life.
fn work(site: &Site, mut desk: Desk<'_>) -> ! {
    let stations = site.stations();
    loop {
        match site.books.calm.0.load(SeqCst) {
            0 => {}
            calm => {
                desk.slot().station.store(NOWHERE, Relaxed);
                desk.slot().aside.store(calm, SeqCst);
                thread::sleep(Duration::from_micros(100));
                continue;
            }
        }
        let at = desk.dice.usize(0..STATIONS);
        desk.go_to(at);
        if stations[at].work(&mut desk) {
            site.ops[at].0.fetch_add(1, Relaxed);
        }
        desk.slot().beats.fetch_add(1, Relaxed);
    }
}

/// Who last went on when.
struct Watch {
    bound: Duration,
    ops: [(u64, Instant); STATIONS],
    beats: Vec<(u64, Instant)>,
}

impl Watch {
    fn new(options: &Options) -> Self {
        let now = Instant::now();
        Self { bound: options.bound, ops: [(u64::MAX, now); STATIONS], beats: vec![(u64::MAX, now); MAX_WORKERS] }
    }

    fn look(&mut self, site: &Site, veterans: &std::ops::Range<usize>) -> Option<String> {
        let (now, bound) = (Instant::now(), self.bound);
        let stuck = |known: &mut (u64, Instant), count: u64| {
            if known.0 != count {
                *known = (count, now);
            }
            now.duration_since(known.1) > bound
        };
        for (known, (ops, station)) in self.ops.iter_mut().zip(site.ops.iter().zip(site.stations())) {
            if stuck(known, ops.0.load(Relaxed)) {
                return Some(format!("nothing came to an end at {} for {bound:?}", station.name()));
            }
        }
        for index in veterans.clone() {
            if stuck(&mut self.beats[index], site.books.slots[index].0.beats.load(Relaxed)) {
                return Some(format!("the veteran in slot {index} does not go on for {bound:?}"));
            }
        }
        None
    }
}
