//! Many processes after one name, and creators that are killed at any moment.

mod shm_support;

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use shm_support::{Directory, LIMIT, Name, refusal};
use shmsync::{ErrorKind, Shared};
use shmsync_harness::process;
use zerocopy::FromBytes;

#[derive(FromBytes)]
#[repr(C)]
struct Claim {
    maker: AtomicU32,
    users: AtomicU32,
}

#[test]
fn of_eight_processes_one_initialises() {
    const RACERS: u32 = 8;
    let _watchdog = process::watchdog(LIMIT, "eight processes racing for a name");
    for round in 0..40 {
        let name = Name::new("race");
        let (ready, makers) =
            (Shared::anonymous(AtomicU32::new(0)).unwrap(), Shared::anonymous(AtomicU32::new(0)).unwrap());
        let race = || {
            let me = std::process::id();
            ready.fetch_add(1, Ordering::Relaxed);
            while ready.load(Ordering::Relaxed) < RACERS {
                thread::yield_now();
            }
            let new = || Claim { maker: AtomicU32::new(me), users: AtomicU32::new(0) };
            let claim = Shared::open_or_create(&name, new).unwrap();
            claim.users.fetch_add(1, Ordering::Relaxed);
            if claim.maker.load(Ordering::Relaxed) == me {
                makers.fetch_add(1, Ordering::Relaxed);
            }
        };
        let mut racers: Vec<_> = (0..RACERS).map(|_| process::fork(race)).collect();
        racers.iter_mut().for_each(|racer| racer.join(LIMIT).unwrap());
        let claim = Shared::<Claim>::open(&name).unwrap();
        assert_eq!(claim.users.load(Ordering::Relaxed), RACERS, "round {round}: somebody has another region");
        assert_eq!(makers.load(Ordering::Relaxed), 1, "round {round}: one value, of one maker");
    }
}

/// `NotFound` and `AlreadyExists` by turns never come out of `open_or_create`.
#[test]
fn it_does_either_even_while_the_name_comes_and_goes() {
    let _watchdog = process::watchdog(LIMIT, "open_or_create against unlink");
    let name = Name::new("flicker");
    let make = || {
        for _ in 0..2000 {
            let region = Shared::open_or_create(&name, || AtomicU64::new(1)).unwrap();
            assert_eq!(region.load(Ordering::Relaxed), 1);
        }
    };
    let mut makers: Vec<_> = (0..3).map(|_| process::fork(make)).collect();
    let _unlinker = process::fork(|| {
        loop {
            let _ = shmsync::unlink(&name);
        }
    });
    makers.iter_mut().for_each(|maker| maker.join(LIMIT).unwrap());
}

/// 64 KiB, so that there is something to be killed in.
type Block = [u64; 8192];

#[test]
fn a_killed_creator_leaves_a_whole_region_or_none() {
    let _watchdog = process::watchdog(LIMIT, "killing creators");
    let directory = Directory::in_memory("killed");
    let path = directory.join("region");
    let (mut whole, mut none) = (0, 0);
    for round in 0..300_u64 {
        let started = Shared::anonymous(AtomicU32::new(0)).unwrap();
        let mut creator = process::fork(|| {
            let block: Block = std::array::from_fn(|i| i as u64 + round);
            loop {
                started.store(1, Ordering::Release);
                drop(Shared::create_file(&path, block).unwrap());
                std::fs::remove_file(&path).unwrap();
            }
        });
        while started.load(Ordering::Acquire) == 0 {
            thread::yield_now();
        }
        // From nothing to a few times what one creation takes, in steps that meet no rhythm of it.
        thread::sleep(Duration::from_nanos(round * 7919 % 300_000));
        creator.kill();
        match Shared::<Block>::open_file(&path) {
            Ok(block) => {
                assert!(block.iter().enumerate().all(|(i, &n)| n == i as u64 + round), "round {round}: torn");
                assert_eq!(directory.names(), ["region"]);
                std::fs::remove_file(&path).unwrap();
                whole += 1;
            }
            refused => {
                assert_eq!(refusal(refused, "region"), ErrorKind::NotFound, "round {round}");
                assert!(directory.names().is_empty(), "round {round}: {:?}", directory.names());
                none += 1;
            }
        }
    }
    assert!(whole > 0 && none > 0, "{whole} whole, {none} none: the kills meet only one side of the publication");
}
