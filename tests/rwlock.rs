//! RwLock<T>: many readers or one writer, std's idioms, and whoever dies is out of the way: a reader without a trace, a
//! writer with poison.

mod support;

use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use shmsync::wait::Wait;
use shmsync::{PoisonCause, PoisonError, RwLock, Shared, TryLockError};
use support::*;
use zerocopy::{FromBytes, FromZeros};

every_backend!(
    guards_give_the_data,
    zero_bytes_are_fresh,
    readers_are_inside_together,
    who_is_inside_can_be_asked,
    held_elsewhere,
    trying_keeps_time,
    readers_blocked_by_a_writer_get_in,
    a_writer_blocked_by_readers_gets_in,
    wakes_do_not_wait_for_a_slice,
    a_waiting_writer_goes_before_new_readers,
    a_writer_that_gives_up_lets_readers_in,
    a_reader_may_read_again_behind_a_waiting_writer,
    waiting_for_oneself_is_an_error_and_not_a_hang,
    more_readers_than_slots,
    a_full_lock_is_told_from_a_free_one,
    a_writers_panic_poisons,
    a_readers_panic_does_not_poison,
    a_panic_that_is_older_than_the_guard_does_not_poison,
    a_killed_reader_blocks_nobody,
    killed_readers_give_their_slots_back,
    a_killed_writer_poisons,
    every_form_gives_the_poisoned_guard,
    everyone_blocked_gets_the_poisoned_data,
    a_writer_killed_while_it_waits_poisons_nothing,
    a_death_is_learned_within_two_milliseconds,
    a_death_is_learned_within_a_slice,
    debug_does_not_block,
    two_processes_see_nothing_torn,
    eight_processes_see_nothing_torn,
    kills_leave_the_others_going,
    kills_leave_the_others_going_with_too_few_slots,
    any_bytes_are_a_value,
);

/// Two numbers that are equal whenever no writer is inside.
type Pair<W, const N: usize = 16> = RwLock<[u64; 2], N, W>;

fn shared<W: Wait>() -> Shm<Pair<W>> {
    Shm::new(RwLock::new_in([0; 2]))
}

/// A child that has entered in one way or the other, and stays until it is killed.
fn inside<G>(enter: impl FnOnce() -> G) -> Child {
    let entered = Shm::new(Tally::new());
    let child = fork(|| {
        let _guard = enter();
        entered.up();
        until_killed();
    });
    entered.reaches(1);
    child
}

/// A child that is inside until `leave` counts one.
fn inside_until<G>(leave: &Tally, enter: impl FnOnce() -> G) -> Child {
    let entered = Shm::new(Tally::new());
    let child = fork(|| {
        let _guard = enter();
        entered.up();
        leave.reaches(1);
    });
    entered.reaches(1);
    child
}

/// A child that sleeps in `enter`, and then ends.
fn blocked<R>(enter: impl FnOnce() -> R) -> Child {
    let about = Shm::new(Tally::new());
    let child = fork(|| {
        about.up();
        enter();
    });
    about.reaches(1);
    asleep(child.pid());
    child
}

fn die_writing<W: Wait, const N: usize>(lock: &Pair<W, N>, change: impl FnOnce(&mut [u64; 2])) -> Child {
    die_after(|| {
        let mut guard = lock.write().unwrap();
        change(&mut guard);
        std::mem::forget(guard);
    })
}

fn die_reading<W: Wait, const N: usize>(lock: &Pair<W, N>) -> Child {
    die_after(|| std::mem::forget(lock.read().unwrap()))
}

/// Adds one to both, with a moment between.
fn bump(pair: &mut [u64; 2]) {
    for number in pair {
        // SAFETY: borrowed exclusively. Volatile, so that there is a moment between the two.
        unsafe { std::ptr::from_mut(number).write_volatile(*number + 1) };
    }
}

fn assert_whole(pair: &[u64; 2]) {
    // SAFETY: borrowed. Volatile, so that they are read one after the other.
    let [one, other] = [0, 1].map(|i| unsafe { std::ptr::from_ref(&pair[i]).read_volatile() });
    assert_eq!(one, other, "torn, and nobody said so");
}

/// The thread that a cause names, and whether it died.
fn culprit(cause: PoisonCause) -> (u32, bool) {
    match cause {
        PoisonCause::Died(owner) => (owner.tid(), true),
        PoisonCause::Panicked(owner) => (owner.tid(), false),
    }
}

fn unwinding(f: impl FnOnce()) {
    let unwound = panic::catch_unwind(AssertUnwindSafe(|| {
        f();
        panic::resume_unwind(Box::new(())); // Without a word on the terminal.
    }));
    assert!(unwound.is_err());
}

/// Each form of entering, the timed ones with `timeout`: the errors in words.
fn reading<W: Wait, const N: usize>(lock: &Pair<W, N>, timeout: Duration) -> [Option<String>; 3] {
    let text = |error: TryLockError<_>| format!("{error:?}");
    [
        lock.try_read().map(drop).map_err(text).err(),
        lock.try_read_for(timeout).map(drop).map_err(text).err(),
        lock.try_read_until(Instant::now() + timeout).map(drop).map_err(text).err(),
    ]
}

fn writing<W: Wait, const N: usize>(lock: &Pair<W, N>, timeout: Duration) -> [Option<String>; 3] {
    let text = |error: TryLockError<_>| format!("{error:?}");
    [
        lock.try_write().map(drop).map_err(text).err(),
        lock.try_write_for(timeout).map(drop).map_err(text).err(),
        lock.try_write_until(Instant::now() + timeout).map(drop).map_err(text).err(),
    ]
}

const FREE: [Option<String>; 3] = [None, None, None];

fn errors(words: [&str; 3]) -> [Option<String>; 3] {
    words.map(|word| Some(String::from(word)))
}

fn is_held() -> [Option<String>; 3] {
    errors(["WouldBlock", "TimedOut", "TimedOut"])
}

#[test]
fn new_infers_and_the_layout_is_as_promised() {
    let lock = RwLock::new(5_u8);
    let _: &RwLock<u8> = &lock;
    static LOCK: RwLock<u8> = RwLock::new(5);
    assert_eq!(*LOCK.read().unwrap(), 5);
    let small: RwLock<u8, 3> = RwLock::new_in(5);
    *small.write().unwrap() += 1;
    assert_eq!(small.into_inner().unwrap(), 6);
    assert_eq!(*RwLock::from(7).read().unwrap(), 7);
    assert_eq!(*RwLock::<u32>::default().read().unwrap(), 0);

    let sizes = [size_of::<RwLock<u8, 1>>(), size_of::<RwLock<u8, 2>>(), size_of::<RwLock<u8>>()];
    assert_eq!(sizes, [3 * 128, 4 * 128, 18 * 128], "words, slots and data, each on lines of their own");
    assert_eq!(align_of::<RwLock<u8>>(), 128);
    let guard = lock.read().unwrap();
    let distance = std::ptr::from_ref(&*guard).addr() - std::ptr::from_ref(&lock).addr();
    assert_eq!(distance, 17 * 128);
}

#[test]
fn it_lives_in_a_region() {
    let region = Shared::anonymous(RwLock::new([1_u64, 1])).unwrap();
    join(team(2, |_| bump(&mut region.write().unwrap())));
    assert_eq!(*region.read().unwrap(), [3, 3]);
}

/// Guards stay with their thread, but are shared; and a lock passes on what can be passed on.
#[test]
fn what_may_be_shared() {
    fn sync<T: Sync>(_: &T) {}
    fn send<T: Send>(_: &T) {}
    let lock = RwLock::new(5);
    sync(&lock);
    send(&lock);
    sync(&lock.read().unwrap());
    sync(&lock.write().unwrap());
}

fn guards_give_the_data<W: Wait>() {
    let mut lock = RwLock::<_, 4, W>::new_in(vec![1, 2]);
    lock.write().unwrap().push(3);
    lock.try_write().unwrap().push(4);
    lock.try_write_for(Duration::ZERO).unwrap().push(5);
    lock.try_write_until(Instant::now()).unwrap().push(6);
    let all = [1, 2, 3, 4, 5, 6];
    assert_eq!(*lock.read().unwrap(), all);
    assert_eq!(*lock.try_read().unwrap(), all);
    assert_eq!(*lock.try_read_for(Duration::ZERO).unwrap(), all);
    assert_eq!(*lock.try_read_until(Instant::now()).unwrap(), all);
    assert_eq!(*lock.read().unwrap_or_else(PoisonError::into_inner), all);
    lock.get_mut().unwrap().truncate(1);
    assert!(!lock.is_poisoned());
    assert_eq!(lock.into_inner().unwrap(), [1]);
}

fn zero_bytes_are_fresh<W: Wait>() {
    let lock: Pair<W> = FromZeros::new_zeroed();
    assert_eq!(reading(&lock, ms(1)), FREE);
    assert_eq!(writing(&lock, ms(1)), FREE);
    assert_eq!(*lock.read().unwrap(), [0, 0]);
}

fn readers_are_inside_together<W: Wait>() {
    let (lock, inside) = (shared::<W>(), Shm::new(Tally::new()));
    join(team(16, |_| {
        let _guard = lock.read().unwrap();
        inside.up();
        inside.reaches(16);
    }));
    assert_eq!(writing(&lock, ms(1)), FREE);
}

fn who_is_inside_can_be_asked<W: Wait>() {
    let lock = shared::<W>();
    assert!(lock.writer().is_none() && lock.readers().next().is_none());
    let mut readers = [inside(|| lock.read()), inside(|| lock.read())];
    let mut found: Vec<u32> = lock.readers().map(|owner| owner.tid()).collect();
    found.sort_unstable();
    let mut pids = readers.each_ref().map(Child::pid);
    pids.sort_unstable();
    assert_eq!(found, pids);
    assert!(lock.readers().all(|owner| owner.is_alive()));
    readers.iter_mut().for_each(Child::kill);
    drop(readers);
    assert!(lock.readers().all(|owner| !owner.is_alive()));
    let writer = inside(|| lock.write());
    assert_eq!(lock.writer().map(|owner| owner.tid()), Some(writer.pid()));
    assert!(lock.readers().next().is_none());
}

fn held_elsewhere<W: Wait>() {
    let lock = shared::<W>();
    let reader = inside(|| lock.read());
    assert_eq!(writing(&lock, Duration::ZERO), is_held());
    assert_eq!(reading(&lock, Duration::ZERO), FREE, "a writer that tried has left no trace");
    drop(reader);
    let _writer = inside(|| lock.write());
    assert_eq!(reading(&lock, Duration::ZERO), is_held());
    assert_eq!(writing(&lock, Duration::ZERO), is_held());
    assert!(!lock.is_poisoned());
}

fn trying_keeps_time<W: Wait>() {
    let [read, written] = [shared::<W>(), shared::<W>()];
    let _inside = [inside(|| read.read()), inside(|| written.write())];
    for timeout in [ms(1), ms(130)] {
        keeps_time(timeout, |timeout| assert!(read.try_write_for(timeout).is_err()));
        keeps_time(timeout, |timeout| assert!(read.try_write_until(Instant::now() + timeout).is_err()));
        keeps_time(timeout, |timeout| assert!(written.try_write_for(timeout).is_err()));
        keeps_time(timeout, |timeout| assert!(written.try_read_for(timeout).is_err()));
        keeps_time(timeout, |timeout| assert!(written.try_read_until(Instant::now() + timeout).is_err()));
    }
}

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

/// Nanoseconds on a clock that all processes share.
fn nanos() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writes that local.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut now) };
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// How long it takes from `event` until a child that has been blocked in `enter` for `waited` comes through.
fn until_through(waited: Duration, enter: impl FnOnce(), event: impl FnOnce()) -> Duration {
    let through = Shm::new(AtomicU64::new(0));
    let child = blocked(|| {
        enter();
        through.store(nanos(), SeqCst);
    });
    thread::sleep(waited);
    let began = nanos();
    event();
    join([child]);
    Duration::from_nanos(through.load(SeqCst).saturating_sub(began))
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

fn a_writers_panic_poisons<W: Wait>() {
    let lock = shared::<W>();
    let child = fork(|| {
        unwinding(|| {
            let mut guard = lock.write().unwrap();
            guard[0] = 2;
            panic::resume_unwind(Box::new(()));
        });
    });
    let pid = child.pid();
    join([child]);
    assert!(lock.is_poisoned());
    let error = lock.read().unwrap_err();
    assert_eq!((culprit(error.cause()), **error.get_ref()), ((pid, false), [2, 0]));
    drop(error);
    let mut error = lock.write().unwrap_err();
    error.get_mut()[1] = 2;
    lock.clear_poison();
    assert_eq!(*error.into_inner(), [2, 2]);
    assert_eq!((reading(&lock, ms(1)), writing(&lock, ms(1))), (FREE, FREE));

    let local = Pair::<W>::new_in([0; 2]);
    let _ = panic::catch_unwind(AssertUnwindSafe(|| {
        let _guard = local.write().unwrap();
        panic::resume_unwind(Box::new(()));
    }));
    let error = local.into_inner().unwrap_err();
    assert_eq!((culprit(error.cause()), *error.get_ref()), ((gettid(), false), [0, 0]));
}

fn a_readers_panic_does_not_poison<W: Wait>() {
    let lock = Pair::<W>::new_in([0; 2]);
    let _ = panic::catch_unwind(AssertUnwindSafe(|| {
        let _guard = lock.read().unwrap();
        panic::resume_unwind(Box::new(()));
    }));
    assert!(!lock.is_poisoned());
    assert_eq!(writing(&lock, ms(1)), FREE);
}

fn a_panic_that_is_older_than_the_guard_does_not_poison<W: Wait>() {
    struct LocksInDrop<'a, W: Wait>(&'a Pair<W>);
    impl<W: Wait> Drop for LocksInDrop<'_, W> {
        fn drop(&mut self) {
            assert!(thread::panicking());
            bump(&mut self.0.write().unwrap());
        }
    }
    let lock = Pair::<W>::new_in([0; 2]);
    unwinding(|| {
        let _locks = LocksInDrop(&lock);
        panic::resume_unwind(Box::new(()));
    });
    assert_eq!(*lock.read().unwrap(), [1, 1]);
}

fn a_killed_reader_blocks_nobody<W: Wait>() {
    for reaped in [false, true] {
        let forms: [fn(&Pair<W>); 4] = [
            |lock| bump(&mut lock.write().unwrap()),
            |lock| bump(&mut lock.try_write().unwrap()),
            |lock| bump(&mut lock.try_write_for(Duration::ZERO).unwrap()),
            |lock| bump(&mut lock.try_write_for(SOON).unwrap()),
        ];
        for form in forms {
            let lock = shared::<W>();
            let dead = [die_reading(&lock), die_reading(&lock)];
            let _zombies = (!reaped).then_some(dead);
            drop(lock.read().unwrap());
            form(&lock);
            assert!(!lock.is_poisoned() && lock.readers().count() == 0);
            assert_eq!(*lock.read().unwrap(), [1, 1]);
        }
    }
}

fn killed_readers_give_their_slots_back<W: Wait>() {
    let forms: [fn(&Pair<W, 2>); 4] = [
        |lock| assert_whole(&lock.read().unwrap()),
        |lock| assert_whole(&lock.try_read().unwrap()),
        |lock| assert_whole(&lock.try_read_for(Duration::ZERO).unwrap()),
        |lock| assert_whole(&lock.try_read_for(SOON).unwrap()),
    ];
    for form in forms {
        let lock = Shm::new(Pair::<W, 2>::new_in([0; 2]));
        let _living = inside(|| lock.read().unwrap());
        let _zombie = die_reading(&lock);
        form(&lock);
        drop(die_reading(&lock));
        form(&lock);
    }
}

fn a_killed_writer_poisons<W: Wait>() {
    for (reaped, by_reader) in [(false, false), (false, true), (true, false), (true, true)] {
        let lock = shared::<W>();
        let dead = die_writing(&lock, |pair| pair[0] = 2);
        let pid = dead.pid();
        let _zombie = (!reaped).then_some(dead);
        if by_reader {
            let error = lock.read().unwrap_err();
            assert_eq!((culprit(error.cause()), **error.get_ref()), ((pid, true), [2, 0]));
        }
        let mut error = lock.write().unwrap_err();
        assert_eq!((culprit(error.cause()), **error.get_ref()), ((pid, true), [2, 0]));
        assert!(lock.is_poisoned());
        error.get_mut()[1] = 2;
        lock.clear_poison();
        drop(error);
        assert_eq!((reading(&lock, ms(1)), writing(&lock, ms(1))), (FREE, FREE));
        assert_whole(&lock.read().unwrap());
    }
}

fn every_form_gives_the_poisoned_guard<W: Wait>() {
    fn cause<G>(error: TryLockError<G>) -> Option<(u32, bool)> {
        match error {
            TryLockError::Poisoned(error) => Some(culprit(error.cause())),
            _ => None,
        }
    }
    type Form<W> = fn(&Pair<W>) -> Option<(u32, bool)>;
    let forms: [Form<W>; 8] = [
        |lock| lock.read().err().map(|error| culprit(error.cause())),
        |lock| lock.try_read().err().and_then(cause),
        |lock| lock.try_read_for(Duration::ZERO).err().and_then(cause),
        |lock| lock.try_read_until(Instant::now() + SOON).err().and_then(cause),
        |lock| lock.write().err().map(|error| culprit(error.cause())),
        |lock| lock.try_write().err().and_then(cause),
        |lock| lock.try_write_for(Duration::ZERO).err().and_then(cause),
        |lock| lock.try_write_until(Instant::now() + SOON).err().and_then(cause),
    ];
    for form in forms {
        let lock = shared::<W>();
        let dead = die_writing(&lock, |_| ());
        assert_eq!(form(&lock), Some((dead.pid(), true)), "while nobody has noticed the death");
        assert_eq!(form(&lock), Some((dead.pid(), true)), "once it is poisoned");
    }
}

fn everyone_blocked_gets_the_poisoned_data<W: Wait>() {
    let lock = shared::<W>();
    let mut writer = inside(|| lock.write().unwrap());
    let pid = writer.pid();
    let mut waiters: Vec<_> =
        (0..3).map(|_| blocked(|| assert_eq!(culprit(lock.read().unwrap_err().cause()), (pid, true)))).collect();
    waiters.extend((0..3).map(|_| {
        blocked(|| {
            let mut error = lock.write().unwrap_err();
            assert_eq!(culprit(error.cause()), (pid, true));
            bump(error.get_mut());
        })
    }));
    thread::sleep(SLICES); // So that they are in their longest slices.
    writer.kill();
    join(waiters);
    assert_eq!(*lock.write().unwrap_err().into_inner(), [3, 3]);
}

fn a_writer_killed_while_it_waits_poisons_nothing<W: Wait>() {
    for behind_a_reader in [true, false] {
        let (lock, leave) = (shared::<W>(), Shm::new(Tally::new()));
        let first = match behind_a_reader {
            true => inside_until(&leave, || lock.read().unwrap()),
            false => inside_until(&leave, || lock.write().unwrap()),
        };
        let mut writer = blocked(|| lock.write().unwrap()[0] = 1);
        let reader = blocked(|| drop(lock.read().unwrap()));
        writer.kill();
        if behind_a_reader {
            assert_eq!(reading(&lock, SOON), FREE, "the dead writer keeps no reader out");
            join([reader]);
            leave.up();
            join([first]);
        } else {
            leave.up();
            join([first, reader]);
        }
        assert!(!lock.is_poisoned());
        assert_eq!((reading(&lock, ms(1)), writing(&lock, ms(1))), (FREE, FREE));
        assert_eq!(*lock.read().unwrap(), [0, 0]);
    }
}

/// How long it takes from a kill until the other has learned of it: a writer of a reader's, a reader of a writer's, a
/// reader without a slot of a reader's. The killed one stays a zombie.
fn learned<W: Wait>(waited: Duration, times: usize) -> [Vec<Duration>; 3] {
    fn measure<W: Wait>(waited: Duration, first_writes: bool, second_writes: bool) -> Duration {
        let lock = Shm::new(Pair::<W, 1>::new_in([0; 2]));
        let mut first = match first_writes {
            true => inside(|| lock.write().unwrap()),
            false => inside(|| lock.read().unwrap()),
        };
        let enter = || match second_writes {
            true => drop(lock.write().unwrap()),
            false => drop(lock.read()),
        };
        until_through(waited, enter, || first.kill())
    }
    [(false, true), (true, false), (false, false)].map(|(first_writes, second_writes)| {
        // From half of `waited` to once and a half, so that the kills do not all come at the same point of a slice.
        let waits = (0..times as u32).map(|i| waited / 2 + waited * i / times as u32);
        let mut all: Vec<_> = waits.map(|waited| measure::<W>(waited, first_writes, second_writes)).collect();
        all.sort_unstable();
        all
    })
}

/// The best of a few tries, for a machine that is busy with something else.
fn learned_within<W: Wait>(limit: Duration, waited: Duration, times: usize, pick: fn(&[Duration]) -> Duration) {
    let mut best = [Duration::MAX; 3];
    for _ in 0..8 {
        let picked = learned::<W>(waited, times).map(|sorted| pick(&sorted));
        best = std::array::from_fn(|i| best[i].min(picked[i]));
        if best.iter().all(|&took| took <= limit) {
            println!("a kill after {waited:?} was learned of within {best:?}");
            return;
        }
    }
    panic!("after {waited:?}, a kill was learned of within {best:?} only");
}

fn a_death_is_learned_within_two_milliseconds<W: Wait>() {
    learned_within::<W>(ms(2), ms(6), 15, |sorted| sorted[sorted.len() / 2]);
}

fn a_death_is_learned_within_a_slice<W: Wait>() {
    // A slice, and the time that the kernel takes for a kill and a wake.
    learned_within::<W>(ms(110), ms(1200), 2, |sorted| sorted[sorted.len() - 1]);
}

fn debug_does_not_block<W: Wait>() {
    let lock = RwLock::<_, 4, W>::new_in(7);
    let free = format!("{lock:?}");
    let guard = lock.read().unwrap();
    let read = format!("{lock:?}");
    assert_eq!((format!("{guard:?}"), guard.to_string()), (String::from("7"), String::from("7")));
    drop(guard);
    let _guard = lock.write().unwrap();
    let written = format!("{lock:?}");
    assert!(free != read && read != written && free != written, "{free} {read} {written}");
    let me = gettid().to_string();
    assert!(read.contains(&me) && written.contains(&me), "{read} {written} do not name the holder");
}

/// Every process reads and writes in turn, one write to seven reads.
fn nothing_torn<W: Wait>(processes: u32, rounds: u32) {
    let lock = shared::<W>();
    join(team(processes, |me| {
        for round in 0..rounds {
            match (round + me) % 8 {
                0 => bump(&mut lock.write().unwrap()),
                1 => assert_whole(&lock.try_read_for(SOON).unwrap()),
                2 => _ = lock.try_write().map(|guard| assert_whole(&guard)),
                3 => _ = lock.try_read().map(|guard| assert_whole(&guard)),
                _ => assert_whole(&lock.read().unwrap()),
            }
        }
    }));
    assert_eq!(*lock.read().unwrap(), [u64::from(processes * rounds / 8); 2]);
}

fn two_processes_see_nothing_torn<W: Wait>() {
    nothing_torn::<W>(2, 40_000);
}

fn eight_processes_see_nothing_torn<W: Wait>() {
    nothing_torn::<W>(8, 4_000);
}

/// Unequal numbers come with poison only.
fn survive_kills<W: Wait, const N: usize>(kills: u32) {
    let lock = Shm::new(Pair::<W, N>::new_in([0; 2]));
    kill_at_random(5, kills, |me, rounds| {
        for round in 0..4 {
            if (round + me) % 4 > 0 {
                // A poisoned one may be torn, and that is all that a reader can know.
                _ = lock.read().map(|guard| assert_whole(&guard));
                continue;
            }
            let mut guard = lock.write().unwrap_or_else(|error| {
                let mut guard = error.into_inner();
                guard[1] = guard[0];
                lock.clear_poison();
                guard
            });
            assert_whole(&guard);
            bump(&mut guard);
        }
        rounds.up();
    });
    // Nothing is left of the dead.
    if let Err(error) = lock.write() {
        assert!(matches!(error.cause(), PoisonCause::Died(_)));
        lock.clear_poison();
    }
    assert_eq!(lock.readers().count(), 0);
    assert_eq!((reading(&lock, ms(1)), writing(&lock, ms(1))), (FREE, FREE));
}

fn kills_leave_the_others_going<W: Wait>() {
    survive_kills::<W, 16>(80);
}

fn kills_leave_the_others_going_with_too_few_slots<W: Wait>() {
    survive_kills::<W, 2>(80);
}

/// Bytes as a scribbler might leave them: words that mean something, or nothing.
fn scribbled<T: FromBytes>(dice: &mut Dice, sparse: bool) -> T {
    let mut bytes = Vec::new();
    while bytes.len() < size_of::<T>() {
        let random = dice.below(1 << 53) << 11 ^ dice.below(1 << 32);
        let low = [0, u32::MAX, gettid(), 1 << 31, 1 << 30 | 4711, 1, 3, random as u32][dice.below(8) as usize];
        let high = [0, u32::MAX, 1, (random >> 32) as u32][dice.below(4) as usize];
        let kept = !sparse || dice.below(8) == 0;
        let word = (u64::from(high) << 32 | u64::from(low)) * u64::from(kept);
        bytes.extend_from_slice(&word.to_ne_bytes());
    }
    T::read_from_bytes(&bytes[..size_of::<T>()]).unwrap()
}

/// Whatever the bytes, every verb that is bounded ends in time, and without a panic.
fn any_bytes_are_a_value<W: Wait>() {
    const SHORT: Duration = Duration::from_micros(300);
    // In children, so that a fault ends the child alone.
    join(team(2, |me| {
        let mut dice = Dice::new();
        let mut entered = [0; 2];
        for _ in 0..300 {
            let start = Instant::now();
            let mut lock: Pair<W, 3> = scribbled(&mut dice, me == 0);
            _ = (format!("{lock:?}"), lock.is_poisoned(), lock.writer().map(|owner| owner.is_alive()));
            _ = lock.readers().filter(|owner| owner.is_alive()).count();
            for error in reading(&lock, SHORT).iter().chain(&writing(&lock, SHORT)) {
                entered[usize::from(error.is_none())] += 1;
            }
            if let Ok(guard) = lock.try_read_for(SHORT) {
                _ = (reading(&lock, SHORT), writing(&lock, SHORT), *guard);
            }
            if let Ok(mut guard) = lock.try_write_for(SHORT) {
                _ = (reading(&lock, SHORT), writing(&lock, SHORT));
                *guard = [1, 2];
            }
            lock.clear_poison();
            assert!(!lock.is_poisoned());
            _ = (*lock.get_mut().unwrap(), lock.into_inner());
            assert!(start.elapsed() < Duration::from_secs(5), "some verb did not keep its time");
        }
        assert!(entered[0] > 0 && (me > 0 || entered[1] > 0), "{entered:?}");
    }));
}
