//! RwLock<T>: many readers or one writer, std's idioms, and poison after a panic.

mod support;

use std::panic::{self, AssertUnwindSafe};
use std::thread;
use std::time::{Duration, Instant};

use shmsync::wait::Wait;
use shmsync::{PoisonError, RwLock, Shared};
use support::rwlock::*;
use support::*;
use zerocopy::{FromBytes, FromZeros};

every_backend!(
    guards_give_the_data,
    zero_bytes_are_fresh,
    readers_are_inside_together,
    who_is_inside_can_be_asked,
    held_elsewhere,
    trying_keeps_time,
    a_writers_panic_poisons,
    a_readers_panic_does_not_poison,
    a_panic_that_is_older_than_the_guard_does_not_poison,
    debug_does_not_block,
    two_processes_see_nothing_torn,
    eight_processes_see_nothing_torn,
    any_bytes_are_a_value,
);

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
