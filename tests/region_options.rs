//! The options of a region of objects: each does there what `tests/shm_options.rs` has of a region of one value.

mod shm_support;

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::sync::atomic::{AtomicU8, Ordering};

use shm_support::smaps::{kibibytes, smaps};
use shm_support::{Name, is_root};
use shmsync::{Error, ErrorKind, HugePages, Region};

const MEBIBYTE: usize = 1 << 20;

#[track_caller]
fn refusal(result: Result<Region, Error>, naming: &str) -> ErrorKind {
    let error = result.expect_err("it must be refused");
    assert!(error.to_string().contains(naming), "{error} does not name {naming:?}");
    error.kind()
}

/// An object as large as the room that there is but for a page.
fn bytes(region: &Region) -> &[AtomicU8] {
    region.array("bytes", 4 * MEBIBYTE - 4096).unwrap()
}

#[test]
fn the_mode_is_exactly_this_and_of_new_regions_alone() {
    let name = Name::new("region-mode");
    let mode = || fs::metadata(name.path()).unwrap().permissions().mode() & 0o7777;
    let _made = Region::options().mode(0o7646).create(&name, 4096).unwrap();
    assert_eq!(mode(), 0o646, "whatever the umask is, and without what is no permission");
    Region::options().mode(0o600).open_or_create(&name, 4096).unwrap();
    assert_eq!(mode(), 0o646);
}

#[test]
fn a_strangers_region_is_refused_unless_allowed() {
    if !is_root() {
        return eprintln!("skipped: only root can give files away");
    }
    let name = Name::new("region-owner");
    let _made = Region::create(&name, 4096).unwrap();
    chown(name.path(), Some(4711), None).unwrap();
    let options = Region::options();
    assert_eq!(refusal(Region::open(&name), "user 4711"), ErrorKind::PermissionDenied);
    assert_eq!(refusal(options.allow_owner(4712).open(&name), "user 4711"), ErrorKind::PermissionDenied);
    options.allow_owner(4711).open(&name).unwrap();
    options.allow_any_owner().open(&name).unwrap();
}

#[test]
fn what_is_larger_than_allowed_is_neither_made_nor_opened() {
    let name = Name::new("region-size");
    let small = Region::options().max_size(MEBIBYTE);
    assert_eq!(refusal(small.create(&name, MEBIBYTE), "at most 1048576"), ErrorKind::TooLarge);
    assert_eq!(refusal(small.anonymous(MEBIBYTE), "at most 1048576"), ErrorKind::TooLarge);
    assert!(!name.path().exists());
    let region = Region::create(&name, MEBIBYTE).unwrap();
    assert_eq!(refusal(small.open(&name), &name), ErrorKind::TooLarge);
    assert_eq!(refusal(small.open_or_create(&name, 0), &name), ErrorKind::TooLarge);
    assert_eq!(refusal(small.from_handle(&region.handle()), "handle"), ErrorKind::TooLarge);
    let size = fs::metadata(name.path()).unwrap().len() as usize;
    Region::options().max_size(size).open(&name).unwrap();
    assert_eq!(refusal(Region::options().max_size(size - 1).open(&name), &name), ErrorKind::TooLarge);
}

#[test]
fn populated_pages_are_there_before_they_are_touched() {
    let lazy = Region::anonymous(4 * MEBIBYTE).unwrap();
    let eager = Region::options().populate(true).from_handle(&lazy.handle()).unwrap();
    let resident = |region: &Region| kibibytes(region.value::<u64>("here").unwrap() as *const _ as *const u8, "Rss:");
    assert!(resident(&lazy) < 1024, "{}", resident(&lazy));
    assert!(resident(&eager) > 4096, "{}", resident(&eager));
    let made = Region::options().populate(true).anonymous(4 * MEBIBYTE).unwrap();
    assert!(resident(&made) > 4096, "{}", resident(&made));
}

#[test]
fn locked_memory_is_locked() {
    let region = match Region::options().lock_memory(true).anonymous(4 * MEBIBYTE) {
        Err(e) if e.kind() == ErrorKind::PermissionDenied => return eprintln!("skipped: {e}"),
        region => region.unwrap(),
    };
    let flags = |region: &Region| smaps(bytes(region).as_ptr().cast(), "VmFlags:");
    assert!(flags(&region).split(' ').any(|flag| flag == "lo"), "{}", flags(&region));
    let other = Region::from_handle(&region.handle()).unwrap();
    assert!(!flags(&other).split(' ').any(|flag| flag == "lo"), "each process asks for itself");
}

#[test]
fn huge_pages_are_a_wish_or_a_condition() {
    let name = Name::new("region-huge");
    let reserved = Region::options().huge_pages(HugePages::Reserved);
    assert_eq!(refusal(reserved.create(&name, 4096), "hugetlbfs"), ErrorKind::Unsupported);
    assert!(!name.path().exists());

    let region = Region::options().huge_pages(HugePages::Transparent).create(&name, 9 * MEBIBYTE).unwrap();
    let all: &[AtomicU8] = region.array("all", 8 * MEBIBYTE).unwrap();
    all[0].store(1, Ordering::Relaxed);
    all[8 * MEBIBYTE - 1].store(2, Ordering::Relaxed);
    let huge = fs::read_to_string("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size");
    match huge.ok().and_then(|size| size.trim().parse::<usize>().ok()) {
        Some(size) if size <= 9 * MEBIBYTE => {
            let flags = smaps(all.as_ptr().cast(), "VmFlags:");
            assert!(flags.split(' ').any(|flag| flag == "hg"), "{flags}");
        }
        _ => eprintln!("skipped: the kernel has no transparent huge pages of that size"),
    }
    let same = Region::open(&name).unwrap();
    assert_eq!(same.get_array::<AtomicU8>("all").unwrap()[8 * MEBIBYTE - 1].load(Ordering::Relaxed), 2);
}

#[test]
fn options_are_shown() {
    let shown = format!("{:?}", Region::options().mode(0o640).max_size(8192).objects(7));
    assert!(shown.contains("max_size: 8192") && shown.contains("objects: Some(7)"), "{shown}");
}
