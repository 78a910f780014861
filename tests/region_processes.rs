//! A region of named objects between processes: they meet by name, die at any instruction, and fork.
//!
//! Each test is a process of its own: children that others fork at the same time would be attached to its regions, too.

mod shm_support;
mod support;

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use shm_support::{Name, in_child};
use shmsync::{ErrorKind, Lock, Mutex, Region, Semaphore};
use support::*;

#[test]
fn processes_meet_by_name() {
    in_child(|| {
        let name = Name::new("meet");
        // All at once: one makes the region, one makes each object, and nobody's value is seen but that one's.
        let work = |me: u32| {
            let region = Region::open_or_create(&name, 1 << 16).unwrap();
            let lock = region.get_or_init::<Lock>("lock").unwrap();
            let maker = region.value_or_init("maker", u64::from(me)).unwrap();
            let members = region.get_or_init_with("members", || Semaphore::new(0)).unwrap();
            let sum = region.get_or_init_with("sum", || Mutex::new(0_u64)).unwrap();
            lock.acquire().unwrap();
            *sum.lock().unwrap() += maker + 1;
            lock.release().unwrap();
            members.release().unwrap();
        };
        for _ in 0..20 {
            join(team(6, work));
            let region = Region::open(&name).unwrap();
            let maker = region.get_value::<u64>("maker").unwrap();
            assert!(*maker < 6);
            assert_eq!(*region.get::<Mutex<u64>>("sum").unwrap().lock().unwrap(), 6 * (maker + 1));
            assert_eq!(region.get::<Semaphore>("members").unwrap().value(), 6);
            assert_eq!(region.objects().len(), 4);
            shmsync::unlink(&name).unwrap();
        }
    });
}

/// Makers and removers are killed at random moments. Afterwards all the room is there, in one piece.
#[test]
fn the_killed_leave_the_heap_whole() {
    in_child(|| {
        const ROOM: usize = 1 << 14;
        let name = Name::new("churn");
        drop(Region::options().objects(24).create(&name, ROOM).unwrap());
        let made = Shm::new(Tally::new());
        kill_at_random(3, 700, |_, rounds| {
            let mut dice = Dice::new();
            let mut region = Region::open(&name).unwrap();
            for _ in 0..20 {
                let object = format!("object {}", dice.below(12));
                let result = match dice.below(5) {
                    0 => region.remove(&object),
                    1 => region.get_or_init::<Lock>(&object).map(drop),
                    2 => region.get_or_init_with(&object, || Semaphore::new(3)).map(|pool| assert!(pool.value() <= 3)),
                    3 => {
                        region.array::<u8>(&object, 1 << dice.below(13)).map(|all| assert!(all.iter().all(|&b| b == 0)))
                    }
                    _ => region.renew(),
                };
                match result.map_err(|error| error.kind()) {
                    Ok(()) => _ = made.up(),
                    Err(ErrorKind::NotFound | ErrorKind::LayoutMismatch | ErrorKind::NoSpace) => {}
                    Err(other) => panic!("{other:?}"),
                }
            }
            rounds.up();
        });
        assert!(made.get() > 300, "{}", made.get());
        // Whatever the last ones left: it can be found or it is free.
        let mut region = Region::open(&name).unwrap();
        for object in region.objects() {
            region.remove(&object.name()).unwrap();
        }
        eventually("all have gone", || match region.attached().unwrap().len() {
            1 => Ok(()),
            more => Err(format!("{more} attached")),
        });
        region.renew().unwrap();
        let all = region.array::<u8>("all", ROOM).unwrap();
        assert!(all.iter().all(|&byte| byte == 0));
        region.remove("all").unwrap();
        region.renew().unwrap();
        for i in 0..24 {
            region.get_or_init::<Lock>(&format!("lock {i}")).unwrap();
        }
    });
}

/// Who holds the directory and is killed is found out at once, by whoever comes next.
#[test]
fn a_dead_holder_of_the_directory_holds_nobody_up() {
    in_child(|| {
        let name = Name::new("held");
        let mut region = Region::create(&name, 1 << 22).unwrap();
        let (mut finished, mut unfinished, mut dice) = (0, 0, Dice::new());
        while finished < 10 || unfinished < 10 {
            let began = Shm::new(Tally::new());
            // Clearing four megabytes takes a while: that is when it is killed, as a rule.
            let mut child = fork(|| {
                let region = Region::open(&name).unwrap();
                began.up();
                region.array::<u8>("large", 1 << 21).unwrap();
                until_killed();
            });
            began.reaches(1);
            std::thread::sleep(Duration::from_micros(dice.below(2000)));
            child.kill();
            let (result, took) = timed(|| region.get_or_init::<Lock>("small").map(drop));
            result.unwrap();
            assert!(took < Duration::from_secs(2), "{took:?}");
            let there = region.contains("large");
            assert_eq!(region.objects().len(), 1 + usize::from(there));
            if there {
                finished += 1;
                region.remove("large").unwrap();
            } else {
                unfinished += 1;
                assert_eq!(region.free_bytes(), (1 << 22) - 64, "what it was filling in is free");
            }
            region.remove("small").unwrap();
            eventually("it has gone", || match region.attached().unwrap().len() {
                1 => Ok(()),
                more => Err(format!("{more} attached")),
            });
            region.renew().unwrap();
            // And now the rest of it. Who needs room frees what is nobody's any more.
            region.array::<u8>("all", 1 << 22).unwrap();
            region.remove("all").unwrap();
            region.renew().unwrap();
            region.get_or_init::<Lock>("another").unwrap();
            region.remove("another").unwrap();
            region.renew().unwrap();
            region.array::<u8>("all", 1 << 22).unwrap();
            // SAFETY: nobody has it in hand.
            unsafe { region.remove_now("all").unwrap() };
        }
    });
}

#[test]
fn a_forked_child_keeps_what_its_parent_had_in_hand() {
    in_child(|| {
        let name = Name::new("forked");
        let mut region = Region::create(&name, 4096).unwrap();
        let parents = Region::open(&name).unwrap();
        let all = parents.array::<AtomicU64>("all", 512).unwrap();
        all[511].store(7, Relaxed);
        let turn = Shm::new(Tally::new());
        let child = fork(|| {
            turn.reaches(1);
            // The parent has dropped its own, and the object is removed; here it is as it was.
            assert_eq!(all[511].load(Relaxed), 7);
            all[511].store(8, Relaxed);
            turn.up();
            turn.reaches(3);
            assert_eq!(all[511].load(Relaxed), 8);
        });
        drop(parents);
        region.remove("all").unwrap();
        region.renew().unwrap();
        let fill = || region.array::<u8>("new", 4096).map(|_| ()).map_err(|error| error.kind());
        assert_eq!(fill(), Err(ErrorKind::NoSpace));
        turn.up();
        turn.reaches(2);
        assert_eq!(fill(), Err(ErrorKind::NoSpace));
        turn.up();
        join([child]);
        eventually("the child's place is free", || fill().map_err(|error| format!("{error:?}")));
    });
}

/// A child's `renew` is its own, as is its parent's.
#[test]
fn a_forked_child_and_its_parent_renew_apart() {
    in_child(|| {
        let mut region = Region::anonymous(4096).unwrap();
        region.array::<u8>("all", 4096).unwrap();
        let turn = Shm::new(Tally::new());
        let pointer = std::ptr::from_mut(&mut region).expose_provenance();
        let child = fork(|| {
            turn.reaches(1);
            // SAFETY: the child's own copy of the parent's variable, which nobody else uses here.
            let mine = unsafe { &mut *std::ptr::with_exposed_provenance_mut::<Region>(pointer) };
            assert_eq!(
                mine.array::<u8>("new", 4096).unwrap_err().kind(),
                ErrorKind::NoSpace,
                "it has it in hand itself"
            );
            mine.renew().unwrap();
            mine.array::<u8>("new", 4096).unwrap();
        });
        region.remove("all").unwrap();
        region.renew().unwrap();
        assert_eq!(region.array::<u8>("new", 4096).unwrap_err().kind(), ErrorKind::NoSpace, "the child has it in hand");
        turn.up();
        join([child]);
        assert!(region.contains("new"));
    });
}

/// Bytes that are used again are used by nobody else: each writer finds what it wrote.
#[test]
fn nobody_writes_into_what_others_have_in_hand() {
    in_child(|| {
        let name = Name::new("reuse");
        drop(Region::options().objects(64).create(&name, 1 << 15).unwrap());
        let done = Shm::new(Tally::new());
        join(team(4, |me| {
            let mut dice = Dice::new();
            let mut region = Region::open(&name).unwrap();
            let until = std::time::Instant::now() + Duration::from_millis(1500);
            while std::time::Instant::now() < until {
                {
                    let mut mine = Vec::new();
                    for i in 0..4_u64 {
                        let (object, length) = (format!("{me} {i}"), 1 + dice.below(100) as usize);
                        let Ok(array) = region.array::<AtomicU64>(&object, length) else { continue };
                        let mark = u64::from(me) << 32 | i;
                        array.iter().for_each(|word| assert_eq!(word.swap(mark, Relaxed), 0, "it was not fresh"));
                        region.remove(&object).unwrap();
                        mine.push((mark, array));
                    }
                    std::thread::yield_now();
                    for (mark, array) in mine {
                        assert!(array.iter().all(|word| word.load(Relaxed) == mark), "somebody else wrote there");
                        done.up();
                    }
                }
                region.renew().unwrap();
            }
        }));
        assert!(done.get() > 100, "{}", done.get());
    });
}

/// Whoever asks for an object or a new one gets one, whoever removes it meanwhile.
#[test]
fn what_may_be_made_is_never_missing() {
    in_child(|| {
        let name = Name::new("never-missing");
        drop(Region::options().objects(64).create(&name, 1 << 14).unwrap());
        let until = Instant::now() + Duration::from_secs(1);
        // Each attaches for itself, and says now and then that it has nothing in hand, so that there is room.
        let again = |work: &(dyn Fn(&Region) -> Option<ErrorKind> + Sync)| {
            let mut region = Region::open(&name).unwrap();
            while Instant::now() < until {
                match work(&region) {
                    Some(ErrorKind::NoSpace) | None => {}
                    Some(other) => panic!("{other:?}"),
                }
                region.renew().unwrap();
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    again(&|region| {
                        let all = (0..50).map(|_| region.get_or_init_with("it", || Semaphore::new(1)).map(drop));
                        all.filter_map(Result::err).map(|error| error.kind()).find(|&kind| kind != ErrorKind::NoSpace)
                    });
                });
            }
            scope.spawn(|| {
                again(&|region| {
                    for _ in 0..50 {
                        let _ = region.remove("it");
                    }
                    None
                });
            });
        });
    });
}
