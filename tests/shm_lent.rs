//! Regions in memory that somebody else has mapped.

mod shm_support;

use std::any::type_name;
use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use memmap2::{MmapMut, MmapOptions, MmapRaw};
use shm_support::{Directory, LIMIT, in_child, refusal};
use shmsync::{AcquireError, ErrorKind, Lock, Shared};
use shmsync_harness::process;
use zerocopy::FromBytes;

/// Head and eight bytes.
const ENOUGH: usize = 4096 + 8;

fn file(directory: &Directory, length: usize) -> File {
    let file = File::options().read(true).write(true).create(true).truncate(false).open(directory.join("f")).unwrap();
    file.set_len(length as u64).unwrap();
    file
}

fn map(file: &File) -> MmapMut {
    // SAFETY: a file of this test alone, which nobody cuts off while it is mapped.
    unsafe { MmapMut::map_mut(file).unwrap() }
}

/// Shared with children.
fn shared_memory(length: usize) -> MmapRaw {
    MmapOptions::new().len(length).map_anon().unwrap().into()
}

#[test]
fn what_is_made_at_an_address_is_found_there() {
    let memory = shared_memory(3 * 4096);
    for offset in [0, 4096, 8] {
        let (start, length) = (memory.as_mut_ptr().wrapping_add(offset), memory.len() - offset);
        // SAFETY: it is mapped until the end of this test, and used as a region alone.
        let (made, same) = unsafe {
            let made = Shared::init_raw(start, length, AtomicU64::new(7)).unwrap();
            (made, Shared::<AtomicU64>::from_raw(start, length).unwrap())
        };
        assert_eq!((&raw const *made).addr(), start.addr() + 4096);
        same.fetch_add(1, Ordering::Relaxed);
        assert_eq!(made.load(Ordering::Relaxed), 8);
        drop(made);
        assert_eq!(same.load(Ordering::Relaxed), 8);
    }
    // Nobody has unmapped it.
    // SAFETY: nobody uses it any more.
    unsafe { memory.as_mut_ptr().write(1) };
}

#[test]
fn it_begins_fresh_whatever_was_there() {
    let memory = shared_memory(2 * 4096);
    let start = memory.as_mut_ptr();
    // SAFETY: it is mapped until the end of this test, and used as a region alone, one after the other.
    unsafe {
        start.write_bytes(0xa5, memory.len());
        let refused = Shared::<AtomicU64>::from_raw(start, memory.len());
        assert_eq!(refusal(refused, &format!("{start:?}")), ErrorKind::NotARegion);
        let options = Shared::<[AtomicU64; 3]>::options();
        let made = options.init_raw_zeroed(start, memory.len()).unwrap();
        assert!(made.iter().all(|n| n.load(Ordering::Relaxed) == 0));
        drop(made);
        // What comes behind the region is not touched.
        assert_eq!(start.add(4096 + 24).read(), 0xa5);
        Shared::init_raw(start, memory.len(), Lock::new()).unwrap().acquire().unwrap();
        assert!(Shared::<Lock>::from_raw(start, memory.len()).unwrap().is_locked());
        let stamped = Shared::options().stamp(3);
        stamped.init_raw(start, memory.len(), Lock::new()).unwrap().acquire().unwrap();
        assert!(stamped.from_raw(start, memory.len()).unwrap().is_locked());
        let refused = Shared::<Lock>::from_raw(start, memory.len());
        assert_eq!(refusal(refused, "layout stamp"), ErrorKind::LayoutMismatch);
    }
}

#[test]
fn what_does_not_fit_is_refused_and_not_touched() {
    #[derive(FromBytes)]
    #[repr(C, align(64))]
    struct Line(AtomicU64);

    let memory = shared_memory(2 * 4096);
    let start = memory.as_mut_ptr();
    // SAFETY: it is mapped until the end of this test, and used as a region alone, one after the other.
    unsafe {
        start.write_bytes(0xa5, memory.len());
        for length in [0, 7, 127, 128, 4095, 4096, ENOUGH - 1] {
            let refused = Shared::init_raw(start, length, AtomicU64::new(1));
            assert_eq!(refusal(refused, &format!("there are {length}")), ErrorKind::Truncated);
        }
        for offset in [1, 4, 7] {
            let refused = Shared::init_raw(start.add(offset), ENOUGH, AtomicU64::new(1));
            assert_eq!(refusal(refused, "aligned to 8 bytes"), ErrorKind::Unsupported);
        }
        let refused = Shared::init_raw(start.add(32), ENOUGH, Line(AtomicU64::new(1)));
        assert_eq!(refusal(refused, "aligned to 64 bytes"), ErrorKind::Unsupported);
        let refused = Shared::<AtomicU64>::from_raw(std::ptr::null_mut(), ENOUGH);
        assert_eq!(refusal(refused, "0x0"), ErrorKind::Unsupported);
        let limited = Shared::<AtomicU64>::options().max_size(ENOUGH - 1);
        assert_eq!(refusal(limited.init_raw_zeroed(start, ENOUGH), "allowed"), ErrorKind::TooLarge);
        assert!((0..memory.len()).all(|n| start.add(n).read() == 0xa5));

        drop(Shared::init_raw(start, ENOUGH, AtomicU64::new(1)).unwrap());
        Shared::<AtomicU64>::from_raw(start, ENOUGH).unwrap();
        for length in [0, 127, 4095, 4096, ENOUGH - 1] {
            let refused = Shared::<AtomicU64>::from_raw(start, length);
            assert_eq!(refusal(refused, &format!("there are {length}")), ErrorKind::Truncated);
        }
        let refused = Shared::<[AtomicU64; 2]>::from_raw(start, memory.len());
        assert_eq!(refusal(refused, "payload size is 8, expected 16"), ErrorKind::LayoutMismatch);
    }
}

#[test]
fn a_mapping_of_memmap2_is_kept_as_long_as_the_region() {
    let directory = Directory::new("mmap");
    let file = file(&directory, ENOUGH);
    assert_eq!(refusal(Shared::<AtomicU64>::from_mmap(map(&file)), "is not a region"), ErrorKind::NotARegion);
    let made = Shared::init_mmap(map(&file), AtomicU64::new(7)).unwrap();
    let same = Shared::<AtomicU64>::from_mmap(map(&file)).unwrap();
    // It is a region like any other.
    let opened = Shared::<AtomicU64>::open_file(directory.join("f")).unwrap();
    same.fetch_add(1, Ordering::Relaxed);
    opened.fetch_add(1, Ordering::Relaxed);
    assert_eq!(made.load(Ordering::Relaxed), 9);

    let mapped = || std::fs::read_to_string("/proc/self/maps").unwrap().matches(directory.to_str().unwrap()).count();
    assert_eq!(mapped(), 3);
    // Dropped by another thread, for it may.
    thread::spawn(move || drop((made, same))).join().unwrap();
    assert_eq!(mapped(), 1);
    drop(opened);
    assert_eq!(mapped(), 0);

    // The other way round, and refused mappings are dropped, too.
    let opened = Shared::<AtomicU64>::from_mmap(map(&file)).unwrap();
    assert_eq!(opened.load(Ordering::Relaxed), 9);
    assert_eq!(refusal(Shared::<Lock>::options().stamp(1).from_mmap(map(&file)), "0x"), ErrorKind::LayoutMismatch);
    assert_eq!(mapped(), 1);
}

#[test]
fn it_has_no_handle_and_says_so() {
    let region = Shared::init_mmap(MmapMut::map_anon(ENOUGH).unwrap(), AtomicU64::new(7)).unwrap();
    let error = region.try_handle().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("mapped by somebody else"), "{error}");
    Shared::anonymous(AtomicU64::new(7)).unwrap().try_handle().unwrap();
    let panics = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| region.handle()));
    assert!(panics.is_err());
    assert!(format!("{region:?}").contains(type_name::<AtomicU64>()));
}

/// The table of those who wait is found in such memory, too.
#[test]
fn deadlocks_are_found_in_it() {
    let directory = Directory::new("deadlock");
    let file = file(&directory, 2 * 4096);
    let pair = Shared::<[Lock; 2]>::options().init_mmap_zeroed(map(&file)).unwrap();
    let pair = &pair;
    let _watchdog = process::watchdog(LIMIT, "a deadlock in lent memory");
    let results = thread::scope(|scope| {
        let cross = |mine: usize| {
            move || {
                pair[mine].acquire().unwrap();
                thread::sleep(Duration::from_millis(50));
                let result = pair[1 - mine].acquire();
                if result.is_ok() {
                    pair[1 - mine].release().unwrap();
                }
                pair[mine].release().unwrap();
                result
            }
        };
        [scope.spawn(cross(0)), scope.spawn(cross(1))].map(|thread| thread.join().unwrap())
    });
    assert_eq!(results.iter().filter(|result| **result == Err(AcquireError::WouldDeadlock)).count(), 1, "{results:?}");
}

#[test]
fn children_share_it_and_their_deaths_are_seen() {
    let directory = Directory::new("children");
    let file = file(&directory, 2 * 4096);
    let region = Shared::init_mmap(map(&file), Lock::new()).unwrap();
    in_child(|| region.acquire().unwrap());
    assert!(matches!(region.acquire(), Err(AcquireError::OwnerDied(_))));
    region.recover().unwrap();
    // And in a mapping of one's own.
    in_child(|| assert!(Shared::<Lock>::from_mmap(map(&file)).unwrap().is_locked()));
}

/// A maker that dies half way leaves what is no region yet, and can be begun anew.
#[test]
fn killed_makers_leave_no_half_made_region() {
    const SIZE: usize = 64 << 10;
    type Numbers = [AtomicU64; SIZE / 8];
    let directory = Directory::new("killed");
    let file = file(&directory, SIZE + 4096);
    let (mut early, mut whole, mut round) = (0, 0, 0);
    let _watchdog = process::watchdog(LIMIT, "killing makers");
    // More rounds, and longer ones, on a machine so busy that none has come so far yet.
    while round < 200 || early == 0 || whole == 0 {
        file.set_len(0).unwrap();
        file.set_len((SIZE + 4096) as u64).unwrap();
        let mut child = process::fork(|| {
            let numbers: Numbers = std::array::from_fn(|_| AtomicU64::new(!0));
            loop {
                drop(Shared::init_mmap(map(&file), copy(&numbers)).unwrap());
            }
        });
        thread::sleep(Duration::from_micros((round % 200) * 20 * (1 + round / 200)));
        child.kill();
        round += 1;
        match Shared::<Numbers>::from_mmap(map(&file)) {
            Ok(region) => {
                whole += 1;
                assert!(region.iter().all(|n| n.load(Ordering::Relaxed) == !0), "half a region");
            }
            Err(e) => {
                early += 1;
                assert_eq!(e.kind(), ErrorKind::NotARegion);
            }
        }
    }
}

fn copy<const N: usize>(numbers: &[AtomicU64; N]) -> [AtomicU64; N] {
    std::array::from_fn(|n| AtomicU64::new(numbers[n].load(Ordering::Relaxed)))
}

#[test]
fn random_bytes_are_refused_and_nothing_else() -> io::Result<()> {
    let directory = Directory::new("random");
    let file = file(&directory, ENOUGH);
    drop(Shared::init_mmap(map(&file), AtomicU64::new(7)).unwrap());
    let good = std::fs::read(directory.join("f"))?;
    for at in 0..64 {
        for bit in 0..8 {
            let mut bytes = map(&file);
            bytes.copy_from_slice(&good);
            bytes[at] ^= 1 << bit;
            let kind = Shared::<AtomicU64>::from_mmap(bytes).unwrap_err().kind();
            assert_eq!(kind, if at < 8 { ErrorKind::NotARegion } else { ErrorKind::LayoutMismatch }, "byte {at}");
        }
    }
    Ok(())
}
