//! RwLock<T>: who waits is woken in time, and who goes first; what can never come is an error.

mod support;

use std::thread;
use std::time::{Duration, Instant};

use shmsync::RwLock;
use shmsync::wait::Wait;
use support::rwlock::*;
use support::*;

every_backend!(
    readers_blocked_by_a_writer_get_in,
    a_writer_blocked_by_readers_gets_in,
    wakes_do_not_wait_for_a_slice,
    a_waiting_writer_goes_before_new_readers,
    a_writer_that_gives_up_lets_readers_in,
    a_reader_may_read_again_behind_a_waiting_writer,
    waiting_for_oneself_is_an_error_and_not_a_hang,
    more_readers_than_slots,
    a_full_lock_is_told_from_a_free_one,
);

fn readers_blocked_by_a_writer_get_in<W: Wait>() {
    let (lock, entered) = (shared::<W>(), Shm::new(Tally::new()));
    let mut guard = lock.write().unwrap();
    let readers: Vec<_> = (0..4)
        .map(|i| {
            blocked(|| {
                let guard = match i {
                    0 => lock.try_read_for(Duration::MAX).unwrap(),
                    1 => lock.try_read_until(Instant::now() + SOON).unwrap(),
                    _ => lock.read().unwrap(),
                };
                assert_eq!(*guard, [5, 5]);
                entered.up();
                entered.reaches(4); // All at once.
            })
        })
        .collect();
    entered.stays(0, SLICES);
    *guard = [5, 5];
    drop(guard);
    join(readers);
}

fn a_writer_blocked_by_readers_gets_in<W: Wait>() {
    let (lock, leave) = (shared::<W>(), Shm::new(Tally::new()));
    let readers: Vec<_> = (0..4).map(|_| inside_until(&leave, || lock.read().unwrap())).collect();
    let writers: Vec<_> = (0..3)
        .map(|i| {
            blocked(|| match i {
                0 => bump(&mut lock.try_write_for(Duration::MAX).unwrap()),
                1 => bump(&mut lock.try_write_until(Instant::now() + SOON).unwrap()),
                _ => bump(&mut lock.write().unwrap()),
            })
        })
        .collect();
    thread::sleep(SLICES);
    leave.up();
    join(readers);
    join(writers);
    assert_eq!(*lock.read().unwrap(), [3, 3]);
}

/// Who has waited for long sleeps in long slices: one that ends sooner was woken.
fn wakes_do_not_wait_for_a_slice<W: Wait>() {
    let ways: [(&str, bool, bool); 4] = [
        ("a reader for a writer", true, false),
        ("a writer for a reader", false, true),
        ("a writer for a writer", true, true),
        ("a reader for a slot", false, false),
    ];
    for (what, first_writes, second_writes) in ways {
        let best = (0..4).map(|_| {
            let (lock, leave) = (Shm::new(Pair::<W, 1>::new_in([0; 2])), Shm::new(Tally::new()));
            let first = match first_writes {
                true => inside_until(&leave, || lock.write().unwrap()),
                false => inside_until(&leave, || lock.read().unwrap()),
            };
            let enter = || match second_writes {
                true => drop(lock.write().unwrap()),
                false => drop(lock.read().unwrap()),
            };
            let took = until_through(ms(500), enter, || _ = leave.up());
            join([first]);
            took
        });
        let best = best.min().unwrap();
        assert!(best < ms(5), "{what}: {best:?}");
    }
}

fn a_waiting_writer_goes_before_new_readers<W: Wait>() {
    let (lock, leave) = (shared::<W>(), Shm::new(Tally::new()));
    let reader = inside_until(&leave, || lock.read().unwrap());
    let writer = blocked(|| lock.write().unwrap()[0] = 1);
    assert_eq!(reading(&lock, ms(150)), is_held(), "a writer waits");
    assert_eq!(lock.writer().map(|owner| owner.tid()), Some(writer.pid()));
    let late = blocked(|| assert_eq!(lock.read().unwrap()[0], 1, "the writer came first"));
    leave.up();
    join([reader, writer, late]);
    assert_eq!(reading(&lock, ms(150)), FREE);
}

fn a_writer_that_gives_up_lets_readers_in<W: Wait>() {
    let lock = shared::<W>();
    let _reader = inside(|| lock.read().unwrap());
    let writer = blocked(|| assert_eq!(writing(&lock, ms(200)), is_held()));
    thread::sleep(ms(20));
    let late = blocked(|| drop(lock.read().unwrap()));
    join([writer, late]);
    assert!(lock.writer().is_none());
}

fn a_reader_may_read_again_behind_a_waiting_writer<W: Wait>() {
    let lock = shared::<W>();
    let guard = lock.read().unwrap();
    let writer = blocked(|| lock.write().unwrap()[0] = 1);
    assert_eq!(reading(&lock, ms(1)), FREE);
    let again = [lock.read().unwrap(), lock.read().unwrap()];
    let [one, other] = again;
    drop(guard);
    drop(one);
    thread::sleep(ms(20));
    assert_eq!(*other, [0, 0], "the writer has to wait for all of them");
    assert_eq!(*lock.read().unwrap(), [0, 0]);
    drop(other);
    join([writer]);
    assert_eq!(*lock.read().unwrap(), [1, 0]);
    assert_eq!(lock.readers().count(), 0);

    // As many as one likes, with a single slot.
    let narrow = Pair::<W, 1>::new_in([0; 2]);
    let all: Vec<_> = (0..100).map(|_| narrow.read().unwrap()).collect();
    assert_eq!(narrow.readers().count(), 1);
    drop(all);
    assert_eq!(writing(&narrow, ms(1)), FREE);
}

fn waiting_for_oneself_is_an_error_and_not_a_hang<W: Wait>() {
    let would_deadlock = || errors(["WouldDeadlock"; 3]);
    let lock = shared::<W>();
    let guard = lock.write().unwrap();
    assert_eq!(writing(&lock, SOON), would_deadlock());
    assert_eq!(reading(&lock, SOON), would_deadlock());
    drop(guard);
    let guard = lock.read().unwrap();
    assert_eq!(writing(&lock, SOON), would_deadlock());
    // Also when another reader is inside, and when a writer waits.
    let _other = inside(|| lock.read().unwrap());
    assert_eq!(writing(&lock, SOON), would_deadlock());
    let _writer = blocked(|| drop(lock.write().unwrap()));
    assert_eq!(writing(&lock, SOON), would_deadlock());
    drop(guard);

    // In a child, which takes it itself, so that the message does not go to the terminal.
    let says = |enter: fn(&Pair<W>)| {
        let child = fork(|| {
            // SAFETY: descriptor 2 of this child is not needed; the report to the parent goes elsewhere.
            unsafe { libc::close(libc::STDERR_FILENO) };
            enter(&RwLock::new_in([0; 2]));
        });
        { child }.join(SOON).unwrap_err()
    };
    let twice = [
        says(|lock| drop((lock.write().unwrap(), lock.write()))),
        says(|lock| drop((lock.read().unwrap(), lock.write()))),
    ];
    assert!(twice.iter().all(|text| text.contains("holds it already")), "{twice:?}");
    let text = says(|lock| drop((lock.write().unwrap(), lock.read())));
    assert!(text.contains("holds it for writing"), "{text}");
}

fn more_readers_than_slots<W: Wait>() {
    let (lock, inside) = (Shm::new(Pair::<W, 2>::new_in([0; 2])), Shm::new(Tally::new()));
    let readers = team(8, |_| {
        for _ in 0..200 {
            let guard = match inside.get() % 2 {
                0 => lock.read().unwrap(),
                _ => lock.try_read_for(SOON).unwrap(),
            };
            assert!(inside.up() <= 2, "one reader for each slot");
            assert_whole(&guard);
            if inside.get() == 1 {
                thread::sleep(Duration::from_micros(20));
            }
            inside.down();
            drop(guard);
        }
    });
    for _ in 0..20 {
        bump(&mut lock.write().unwrap());
    }
    join(readers);
    assert_eq!(*lock.read().unwrap(), [20, 20]);
}

fn a_full_lock_is_told_from_a_free_one<W: Wait>() {
    let (lock, leave) = (Shm::new(Pair::<W, 2>::new_in([0; 2])), Shm::new(Tally::new()));
    let first = inside_until(&leave, || lock.read().unwrap());
    let _second = inside(|| lock.read().unwrap());
    assert_eq!(reading(&lock, ms(20)), is_held());
    let third = blocked(|| assert_whole(&lock.read().unwrap()));
    thread::sleep(SLICES);
    leave.up();
    join([first, third]);
    assert_eq!(reading(&lock, ms(20)), FREE);
}
