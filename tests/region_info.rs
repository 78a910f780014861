//! Regions seen from outside: what their headers say, who has them mapped, and removal of those that nobody has.

mod shm_support;
mod support;

use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use memmap2::MmapMut;
use shm_support::{Directory, Name, in_child};
use shmsync::{ErrorKind, Mutex, Region, RegionInfo, Shared, unlink_unused};
use support::*;

#[test]
fn a_header_tells_what_is_in_a_region() {
    let (one, many, stamped) = (Name::new("info-one"), Name::new("info-many"), Name::new("info-stamp"));
    let _one = Shared::create(&one, Mutex::new([1_u64; 4])).unwrap();
    let _many = Region::create(&many, 10_000).unwrap();
    let _stamped = Shared::options().stamp(7).create(&stamped, AtomicU64::new(1)).unwrap();

    let info = RegionInfo::of(&one).unwrap();
    assert_eq!((info.version(), info.size(), info.payload_size()), (RegionInfo::VERSION, 4096 + 48, 48));
    assert_eq!((info.contents(), info.holds_objects()), (Some("Mutex<[u64; 4]>"), false));
    assert_eq!((info.is_of_this_boot(), info.problem(), info.is_mapped()), (Some(true), None, Some(true)));

    let info = RegionInfo::read(many.path()).unwrap();
    assert_eq!((info.contents(), info.holds_objects()), (Some("named objects"), true));
    assert_eq!(info.size(), 4096 + info.payload_size());
    assert!(info.payload_size() > 10_000 && info.problem().is_none());

    let [one, stamped] = [&one, &stamped].map(|name| RegionInfo::of(name).unwrap().stamp());
    assert_ne!(one, stamped);
}

#[test]
fn what_is_wrong_with_a_region_is_said() {
    let name = Name::new("info-wrong");
    assert_eq!(RegionInfo::of(&name).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(RegionInfo::of("name").unwrap_err().kind(), ErrorKind::InvalidName);
    let region = Region::create(&name, 10_000).unwrap();
    let file = std::fs::File::options().read(true).write(true).open(name.path()).unwrap();
    let mut head = [0; 128];
    file.read_exact_at(&mut head, 0).unwrap();
    // Byte order, version, head, width, sizes.
    for (at, part) in
        [(8, "byte order"), (12, "version"), (16, "head"), (20, "processor"), (24, "sizes"), (40, "sizes")]
    {
        file.write_all_at(&[head[at] ^ 0x40], at as u64).unwrap();
        let problem = RegionInfo::of(&name).unwrap().problem().unwrap();
        assert!(problem.contains(part), "{problem}");
        assert!(Region::open(&name).is_err());
        file.write_all_at(&head, 0).unwrap();
    }
    file.write_all_at(&[0xff; 64], 64).unwrap();
    let info = RegionInfo::of(&name).unwrap();
    assert_eq!((info.is_of_this_boot(), info.contents()), (Some(false), None));
    file.write_all_at(&[0; 64], 64).unwrap();
    assert_eq!(RegionInfo::of(&name).unwrap().is_of_this_boot(), None);
    drop(region);
    file.set_len(8000).unwrap();
    assert!(RegionInfo::of(&name).unwrap().problem().unwrap().contains("cut off"));
    file.set_len(100).unwrap();
    assert_eq!(RegionInfo::of(&name).unwrap_err().kind(), ErrorKind::Truncated);
    file.write_all_at(b"x", 0).unwrap();
    assert_eq!(RegionInfo::of(&name).unwrap_err().kind(), ErrorKind::NotARegion);
    let directory = Directory::in_memory("info");
    assert_eq!(RegionInfo::read(&*directory).unwrap_err().kind(), ErrorKind::NotARegion);
}

/// Sizes that no region has, though they agree with each other.
#[test]
fn what_the_header_says_of_sizes_is_doubted() {
    let name = Name::new("info-sizes");
    let shared = Shared::create(&name, [const { AtomicU64::new(0) }; 2048]).unwrap();
    let file = std::fs::File::options().write(true).open(name.path()).unwrap();
    let write = |word: u64, at| file.write_all_at(&word.to_ne_bytes(), at).unwrap();
    // Offset, size, alignment of the payload.
    for (offset, size, align, sound) in [
        (4096_u64, 16_384_u64, 8, true),
        (8192, 12_288, 8, false),
        (4096, 16_384, 0, false),
        (4096, 16_384, 3, false),
        (4096, 16_384, 1 << 40, false),
        (4096, 16_384, u64::MAX, false),
        (4097, 16_383, 1, false),
        (4096, 16_385, 8, false),
    ] {
        for (word, at) in [(offset, 32), (size, 40), (align, 48)] {
            write(word, at);
        }
        assert_eq!(RegionInfo::of(&name).unwrap().problem().is_none(), sound, "{offset} {size} {align}");
    }
    drop(shared);
}

fn is_mapped(name: &Name) -> bool {
    RegionInfo::of(name).unwrap().is_mapped().expect("tmpfs has locks")
}

/// Who has it mapped: the maker, who opens it, their forked children, whoever was given its handle; and none that was
/// killed.
#[test]
fn who_has_a_region_mapped_is_seen() {
    in_child(|| {
        let name = Name::new("info-mapped");
        let made = Shared::create(&name, AtomicU64::new(1)).unwrap();
        assert!(is_mapped(&name));
        let opened = Shared::<AtomicU64>::open(&name).unwrap();
        drop(made);
        assert!(is_mapped(&name));
        let began = Shm::new(Tally::new());
        let mut child = fork(|| {
            began.up();
            until_killed();
        });
        began.reaches(1);
        let handle = opened.handle();
        drop(opened);
        let mut program = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        drop(handle);
        assert!(is_mapped(&name), "by the forked child, and the program that has the handle");
        child.kill();
        assert!(is_mapped(&name), "by the program that has the handle");
        program.kill().unwrap();
        program.wait().unwrap();
        drop(child);
        eventually("nobody has it", || if is_mapped(&name) { Err("mapped".into()) } else { Ok(()) });
    });
}

#[test]
fn a_region_is_removed_only_if_nobody_has_it() {
    in_child(|| {
        let name = Name::new("unused");
        assert_eq!(unlink_unused(&name).unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(unlink_unused("name").unwrap_err().kind(), ErrorKind::InvalidName);
        let region = Region::create(&name, 1000).unwrap();
        assert!(!unlink_unused(&name).unwrap() && name.path().exists());
        // In the hands of a child alone.
        let mut child = fork(|| until_killed());
        drop(region);
        assert!(!unlink_unused(&name).unwrap() && name.path().exists());
        child.kill();
        eventually("it is removed", || match unlink_unused(&name).unwrap() {
            true => Ok(()),
            false => Err("in use".into()),
        });
        assert!(!name.path().exists());
    });
}

/// What others have put there is not ours to remove, whoever calls it by mistake.
#[test]
fn what_is_no_region_is_left_alone() {
    let name = Name::new("unused-other");
    for (what, kind) in [
        (&b"somebody's words"[..], ErrorKind::NotARegion),
        (b"", ErrorKind::NotARegion),
        (b"shmsync\0", ErrorKind::Truncated),
    ] {
        std::fs::write(name.path(), what).unwrap();
        assert_eq!(unlink_unused(&name).unwrap_err().kind(), kind, "{what:?}");
        assert_eq!(std::fs::read(name.path()).unwrap(), what);
    }
    std::fs::remove_file(name.path()).unwrap();
    drop(Shared::create(&name, AtomicU64::new(1)).unwrap());
    let file = std::fs::File::options().write(true).open(name.path()).unwrap();
    for version in [RegionInfo::VERSION - 1, RegionInfo::VERSION + 1] {
        file.write_all_at(&version.to_ne_bytes(), 12).unwrap();
        assert_eq!(unlink_unused(&name).unwrap_err().kind(), ErrorKind::Unsupported);
        assert!(name.path().exists());
    }
    file.write_all_at(&RegionInfo::VERSION.to_ne_bytes(), 12).unwrap();
    in_child(|| {
        // As soon as no child has it that another test forked meanwhile.
        eventually("it is removed", || match unlink_unused(&name).unwrap() {
            true => Ok(()),
            false => Err(String::from("somebody has it")),
        });
    });
}

/// Who has mapped a region's file by other means than this crate's locks nothing: that nobody is seen proves nothing then.
#[test]
fn a_region_that_was_lent_is_not_taken_for_unused() {
    in_child(|| {
        let name = Name::new("unused-lent");
        let refused = || {
            assert_eq!(RegionInfo::of(&name).unwrap().is_mapped(), None);
            assert_eq!(unlink_unused(&name).unwrap_err().kind(), ErrorKind::Unsupported);
            assert!(name.path().exists());
        };
        let open = || std::fs::File::options().read(true).write(true).open(name.path()).unwrap();
        // SAFETY: nobody cuts the file off, and it is used as a region only.
        let map = || unsafe { MmapMut::map_mut(&open()).unwrap() };
        // Made so.
        std::fs::write(name.path(), [0; 4096 + 8]).unwrap();
        let made = Shared::init_mmap(map(), AtomicU64::new(7)).unwrap();
        refused();
        let opened = Shared::<AtomicU64>::open(&name).unwrap();
        assert!(is_mapped(&name) && !unlink_unused(&name).unwrap());
        drop((made, opened));
        refused();
        std::fs::remove_file(name.path()).unwrap();
        // Only attached so.
        drop(Shared::create(&name, AtomicU64::new(7)).unwrap());
        assert!(!is_mapped(&name));
        let _attached = Shared::<AtomicU64>::from_mmap(map()).unwrap();
        refused();
        assert_eq!(RegionInfo::of(&name).unwrap().contents(), Some("AtomicU64"));
    });
}

/// A second name of the file is not the one that was asked for.
#[test]
fn who_is_removed_while_it_is_opened_is_not_found() {
    in_child(|| {
        let directory = Directory::in_memory("unused-link");
        let (path, other) = (directory.join("region"), directory.join("other"));
        drop(Shared::create_file(&path, AtomicU64::new(1)).unwrap());
        let file = std::fs::File::options().read(true).write(true).open(&path).unwrap();
        lock_whole(&file);
        std::thread::scope(|scope| {
            let opener = scope.spawn(|| Shared::<AtomicU64>::open_file(&path).map(drop));
            std::thread::sleep(Duration::from_millis(50)); // it waits for the lock by then, or finds nothing yet
            std::fs::hard_link(&path, &other).unwrap();
            std::fs::remove_file(&path).unwrap();
            drop(file);
            assert_eq!(opener.join().unwrap().unwrap_err().kind(), ErrorKind::NotFound);
        });
        Shared::<AtomicU64>::open_file(&other).unwrap();
    });
}

fn lock_whole(file: &std::fs::File) {
    // SAFETY: plain integers.
    let mut whole: libc::flock64 = unsafe { std::mem::zeroed() };
    whole.l_type = libc::F_WRLCK as libc::c_short;
    // SAFETY: one flock64 to read, and an open descriptor.
    let locked = unsafe { libc::fcntl(std::os::fd::AsRawFd::as_raw_fd(file), libc::F_OFD_SETLK, &raw mut whole) };
    assert_eq!(locked, 0);
}

/// Some open it and use it while others remove it when it is not used: nobody has one in hand that has lost its name.
#[test]
fn whoever_opens_it_meanwhile_has_one_with_a_name() {
    in_child(|| {
        let name = Name::new("unused-race");
        let (opened, removed) = (Shm::new(Tally::new()), Shm::new(Tally::new()));
        let enough = || opened.get() >= 200 && removed.get() >= 20;
        let openers = team(2, |me| {
            let (me, mut dice) = (me as usize, Dice::new());
            for round in 1.. {
                if enough() {
                    break;
                }
                // Now and then neither has it open.
                std::thread::sleep(Duration::from_micros(dice.below(200)));
                let region = Shared::open_or_create(&name, || [AtomicU64::new(0), AtomicU64::new(0)]).unwrap();
                assert!(name.path().exists());
                let same = Shared::<[AtomicU64; 2]>::open(&name).unwrap();
                same[me].store(round, Relaxed);
                assert_eq!(region[me].load(Relaxed), round, "the same region");
                opened.up();
            }
        });
        let removers = team(2, |_| {
            while !enough() {
                match unlink_unused(&name) {
                    Ok(true) => _ = removed.up(),
                    Ok(false) => {}
                    Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound, "{error}"),
                }
            }
        });
        join(openers.into_iter().chain(removers));
    });
}

/// Who says for ever that he is about to remove it holds nobody up for ever.
#[test]
fn who_locks_a_region_against_all_is_found_out() {
    in_child(|| {
        let name = Name::new("unused-locked");
        drop(Shared::create(&name, AtomicU64::new(1)).unwrap());
        let file = std::fs::File::options().read(true).write(true).open(name.path()).unwrap();
        lock_whole(&file);
        assert_eq!(Shared::<AtomicU64>::open(&name).unwrap_err().kind(), ErrorKind::Busy);
        assert!(!unlink_unused(&name).unwrap());
        drop(file);
        Shared::<AtomicU64>::open(&name).unwrap();
    });
}

/// Tools look, and nobody takes them for users; what they look at may go meanwhile. In a process of its own, because one
/// that another test forks while a region is mapped has it, too.
#[test]
fn observers_do_not_count() {
    in_child(|| {
        let name = Name::new("observed");
        drop(Shared::create(&name, Mutex::new(7_u64)).unwrap());
        let seen = Shared::<Mutex<u64>>::options().observing().open(&name).unwrap();
        assert!(!is_mapped(&name));
        let user = Shared::<Mutex<u64>>::open(&name).unwrap();
        assert!(!unlink_unused(&name).unwrap());
        drop(user);
        assert!(unlink_unused(&name).unwrap());
        assert_eq!(*seen.lock().unwrap(), 7);

        let name = Name::new("observed-objects");
        let region = Region::create(&name, 4096).unwrap();
        let mut seen = Region::options().observing().open(&name).unwrap();
        region.array::<u8>("all of it", 4096).unwrap();
        assert_eq!(region.attached().unwrap().len(), 1);
        assert_eq!(seen.objects()[0].size(), 4096);
        assert_eq!(seen.attached().unwrap_err().kind(), ErrorKind::Unsupported);
        assert_eq!(seen.renew().unwrap_err().kind(), ErrorKind::Unsupported);
        region.remove("all of it").unwrap();
        drop(region);
        assert!(!is_mapped(&name));
        let region = Region::open(&name).unwrap();
        region.array::<u8>("again", 4096).expect("the observer keeps nothing");
        drop(region);
        assert!(unlink_unused(&name).unwrap());
    });
}
