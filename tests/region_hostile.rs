//! Whatever another process writes into a region of named objects: every verb comes to an end, with an error or a value.
//!
//! In children, so that a fault ends the child alone. Those who must not wait long get a directory whose lock is free: that
//! a scribbled lock ends in an error, too, has a test of its own, for it takes ten seconds.

mod shm_support;
mod support;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use shm_support::{Name, in_child};
use shmsync::{ErrorKind, Event, Lock, Mutex, PermitPool, Region, RegionInfo, RwLock, Semaphore};
use support::*;

/// Where a region's parts are in its file: what `src/shm/region/geometry.rs` promises.
const PAYLOAD: u64 = 4096;
const LOCK: u64 = PAYLOAD;
const SLOTS: u64 = PAYLOAD + 256;
const DIRECTORY: u64 = PAYLOAD + 8448;
const ENTRIES: u64 = 16;
const HEAP: u64 = DIRECTORY + ENTRIES * 256;
const ROOM: u64 = 8192;
const END: u64 = HEAP + ROOM;

struct Victim {
    name: Name,
    file: File,
    sound: Vec<u8>,
}

impl Victim {
    fn new(what: &str) -> Self {
        let name = Name::new(what);
        let region = Region::options().objects(ENTRIES as usize).create(&name, ROOM as usize).unwrap();
        region.get_or_init::<Lock>("lock").unwrap();
        region.get_or_init_with("semaphore", || Semaphore::new(3)).unwrap();
        region.get_or_init::<Mutex<u64>>("mutex").unwrap();
        region.get_or_init::<PermitPool<4>>("pool").unwrap();
        region.get_or_init::<RwLock<u64, 4>>("rwlock").unwrap();
        region.array::<AtomicU64>("array", 100).unwrap();
        region.value_or_init("value", 7_u64).unwrap();
        region.get_or_init::<Event>("removed").unwrap();
        region.remove("removed").unwrap();
        let file = File::options().read(true).write(true).open(name.path()).unwrap();
        let mut sound = vec![0; END as usize];
        file.read_exact_at(&mut sound, 0).unwrap();
        assert_eq!(file.metadata().unwrap().len(), END, "the parts are where they were thought to be");
        Self { name, file, sound }
    }

    fn restore(&self) {
        self.file.write_all_at(&self.sound, 0).unwrap();
    }
}

/// Words that mean something somewhere, or nothing.
fn word(dice: &mut Dice) -> u64 {
    let random = dice.below(1 << 53) << 11 ^ dice.below(1 << 32);
    let near = [0, HEAP - PAYLOAD, END - PAYLOAD, 4096, 1 << 32, 1 << 63, u64::MAX][dice.below(7) as usize];
    match dice.below(6) {
        0 => random,
        1 => near,
        2 => near.wrapping_add(dice.below(200)).wrapping_sub(100),
        3 => dice.below(8),
        4 => u64::from(gettid()) | 1 << 31,
        _ => dice.below(1 << 14) & !63,
    }
}

/// Every verb; how many of them found something to do.
fn use_all(name: &Name, dice: &mut Dice) -> usize {
    const SHORT: Duration = Duration::from_micros(200);
    let info = RegionInfo::of(name);
    _ = info.map(|info| format!("{info:?} {:?} {:?} {:?}", info.problem(), info.contents(), info.is_of_this_boot()));
    let Ok(mut region) = Region::open(name) else { return 0 };
    let mut done = 0;
    _ = format!("{region:?} {} {}", region.free_bytes(), region.kept_bytes());
    for object in region.objects() {
        _ = format!("{object:?} {:?} {:?}", object.state(), object.holders());
        _ = object.recover();
        done += 1;
    }
    _ = region.attached().map(|all| all.iter().filter_map(|attached| attached.pid()).count());
    if let Ok(lock) = region.get::<Lock>("lock") {
        _ = (lock.acquire_for(SHORT), lock.release());
        done += 1;
    }
    if let Ok(semaphore) = region.get_or_init_with("semaphore", || Semaphore::new(3)) {
        _ = (semaphore.acquire_for(SHORT), semaphore.release());
        done += 1;
    }
    if let Ok(mutex) = region.get_or_init::<Mutex<u64>>("mutex") {
        _ = mutex.try_lock_for(SHORT).map(|mut data| *data = data.wrapping_add(1)).map_err(drop);
        done += 1;
    }
    if let Ok(array) = region.get_array::<AtomicU64>("array") {
        array.iter().for_each(|word| word.store(1, Relaxed));
        done += 1;
    }
    _ = region.get_value::<u64>("value").copied();
    for name in ["lock", "removed", "array", "new", "large", "value"] {
        _ = match dice.below(4) {
            0 => region.remove(name),
            1 => region.get_or_init::<Lock>(name).map(drop),
            2 => region.array::<AtomicU64>(name, dice.below(300) as usize).map(|all| assert!(all.len() < 300)),
            _ => region.renew(),
        };
    }
    done
}

#[test]
fn scribbles_are_errors_or_values() {
    let rounds = if cfg!(debug_assertions) { 6000 } else { 30_000 };
    in_child(|| {
        let victim = Victim::new("hostile");
        let mut dice = Dice::new();
        let (mut opened, mut slowest) = (0, Duration::ZERO);
        for round in 0..rounds {
            victim.restore();
            for _ in 0..=dice.below(12) {
                // The header and the head seldom, for little of it may change without a refusal.
                let at = match dice.below(8) {
                    0 if round % 4 == 0 => dice.below(128),
                    0 | 1 => LOCK + 8 + dice.below(24),
                    2 => SLOTS + dice.below(DIRECTORY - SLOTS),
                    3 => HEAP + dice.below(ROOM),
                    _ => DIRECTORY + dice.below(ENTRIES * 256),
                } & !7;
                victim.file.write_all_at(&word(&mut dice).to_ne_bytes(), at).unwrap();
            }
            let start = Instant::now();
            opened += usize::from(use_all(&victim.name, &mut dice) > 0);
            slowest = slowest.max(start.elapsed());
        }
        assert!(opened > rounds / 3, "only {opened} of {rounds} regions could be looked into");
        assert!(slowest < Duration::from_secs(9), "some verb waited for the directory: {slowest:?}");
    });
}

/// Somebody scribbles all the time, while others use the region.
#[test]
fn scribbles_at_any_moment_are_errors_or_values() {
    in_child(|| {
        let victim = Victim::new("hostile-race");
        let over = Shm::new(Tally::new());
        let scribbler = fork(|| {
            let mut dice = Dice::new();
            while over.get() == 0 {
                for _ in 0..50 {
                    let at = (DIRECTORY + dice.below(END - DIRECTORY)) & !7;
                    victim.file.write_all_at(&word(&mut dice).to_ne_bytes(), at).unwrap();
                }
                victim.file.write_all_at(&victim.sound[DIRECTORY as usize..], DIRECTORY).unwrap();
            }
        });
        let mut dice = Dice::new();
        let (mut done, until) = (0, Instant::now() + Duration::from_secs(3));
        while Instant::now() < until {
            done += use_all(&victim.name, &mut dice);
        }
        over.up();
        join([scribbler]);
        assert!(done > 100, "{done}");
    });
}

#[test]
fn cut_off_regions_are_refused() {
    in_child(|| {
        let victim = Victim::new("hostile-cut");
        let mut dice = Dice::new();
        for length in (0..END).step_by(997).chain([127, 128, PAYLOAD, DIRECTORY, HEAP, END - 1]) {
            victim.file.set_len(length).unwrap();
            let kind = Region::open(&victim.name).unwrap_err().kind();
            assert!(matches!(kind, ErrorKind::Truncated | ErrorKind::NotARegion), "{length}: {kind:?}");
            // A header that says so as well is one of a smaller region, whose entries lead out of it.
            if length > HEAP {
                victim.file.set_len(END).unwrap();
                victim.restore();
                for (at, size) in [(24, length), (40, length - PAYLOAD)] {
                    victim.file.write_all_at(&size.to_ne_bytes(), at).unwrap();
                }
                victim.file.set_len(length).unwrap();
                assert_eq!(Region::open(&victim.name).unwrap_err().kind(), ErrorKind::LayoutMismatch, "the stamp");
                use_all(&victim.name, &mut dice);
            }
            victim.file.set_len(END).unwrap();
            victim.restore();
        }
        Region::open(&victim.name).unwrap().get::<Lock>("lock").unwrap();
    });
}

/// Directories of any number of entries that may be written there, and of none that has no room.
#[test]
fn the_number_of_entries_is_checked() {
    in_child(|| {
        let victim = Victim::new("hostile-entries");
        for (entries, ok) in
            [(0, false), (1, true), (16, true), (48, true), (49, false), (65_537, false), (u64::MAX, false)]
        {
            victim.file.write_all_at(&entries.to_ne_bytes(), PAYLOAD + 24).unwrap();
            assert_eq!(Region::open(&victim.name).is_ok(), ok, "{entries}");
            use_all(&victim.name, &mut Dice::new());
            victim.restore();
        }
    });
}

#[test]
fn who_keeps_the_directory_for_ever_is_an_error() {
    in_child(|| {
        let victim = Victim::new("hostile-lock");
        let region = Region::open(&victim.name).unwrap();
        // Held by nobody in particular, who never dies.
        victim.file.write_all_at(&0x3fff_ffff_u64.to_ne_bytes(), LOCK).unwrap();
        let ((), took) = timed(|| {
            let error = region.get_or_init::<Lock>("new").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
        });
        assert!((Duration::from_secs(10)..Duration::from_secs(15)).contains(&took), "{took:?}");
        // What is there is found nevertheless.
        region.get_or_init::<Lock>("lock").unwrap().acquire().unwrap();
        assert_eq!(region.objects().len(), 7);
        // A dead one is found out.
        victim.file.write_all_at(&(1_u64 << 30 | 4711).to_ne_bytes(), LOCK).unwrap();
        region.get_or_init::<Lock>("new").unwrap();
    });
}

/// An entry that leads before the heap is no way to the directory's own lock.
#[test]
fn the_directory_is_no_object() {
    in_child(|| {
        let victim = Victim::new("hostile-own");
        let region = Region::open(&victim.name).unwrap();
        let dead = 1_u64 << 30 | 4711;
        for entry in 0..ENTRIES {
            victim.file.write_all_at(&0_u64.to_ne_bytes(), DIRECTORY + entry * 256 + 16).unwrap();
        }
        victim.file.write_all_at(&dead.to_ne_bytes(), LOCK).unwrap();
        assert_eq!(region.objects().len(), 7);
        for object in region.objects() {
            assert_eq!((object.state(), object.holders()), (None, vec![]), "{object:?}");
            assert_eq!(object.recover().unwrap_err().kind(), ErrorKind::Unsupported, "{object:?}");
        }
        let mut lock = [0; 8];
        victim.file.read_exact_at(&mut lock, LOCK).unwrap();
        assert_eq!(u64::from_ne_bytes(lock), dead);
    });
}

/// Items that all claim the same bytes are no more than the list is.
#[test]
fn a_list_is_not_larger_than_its_bytes() {
    in_child(|| {
        const ITEMS: u64 = 4000;
        const ROOM: u64 = 270_000;
        let name = Name::new("hostile-list");
        let region = Region::options().objects(1).create(&name, ROOM as usize).unwrap();
        region.list("list", (0..ITEMS).map(|_| "12345678")).unwrap();
        let file = File::options().read(true).write(true).open(name.path()).unwrap();
        let heap = DIRECTORY + 256;
        let (first, end) = (16 + ITEMS * 32, 16 + ITEMS * 64);
        let write = |word: u64, at: u64| file.write_all_at(&word.to_ne_bytes(), heap + at).unwrap();
        let room = (end - first) / 2 - 8;
        write(4 | room << 8, first); // a text that is as long as the rest
        for item in 0..ITEMS {
            write(first, 16 + item * 32 + 16);
            write(room, 16 + item * 32 + 24);
        }
        // SAFETY: a local that is written, then one that is read; this child alone gets less memory.
        unsafe {
            let mut limit: libc::rlimit = std::mem::zeroed();
            assert_eq!(libc::getrlimit(libc::RLIMIT_AS, &raw mut limit), 0);
            limit.rlim_cur = 1 << 29;
            assert_eq!(libc::setrlimit(libc::RLIMIT_AS, &raw const limit), 0);
        }
        let list = region.get_list("list").unwrap();
        let good = list.iter().filter(Result::is_ok).count();
        assert!(good <= 1, "{good} of them claim all of it");
        assert_eq!(list.count(&7.into()).unwrap_err().kind(), ErrorKind::LayoutMismatch);
        let state = region.objects()[0].state().unwrap();
        assert!(state.len() < 8 * ROOM as usize, "{} bytes", state.len());
    });
}
