//! What tools see of a region of named objects: who is attached, what state the objects are in, who holds them.
//!
//! Where it matters who is attached, a test is a process of its own: children that others fork at the same time would count.

mod shm_support;
mod support;

use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use shm_support::{Name, in_child};
use shmsync::wait::{KernelRobust, PosixSem};
use shmsync::{Barrier, ErrorKind, Kind, Lock, Mutex, Object, OnceCell, PermitPool, RLock, Region, RwLock};
use support::*;

#[test]
fn who_is_attached_is_known() {
    in_child(|| {
        let name = Name::new("attached");
        let region = Region::create(&name, 4096).unwrap();
        let pids = || {
            let mut pids: Vec<_> = region.attached().unwrap().iter().map(|attached| attached.pid().unwrap()).collect();
            pids.sort_unstable();
            pids
        };
        let me = std::process::id();
        assert_eq!(pids(), [me]);
        let again = Region::open(&name).unwrap();
        assert_eq!(pids(), [me, me]);
        drop(again);
        let mut child = die_after(|| std::mem::forget(Region::open(&name).unwrap()));
        // Dead and not yet reaped: its files are closed.
        eventually("the dead one is gone", || if pids() == [me] { Ok(()) } else { Err(format!("{:?}", pids())) });
        child.wait_exit(SOON);
        let theirs = Shm::new(Tally::new());
        let mut child = fork(|| {
            let _theirs = Region::open(&name).unwrap();
            theirs.up();
            until_killed();
        });
        theirs.reaches(1);
        assert!(pids().contains(&child.pid()));
        child.kill();
        eventually("the killed one is gone", || if pids() == [me] { Ok(()) } else { Err(format!("{:?}", pids())) });
    });
}

#[test]
fn a_crowd_is_attached_together() {
    let name = Name::new("crowd");
    in_child(|| {
        let mut region = Region::create(&name, 4096).unwrap();
        let mut crowd: Vec<_> = (0..300).map(|_| Region::open(&name).unwrap()).collect();
        let attached = region.attached().unwrap();
        assert_eq!(attached.len(), 257);
        assert_eq!(attached.iter().filter(|attached| attached.pid().is_none()).count(), 1);
        crowd[299].array::<u8>("all", 4096).unwrap();
        region.remove("all").unwrap();
        // All with a slot of their own say that they have nothing; the crowd cannot.
        crowd.drain(..255);
        region.renew().unwrap();
        assert_eq!(region.array::<u8>("new", 4096).unwrap_err().kind(), ErrorKind::NoSpace);
        drop(crowd);
        region.array::<u8>("new", 4096).unwrap();
    });
}

/// What tools see of objects whose types they do not know.
#[test]
fn objects_are_described_by_their_kind() {
    let region = Region::anonymous(1 << 16).unwrap();
    region.get_or_init::<Lock<PosixSem>>("lock").unwrap().acquire().unwrap();
    let mutex = region.get_or_init::<Mutex<[u64; 9]>>("mutex").unwrap().lock().unwrap();
    let pool = region.get_or_init::<PermitPool<20>>("pool").unwrap();
    let permits = [pool.acquire().unwrap(), pool.acquire().unwrap()];
    let reading = region.get_or_init::<RwLock<u64>>("rwlock").unwrap().read().unwrap();
    let odd = region.get_or_init::<RwLock<u64, 11>>("odd rwlock").unwrap().read().unwrap();
    region.get_or_init::<OnceCell<[u64; 2]>>("cell").unwrap();
    region.get_or_init_with("barrier", || Barrier::new(3)).unwrap();
    region.get_or_init::<Barrier<PosixSem, 3>>("members").unwrap();
    region.value_or_init("value", -7_i32).unwrap();
    region.array::<u8>("array", 3).unwrap();
    let me = gettid();
    for (name, kind, state, holders) in [
        ("lock", "Lock on PosixSem", Some("held by tid"), 1),
        ("mutex", "Mutex<[u64; 9]>", Some("held by tid"), 1),
        ("pool", "PermitPool<20>", Some("available: 18"), 2),
        ("rwlock", "RwLock<u64, 16>", Some("readers: [Owner"), 1),
        ("odd rwlock", "RwLock<u64, 11>", Some("of 11 slots for readers 8 were"), 1),
        ("cell", "OnceCell<[u64; 2]>", Some("not completed"), 0),
        ("barrier", "Barrier", Some("parties: 3"), 0),
        ("members", "Barrier<3> on PosixSem", Some("parties: 1"), 0),
        ("value", "value<i32>", Some("-7"), 0),
        ("array", "array<u8>", None, 0),
    ] {
        let objects = region.objects();
        let object = objects.iter().find(|object| object.name() == name).unwrap();
        assert_eq!(object.kind(), kind);
        assert!(object.offset() % 64 == 0 && object.offset() + object.size() <= 1 << 16);
        match (object.state(), state) {
            (Some(found), Some(state)) => assert!(found.contains(state), "{found}"),
            (found, state) => assert_eq!(found.as_deref(), state),
        }
        assert_eq!(object.holders().len(), holders, "{name}");
        assert!(object.holders().iter().all(|holder| holder.tid() == me && holder.is_alive()));
        assert!(!object.recover().unwrap_or(false), "nobody is dead");
    }
    drop((mutex, permits, reading, odd));
}

/// Types of a user's own may be called what they like: nobody looks into them, let alone writes.
#[test]
fn what_only_has_the_name_of_a_primitive_is_left_alone() {
    in_child(|| {
        #[derive(zerocopy::FromBytes)]
        #[repr(C)]
        struct Lock(AtomicU64);
        #[derive(zerocopy::FromBytes)]
        #[repr(C)]
        struct Mine(AtomicU64);
        #[derive(zerocopy::FromBytes)]
        #[repr(C)]
        struct Large([AtomicU64; 2]);
        impl Object for Mine {
            const KIND: Kind = Kind::new("Lock").stamp(1);
        }
        impl Object for Large {
            const KIND: Kind = Kind::new("RLock on PosixSem").stamp(0);
        }
        let region = Region::anonymous(1 << 16).unwrap();
        // What would be held by a dead thread, if it were a lock.
        let dead = 1_u64 << 30 | 4711;
        let words = [
            &region.value_or_init("value", Lock(AtomicU64::new(dead))).unwrap().0,
            &region.get_or_init_with("mine", || Mine(AtomicU64::new(dead))).unwrap().0,
            &region.get_or_init_with("large", || Large([dead, 0].map(AtomicU64::new))).unwrap().0[0],
        ];
        assert_eq!(region.objects().len(), 3);
        for object in region.objects() {
            assert_eq!((object.state(), object.holders()), (None, vec![]), "{object:?}");
            assert_eq!(object.recover().unwrap_err().kind(), ErrorKind::Unsupported, "{object:?}");
        }
        assert!(words.iter().all(|word| word.load(Relaxed) == dead));
    });
}

#[test]
fn what_the_dead_hold_is_recovered_for_an_operator() {
    in_child(|| {
        let region = Region::anonymous(1 << 16).unwrap();
        let (lock, rlock) =
            (region.get_or_init::<Lock>("lock").unwrap(), region.get_or_init::<RLock<KernelRobust>>("rlock").unwrap());
        let mutex = region.get_or_init::<Mutex<u64>>("mutex").unwrap();
        let rwlock = region.get_or_init::<RwLock<u64, 4>>("rwlock").unwrap();
        let odd = region.get_or_init::<RwLock<u64, 37, PosixSem>>("odd rwlock").unwrap();
        let dead = die_after(|| {
            lock.acquire().unwrap();
            rlock.acquire().unwrap();
            std::mem::forget((mutex.lock().unwrap(), rwlock.write().unwrap(), odd.write().unwrap()));
        });
        assert_eq!(region.objects().len(), 5);
        for object in region.objects() {
            assert!(object.recover().unwrap(), "{}", object.name());
            assert!(!object.recover().unwrap(), "{}", object.name());
            assert!(object.holder().is_none());
        }
        drop(dead);
        lock.try_acquire().unwrap();
        rlock.try_acquire().unwrap();
        assert!(mutex.is_poisoned() && rwlock.is_poisoned() && odd.is_poisoned());
    });
}

/// A writer that was killed while it waited for readers has torn nothing, and is a dead holder all the same.
#[test]
fn a_writer_that_died_before_it_was_let_in_is_recovered() {
    in_child(|| {
        let region = Region::anonymous(1 << 16).unwrap();
        let rwlock = region.get_or_init::<RwLock<u64, 4>>("rwlock").unwrap();
        let reading = rwlock.read().unwrap();
        let mut writer = fork(|| drop(rwlock.write()));
        eventually("it waits", || if rwlock.writer().is_some() { Ok(()) } else { Err("nobody".into()) });
        writer.kill();
        drop(reading);
        let object = &region.objects()[0];
        assert!(object.recover().unwrap() && !object.recover().unwrap());
        assert!(!rwlock.is_poisoned() && object.holders().is_empty());
    });
}

/// Of a holder in another PID namespace nobody can know that it is dead, but who runs both.
#[test]
fn the_regions_own_locks_are_broken_by_who_knows() {
    in_child(|| {
        const NOBODY_KNOWN: [u8; 8] = 0x3fff_ffff_u64.to_ne_bytes();
        let name = Name::new("broken");
        let region = Region::options().objects(4).create(&name, 4096).unwrap();
        let list = region.list("list", [1, 2]).unwrap();
        let file = std::fs::File::options().write(true).open(name.path()).unwrap();
        let list_begin = 4096 + 8448 + 4 * 256;
        for at in [4096, list_begin + 16 + 32] {
            file.write_all_at(&NOBODY_KNOWN, at).unwrap();
        }
        // SAFETY: nobody else has it.
        assert_eq!([(); 2].map(|()| unsafe { region.recover_directory() }), [2, 0]);
        let ((), took) = timed(|| {
            region.get_or_init::<Lock>("new").unwrap();
            list.set(1, 7).unwrap();
        });
        assert!(took < SOON, "{took:?}");
    });
}
