//! Regions in files of one's own, on file systems that are full or know no unnamed files, and with `/proc` away.

mod shm_support;

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use shm_support::{Directory, LIMIT, Name, in_child, mount_one_mebibyte, own_mounts, refusal};
use shmsync::{ErrorKind, Shared};
use shmsync_harness::process;

#[test]
fn a_file_is_shared_and_stays() {
    let directory = Directory::new("file");
    let path = directory.join("counter");
    let mine = Shared::create_file(&path, AtomicU64::new(1)).unwrap();
    let work = || {
        Shared::<AtomicU64>::open_file(&path).unwrap().store(2, Ordering::Release);
    };
    process::fork(work).join(LIMIT).unwrap();
    assert_eq!(mine.load(Ordering::Acquire), 2);
    drop(mine);
    assert_eq!(Shared::<AtomicU64>::open_file(&path).unwrap().load(Ordering::Relaxed), 2);
    assert_eq!(directory.names(), ["counter"]);

    let shown = path.to_str().unwrap();
    assert_eq!(refusal(Shared::create_file(&path, AtomicU64::new(3)), shown), ErrorKind::AlreadyExists);
    fs::remove_file(&path).unwrap();
    assert_eq!(refusal(Shared::<AtomicU64>::open_file(&path), shown), ErrorKind::NotFound);
    let made = Shared::open_or_create_file(&path, || AtomicU64::new(4)).unwrap();
    let same = Shared::<AtomicU64>::open_or_create_file_zeroed(&path).unwrap();
    made.store(5, Ordering::Relaxed);
    assert_eq!(same.load(Ordering::Relaxed), 5);
}

#[test]
fn paths_that_lead_nowhere() {
    let directory = Directory::new("nowhere");
    let lost = directory.join("no/such");
    let shown = lost.to_str().unwrap();
    assert_eq!(refusal(Shared::create_file(&lost, AtomicU64::new(0)), shown), ErrorKind::NotFound);
    assert_eq!(refusal(Shared::<AtomicU64>::open_file(&lost), shown), ErrorKind::NotFound);
    assert_eq!(refusal(Shared::open_or_create_file(&lost, || AtomicU64::new(0)), shown), ErrorKind::NotFound);
    fs::write(directory.join("no"), "a file").unwrap();
    assert_eq!(refusal(Shared::<AtomicU64>::open_file(&lost), shown), ErrorKind::NotFound);
    for bad in ["", "/", "a/..", "a/"] {
        let shown = format!("{bad:?}");
        assert_eq!(refusal(Shared::<AtomicU64>::create_file_zeroed(bad), &shown), ErrorKind::InvalidName);
        assert_eq!(refusal(Shared::<AtomicU64>::open_file(bad), &shown), ErrorKind::InvalidName);
    }
}

#[test]
fn a_path_may_be_too_long() {
    let directory = Directory::new("long");
    let long = directory.join("x".repeat(256));
    let shown = long.to_str().unwrap();
    assert_eq!(refusal(Shared::create_file(&long, AtomicU64::new(0)), shown), ErrorKind::InvalidName);
    assert_eq!(refusal(Shared::<AtomicU64>::open_file(&long), shown), ErrorKind::InvalidName);
    assert_eq!(refusal(Shared::open_or_create_file(&long, || AtomicU64::new(0)), shown), ErrorKind::InvalidName);
    assert_eq!(directory.names(), [""; 0]);
    Shared::create_file(directory.join("x".repeat(255)), AtomicU64::new(0)).unwrap();
}

#[test]
fn a_path_may_be_relative() {
    let directory = Directory::new("relative");
    in_child(|| {
        std::env::set_current_dir(&*directory).unwrap();
        let _made = Shared::create_file("here", AtomicU64::new(6)).unwrap();
        assert_eq!(Shared::<AtomicU64>::open_file("./here").unwrap().load(Ordering::Relaxed), 6);
    });
    assert_eq!(directory.names(), ["here"]);
}

/// Not a SIGBUS when the memory is touched.
#[test]
fn a_full_file_system_is_no_space() {
    let directory = Directory::new("full");
    in_child(|| {
        own_mounts();
        mount_one_mebibyte(&directory);
        mount_one_mebibyte(Path::new("/dev/shm"));
        let path = directory.join("region");
        let shown = path.to_str().unwrap();
        type Large = [AtomicU8; 2 << 20];
        type Half = [AtomicU8; 600 << 10];
        assert_eq!(refusal(Shared::<Large>::create_file_zeroed(&path), shown), ErrorKind::NoSpace);
        assert_eq!(refusal(Shared::<Large>::open_or_create_file_zeroed(&path), shown), ErrorKind::NoSpace);
        assert!(directory.names().is_empty());

        let half = Shared::<Half>::create_file_zeroed(&path).unwrap();
        let second = Shared::<Half>::create_file_zeroed(directory.join("second"));
        assert_eq!(refusal(second, "second"), ErrorKind::NoSpace);
        half.iter().for_each(|byte| byte.store(1, Ordering::Relaxed));
        assert_eq!(directory.names(), ["region"]);
        // What is there can still be had.
        Shared::<Half>::open_or_create_file_zeroed(&path).unwrap();

        let name = Name::new("full");
        assert_eq!(refusal(Shared::<Large>::create_zeroed(&name), &name), ErrorKind::NoSpace);
        assert!(!name.path().exists());
    });
}

/// An ordinary user cannot give a name to an unnamed file without `/proc`, so the file has a temporary name at first.
#[test]
fn without_proc_regions_are_published_all_the_same() {
    let directory = Directory::new("no-proc");
    in_child(|| {
        own_mounts();
        mount_one_mebibyte(Path::new("/proc"));
        assert!(!Path::new("/proc/self").exists());
        let path = directory.join("region");
        let made = Shared::create_file(&path, AtomicU64::new(7)).unwrap();
        let again = Shared::create_file(&path, AtomicU64::new(8));
        assert_eq!(refusal(again, path.to_str().unwrap()), ErrorKind::AlreadyExists);
        made.store(9, Ordering::Relaxed);
        assert_eq!(Shared::<AtomicU64>::open_file(&path).unwrap().load(Ordering::Relaxed), 9);
        assert_eq!(directory.names(), ["region"], "no temporary name is left");
    });
}

#[test]
fn without_dev_shm_the_error_says_so() {
    in_child(|| {
        own_mounts();
        mount_one_mebibyte(Path::new("/dev"));
        let name = Name::new("no-dev-shm");
        assert_eq!(refusal(Shared::<AtomicU64>::create_zeroed(&name), "/dev/shm"), ErrorKind::NotFound);
        assert_eq!(refusal(Shared::<AtomicU64>::open_or_create_zeroed(&name), "/dev/shm"), ErrorKind::NotFound);
        assert_eq!(refusal(Shared::<AtomicU64>::open(&name), &name), ErrorKind::NotFound);
    });
}

/// A copy with holes has the bytes of a region, and not the memory: it gets it when it is opened, or is refused.
#[test]
fn the_holes_of_a_copy_are_filled() {
    use std::io::Write;
    use std::os::unix::fs::MetadataExt;
    type Region<const SIZE: usize> = [AtomicU8; SIZE];
    let directory = Directory::new("sparse");
    in_child(|| {
        own_mounts();
        mount_one_mebibyte(&directory);
        fn copy<const SIZE: usize>(path: &Path) {
            let head = Shared::<Region<SIZE>>::anonymous_zeroed().unwrap();
            let number: Vec<_> = head.handle().to_string().split(['=', ':']).map(String::from).collect();
            let head = &fs::read(format!("/proc/self/fd/{}", number[2])).unwrap()[..4096];
            let mut file = fs::File::create(path).unwrap();
            file.write_all(head).unwrap();
            file.set_len(4096 + SIZE as u64).unwrap();
        }
        const LARGE: usize = 2 << 20;
        const HALF: usize = 500 << 10;
        let (large, half) = (directory.join("large"), directory.join("half"));
        copy::<LARGE>(&large);
        assert_eq!(refusal(Shared::<Region<LARGE>>::open_file(&large), "large"), ErrorKind::NoSpace);
        copy::<HALF>(&half);
        assert!(fs::metadata(&half).unwrap().blocks() * 512 < HALF as u64);
        let region = Shared::<Region<HALF>>::open_file(&half).unwrap();
        assert!(fs::metadata(&half).unwrap().blocks() * 512 >= HALF as u64);
        assert_eq!(fs::metadata(&half).unwrap().len(), 4096 + HALF as u64);
        // Somebody else takes all that is left.
        let filled = fs::write(directory.join("rest"), vec![1; 1 << 20]);
        assert!(filled.is_err());
        region.iter().for_each(|byte| byte.store(1, Ordering::Relaxed));
    });
}

/// Paths are often somebody else's words, and errors are often shown in a terminal. (Found by the fuzz target `names`.)
#[test]
fn errors_show_paths_with_escapes() {
    let path = Path::new("/nowhere\x1b[31m/region");
    for error in [
        Shared::create_file(path, AtomicU64::new(7)).unwrap_err(),
        Shared::<AtomicU64>::open_file(path).unwrap_err(),
        Shared::open_or_create_file(path, || AtomicU64::new(7)).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(!error.to_string().contains(char::is_control), "{error:?}");
    }
}
