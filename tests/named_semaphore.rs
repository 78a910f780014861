//! Named semaphores: made, opened, used by processes that know nothing but the name, unlinked.

mod shm_support;

use std::collections::HashSet;
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use shm_support::{LIMIT, Name, become_nobody, in_child, is_root};
use shmsync::{
    AcquireError, Error, ErrorKind, Mutex, NamedSemaphore, ReleaseError, SEM_VALUE_MAX, Semaphore, Shared,
    unlink_semaphore,
};
use shmsync_harness::process;

#[track_caller]
fn refused(result: Result<NamedSemaphore, Error>) -> ErrorKind {
    result.map(|sem| panic!("{sem:?} instead of a refusal")).unwrap_err().kind()
}

#[test]
fn flags_of_posix() {
    let name = Name::new("sem-flags");
    assert_eq!(refused(NamedSemaphore::open(&name)), ErrorKind::NotFound);
    let made = NamedSemaphore::create(&name, 3).unwrap();
    assert_eq!((made.name(), made.value()), (&*name, 3));
    assert_eq!(refused(NamedSemaphore::create(&name, 4)), ErrorKind::AlreadyExists);
    let either = NamedSemaphore::open_or_create(&name, 5).unwrap();
    assert_eq!(either.value(), 3, "the value is the first maker's");
    assert_eq!(format!("{either:?}"), format!("NamedSemaphore {{ name: {:?}, value: 3 }}", &*name));
    either.acquire().unwrap();
    assert_eq!(NamedSemaphore::open(&name).unwrap().value(), 2);
    made.close();
    assert_eq!(either.value(), 2);
    for bad in ["", "name", "/", "/a/b"] {
        assert_eq!(refused(NamedSemaphore::create(bad, 1)), ErrorKind::InvalidName);
        assert_eq!(refused(NamedSemaphore::open(bad)), ErrorKind::InvalidName);
        assert_eq!(refused(NamedSemaphore::open_or_create(bad, 1)), ErrorKind::InvalidName);
        assert_eq!(unlink_semaphore(bad).unwrap_err().kind(), ErrorKind::InvalidName);
    }
}

#[test]
fn values_and_timeouts_of_posix() {
    let name = Name::new("sem-values");
    let sem = NamedSemaphore::create(&name, 1).unwrap();
    sem.acquire_for(Duration::ZERO).unwrap();
    assert_eq!(sem.try_acquire(), Err(AcquireError::WouldBlock));
    assert_eq!(sem.acquire_for(Duration::ZERO), Err(AcquireError::TimedOut));
    let began = Instant::now();
    assert_eq!(sem.acquire_for(Duration::from_millis(30)), Err(AcquireError::TimedOut));
    assert!(began.elapsed() >= Duration::from_millis(30));
    assert_eq!(sem.value(), 0);
    sem.release().unwrap();
    sem.release_many(SEM_VALUE_MAX - 1).unwrap();
    assert_eq!((sem.value(), sem.release()), (SEM_VALUE_MAX, Err(ReleaseError::Overflow)));
}

#[test]
fn too_high_a_value_makes_nothing() {
    let name = Name::new("sem-high");
    for make in [NamedSemaphore::create, NamedSemaphore::open_or_create] {
        assert!(std::panic::catch_unwind(|| make(&name, SEM_VALUE_MAX + 1)).is_err());
    }
    assert!(!name.path().exists());
}

/// Two processes that share nothing but names pass permits back and forth.
#[test]
fn strangers_take_turns() {
    const TURNS: u32 = 1000;
    let _watchdog = process::watchdog(LIMIT, "strangers taking turns");
    let (mine, theirs) = (Name::new("sem-mine"), Name::new("sem-theirs"));
    let mut other = process::fork(|| {
        let (go, done) =
            (NamedSemaphore::open_or_create(&mine, 0).unwrap(), NamedSemaphore::open_or_create(&theirs, 0).unwrap());
        for _ in 0..TURNS {
            go.acquire().unwrap();
            done.release().unwrap();
        }
    });
    let (go, done) =
        (NamedSemaphore::open_or_create(&mine, 0).unwrap(), NamedSemaphore::open_or_create(&theirs, 0).unwrap());
    for _ in 0..TURNS {
        go.release().unwrap();
        done.acquire_for(LIMIT).unwrap();
    }
    other.join(LIMIT).unwrap();
    assert_eq!((go.value(), done.value()), (0, 0));
}

#[test]
fn of_many_makers_one_gives_the_value() {
    let _watchdog = process::watchdog(LIMIT, "many makers");
    for _ in 0..30 {
        let name = Name::new("sem-makers");
        let found = Shared::anonymous([const { AtomicU64::new(0) }; 3]).unwrap();
        let make = |i: usize| {
            let (name, found) = (&name, &found);
            move || {
                let sem = NamedSemaphore::open_or_create(name, 4 << i).unwrap();
                found[i].store(sem.value().into(), Ordering::Relaxed);
            }
        };
        let mut makers = [0, 1, 2].map(|i| process::fork(make(i)));
        makers.iter_mut().for_each(|maker| maker.join(LIMIT).unwrap());
        let found = [0, 1, 2].map(|i| found[i].load(Ordering::Relaxed));
        assert!([4, 8, 16].contains(&found[0]) && found[1..] == [found[0]; 2], "{found:?}");
    }
}

#[test]
fn an_unlinked_one_is_kept_by_who_has_it() {
    let name = Name::new("sem-unlinked");
    let old = NamedSemaphore::create(&name, 1).unwrap();
    let again = Shared::anonymous([const { Semaphore::new(0) }; 2]).unwrap();
    let mut other = process::fork(|| {
        let sem = NamedSemaphore::open(&name).unwrap();
        again[0].release().unwrap();
        again[1].acquire().unwrap(); // by now it has no name
        sem.release().unwrap();
    });
    again[0].acquire_for(LIMIT).unwrap();
    old.unlink().unwrap();
    assert_eq!(old.unlink().unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(refused(NamedSemaphore::open(&name)), ErrorKind::NotFound);
    let new = NamedSemaphore::create(&name, 7).unwrap();
    again[1].release().unwrap();
    other.join(LIMIT).unwrap();
    assert_eq!((old.value(), new.value()), (2, 7));
    unlink_semaphore(&name).unwrap();
    assert_eq!(unlink_semaphore(&name).unwrap_err().kind(), ErrorKind::NotFound);
}

/// A region of the very same size that is something else, and the other way round.
#[test]
fn other_regions_are_no_semaphores() {
    let name = Name::new("sem-other");
    let plain = Shared::create(&name, Semaphore::new(1)).unwrap();
    assert_eq!(refused(NamedSemaphore::open(&name)), ErrorKind::LayoutMismatch);
    assert_eq!(refused(NamedSemaphore::open_or_create(&name, 1)), ErrorKind::LayoutMismatch);
    assert_eq!(unlink_semaphore(&name).unwrap_err().kind(), ErrorKind::LayoutMismatch);
    assert!(name.path().exists());
    drop(plain);

    let name = Name::new("sem-as-other");
    let _sem = NamedSemaphore::create(&name, 1).unwrap();
    assert_eq!(Shared::<Semaphore>::open(&name).unwrap_err().kind(), ErrorKind::LayoutMismatch);
    assert_eq!(Shared::<AtomicU64>::open(&name).unwrap_err().kind(), ErrorKind::LayoutMismatch);
    assert_eq!(Shared::<Mutex<u64>>::open(&name).unwrap_err().kind(), ErrorKind::LayoutMismatch);

    let name = Name::new("sem-text");
    std::fs::write(name.path(), "no region, but as long as one ".repeat(200)).unwrap();
    assert_eq!(refused(NamedSemaphore::open(&name)), ErrorKind::NotARegion);
    assert_eq!(unlink_semaphore(&name).unwrap_err().kind(), ErrorKind::NotARegion);
    assert!(name.path().exists());
}

#[test]
fn random_names_differ_in_all_processes() {
    const EACH: usize = 50;
    // Of each name what follows the prefix, as a number.
    let drawn = Shared::anonymous([const { AtomicU64::new(0) }; 4 * EACH]).unwrap();
    let draw = |slots: &[AtomicU64]| {
        for slot in slots {
            let sem = NamedSemaphore::create_random(2).unwrap();
            assert_eq!(NamedSemaphore::open(sem.name()).unwrap().value(), 2);
            let digits = sem.name().strip_prefix("/shmsync-").unwrap();
            slot.store(u64::from_str_radix(digits, 16).unwrap(), Ordering::Relaxed);
            sem.unlink().unwrap();
        }
    };
    draw(&drawn[..EACH]); // so that the children inherit the state of a generator that has been used
    let mut others: Vec<_> = drawn[EACH..].chunks(EACH).map(|slots| process::fork(|| draw(slots))).collect();
    others.iter_mut().for_each(|other| other.join(LIMIT).unwrap());
    let names: HashSet<u64> = drawn.iter().map(|slot| slot.load(Ordering::Relaxed)).collect();
    assert_eq!(names.len(), 4 * EACH);
}

#[test]
fn modes_are_exact_and_count() {
    let name = Name::new("sem-mode");
    let sem = NamedSemaphore::create(&name, 1).unwrap();
    let mode = |name: &Name| name.path().metadata().unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&name), 0o600);
    sem.unlink().unwrap();
    let _sem = NamedSemaphore::options().mode(0o666).create(&name, 1).unwrap();
    assert_eq!(mode(&name), 0o666, "whatever the umask");
    if !is_root() {
        return;
    }
    let closed = Name::new("sem-closed");
    let _closed = NamedSemaphore::create(&closed, 1).unwrap();
    in_child(|| {
        become_nobody();
        NamedSemaphore::open(&name).unwrap().acquire().unwrap();
        assert_eq!(refused(NamedSemaphore::open(&closed)), ErrorKind::PermissionDenied);
        assert_eq!(unlink_semaphore(&closed).unwrap_err().kind(), ErrorKind::PermissionDenied);
    });
}

#[test]
fn another_users_semaphore_is_opened_by_who_says_so() {
    if !is_root() {
        return;
    }
    let name = Name::new("sem-foreign");
    in_child(|| {
        become_nobody();
        NamedSemaphore::options().mode(0o666).create(&name, 3).unwrap().acquire().unwrap();
    });
    assert_eq!(refused(NamedSemaphore::open(&name)), ErrorKind::PermissionDenied);
    assert_eq!(NamedSemaphore::options().allow_owner(65534).open(&name).unwrap().value(), 2);
    assert_eq!(refused(NamedSemaphore::options().allow_owner(1).open(&name)), ErrorKind::PermissionDenied);
    assert_eq!(NamedSemaphore::options().allow_any_owner().open_or_create(&name, 9).unwrap().value(), 2);
    unlink_semaphore(&name).unwrap();
}

/// What the documentation says of deaths, both halves.
#[test]
fn who_is_killed_takes_its_permits_along_and_nothing_else() {
    let _watchdog = process::watchdog(LIMIT, "waiting after deaths");
    let name = Name::new("sem-killed");
    let sem = NamedSemaphore::create(&name, 2).unwrap();
    let holding = Shared::anonymous(Semaphore::new(0)).unwrap();
    let mut holder = process::fork(|| {
        NamedSemaphore::open(&name).unwrap().acquire().unwrap();
        holding.release().unwrap();
        std::thread::sleep(LIMIT);
    });
    holding.acquire_for(LIMIT).unwrap();
    holder.kill();
    assert_eq!(sem.value(), 1);

    sem.acquire().unwrap();
    let mut waiter = process::fork(|| {
        let sem = NamedSemaphore::open(&name).unwrap();
        holding.release().unwrap();
        sem.acquire().unwrap();
    });
    holding.acquire_for(LIMIT).unwrap();
    std::thread::sleep(Duration::from_millis(10)); // Asleep by now, most likely.
    waiter.kill();
    drop(waiter);
    let mut waiter = process::fork(|| NamedSemaphore::open(&name).unwrap().acquire_for(LIMIT).unwrap());
    sem.release().unwrap();
    waiter.join(LIMIT).unwrap();
    assert_eq!(sem.value(), 0);
}
