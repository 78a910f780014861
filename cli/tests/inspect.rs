//! `shmsync inspect` and `recover`: a third program's locks, its death, and what is done about it.
#![cfg(target_os = "linux")]
#![allow(missing_docs)]

mod support;

use rustix::process::Signal;
use serde_json::Value;
use shmsync::{AcquireError, Lock, Mutex, NamedSemaphore, PermitPool, Region, Semaphore, Shared};
use shmsync_harness::process::{Child, fork, watchdog};
use std::os::unix::fs::FileExt;
use support::*;

fn inspected(name: &str) -> Value {
    let done = run(&["inspect", name, "--json"]);
    serde_json::from_slice(&done.stdout).unwrap_or_else(|_| panic!("{done:?}"))
}

fn object<'a>(of: &'a Value, name: &str) -> &'a Value {
    of["objects"].as_array().unwrap().iter().find(|object| object["name"] == name).expect("an object of that name")
}

#[test]
fn a_third_programs_lock_is_seen_and_its_death() {
    let _watchdog = watchdog(LIMIT, "inspecting");
    let name = Name::new("inspect");
    let region = Region::create(&name.slashed(), 1 << 16).unwrap();
    let (jobs, cache) =
        (region.get_or_init::<Lock>("jobs").unwrap(), region.get_or_init::<Mutex<u64>>("cache").unwrap());
    region.get_or_init_with("pool", || Semaphore::new(4)).unwrap();

    let mut holder = holding(|| {
        jobs.acquire().unwrap();
        std::mem::forget(cache.lock().unwrap());
    });
    let waiter = fork(|| _ = jobs.acquire_for(LIMIT));
    let seen = eventually("waiting", || {
        let seen = inspected(&name);
        (object(&seen, "jobs")["waiters"][0]["id"] == waiter.pid()).then_some(seen)
    });
    for held in ["jobs", "cache"] {
        let of = &object(&seen, held)["holders"][0];
        assert_eq!((&of["id"], &of["alive"]), (&holder.pid().into(), &true.into()), "{seen}");
        assert!(of["command"].as_str().unwrap().contains("inspect") && of["age_seconds"].is_u64(), "{of}");
    }
    assert_eq!(object(&seen, "pool")["state"], "value 4, not waited for");
    assert_eq!(
        (&object(&seen, "jobs")["kind"], &object(&seen, "cache")["kind"]),
        (&"Lock".into(), &"Mutex<u64>".into())
    );
    let text = succeeds(&["inspect", &name]);
    assert!(text.contains(&format!("held by tid {}, waited for", holder.pid())) && !text.contains("dead"), "{text}");
    let only = succeeds(&["inspect", &format!("{}:cache", &*name)]);
    assert!(only.contains("cache") && !only.contains("jobs"), "{only}");

    drop(waiter);
    holder.kill();
    let done = run(&["inspect", &name]);
    let text = String::from_utf8_lossy(&done.stdout);
    assert_eq!(done.status.code(), Some(1), "{text}");
    assert!(text.contains(&format!("dead holder  {}", holder.pid())), "{text}");
    assert_eq!(object(&inspected(&name), "jobs")["waiters"], serde_json::json!([]), "the waiter was killed as well");
    // In a terminal it is red.
    let colours = tool(&["inspect", &name]).env("CLICOLOR_FORCE", "1").output().unwrap();
    assert!(String::from_utf8_lossy(&colours.stdout).contains("\x1b[31m"), "{colours:?}");

    // The operator puts it in order.
    assert_eq!(code(&["recover", &format!("{}:pool", &*name)]), 2, "a semaphore has no holders");
    assert_eq!(code(&["recover", &format!("{}:none", &*name)]), 2);
    let told = succeeds(&["recover", &format!("{}:jobs", &*name)]);
    assert!(told.contains("jobs  taken over from a dead holder"), "{told}");
    assert_eq!(jobs.try_acquire(), Ok(()));
    let told = succeeds(&["recover", &name]);
    assert!(told.contains("jobs  nothing to take over") && told.contains("cache  taken over"), "{told}");
    assert_eq!(
        jobs.holder().unwrap().tid(),
        rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs(),
        "the living keep what they have"
    );
    assert!(cache.is_poisoned() && cache.try_lock().is_err(), "its users are told all the same");
}

#[test]
fn a_region_of_one_value_is_seen_if_that_is_a_primitive() {
    let _watchdog = watchdog(LIMIT, "inspecting one value");
    let (lock, pool, sem, other) = (Name::new("i-lock"), Name::new("i-pool"), Name::new("i-sem"), Name::new("i-other"));
    let shared = Shared::create(&lock.slashed(), Lock::new()).unwrap();
    let mut holder = holding(|| shared.acquire().unwrap());
    let seen = &inspected(&lock)["objects"][0];
    assert_eq!((&seen["name"], &seen["holders"][0]["id"]), (&Value::Null, &holder.pid().into()));
    holder.kill();
    assert_eq!(inspected(&lock)["objects"][0]["holders"][0]["alive"], false);
    assert!(matches!(shared.try_acquire(), Err(AcquireError::OwnerDied(_))));
    succeeds(&["recover", &lock]);
    assert_eq!(shared.try_acquire(), Ok(()));

    let shared = Shared::create(&pool.slashed(), PermitPool::<3>::new()).unwrap();
    let mut holders = [(); 2].map(|()| holding(|| std::mem::forget(shared.acquire().unwrap())));
    let seen = inspected(&pool);
    assert_eq!(seen["objects"][0]["state"], "available 1, capacity 3, not waited for");
    assert_eq!(seen["objects"][0]["holders"].as_array().unwrap().len(), 2);
    holders.iter_mut().for_each(Child::kill);
    let told = succeeds(&["recover", &pool, "--json"]);
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!((&told["objects"][0]["recovered"], &told["objects"][0]["dead_holders_left"]), (&2.into(), &0.into()));
    assert_eq!(shared.available(), 3);

    let _sem = NamedSemaphore::create(&sem.slashed(), 7).unwrap();
    assert_eq!(inspected(&sem)["objects"][0]["state"], "value 7, not waited for");

    // The same size as a lock and more to it: nobody takes it for one.
    let _other = Shared::options().stamp(9).create(&other.slashed(), Lock::new()).unwrap();
    assert_eq!(inspected(&other)["objects"][0]["state"], Value::Null);
    assert_eq!(code(&["recover", &other]), 2);
}

/// Somebody died in the middle of making an object, and nobody here can tell that it is dead.
#[test]
fn a_regions_own_lock_is_freed_by_an_operator_alone() {
    const NOBODY_KNOWN: [u8; 8] = 0x3fff_ffff_u64.to_ne_bytes();
    /// The lock stands first in the directory, and the directory after a page.
    const LOCK: u64 = 4096;
    let _watchdog = watchdog(LIMIT, "freeing a directory");
    let (name, lock) = (Name::new("directory"), Name::new("no-directory"));
    // Others' children would inherit the test's own place among those who have it open.
    let mut holder = holding(|| std::mem::forget(Region::create(&name.slashed(), 1 << 12).unwrap()));
    let file = std::fs::File::options().write(true).open(name.path()).unwrap();
    file.write_all_at(&NOBODY_KNOWN, LOCK).unwrap();

    let refused = run(&["recover", &name, "--directory"]);
    let why = String::from_utf8_lossy(&refused.stderr);
    assert!(refused.status.code() == Some(1) && why.contains("others have"), "{refused:?}");
    assert_eq!(code(&["recover", &name, "--force"]), 2, "of what?");
    holder.kill();
    let told = succeeds(&["recover", &name, "--directory"]);
    assert!(told.contains("a lock of the region's own was held"), "{told}");
    let region = Region::open(&name.slashed()).unwrap();
    region.get_or_init::<Lock>("made").unwrap();

    file.write_all_at(&NOBODY_KNOWN, LOCK).unwrap();
    let told = succeeds(&["recover", &name, "--directory", "--force", "--json"]);
    assert_eq!(serde_json::from_str::<Value>(&told).unwrap()["own_locks_freed"], 1);
    assert!(succeeds(&["recover", &name, "--directory", "--force"]).contains("no lock"));
    region.get_or_init::<Lock>("made too").unwrap();

    let _lock = Shared::create(&lock.slashed(), Lock::new()).unwrap();
    assert_eq!(code(&["recover", &lock, "--directory"]), 2);
    assert_eq!(code(&["recover", "no-such-region", "--directory"]), 2);
}

#[test]
fn watching_shows_what_changes() {
    let _watchdog = watchdog(LIMIT, "watching");
    let name = Name::new("watch");
    let lock = Shared::create(&name.slashed(), Lock::new()).unwrap();
    let mut watch = Running::start(&["inspect", &name, "--watch", "0.02", "--json"]);
    let mut state = || {
        let seen: Value = serde_json::from_str(&watch.line()).expect("a line each time");
        seen["objects"][0]["state"].as_str().expect("a state").to_owned()
    };
    assert_eq!(state(), "free");
    lock.acquire().unwrap();
    eventually("held", || state().starts_with("held by").then_some(()));
    lock.release().unwrap();
    eventually("free", || (state() == "free").then_some(()));
    watch.signal(Signal::INT);
    watch.end();

    let mut watch = Running::start(&["inspect", &name, "--watch", "0.02"]);
    watch.line();
    shmsync::unlink(&name.slashed()).unwrap();
    assert_eq!(watch.end().code(), Some(2), "it is gone");
}

/// Whatever a region holds, the tool ends with an answer.
#[test]
fn scribbled_regions_are_no_trouble() {
    let _watchdog = watchdog(LIMIT, "scribbled regions");
    let (name, file) = (Name::new("scribbled"), Name::new("scribbled-too"));
    drop(Region::create(&name.slashed(), 1 << 14).unwrap());
    let fresh = std::fs::read(name.path()).unwrap();
    let mut dice = 1_u64;
    for round in 0..60 {
        let mut bytes = fresh.clone();
        // Header and directory, or everything behind the header, or the header alone.
        let (from, to) = [(128, 40_000), (4096, fresh.len()), (8, 128)][round % 3];
        for byte in &mut bytes[from..to.min(fresh.len())] {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            if dice >> 60 < 4 {
                *byte = (dice >> 32) as u8;
            }
        }
        if round % 4 == 3 {
            bytes.truncate(bytes.len() / 2);
        }
        std::fs::write(file.path(), bytes).unwrap();
        for args in [&["inspect", &*file, "--json"][..], &["recover", &file], &["ls"], &["inspect", &file]] {
            assert!(matches!(code(args), 0..=2), "round {round}: {args:?}");
        }
    }
}

#[test]
fn exit_codes_are_as_documented() {
    let none = Name::new("none");
    for wrong in [
        &["inspect", &none][..],
        &["inspect", "/dev/null"],
        &["inspect", &none, "--watch", "never"],
        &["recover", &none],
        &["inspect"],
    ] {
        assert_eq!(code(wrong), 2, "{wrong:?}");
    }
}
