//! Circles of waiters across processes: found, told to one of them in words, and never where there is none.

mod support;

use std::os::unix::fs::FileExt;
use std::thread;
use std::time::{Duration, Instant};

use shmsync::wait::{KernelRobust, Wait};
use shmsync::{AcquireError, Lock, Mutex, PoisonCause, RLock, Shared, TryLockError};
use support::*;

every_backend!(
    two_locks_crossed_are_told_to_one_and_the_other_goes_on,
    five_in_a_circle,
    a_mutex_tells_the_form_that_has_an_error,
    where_no_form_has_an_error_one_panics,
    whoever_locks_in_any_order_gets_on_if_it_begins_again_when_told,
);

for_backend!(
    kernel_robust,
    KernelRobust,
    two_locks_crossed_are_told_to_one_and_the_other_goes_on,
    five_in_a_circle,
    a_mutex_tells_the_form_that_has_an_error
);

/// What a child found out, for its parent.
#[derive(Default)]
struct Outcome {
    acquired: Tally,
    told: Tally,
    other: Tally,
}

impl Outcome {
    fn of<T>(&self, result: Result<T, AcquireError>) -> Option<T> {
        match result {
            Ok(guard) => {
                self.acquired.up();
                return Some(guard);
            }
            Err(AcquireError::WouldDeadlock) => self.told.up(),
            Err(_) => self.other.up(),
        };
        None
    }
}

/// `n` children in a ring: each takes its own lock, and when all have, its neighbour's. Their outcomes, and for how long
/// the last of them waited.
fn ring<'a, L, G>(
    locks: &'a [L],
    take: impl Fn(&'a L) -> Result<G, AcquireError>,
    take_next: impl Fn(&'a L) -> Result<G, AcquireError>,
) -> (Shm<[Outcome; 5]>, Duration) {
    let (n, began) = (locks.len() as u32, Shm::new(Tally::new()));
    let outcomes = Shm::new(<[Outcome; 5]>::default());
    let start = Instant::now();
    join(team(n, |me| {
        let mine = take(&locks[me as usize]).unwrap();
        began.up();
        began.reaches(n);
        let next = outcomes[me as usize].of(take_next(&locks[(me + 1) as usize % locks.len()]));
        drop((mine, next));
    }));
    (outcomes, start.elapsed())
}

fn two_locks_crossed_are_told_to_one_and_the_other_goes_on<W: Wait>() {
    let locks = Shared::<[Lock<W>; 2]>::anonymous_zeroed().unwrap();
    one_is_told(&ring(&*locks, Lock::lock, Lock::lock).0[..2]);
    one_is_told(&ring(&*locks, Lock::lock, |lock| lock.lock_for(SOON)).0[..2]);
    let locks = Shared::<[RLock<W>; 2]>::anonymous_zeroed().unwrap();
    one_is_told(&ring(&*locks, RLock::lock, RLock::lock).0[..2]);
}

fn five_in_a_circle<W: Wait>() {
    let locks = Shared::<[Lock<W>; 5]>::anonymous_zeroed().unwrap();
    let (outcomes, took) = ring(&*locks, Lock::lock, Lock::lock);
    one_is_told(&outcomes[..]);
    assert!(took < SOON / 2, "{took:?}");
    let locks = Shared::<[RLock<W>; 5]>::anonymous_zeroed().unwrap();
    one_is_told(&ring(&*locks, RLock::lock, RLock::lock).0[..]);
}

#[track_caller]
fn one_is_told(outcomes: &[Outcome]) {
    let sum = |count: fn(&Outcome) -> &Tally| outcomes.iter().map(|outcome| count(outcome).get()).sum::<u32>();
    let all = outcomes.len() as u32;
    assert_eq!((sum(|o| &o.told), sum(|o| &o.acquired), sum(|o| &o.other)), (1, all - 1, 0));
}

fn a_mutex_tells_the_form_that_has_an_error<W: Wait>() {
    let mutexes = Shared::<[Mutex<u64, W>; 2]>::anonymous_zeroed().unwrap();
    let (began, told) = (Shm::new(Tally::new()), Shm::new(Tally::new()));
    let meet = || {
        began.up();
        began.reaches(2);
    };
    // Whichever of the two comes first: the one in `lock` is never told.
    let patient = fork(|| {
        let _mine = mutexes[0].lock().unwrap();
        meet();
        *mutexes[1].lock().unwrap() += 1;
    });
    let timed = fork(|| {
        let _mine = mutexes[1].lock().unwrap();
        meet();
        match mutexes[0].try_lock_for(SOON) {
            Err(error @ TryLockError::WouldDeadlock) => {
                let text = error.to_string();
                let me = gettid();
                assert!(text.contains(&format!("tid {me} waits for the lock at byte 0, which tid ")), "{text}");
                assert!(text.ends_with(&format!(", which tid {me} holds")), "{text}");
                told.up();
            }
            other => panic!("{other:?}"),
        }
    });
    join([patient, timed]);
    assert_eq!((told.get(), *mutexes[1].lock().unwrap()), (1, 1));
}

fn where_no_form_has_an_error_one_panics<W: Wait>() {
    let mutexes = Shared::<[Mutex<u64, W>; 2]>::anonymous_zeroed().unwrap();
    let (began, poisoned) = (Shm::new(Tally::new()), Shm::new(Tally::new()));
    let cross = |mine: usize| {
        // SAFETY: descriptor 2 of this child is not needed; the report to the parent goes elsewhere.
        unsafe { libc::close(libc::STDERR_FILENO) };
        let _mine = mutexes[mine].lock().unwrap();
        began.up();
        began.reaches(2);
        if let Err(error) = mutexes[1 - mine].lock() {
            assert!(matches!(error.cause(), PoisonCause::Panicked(_)));
            poisoned.up();
        }
    };
    let results = team(2, |i| cross(i as usize)).into_iter().map(|mut child| child.join(SOON));
    let failed: Vec<String> = results.filter_map(Result::err).collect();
    assert_eq!((failed.len(), poisoned.get()), (1, 1), "{failed:?}");
    assert!(failed[0].contains("Mutex::lock: it would deadlock: tid "), "{failed:?}");
}

/// Without the finding this hangs within a round or two.
fn whoever_locks_in_any_order_gets_on_if_it_begins_again_when_told<W: Wait>() {
    const ROUNDS: u32 = 30;
    let locks = Shared::<[RLock<W>; 4]>::anonymous_zeroed().unwrap();
    let told = Shm::new(Tally::new());
    join(team(4, |_| {
        let mut dice = Dice::new();
        let mut done = 0;
        while done < ROUNDS {
            let first = dice.below(4) as usize;
            let second = (first + 1 + dice.below(3) as usize) % 4;
            let _first = locks[first].lock().unwrap();
            thread::sleep(Duration::from_micros(dice.below(1000)));
            match locks[second].lock() {
                Ok(_second) => done += 1,
                Err(AcquireError::WouldDeadlock) => drop(told.up()),
                Err(other) => panic!("{other}"),
            }
        }
    }));
    assert!(told.get() > 0, "four processes never crossed each other");
}

macro_rules! tests {
    ($($test:ident),+ $(,)?) => {
        mod any_backend {
            $(
                #[test]
                fn $test() {
                    $crate::support::watched(stringify!($test), super::$test);
                }
            )+
        }
    };
}

tests!(
    a_chain_is_no_circle,
    nor_is_waiting_for_ones_own_lock,
    nor_are_locks_that_were_disowned,
    nor_is_an_order_that_all_keep,
    who_waits_for_a_dead_one_learns_of_the_death,
    outside_regions_nothing_is_found,
    scribbles_in_the_table_break_nothing,
    a_table_full_of_the_dead_has_room_for_the_living,
    the_words_are_those_of_the_thread_that_got_it,
    who_unwinds_is_not_told,
    a_region_mapped_twice_is_one,
);

/// What crossing two locks of the same region comes to, with this timeout.
fn crossing(locks: &[Lock], timeout: Duration, then: impl Fn(&Lock)) -> Vec<Result<(), AcquireError>> {
    let began = Shm::new(Tally::new());
    let results = Shm::new([const { Tally::new() }; 2]);
    join(team(2, |me| {
        let me = me as usize;
        locks[me].acquire().unwrap();
        then(&locks[me]);
        began.up();
        began.reaches(2);
        results[me].set(match locks[1 - me].acquire_for(timeout) {
            Ok(()) => 1,
            Err(AcquireError::TimedOut) => 2,
            Err(AcquireError::WouldDeadlock) => 3,
            Err(other) => panic!("{other}"),
        });
        // Not before the other has given up, or one of them would get what it waits for.
        began.up();
        began.reaches(4);
        let _ = locks[me].release();
    }));
    let meaning = [Ok(()), Err(AcquireError::TimedOut), Err(AcquireError::WouldDeadlock)];
    results.iter().map(|result| meaning[result.get() as usize - 1]).collect()
}

fn a_chain_is_no_circle() {
    let locks = Shared::<[Lock; 5]>::anonymous_zeroed().unwrap();
    let began = Shm::new(Tally::new());
    join(team(4, |me| {
        let _mine = locks[me as usize].lock().unwrap();
        began.up();
        began.reaches(4);
        if me == 3 {
            thread::sleep(SLICES); // the head of the chain works
        }
        drop(locks[me as usize + 1].lock().unwrap());
    }));
}

fn nor_is_waiting_for_ones_own_lock() {
    let lock = Shared::<Lock>::anonymous_zeroed().unwrap();
    lock.acquire().unwrap();
    assert_eq!(lock.acquire_for(SLICES), Err(AcquireError::TimedOut), "another process may release it");
}

fn nor_are_locks_that_were_disowned() {
    let locks = Shared::<[Lock; 2]>::anonymous_zeroed().unwrap();
    assert_eq!(crossing(&*locks, SLICES, Lock::disown), [Err(AcquireError::TimedOut); 2]);
}

fn outside_regions_nothing_is_found() {
    let locks = Shm::new([const { Lock::new() }; 2]);
    assert_eq!(crossing(&*locks, SLICES, |_| ()), [Err(AcquireError::TimedOut); 2]);
}

/// Long holds, short holds, nested: as much waiting as can be, and no circle.
fn nor_is_an_order_that_all_keep() {
    let locks = Shared::<[RLock; 4]>::anonymous_zeroed().unwrap();
    join(team(6, |_| {
        let mut dice = Dice::new();
        let end = Instant::now() + ms(1500);
        while Instant::now() < end {
            let first = dice.below(3) as usize;
            let _first = locks[first].lock().unwrap();
            thread::sleep(Duration::from_micros(dice.below(4000)));
            let _second = locks[first + 1 + dice.below(3 - first as u64) as usize].lock().unwrap();
            thread::sleep(Duration::from_micros(dice.below(4000)));
        }
    }));
}

fn who_waits_for_a_dead_one_learns_of_the_death() {
    let locks = Shared::<[RLock; 3]>::anonymous_zeroed().unwrap();
    let began = Shm::new(Tally::new());
    let waits = |me: usize| {
        locks[me].acquire().unwrap();
        began.up();
        began.reaches(3);
        locks[(me + 1) % 3].acquire()
    };
    // Nothing closes, for the last is stopped before it waits; and then it is killed.
    let mut killed = fork(|| waits(2).unwrap());
    began.reaches(1);
    killed.stop();
    let others = team(2, |me| {
        let result = waits(me as usize);
        match me {
            1 => assert!(matches!(result, Err(AcquireError::OwnerDied(_))), "{result:?}"),
            _ => assert_eq!(result, Ok(())),
        }
        let _ = locks[me as usize].release();
        locks[(me as usize + 1) % 3].release().unwrap_or(());
    });
    began.reaches(3);
    thread::sleep(SLICES);
    killed.kill();
    join(others);
}

/// Any bytes in the table: waits end when they should, and with one of the errors that there are.
fn scribbles_in_the_table_break_nothing() {
    let name = format!("/shmsync-test-scribbles-{}", std::process::id());
    let locks = Shared::<[Lock; 2]>::create(&name, Default::default()).unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(format!("/dev/shm{name}")).unwrap();
    shmsync::unlink(&name).unwrap();
    let mut scribbler = fork(|| {
        let mut dice = Dice::new();
        let threads = [gettid(), std::process::id(), 1];
        loop {
            // Nonsense, and what almost makes sense: entries of threads that there are, near words that there are.
            let nonsense = dice.below(2) == 0;
            let word = if nonsense { dice.below(u64::MAX) } else { dice.below(0x40) | dice.below(4) << 48 };
            let who = u64::from(threads[dice.below(3) as usize]);
            let at = 128 + dice.below(248) * 16;
            let value = if dice.below(2) == 0 && !nonsense { who } else { word };
            file.write_all_at(&value.to_le_bytes(), at + dice.below(2) * 8).unwrap();
        }
    });
    for _ in 0..5 {
        let (results, took) = timed(|| crossing(&*locks, ms(100), |_| ()));
        assert!(results.iter().all(Result::is_err), "{results:?}");
        assert!(took < SOON / 2, "{took:?}");
    }
    scribbler.kill();
}

fn a_table_full_of_the_dead_has_room_for_the_living() {
    let name = format!("/shmsync-test-dead-{}", std::process::id());
    let locks = Shared::<[Lock; 2]>::create(&name, Default::default()).unwrap();
    let file = std::fs::OpenOptions::new().read(true).write(true).open(format!("/dev/shm{name}")).unwrap();
    shmsync::unlink(&name).unwrap();
    // A waiter that is killed leaves its entry behind.
    locks[0].acquire().unwrap();
    let mut waiter = fork(|| locks[0].acquire().unwrap());
    let mut head = [0; 4096];
    let entry = eventually("an entry", || {
        file.read_exact_at(&mut head, 0).unwrap();
        let entries = head[128..].chunks(16);
        entries.clone().find(|entry| entry[8] & 1 == 1).map(<[u8]>::to_owned).ok_or_else(|| String::from("none"))
    });
    waiter.kill();
    waiter.wait_exit(SOON);
    file.write_all_at(&entry.repeat(248), 128).unwrap();
    locks[0].release().unwrap();
    let told = crossing(&*locks, 8 * SLICES, |_| ()).iter().filter(|&&r| r == Err(AcquireError::WouldDeadlock)).count();
    assert_eq!(told, 1);
}

/// Two threads of this process that cross; the error of the one that was told, with what it said there.
fn told_thread(first: &[RLock; 2], second: &[RLock; 2]) -> (AcquireError, String) {
    let met = Tally::new();
    let cross = |mine: &RLock, other: &RLock| {
        let _mine = mine.lock().unwrap();
        met.up();
        met.reaches(2);
        other.lock().map(drop).map_err(|error| (error, error.to_string()))
    };
    thread::scope(|scope| {
        let one = scope.spawn(|| cross(&first[0], &first[1]));
        let other = scope.spawn(|| cross(&second[1], &second[0]));
        let results = [one.join().unwrap(), other.join().unwrap()];
        assert_eq!(results.iter().filter(|result| result.is_err()).count(), 1);
        results.into_iter().find_map(Result::err).unwrap()
    })
}

fn the_words_are_those_of_the_thread_that_got_it() {
    let locks = Shared::<[RLock; 2]>::anonymous_zeroed().unwrap();
    let (error, said) = told_thread(&locks, &locks);
    assert!(said.contains("waits for the lock at byte"), "{said}");
    assert!(error.to_string().ends_with("the thread that got this can say who waits for whom"), "{error}");
}

fn a_region_mapped_twice_is_one() {
    let name = format!("/shmsync-test-twice-{}", std::process::id());
    let once = Shared::<[RLock; 2]>::create(&name, Default::default()).unwrap();
    let twice = Shared::<[RLock; 2]>::open(&name).unwrap();
    shmsync::unlink(&name).unwrap();
    assert_eq!(told_thread(&once, &twice).0, AcquireError::WouldDeadlock);
}

/// A second panic would end the process at once.
fn who_unwinds_is_not_told() {
    struct Last<'a>(&'a Mutex<u64>);
    impl Drop for Last<'_> {
        fn drop(&mut self) {
            let _ = self.0.lock();
        }
    }
    let mutexes = Shared::<[Mutex<u64>; 2]>::anonymous_zeroed().unwrap();
    let met = Shm::new(Tally::new());
    let meet = || {
        // SAFETY: descriptor 2 of this child is not needed; the report to the parent goes elsewhere.
        unsafe { libc::close(libc::STDERR_FILENO) };
        met.up();
        met.reaches(2);
    };
    for _ in 0..3 {
        met.set(0);
        let mut unwinding = fork(|| {
            let _held = mutexes[0].lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            let _last = Last(&mutexes[1]);
            meet();
            panic!("the first panic");
        });
        let mut other = fork(|| {
            let _held = mutexes[1].lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            meet();
            drop(mutexes[0].lock());
        });
        let (first, second) = (unwinding.join(SOON).unwrap_err(), other.join(SOON).unwrap_err());
        assert!(first.contains("the first panic") && first.contains("exit status: 101"), "{first}");
        assert!(second.contains("it would deadlock: tid "), "{second}");
    }
}
