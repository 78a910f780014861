//! A region of named objects: every verb, on both backends.
//!
//! Where it matters who is attached, a test is a process of its own: children that others fork at the same time would count.

mod shm_support;
mod support;

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use shm_support::{Directory, Name, in_child};
use shmsync::wait::{KernelRobust, Wait};
use shmsync::{
    Barrier, BoundedSemaphore, Condition, Error, ErrorKind, Event, Kind, Lock, Mutex, Object, Once, OnceCell,
    PermitPool, RLock, Region, RwLock, Semaphore, Shared,
};
use support::*;

every_backend!(every_primitive_is_found_under_its_name, what_is_made_with_a_value_has_it, kinds_do_not_mix);

#[track_caller]
fn kind<T: std::fmt::Debug>(result: Result<T, Error>) -> ErrorKind {
    let error = result.expect_err("it must be refused");
    assert!(error.to_string().len() > 20, "{error}");
    error.kind()
}

#[test]
fn kinds_are_shown_with_their_stamp() {
    let kind = Kind::new("Ring").of(<Mutex<u64> as Object>::KIND);
    assert_eq!(kind.to_string(), "Ring<Mutex<u64>>");
    let shown = format!("{kind:?}");
    let stamp = shown.strip_prefix("Kind(Ring<Mutex<u64>>, 0x").and_then(|rest| rest.strip_suffix(')')).expect(&shown);
    assert!(u64::from_str_radix(stamp, 16).is_ok(), "{shown}");
}

fn every_primitive_is_found_under_its_name<W: Wait>() {
    let region = Region::anonymous(1 << 16).unwrap();
    macro_rules! all {
        ($($name:literal: $type:ty),+ $(,)?) => {$(
            assert_eq!(kind(region.get::<$type>($name)), ErrorKind::NotFound);
            let made: *const $type = region.get_or_init($name).unwrap();
            assert_eq!(made, region.get::<$type>($name).unwrap() as *const _, "found again");
            assert_eq!(made, region.get_or_init::<$type>($name).unwrap() as *const _, "not made again");
            assert!(made.is_aligned() && made.addr() % 64 == 0);
        )+};
    }
    all! {
        "lock": Lock<W>,
        "rlock": RLock<W>,
        "semaphore": Semaphore<W>,
        "bounded": BoundedSemaphore<W>,
        "condition": Condition<W>,
        "event": Event<W>,
        "barrier": Barrier<W>,
        "members": Barrier<W, 4>,
        "once": Once<W>,
        "cell": OnceCell<u64, W>,
        "pool": PermitPool<4, W>,
        "mutex": Mutex<[u64; 3], W>,
        "rwlock": RwLock<u64, 4, W>,
        "number": AtomicU64,
        "numbers": [AtomicU32; 5],
    }
    // Zero is fresh.
    region.get::<Lock<W>>("lock").unwrap().acquire().unwrap();
    assert_eq!(region.get::<PermitPool<4, W>>("pool").unwrap().available(), 4);
    assert_eq!(**region.get::<Mutex<[u64; 3], W>>("mutex").unwrap().lock().as_ref().unwrap(), [0; 3]);
    assert!(region.get::<Barrier<W>>("barrier").unwrap().wait().unwrap().is_leader());
    let mut names: Vec<_> = region.objects().iter().map(|object| object.name()).collect();
    names.sort_unstable();
    assert_eq!((names.len(), &*names[0], &*names[14]), (15, "barrier", "semaphore"));
}

fn what_is_made_with_a_value_has_it<W: Wait>() {
    let region = Region::anonymous(1 << 16).unwrap();
    let pool = region.get_or_init_with("pool", || Semaphore::<W>::new_in(4)).unwrap();
    assert_eq!(pool.value(), 4);
    assert_eq!(region.get_or_init_with("pool", || Semaphore::<W>::new_in(9)).unwrap().value(), 4);
    assert_eq!(region.get_or_init::<Semaphore<W>>("pool").unwrap().value(), 4);
    let barrier = region.get_or_init_with("barrier", || Barrier::<W>::new_in(3)).unwrap();
    assert_eq!(barrier.parties(), 3);
    // The closure may use the region itself.
    let outer = region.get_or_init_with("outer", || AtomicU64::new(region.value_or_init("inner", 41_u64).unwrap() + 1));
    assert_eq!(outer.unwrap().load(Relaxed), 42);
}

fn kinds_do_not_mix<W: Wait>() {
    let region = Region::anonymous(1 << 16).unwrap();
    region.get_or_init::<Lock<W>>("lock").unwrap();
    let error = region.get::<Semaphore<W>>("lock").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LayoutMismatch);
    assert!(error.to_string().contains("found Lock") && error.to_string().contains("expected Semaphore"), "{error}");
    for refused in [
        kind(region.get_or_init::<RLock<W>>("lock")),
        kind(region.get_or_init_with("lock", || Semaphore::<W>::new_in(1))),
        kind(region.get::<Lock<KernelRobust>>("lock")),
        kind(region.get::<AtomicU64>("lock")),
        kind(region.value::<AtomicU64>("lock")),
        kind(region.value_or_init("lock", 7_u64)),
        kind(region.get_array::<u64>("lock")),
        kind(region.array::<u64>("lock", 1)),
    ] {
        assert_eq!(refused, ErrorKind::LayoutMismatch);
    }
    assert!(!region.get::<Lock<W>>("lock").unwrap().is_locked(), "nobody touched it");
}

#[test]
fn values_and_arrays() {
    let region = Region::anonymous(1 << 16).unwrap();
    region.value::<AtomicU64>("count").unwrap().store(5, Relaxed);
    assert_eq!(region.get_value::<AtomicU64>("count").unwrap().load(Relaxed), 5);
    assert_eq!(kind(region.get_value::<AtomicU64>("none")), ErrorKind::NotFound);
    assert_eq!(kind(region.value::<u64>("count")), ErrorKind::LayoutMismatch, "the same size, another type");
    assert_eq!(region.value_or_init("limits", [1_u16, 2, 3]).unwrap(), &[1, 2, 3]);
    assert_eq!(region.value::<[u16; 3]>("limits").unwrap(), &[1, 2, 3]);

    let array = region.array::<AtomicU32>("array", 100).unwrap();
    array[99].store(1, Relaxed);
    assert_eq!(region.get_array::<AtomicU32>("array").unwrap()[99].load(Relaxed), 1);
    assert_eq!(kind(region.array::<AtomicU32>("array", 101)), ErrorKind::LayoutMismatch);
    assert_eq!(kind(region.get_array::<u32>("array")), ErrorKind::LayoutMismatch);
    assert_eq!(region.array::<u64>("empty", 0).unwrap(), []);
    assert_eq!(region.get_array::<u64>("empty").unwrap(), []);
    for too_many in [1 << 16, usize::MAX / 8, usize::MAX] {
        assert_eq!(kind(region.array::<u64>("too many", too_many)), ErrorKind::NoSpace);
    }
    assert!(!region.contains("too many"));
    assert_eq!(region.value::<()>("nothing").unwrap(), &());
}

#[test]
fn names_of_objects() {
    let region = Region::anonymous(1 << 16).unwrap();
    let longest = "ä".repeat(32);
    for good in ["a", "with space", "/slash", "ä", &longest] {
        region.get_or_init::<Lock>(good).unwrap();
        assert!(region.contains(good) && !region.contains(&format!("{good} ")), "{good}");
    }
    for bad in ["", "\0", "a\nb", "\x1b[31m", &"x".repeat(65)] {
        assert_eq!(kind(region.get_or_init::<Lock>(bad)), ErrorKind::InvalidName, "{bad:?}");
        assert_eq!(kind(region.get::<Lock>(bad)), ErrorKind::NotFound, "{bad:?}");
        assert_eq!(kind(region.remove(bad)), ErrorKind::NotFound, "{bad:?}");
    }
    // What begins alike is not the same.
    assert_eq!(kind(region.get::<Lock>(&format!("{longest}x"))), ErrorKind::NotFound);
}

#[test]
fn what_is_removed_is_gone_and_stays_usable() {
    let region = Region::anonymous(1 << 16).unwrap();
    let old = region.get_or_init::<Lock>("jobs").unwrap();
    old.acquire().unwrap();
    region.remove("jobs").unwrap();
    assert_eq!(kind(region.get::<Lock>("jobs")), ErrorKind::NotFound);
    assert_eq!(kind(region.remove("jobs")), ErrorKind::NotFound);
    // Another kind may have the name now.
    let new = region.get_or_init_with("jobs", || Semaphore::new(3)).unwrap();
    assert!(old.is_locked() && new.value() == 3);
    assert_eq!(region.kept_bytes(), 64);
}

#[test]
fn bytes_come_back_when_all_have_gone_who_might_use_them() {
    in_child(|| {
        let name = Name::new("region-reuse");
        let mut mine = Region::create(&name, 4096).unwrap();
        let mut other = Region::open(&name).unwrap();
        let fill = |region: &Region| region.array::<u8>("all", 4096).map(|all| all.len());
        for (first, second) in [(true, false), (false, true)] {
            fill(&mine).unwrap();
            mine.remove("all").unwrap();
            assert_eq!(kind(fill(&other)), ErrorKind::NoSpace);
            for (say, left) in [(first, true), (second, false)] {
                if say {
                    mine.renew().unwrap()
                } else {
                    other.renew().unwrap()
                }
                assert_eq!(fill(&mine).is_err(), left, "while somebody is left");
                assert_eq!((mine.free_bytes(), mine.kept_bytes()), (0, if left { 4096 } else { 0 }));
            }
            mine.remove("all").unwrap();
            mine.renew().unwrap();
            drop(other);
            fill(&mine).unwrap();
            mine.remove("all").unwrap();
            other = Region::open(&name).unwrap(); // attached after the removal: it does not count
            mine.renew().unwrap();
        }
        fill(&other).unwrap();
        // SAFETY: nobody has a reference to it.
        #[allow(unsafe_code)]
        unsafe {
            mine.remove_now("all").unwrap();
        }
        fill(&other).unwrap();
    });
}

#[test]
fn a_full_directory_says_so_and_its_entries_come_back() {
    in_child(|| {
        let mut region = Region::options().objects(3).anonymous(1 << 16).unwrap();
        for name in ["a", "b", "c"] {
            region.get_or_init::<Lock>(name).unwrap();
        }
        let error = region.get_or_init::<Lock>("d").unwrap_err();
        assert!(error.kind() == ErrorKind::NoSpace && error.to_string().contains("3 entries"), "{error}");
        for round in 0..20 {
            region.remove("b").unwrap();
            assert_eq!(kind(region.get_or_init::<Lock>("b")), ErrorKind::NoSpace);
            region.renew().unwrap();
            region.get_or_init::<Lock>("b").unwrap();
            assert_eq!(region.objects().len(), 3, "{round}");
        }
    });
}

#[test]
fn too_aligned_is_refused() {
    #[derive(Debug, zerocopy::FromBytes)]
    #[repr(C, align(4096))]
    struct Page([u8; 4096]);
    #[derive(Debug, zerocopy::FromBytes)]
    #[repr(C, align(8192))]
    struct TwoPages([u8; 8192]);
    let region = Region::anonymous(1 << 16).unwrap();
    assert!(std::ptr::from_ref(region.value::<Page>("page").unwrap()).is_aligned());
    assert_eq!(kind(region.value::<TwoPages>("pages")), ErrorKind::Unsupported);
}

#[test]
fn every_way_to_a_region() {
    let (name, directory) = (Name::new("region-ways"), Directory::new("region-ways"));
    let path = directory.join("region");
    let lock = |region: &Region| {
        region.get_or_init::<Lock>("lock").unwrap();
    };
    assert_eq!(kind(Region::open(&name)), ErrorKind::NotFound);
    let made = Region::open_or_create(&name, 1000).unwrap();
    lock(&made);
    assert_eq!(kind(Region::create(&name, 1000)), ErrorKind::AlreadyExists);
    // An existing one has its own size.
    assert!(Region::open_or_create(&name, 1 << 20).unwrap().contains("lock"));
    assert_eq!(made.free_bytes(), 1024 - 64);

    assert_eq!(kind(Region::open_file(&path)), ErrorKind::NotFound);
    lock(&Region::open_or_create_file(&path, 1000).unwrap());
    assert_eq!(kind(Region::create_file(&path, 1000)), ErrorKind::AlreadyExists);
    assert!(Region::open_file(&path).unwrap().contains("lock"), "a file keeps it");

    let anonymous = Region::anonymous(1000).unwrap();
    lock(&anonymous);
    assert!(Region::from_handle(&anonymous.handle()).unwrap().contains("lock"));
    assert_eq!(kind(Region::anonymous(usize::MAX)), ErrorKind::NoSpace);
    assert_eq!(kind(Region::anonymous(isize::MAX as usize - 100_000)), ErrorKind::NoSpace);
    assert!(Region::anonymous(0).unwrap().get_or_init::<Lock>("none").is_err());
}

#[test]
fn a_region_of_one_value_is_no_region_of_objects() {
    let (one, many) = (Name::new("one"), Name::new("many"));
    let _one = Shared::create(&one, AtomicU64::new(1)).unwrap();
    let _many = Region::create(&many, 4096).unwrap();
    let error = Region::open(&one).unwrap_err();
    assert!(error.kind() == ErrorKind::LayoutMismatch && error.to_string().contains("AtomicU64"), "{error}");
    let error = Shared::<AtomicU64>::open(&many).unwrap_err();
    assert!(error.kind() == ErrorKind::LayoutMismatch && error.to_string().contains("named objects"), "{error}");
}

#[test]
fn regions_and_what_is_in_them_are_shared_by_threads() {
    fn is_shared<T: Send + Sync>() {}
    is_shared::<Region>();
    is_shared::<shmsync::List<'_>>();
    let region = Region::anonymous(1 << 16).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                (0..50).for_each(|i| _ = region.value::<AtomicU64>(&format!("{i}")).unwrap().fetch_add(1, Relaxed))
            });
        }
    });
    assert_eq!(region.objects().len(), 50);
    assert!(region.objects().iter().all(|object| object.state().as_deref() == Some("4")));
}
