//! Once and OnceCell: initialised once, although initialisers fail and panic.

mod support;

use std::thread;
use std::time::Duration;

use shmsync::wait::Wait;
use shmsync::{Once, OnceCell, PoisonCause};
use support::once::*;
use support::*;
use zerocopy::FromBytes;

every_backend!(
    empty_until_initialised,
    set_only_once,
    a_failed_attempt_leaves_it_empty,
    a_panic_leaves_it_empty_for_the_next,
    a_panic_hands_over_to_those_who_wait,
    asking_from_within_panics,
    exactly_once_over_processes,
    nobody_sees_half_a_value,
    everyone_waits_for_the_initialiser,
    debug_does_not_block,
    any_bytes_are_a_cell,
);

fn empty_until_initialised<W: Wait>() {
    let cell = empty::<u64, W>();
    assert_eq!(cell.get(), None);
    assert_eq!(cell.get_or_init(|| 7), &7);
    assert_eq!(cell.get(), Some(&7));
    assert_eq!(cell.get_or_init(|| unreachable!()), &7);
    join([fork(|| assert_eq!((cell.get(), cell.get_or_init(|| 8)), (Some(&7), &7)))]);
    // And it is one of zero bytes, too.
    let zeroes = vec![0_u8; size_of::<OnceCell<[u32; 3], W>>()];
    let fresh = OnceCell::<[u32; 3], W>::read_from_bytes(&zeroes).unwrap();
    assert_eq!((fresh.get(), fresh.get_or_init(|| [1, 2, 3])), (None, &[1, 2, 3]));

    let once = Shm::new(Once::<W>::new_in());
    assert!(!once.is_completed());
    let mut calls = 0;
    once.call_once(|| calls += 1);
    once.call_once(|| calls += 1);
    assert!(once.is_completed());
    join([fork(|| once.call_once(|| unreachable!()))]);
    assert_eq!(calls, 1);
}

fn set_only_once<W: Wait>() {
    let cell = empty::<u32, W>();
    assert_eq!(cell.set(1), Ok(()));
    assert_eq!(cell.set(2), Err(2));
    assert_eq!(cell.get(), Some(&1));
    let cell = empty::<(), W>();
    assert_eq!(cell.set(()), Ok(()));
    assert_eq!(cell.set(()), Err(()));
}

fn a_failed_attempt_leaves_it_empty<W: Wait>() {
    let cell = empty::<u64, W>();
    for error in 0..3 {
        assert_eq!(cell.get_or_try_init(|| Err(error)), Err(error));
        assert_eq!(cell.get(), None);
    }
    assert_eq!(cell.get_or_try_init(|| Ok::<_, ()>(5)), Ok(&5));
    assert_eq!(cell.get_or_try_init(|| Err(())), Ok(&5));
}

fn a_panic_leaves_it_empty_for_the_next<W: Wait>() {
    let cell = empty::<u64, W>();
    for _ in 0..3 {
        assert_eq!(panics(|| _ = cell.get_or_init(|| panic!("on purpose"))), "on purpose");
        assert_eq!(cell.get(), None);
    }
    join([fork(|| assert_eq!(cell.get_or_init(|| 3), &3))]);

    let once = Shm::new(Once::<W>::new_in());
    once.call_once_with(|failed| {
        assert_eq!(panics(|| assert!(failed.is_some())), "assertion failed: failed.is_some()")
    });
    assert!(once.is_completed(), "a panic that was caught inside is none");
    let once = Shm::new(Once::<W>::new_in());
    panics(|| once.call_once(|| panic!("on purpose")));
    assert!(!once.is_completed());
    let mut cause = None;
    once.call_once_with(|failed| cause = failed);
    assert!(matches!(cause, Some(PoisonCause::Panicked(owner)) if owner.tid() == gettid()), "{cause:?}");
}

fn a_panic_hands_over_to_those_who_wait<W: Wait>() {
    let (cell, inside, about) = (empty::<u64, W>(), Shm::new(Tally::new()), Shm::new(Tally::new()));
    let first = fork(|| {
        let message = panics(|| {
            cell.get_or_init(|| {
                inside.up();
                about.reaches(3);
                thread::sleep(ms(30));
                panic!("on purpose");
            });
        });
        assert_eq!(message, "on purpose");
    });
    inside.reaches(1);
    let (others, took) = timed(|| {
        let others = team(3, |_| {
            about.up();
            assert_eq!(cell.get_or_init(|| 9), &9);
        });
        join(others);
    });
    let () = others;
    join([first]);
    assert!(took < Duration::from_secs(2), "{took:?}");
}

fn asking_from_within_panics<W: Wait>() {
    let cell = empty::<u64, W>();
    let again = panics(|| _ = cell.get_or_init(|| *cell.get_or_init(|| 1)));
    assert!(again.contains("from its own initialisation"), "{again}");
    let again = panics(|| _ = cell.get_or_init(|| cell.set(4).map_or(5, |()| 6)));
    assert!(again.contains("from its own initialisation"), "{again}");
    assert_eq!(cell.get(), None);
    // Looking is not asking.
    assert_eq!(cell.get_or_init(|| cell.get().copied().unwrap_or(2)), &2);

    let once = Once::<W>::new_in();
    panics(|| once.call_once(|| once.call_once(|| unreachable!())));
    assert!(!once.is_completed());
}

fn exactly_once_over_processes<W: Wait>() {
    const CELLS: usize = 200;
    struct World<W: Wait> {
        cells: [OnceCell<u64, W>; CELLS],
        onces: [Once<W>; CELLS],
        calls: [Naked; CELLS],
        ready: Tally,
    }
    let world = Shm::new(World::<W> {
        cells: [const { OnceCell::new_in() }; CELLS],
        onces: [const { Once::new_in() }; CELLS],
        calls: [const { Naked::new() }; CELLS],
        ready: Tally::new(),
    });
    join(team(8, |i| {
        world.ready.up();
        while world.ready.get() < 8 {
            thread::yield_now();
        }
        for ((cell, once), calls) in world.cells.iter().zip(&world.onces).zip(&world.calls) {
            // SAFETY: only one closure runs.
            once.call_once(|| unsafe { calls.bump() });
            // SAFETY: it has returned, and nobody writes any more.
            assert_eq!(unsafe { calls.get() }, 1);
            let mine = u64::from(i) + 1;
            let value = *cell.get_or_init(|| mine);
            assert_eq!(cell.get(), Some(&value));
            assert_eq!(cell.set(77), Err(77));
        }
    }));
    // SAFETY: all others are done.
    assert!(world.calls.iter().all(|calls| unsafe { calls.get() } == 1));
    assert!(world.cells.iter().all(|cell| (1..=8).contains(cell.get().unwrap())));
}

fn nobody_sees_half_a_value<W: Wait>() {
    const CELLS: usize = 60;
    let cells = Shm::new([const { OnceCell::<[u64; 64], W>::new_in() }; CELLS]);
    let ready = Shm::new(Tally::new());
    join(team(4, |i| {
        ready.up();
        while ready.get() < 4 {
            thread::yield_now();
        }
        for cell in cells.iter() {
            if i == 0 {
                cell.get_or_init(|| [5; 64]);
            } else {
                let deadline = std::time::Instant::now() + SOON;
                while cell.get().is_none_or(|value| *value != [5; 64]) {
                    assert!(cell.get().is_none_or(|value| *value == [5; 64]), "half a value");
                    assert!(std::time::Instant::now() < deadline);
                    thread::yield_now();
                }
            }
        }
    }));
}

fn everyone_waits_for_the_initialiser<W: Wait>() {
    let (cell, inside, about) = (empty::<u64, W>(), Shm::new(Tally::new()), Shm::new(Tally::new()));
    let (go, through) = (Shm::new(Tally::new()), Shm::new(Tally::new()));
    let first = fork(|| {
        cell.get_or_init(|| {
            inside.up();
            go.reaches(1);
            3
        });
    });
    inside.reaches(1);
    let others = team(7, |i| {
        about.up();
        match i {
            0 => assert_eq!(cell.set(4), Err(4)),
            1 => assert_eq!(cell.get_or_try_init(|| Err(())), Ok(&3)),
            _ => assert_eq!(cell.get_or_init(|| unreachable!()), &3),
        }
        through.up();
    });
    about.reaches(7);
    others.iter().for_each(|other| asleep(other.pid()));
    through.stays(0, SLICES);
    assert_eq!(cell.get(), None, "looking does not wait");
    go.up();
    let ((), took) = timed(|| join(others));
    join([first]);
    assert!(took < Duration::from_secs(1), "{took:?}");
}

fn debug_does_not_block<W: Wait>() {
    let (cell, once) = (OnceCell::<u64, W>::new_in(), Once::<W>::new_in());
    let empty = format!("{cell:?} {once:?}");
    cell.get_or_init(|| {
        once.call_once(|| {
            let within = format!("{cell:?} {once:?}");
            assert!(within.contains(&gettid().to_string()), "{within} does not name the initialiser");
        });
        4711
    });
    let full = format!("{cell:?} {once:?}");
    assert!(!empty.contains("4711") && full.contains("4711") && full.contains("completed"), "{empty}; {full}");
}

/// Whatever bytes are found, looking is safe. (Initialising may wait for a holder of whom nothing is known.)
fn any_bytes_are_a_cell<W: Wait>() {
    let mut dice = Dice::new();
    let size = size_of::<OnceCell<[u64; 2], W>>();
    let mut found = 0;
    for _ in 0..500 {
        let mut bytes: Vec<u8> = (0..size).map(|_| dice.below(256) as u8).collect();
        if dice.below(2) == 0 {
            let state = size - 24;
            bytes[state..state + 8].fill(0xff);
        }
        let cell = OnceCell::<[u64; 2], W>::read_from_bytes(&bytes).unwrap();
        found += u32::from(cell.get().is_some());
        assert!(format!("{cell:?}").contains("OnceCell"));
        if cell.get().is_some() {
            assert_eq!(cell.get_or_init(|| unreachable!()), cell.get().unwrap());
        }
    }
    assert!(found > 100);
    // A state of whatever kind under a free word is one to initialise.
    for _ in 0..500 {
        let mut bytes = vec![0_u8; size];
        let state = size - 24;
        bytes[state..state + 8].fill_with(|| dice.below(255) as u8);
        let cell = OnceCell::<[u64; 2], W>::read_from_bytes(&bytes).unwrap();
        assert_eq!(cell.get_or_init(|| [1, 2]), &[1, 2]);
    }
}
