//! Regions in a `Shmem` of the crate `shared_memory`.
#![cfg(feature = "shared_memory")]

mod shm_support;

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use shared_memory::{Shmem, ShmemConf};
use shm_support::{Name, in_child, refusal};
use shmsync::{AcquireError, ErrorKind, Lock, Shared};

fn create(name: &Name, size: usize) -> Shmem {
    ShmemConf::new().os_id(&**name).size(size).create().unwrap()
}

fn open(name: &Name) -> Shmem {
    ShmemConf::new().os_id(&**name).open().unwrap()
}

#[test]
fn what_one_makes_others_attach_to() {
    let name = Name::new("shmem");
    let shmem = create(&name, 8192);
    assert_eq!(refusal(Shared::<AtomicU64>::from_shmem(open(&name)), "0x"), ErrorKind::NotARegion);
    // SAFETY: new, and the others only try to attach.
    let made = unsafe { Shared::init_shmem(shmem, AtomicU64::new(7)).unwrap() };
    let same = Shared::<AtomicU64>::from_shmem(open(&name)).unwrap();
    same.fetch_add(1, Ordering::Relaxed);
    in_child(|| {
        Shared::<AtomicU64>::from_shmem(open(&name)).unwrap().fetch_add(1, Ordering::Relaxed);
    });
    assert_eq!(made.load(Ordering::Relaxed), 9);
    assert_eq!(refusal(Shared::<[Lock; 2]>::from_shmem(open(&name)), "payload size"), ErrorKind::LayoutMismatch);
    assert_eq!(made.try_handle().unwrap_err().kind(), ErrorKind::Unsupported);

    // It goes as a Shmem goes: the owner takes the name away, the others keep the memory. By any thread.
    thread::spawn(|| drop(made)).join().unwrap();
    assert!(!name.path().exists());
    assert_eq!(same.load(Ordering::Relaxed), 9);
}

#[test]
fn it_must_be_large_enough() {
    let name = Name::new("shmem-small");
    let shmem = create(&name, 4096 + 7);
    // SAFETY: new, and nobody else has it.
    let refused = unsafe { Shared::<AtomicU64>::options().init_shmem_zeroed(shmem) };
    assert_eq!(refusal(refused, "4104 bytes"), ErrorKind::Truncated);
}

#[test]
fn the_dead_are_found() {
    let name = Name::new("shmem-dead");
    // SAFETY: new, and nobody else has it.
    let lock = unsafe { Shared::init_shmem(create(&name, 8192), Lock::new()).unwrap() };
    in_child(|| Shared::<Lock>::from_shmem(open(&name)).unwrap().acquire().unwrap());
    assert!(matches!(lock.acquire(), Err(AcquireError::OwnerDied(_))));
}
