//! The options of a region: each does what it says, as the system shows it, or is an error that says why not.

mod shm_support;

use std::fs;
use std::os::unix::fs::chown;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use shm_support::smaps::{kibibytes, smaps};
use shm_support::{Directory, Name, become_nobody, in_child, is_root, mount_hugetlbfs, own_mounts, refusal};
use shmsync::{ErrorKind, HugePages, Shared};

const MEBIBYTE: usize = 1 << 20;
type Megabytes<const N: usize> = [[AtomicU8; MEBIBYTE]; N];

/// The user whom `become_nobody` becomes.
const NOBODY: u32 = 65534;
const STRANGER: u32 = 4711;

// ---- Whose it may be --------------------------------------------------------------------------------------------

#[test]
fn a_strangers_region_is_refused_unless_allowed() {
    if !is_root() {
        return eprintln!("skipped: only root can give files away");
    }
    let name = Name::new("owner");
    let options = Shared::<AtomicU64>::options();
    let _region = options.mode(0o666).create(&name, AtomicU64::new(1)).unwrap();
    let path = name.path();

    // Root trusts root, and itself.
    options.open(&name).unwrap();
    chown(&path, Some(STRANGER), None).unwrap();
    let expected = "belongs to user 4711, expected user 0 or root";
    assert_eq!(refusal(options.open(&name), expected), ErrorKind::PermissionDenied);
    assert_eq!(refusal(options.open_file(&path), expected), ErrorKind::PermissionDenied);
    let either = options.open_or_create(&name, || AtomicU64::new(2));
    assert_eq!(refusal(either, expected), ErrorKind::PermissionDenied);
    let another = options.allow_owner(STRANGER + 1).open(&name);
    assert_eq!(refusal(another, "expected user 0, user 4712 or root"), ErrorKind::PermissionDenied);
    assert_eq!(options.allow_owner(STRANGER).open(&name).unwrap().load(Ordering::Relaxed), 1);
    options.allow_any_owner().open(&name).unwrap();

    // An ordinary user trusts itself and root, and nobody else whatever the mode is.
    let as_nobody = |owner, trusted: bool| {
        chown(&path, Some(owner), None).unwrap();
        in_child(|| {
            become_nobody();
            match options.open(&name) {
                Ok(_) => assert!(trusted, "a region of user {owner} was opened"),
                refused => {
                    assert_eq!(refusal(refused, "expected user 65534 or root"), ErrorKind::PermissionDenied);
                    assert!(!trusted, "a region of user {owner} was refused");
                }
            }
        });
    };
    as_nobody(NOBODY, true);
    as_nobody(0, true);
    as_nobody(STRANGER, false);
}

#[test]
fn a_handle_is_given_and_not_found_so_its_owner_is_not_asked() {
    if !is_root() {
        return eprintln!("skipped: only root can give files away");
    }
    let name = Name::new("owner-handle");
    let region = Shared::create(&name, AtomicU64::new(1)).unwrap();
    chown(name.path(), Some(STRANGER), None).unwrap();
    Shared::<AtomicU64>::from_handle(&region.handle()).unwrap();
}

// ---- How large it may be ----------------------------------------------------------------------------------------

#[test]
fn what_is_larger_than_allowed_is_neither_made_nor_opened() {
    let name = Name::new("size");
    let options = Shared::<AtomicU64>::options();
    let (small, enough) = (options.max_size(4096 + 7), options.max_size(4096 + 8));
    assert_eq!(refusal(small.create(&name, AtomicU64::new(1)), "4104 bytes, at most 4103"), ErrorKind::TooLarge);
    assert_eq!(refusal(small.anonymous_zeroed(), "anonymous"), ErrorKind::TooLarge);
    assert!(!name.path().exists());
    let region = enough.create(&name, AtomicU64::new(1)).unwrap();
    enough.open(&name).unwrap();
    assert_eq!(refusal(small.open(&name), &name), ErrorKind::TooLarge);
    assert_eq!(refusal(small.open_or_create_zeroed(&name), &name), ErrorKind::TooLarge);
    assert_eq!(refusal(small.from_handle(&region.handle()), "handle"), ErrorKind::TooLarge);
    // What follows the region is no part of it.
    fs::File::options().write(true).open(name.path()).unwrap().set_len(1 << 30).unwrap();
    enough.open(&name).unwrap();
}

// ---- Its pages --------------------------------------------------------------------------------------------------

#[test]
fn populated_pages_are_there_before_they_are_touched() {
    let name = Name::new("populate");
    let options = Shared::<Megabytes<4>>::options();
    let lazy = options.create_zeroed(&name).unwrap();
    let rss = |region: &Shared<Megabytes<4>>| kibibytes((&raw const **region).cast(), "Rss:");
    assert!(rss(&lazy) < 1024, "{}", rss(&lazy));
    let eager = options.populate(true).open(&name).unwrap();
    assert_eq!(rss(&eager), 4096 + 4);
    let anonymous = options.populate(true).anonymous_zeroed().unwrap();
    assert_eq!(rss(&anonymous), 4096 + 4);
    let directory = Directory::new("populate");
    let file = options.populate(true).create_file_zeroed(directory.join("region")).unwrap();
    assert_eq!(rss(&file), 4096 + 4);
}

#[test]
fn locked_memory_is_locked() {
    let name = Name::new("lock");
    let options = Shared::<Megabytes<1>>::options().lock_memory(true);
    let made = match options.create_zeroed(&name) {
        Err(e) if e.kind() == ErrorKind::PermissionDenied => return eprintln!("skipped: {e}"),
        made => made.unwrap(),
    };
    let opened = options.open(&name).unwrap();
    for region in [&made, &opened] {
        let address = (&raw const **region).cast();
        assert!(smaps(address, "VmFlags:").split(' ').any(|flag| flag == "lo"));
        assert_eq!(kibibytes(address, "Rss:"), 1024 + 4);
    }
}

/// The limit counts for ordinary users alone.
#[test]
fn what_may_not_be_locked_is_refused_and_not_made() {
    let name = Name::new("lock-limit");
    in_child(|| {
        let limit = libc::rlimit { rlim_cur: 64 << 10, rlim_max: 64 << 10 };
        // SAFETY: reads that local; the limit is this child's own.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &limit) }, 0);
        if is_root() {
            become_nobody();
        }
        let options = Shared::<Megabytes<1>>::options().lock_memory(true);
        let refused = options.create_zeroed(&name);
        assert_eq!(refusal(refused, "may lock 65536 in all (RLIMIT_MEMLOCK)"), ErrorKind::PermissionDenied);
        assert!(!name.path().exists());
        Shared::<Megabytes<1>>::create_zeroed(&name).unwrap();
        assert_eq!(refusal(options.open(&name), &name), ErrorKind::PermissionDenied);
    });
}

/// `None`, said why, where the system makes none.
fn huge_page() -> Option<usize> {
    let read = |what| fs::read_to_string(format!("/sys/kernel/mm/transparent_hugepage/{what}"));
    let (Ok(size), Ok(enabled)) = (read("hpage_pmd_size"), read("shmem_enabled")) else {
        eprintln!("skipped: the kernel has no transparent huge pages for shared memory");
        return None;
    };
    if enabled.contains("[deny]") {
        eprintln!("skipped: huge pages are denied to shared memory");
        return None;
    }
    size.trim().parse().ok()
}

/// libc has it not for musl.
const MADV_COLLAPSE: libc::c_int = 25;

/// Whether `madvise` knows `MADV_COLLAPSE`, without which the settings decide.
fn can_collapse() -> bool {
    // SAFETY: an empty range.
    unsafe { libc::madvise(std::ptr::null_mut(), 0, MADV_COLLAPSE) == 0 }
}

#[test]
fn transparent_huge_pages_are_made_where_they_can_be() {
    let Some(huge) = huge_page() else { return };
    let name = Name::new("huge");
    // Four huge pages on x86, of which the head takes a piece, and a rest.
    let options = Shared::<Megabytes<9>>::options().huge_pages(HugePages::Transparent);
    let made = options.create_zeroed(&name).unwrap();
    let opened = options.open(&name).unwrap();
    let anonymous = options.anonymous_zeroed().unwrap();
    for region in [&made, &opened, &anonymous] {
        let address = (&raw const **region).cast::<u8>();
        if huge <= 9 * MEBIBYTE {
            assert_eq!((address.addr() - 4096) % huge, 0);
            assert!(smaps(address, "VmFlags:").split(' ').any(|flag| flag == "hg"));
        }
        region[0][0].store(7, Ordering::Relaxed);
        region[8][MEBIBYTE - 1].store(8, Ordering::Relaxed);
    }
    assert_eq!(opened[8][MEBIBYTE - 1].load(Ordering::Relaxed), 8);
    if can_collapse() {
        // There may be no huge page to be had on a machine that is full, but that they come at all must be seen.
        let mapped = |region: &Shared<Megabytes<9>>| kibibytes((&raw const **region).cast(), "ShmemPmdMapped:");
        assert!(mapped(&made) > 0 && mapped(&anonymous) > 0, "no huge pages");
    }
}

/// It leaves no addresses behind that nobody unmaps.
#[test]
fn an_aligned_mapping_is_taken_back_whole() {
    if huge_page().is_none() {
        return;
    }
    in_child(|| {
        let size = || {
            let statm = fs::read_to_string("/proc/self/statm").unwrap();
            statm.split(' ').next().unwrap().parse::<usize>().unwrap()
        };
        let options = Shared::<Megabytes<9>>::options().huge_pages(HugePages::Transparent);
        drop(options.anonymous_zeroed().unwrap());
        let before = size();
        for _ in 0..20 {
            let region = options.anonymous_zeroed().unwrap();
            assert_eq!(size() - before, 9 * MEBIBYTE / 4096 + 1);
            drop(region);
        }
        assert_eq!(size(), before);
    });
}

#[test]
fn a_region_smaller_than_a_huge_page_has_none_and_works() {
    let options = Shared::<AtomicU64>::options().huge_pages(HugePages::Transparent);
    options.anonymous(AtomicU64::new(7)).unwrap().fetch_add(1, Ordering::Relaxed);
}

#[test]
fn reserved_huge_pages_lie_on_hugetlbfs_or_nowhere() {
    let name = Name::new("reserved");
    let options = Shared::<Megabytes<3>>::options().huge_pages(HugePages::Reserved);
    assert_eq!(refusal(options.create_zeroed(&name), &name), ErrorKind::Unsupported);
    assert!(!name.path().exists());
    Shared::<Megabytes<3>>::create_zeroed(&name).unwrap();
    assert_eq!(refusal(options.open(&name), "hugetlbfs"), ErrorKind::Unsupported);

    let region = match options.anonymous_zeroed() {
        // Nothing was set aside, or no such kernel.
        Err(e) if matches!(e.kind(), ErrorKind::NoSpace | ErrorKind::Unsupported) => return eprintln!("skipped: {e}"),
        region => region.unwrap(),
    };
    let address = (&raw const *region).cast();
    assert!(kibibytes(address, "KernelPageSize:") > 4);
    let same = Shared::<Megabytes<3>>::from_handle(&region.handle()).unwrap();
    region[2][5].store(9, Ordering::Relaxed);
    assert_eq!(same[2][5].load(Ordering::Relaxed), 9);
    options.from_handle(&region.handle()).unwrap();
}

#[test]
fn a_file_on_hugetlbfs_has_reserved_pages_asked_or_not() {
    let directory = Directory::new("hugetlbfs");
    in_child(|| {
        own_mounts();
        mount_hugetlbfs(&directory);
        for pages in [HugePages::Reserved, HugePages::No, HugePages::Transparent] {
            let path = directory.join("region");
            let options = Shared::<Megabytes<3>>::options().huge_pages(pages);
            let region = match options.create_file_zeroed(&path) {
                Err(e) if e.kind() == ErrorKind::NoSpace => panic!("skip: {e}"),
                region => region.unwrap(),
            };
            assert!(kibibytes((&raw const *region).cast(), "KernelPageSize:") > 4);
            let same = options.open_file(&path).unwrap();
            region[2][5].store(9, Ordering::Relaxed);
            assert_eq!(same[2][5].load(Ordering::Relaxed), 9);
            fs::remove_file(&path).unwrap();
        }
    });
}

// ---- As values --------------------------------------------------------------------------------------------------

#[test]
fn options_are_copied_and_shown() {
    let options = Shared::<AtomicU64>::options().mode(0o640).stamp(7).max_size(8192).populate(true).observing();
    #[allow(clippy::clone_on_copy)]
    let (copy, shown) = (options.clone(), format!("{options:?}"));
    assert_eq!(format!("{copy:?}"), shown);
    for said in ["mode: 0o640", "stamp: 7", "max_size: 8192", "populate: true", "lock_memory: false", "observing: true"]
    {
        assert!(shown.contains(said), "{said:?} is not in {shown}");
    }
}
