//! Named regions: made, opened, seen by other processes, unlinked.

mod shm_support;

use std::any::type_name;
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use shm_support::{LIMIT, Name, in_child, refusal};
use shmsync::{ErrorKind, Shared};
use shmsync_harness::process;
use zerocopy::FromBytes;

#[test]
fn what_one_process_writes_another_reads() {
    let name = Name::new("visible");
    let mine = Shared::create(&name, AtomicU64::new(1)).unwrap();
    let work = || {
        let theirs = Shared::<AtomicU64>::open(&name).unwrap();
        assert_eq!(theirs.load(Ordering::Acquire), 1);
        theirs.store(2, Ordering::Release);
    };
    process::fork(work).join(LIMIT).unwrap();
    assert_eq!(mine.load(Ordering::Acquire), 2);
}

#[test]
fn a_name_is_given_once() {
    let name = Name::new("once");
    let _first = Shared::create(&name, AtomicU64::new(1)).unwrap();
    assert_eq!(refusal(Shared::create(&name, AtomicU64::new(2)), &name), ErrorKind::AlreadyExists);
    assert_eq!(refusal(Shared::<AtomicU64>::create_zeroed(&name), &name), ErrorKind::AlreadyExists);
    assert_eq!(Shared::<AtomicU64>::open(&name).unwrap().load(Ordering::Relaxed), 1);
}

#[test]
fn a_name_that_nobody_gave_is_not_found() {
    let name = Name::new("missing");
    assert_eq!(refusal(Shared::<AtomicU64>::open(&name), &name), ErrorKind::NotFound);
    assert_eq!(shmsync::unlink(&name).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn every_way_refuses_what_is_no_name() {
    let long = format!("/{}", "x".repeat(255));
    for bad in ["", "name", "/", "/.", "/..", "/a/b", "/a/", "//a", "/a\0b", &long] {
        let shown = format!("{bad:?}");
        assert_eq!(refusal(Shared::create(bad, AtomicU64::new(0)), &shown), ErrorKind::InvalidName);
        assert_eq!(refusal(Shared::<AtomicU64>::create_zeroed(bad), &shown), ErrorKind::InvalidName);
        assert_eq!(refusal(Shared::<AtomicU64>::open(bad), &shown), ErrorKind::InvalidName);
        assert_eq!(refusal(Shared::open_or_create(bad, || AtomicU64::new(0)), &shown), ErrorKind::InvalidName);
        assert_eq!(refusal(Shared::<AtomicU64>::open_or_create_zeroed(bad), &shown), ErrorKind::InvalidName);
        assert_eq!(shmsync::unlink(bad).unwrap_err().kind(), ErrorKind::InvalidName);
    }
}

#[test]
fn the_longest_name_works() {
    let name = Name::of_length(254);
    let _region = Shared::create(&name, AtomicU64::new(1)).unwrap();
    shmsync::unlink(&name).unwrap();
    let name = Name::of_length(255);
    assert_eq!(refusal(Shared::create(&name, AtomicU64::new(1)), &name), ErrorKind::InvalidName);
}

#[test]
fn a_region_outlives_its_name() {
    let name = Name::new("unlinked");
    let old = Shared::create(&name, AtomicU64::new(1)).unwrap();
    let old_too = Shared::<AtomicU64>::open(&name).unwrap();
    shmsync::unlink(&name).unwrap();
    let new = Shared::create(&name, AtomicU64::new(10)).unwrap();
    old.store(2, Ordering::Relaxed);
    assert_eq!(old_too.load(Ordering::Relaxed), 2);
    assert_eq!(new.load(Ordering::Relaxed), 10);
}

#[test]
fn a_region_outlives_who_made_it() {
    let name = Name::new("orphan");
    process::fork(|| drop(Shared::create(&name, AtomicU64::new(5)).unwrap())).join(LIMIT).unwrap();
    assert_eq!(Shared::<AtomicU64>::open(&name).unwrap().load(Ordering::Relaxed), 5);
}

#[test]
fn the_mode_is_the_one_asked_for_and_the_umask_has_no_say() {
    in_child(|| {
        // SAFETY: changes this child's umask.
        unsafe { libc::umask(0o777) };
        for (asked, mode) in [(None, 0o600), (Some(0o666), 0o666), (Some(0o4640), 0o640)] {
            let name = Name::new("mode");
            let options = Shared::<AtomicU64>::options();
            let options = asked.map_or(options, |mode| options.mode(mode));
            let _region = options.create_zeroed(&name).unwrap();
            assert_eq!(name.path().metadata().unwrap().permissions().mode() & 0o7777, mode);
        }
    });
}

#[test]
fn open_or_create_does_either() {
    let name = Name::new("either");
    let first = Shared::open_or_create(&name, || AtomicU64::new(1)).unwrap();
    let second: Shared<AtomicU64> =
        Shared::open_or_create(&name, || unreachable!("there is a region already")).unwrap();
    first.store(2, Ordering::Relaxed);
    assert_eq!(second.load(Ordering::Relaxed), 2);
    let third = Shared::<AtomicU64>::open_or_create_zeroed(&name).unwrap();
    assert_eq!(third.load(Ordering::Relaxed), 2);
}

#[test]
fn a_closure_that_panics_leaves_no_region() {
    let name = Name::new("panic");
    let panics = || Shared::<AtomicU64>::open_or_create(&name, || panic!("on purpose"));
    assert!(std::panic::catch_unwind(panics).is_err());
    assert_eq!(refusal(Shared::<AtomicU64>::open(&name), &name), ErrorKind::NotFound);
}

#[test]
fn stamps_must_agree() {
    let name = Name::new("stamp");
    let stamped = Shared::options().stamp(7);
    let _region = stamped.create(&name, AtomicU64::new(1)).unwrap();
    stamped.open(&name).unwrap();
    stamped.open_or_create_zeroed(&name).unwrap();
    assert_eq!(refusal(Shared::<AtomicU64>::open(&name), "layout stamp"), ErrorKind::LayoutMismatch);
    assert_eq!(refusal(stamped.stamp(8).open(&name), &name), ErrorKind::LayoutMismatch);
}

#[derive(FromBytes)]
#[repr(C, align(4096))]
struct PageAligned(AtomicU8);

#[derive(FromBytes)]
#[repr(C, align(65536))]
struct TooAligned(AtomicU8);

#[test]
fn alignments_up_to_a_page_are_kept_and_larger_ones_refused() {
    let name = Name::new("align");
    let page = Shared::create(&name, PageAligned(AtomicU8::new(3))).unwrap();
    assert_eq!((&raw const *page).addr() % 4096, 0);
    assert_eq!(Shared::<PageAligned>::open(&name).unwrap().0.load(Ordering::Relaxed), 3);
    assert_eq!(refusal(Shared::<TooAligned>::create_zeroed("/unused"), "65536"), ErrorKind::Unsupported);
    assert_eq!(refusal(Shared::<TooAligned>::anonymous_zeroed(), "TooAligned"), ErrorKind::Unsupported);
}

#[test]
fn a_type_without_size_works() {
    let name = Name::new("empty");
    Shared::create(&name, ()).unwrap();
    let () = *Shared::<()>::open(&name).unwrap();
    let _ = Shared::anonymous([0_u64; 0]).unwrap();
}

#[test]
#[cfg(target_pointer_width = "64")] // Where addresses are 32 bits wide there is no such type.
fn what_no_machine_can_hold_is_no_space() {
    type Huge = [AtomicU8; 1 << 46];
    let name = Name::new("huge");
    assert_eq!(refusal(Shared::<Huge>::create_zeroed(&name), &name), ErrorKind::NoSpace);
    assert_eq!(refusal(Shared::<Huge>::open_or_create_zeroed(&name), &name), ErrorKind::NoSpace);
    assert_eq!(refusal(Shared::<Huge>::anonymous_zeroed(), "anonymous"), ErrorKind::NoSpace);
    assert!(!name.path().exists());
}

#[test]
fn debug_says_what_and_where() {
    let name = Name::new("debug");
    let region = Shared::create(&name, AtomicU64::new(1)).unwrap();
    let text = format!("{region:?}");
    assert!(text.contains(type_name::<AtomicU64>()) && text.contains(&*name) && text.contains("8 bytes"), "{text}");
}

/// The value belongs to all; who goes leaves it.
#[test]
fn a_value_in_a_region_is_never_dropped() {
    #[derive(FromBytes)]
    #[repr(C)]
    struct Loud(u64);
    impl Drop for Loud {
        fn drop(&mut self) {
            panic!("dropped");
        }
    }
    drop(Shared::anonymous(Loud(1)).unwrap());
}
