//! A valid `Region` whose directory, attach table, heap and lists others have written over; then any verbs.
//!
//! Beyond that nothing crashes and all come to an end: what a verb hands out lies in the region's room and is aligned, and an
//! object that no entry of the directory leads into, other than its own, is as it was, whatever is done with the others; and
//! so is the header.
#![no_main]

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use shmsync::{Event, Handle, Lock, OnceCell, PermitPool, Region, RwLock, Semaphore};
use shmsync_fuzz::using::{Step, tour, walk};
use shmsync_fuzz::watch::soon;
use shmsync_fuzz::words::{Scribble, remember_me};

/// Where a region's parts are: what `src/shm/region/geometry.rs` promises.
const PAYLOAD: u64 = 4096;
const SLOTS: u64 = PAYLOAD + 256;
const DIRECTORY: u64 = PAYLOAD + 8448;
const ENTRIES: u64 = 16;
const ENTRY: u64 = 256;
const HEAP: u64 = DIRECTORY + ENTRIES * ENTRY;
const ROOM: u64 = 8192;
const END: u64 = HEAP + ROOM;

#[derive(Arbitrary, Debug)]
struct Input {
    /// Whether the region is opened anew after the scribbling, as another process would.
    anew: bool,
    changes: Vec<(Where, What)>,
    steps: Vec<Step>,
    /// Between the verbs that come before it and those behind.
    later: Vec<(Where, What)>,
    more: Vec<Step>,
}

#[derive(Arbitrary, Debug, Clone, Copy)]
enum Where {
    /// The table of those who wait long.
    Waits(u16),
    /// The lock, the epoch, and the number of entries.
    Head(u8),
    Slot(u16),
    /// A word of an entry: which, and the how manieth.
    Entry(u8, u8),
    /// Of its first words, which say where the object is, and whether.
    Field(u8, u8),
    Heap(u16),
    /// A word of the object that the entry is of.
    Object(u8, u8),
}

#[derive(Arbitrary, Debug, Clone, Copy)]
enum What {
    Scribble(Scribble),
    /// Somewhere about the heap, where an object could begin.
    Place(u16),
}

impl What {
    fn word(self) -> u64 {
        match self {
            Self::Scribble(word) => word.word(),
            Self::Place(at) => (u64::from(at) % (END + 4096 - PAYLOAD)) & !63,
        }
    }
}

struct Victim {
    region: Region,
    handle: Handle,
    file: File,
    sound: Vec<u8>,
    /// Where the room is mapped.
    room: Range<usize>,
    /// The object that nobody touches, from the payload's beginning.
    canary: Range<u64>,
}

impl Victim {
    fn new() -> Self {
        remember_me();
        let region = Region::options().objects(ENTRIES as usize).anonymous(ROOM as usize).expect("a region");
        let make = || {
            region.get_or_init::<Lock>("lock")?;
            region.get_or_init_with("semaphore", || Semaphore::new(3))?;
            region.get_or_init::<shmsync::Mutex<u64>>("mutex")?;
            let canary = region.array::<AtomicU64>("canary", 100)?;
            canary.iter().for_each(|word| word.store(0x5a5a_5a5a_5a5a_5a5a, Ordering::Relaxed));
            region.get_or_init::<PermitPool<4>>("pool")?;
            region.get_or_init::<RwLock<u64, 4>>("rwlock")?;
            region.array::<AtomicU64>("array", 100)?;
            region.value_or_init("value", AtomicU64::new(7))?;
            region.list("list", ["a text".into(), 7_i64.into(), shmsync::Item::None])?;
            region.get_or_init::<OnceCell<u64>>("cell")?;
            region.get_or_init::<Event>("removed")?;
            region.remove("removed")?;
            Ok::<_, shmsync::Error>(std::ptr::from_ref(canary).addr())
        };
        let address = make().expect("there is room");
        let objects = region.objects();
        let canary = objects.iter().find(|object| object.name() == "canary").expect("it was made");
        let (begin, start) = (HEAP - PAYLOAD + canary.offset(), address - canary.offset() as usize);
        let canary = begin..begin + canary.size();
        drop(objects);
        let handle = region.handle();
        let number = handle.to_string();
        let number = number.split(['=', ':']).nth(2).expect("a handle names its descriptor");
        let path = format!("/proc/self/fd/{number}");
        let file = File::options().read(true).write(true).open(path).expect("/proc");
        assert_eq!(file.metadata().expect("fstat").len(), END, "the parts are where they were thought to be");
        let mut sound = vec![0; END as usize];
        file.read_exact_at(&mut sound, 0).expect("the file is so long");
        let victim = Self { region, handle, file, sound, room: start..start + ROOM as usize, canary };
        assert!(victim.canary_is_safe(), "what is looked at after each program would not be looked at");
        victim
    }

    fn write(&self, place: Where, word: What) {
        let at = match place {
            Where::Waits(at) => 128 + u64::from(at) % (PAYLOAD - 128),
            Where::Head(at) => PAYLOAD + u64::from(at) % 32,
            Where::Slot(at) => SLOTS + u64::from(at) % (DIRECTORY - SLOTS),
            Where::Entry(which, at) => DIRECTORY + u64::from(which) % ENTRIES * ENTRY + u64::from(at),
            Where::Field(which, at) => DIRECTORY + u64::from(which) % ENTRIES * ENTRY + u64::from(at % 7) * 8,
            Where::Heap(at) => HEAP + u64::from(at) % ROOM,
            Where::Object(which, at) => {
                let entry = DIRECTORY + u64::from(which) % ENTRIES * ENTRY;
                PAYLOAD + self.word(entry + 16).min(END - PAYLOAD - 256) + u64::from(at)
            }
        } & !7;
        // Not the object that is looked after. (Whoever means it can lead an entry there.)
        if !self.canary.contains(&at.wrapping_sub(PAYLOAD)) && at + 8 <= END {
            self.file.write_all_at(&word.word().to_ne_bytes(), at).expect("within the file");
        }
    }

    fn word(&self, at: u64) -> u64 {
        let mut bytes = [0; 8];
        self.file.read_exact_at(&mut bytes, at).expect("within the file");
        u64::from_ne_bytes(bytes)
    }

    /// Whether the entry of the untouched object is whole, and none leads into it that is not its own.
    fn canary_is_safe(&self) -> bool {
        let leads = |entry: u64| {
            let [begin, size] = [16, 24].map(|field| self.word(entry + field));
            // Also what is not taken, and free: it may be used for something while its fields are still these.
            begin < self.canary.end && begin.saturating_add(size.max(1)) > self.canary.start
        };
        let entries: Vec<u64> = (0..ENTRIES).map(|n| DIRECTORY + n * ENTRY).filter(|&entry| leads(entry)).collect();
        let [entry] = entries[..] else { return false };
        let whole = entry as usize..(entry + ENTRY) as usize;
        let mut bytes = vec![0; ENTRY as usize];
        self.file.read_exact_at(&mut bytes, entry).expect("within the file");
        bytes == self.sound[whole]
    }

    fn bytes(&self, range: Range<u64>) -> Vec<u8> {
        let mut bytes = vec![0; (range.end - range.start) as usize];
        self.file.read_exact_at(&mut bytes, range.start).expect("within the file");
        bytes
    }
}

fn run(victim: &mut Victim, input: &Input) {
    victim.file.write_all_at(&victim.sound, 0).expect("within the file");
    let canary = victim.canary.start + PAYLOAD..victim.canary.end + PAYLOAD;
    let sound = victim.sound[canary.start as usize..canary.end as usize].to_vec();
    let mut opened = None;
    let mut safe = true;
    for (changes, steps) in [(&input.changes, &input.steps), (&input.later, &input.more)] {
        for &(place, word) in changes.iter().take(24) {
            victim.write(place, word);
        }
        // Asked after each scribbling and not after the verbs: those must not lead an entry there.
        safe &= victim.canary_is_safe();
        let steps = &steps[..steps.len().min(24)];
        if input.anew {
            // With another number of entries the heap begins elsewhere, and entries are not seen.
            safe &= victim.word(PAYLOAD + 24) == ENTRIES;
            if opened.is_none() {
                opened = Region::from_handle(&victim.handle).ok();
            }
            if let Some(region) = &mut opened {
                soon(|| {
                    walk(region, steps, None);
                    tour(region, None);
                });
            }
        } else {
            let room = victim.room.clone();
            soon(|| {
                walk(&mut victim.region, steps, Some(room.clone()));
                tour(&victim.region, Some(room));
            });
        }
        assert!(!safe || victim.bytes(canary.clone()) == sound, "an object was written over that nobody asked for");
    }
    assert_eq!(victim.bytes(0..128), victim.sound[..128], "the header");
}

static VICTIM: Mutex<Option<Victim>> = Mutex::new(None);

fuzz_target!(|input: Input| {
    let mut victim = VICTIM.lock().expect("one execution at a time");
    run(victim.get_or_insert_with(Victim::new), &input);
});
