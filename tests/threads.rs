//! Threads of one process, and plain data that nothing but a primitive protects.
//!
//! The sums must be right; but above all this is what ThreadSanitizer is shown (`ci/sanitizers.sh`): it follows what
//! happens before what through the atomics of the library, and reports each access to the data that is not ordered, in
//! whatever order the threads happened to run.

mod support;

use std::thread;

use shmsync::wait::{Futex, KernelRobust, PosixSem, Wait};
use shmsync::{
    Barrier, BoundedSemaphore, Condition, Event, GuardFor, Lock, Mutex, Once, OnceCell, PermitPool, RLock, RwLock,
    Semaphore,
};
use support::*;

macro_rules! three_backends {
    ($($test:ident),+ $(,)?) => {
        for_backend!(futex, Futex, $($test),+);
        for_backend!(posix_sem, PosixSem, $($test),+);
        for_backend!(kernel_robust, KernelRobust, $($test),+);
    };
}

three_backends!(
    a_lock_keeps_the_others_out,
    an_rlock_keeps_the_others_out,
    a_mutex_keeps_the_others_out,
    one_permit_keeps_the_others_out,
    one_bounded_permit_keeps_the_others_out,
    each_permit_of_a_pool_has_its_data,
    writers_are_alone_and_readers_see_all_of_it,
    permits_hand_data_over,
    many_permits_hand_data_over,
    a_buffer_behind_a_lock,
    a_buffer_behind_an_rlock,
    a_buffer_behind_a_mutex,
    a_set_event_publishes,
    events_hand_data_to_and_fro,
    a_barrier_parts_what_was_before_from_what_comes_after,
    the_barriers_action_sees_all_and_is_seen_by_all,
    members_part_what_was_before_from_what_comes_after,
    what_was_done_once_is_seen_by_all,
    a_cell_gives_what_was_put_there,
);

// Where the kernel keeps a list of what each thread holds only the holder releases.
for_backend!(futex_lock, Futex, a_lock_goes_from_hand_to_hand);
for_backend!(posix_sem_lock, PosixSem, a_lock_goes_from_hand_to_hand);

const THREADS: u32 = 4;
const LAPS: u32 = 200;

/// Runs `f` in so many threads, with their numbers. They are joined one by one: what a scope does at its own end is inside
/// std, where ThreadSanitizer sees nothing.
fn crew(threads: u32, f: impl Fn(u32) + Sync) {
    thread::scope(|scope| {
        let f = &f;
        let hands: Vec<_> = (0..threads).map(|i| scope.spawn(move || f(i))).collect();
        hands.into_iter().for_each(|hand| hand.join().expect("no thread panics"));
    });
}

/// All threads count up, in and out by these verbs in turn.
fn counted<T: Sync>(primitive: T, enter: &[fn(&T)], leave: fn(&T)) {
    let world = Shm::new((primitive, Naked::new()));
    let (primitive, count) = &*world;
    crew(THREADS, |i| {
        for enter in enter.iter().cycle().skip(i as usize).take(LAPS as usize) {
            enter(primitive);
            // SAFETY: the primitive lets one thread in.
            unsafe { count.bump() };
            leave(primitive);
        }
    });
    // SAFETY: nobody else is left.
    assert_eq!(unsafe { count.get() }, u64::from(THREADS * LAPS));
}

/// The verbs of whatever can be acquired, and released again.
macro_rules! counted {
    ($type:ty, $new:expr) => {
        counted::<$type>(
            $new,
            &[
                |it| it.acquire().unwrap(),
                |it| it.acquire_for(SOON).unwrap(),
                |it| it.acquire_interruptible(None).unwrap(),
                |it| while it.try_acquire().is_err() {},
            ],
            |it| it.release().unwrap(),
        )
    };
}

fn a_lock_keeps_the_others_out<W: Wait>() {
    counted!(Lock<W>, Lock::new_in());
}

fn an_rlock_keeps_the_others_out<W: Wait>() {
    counted!(RLock<W>, RLock::new_in());
    counted::<RLock<W>>(
        RLock::new_in(),
        &[|lock| {
            std::mem::forget((lock.lock().unwrap(), lock.lock().unwrap()));
            lock.release().unwrap();
        }],
        |lock| lock.release().unwrap(),
    );
}

fn one_permit_keeps_the_others_out<W: Wait>() {
    counted!(Semaphore<W>, Semaphore::new_in(1));
}

fn one_bounded_permit_keeps_the_others_out<W: Wait>() {
    counted!(BoundedSemaphore<W>, BoundedSemaphore::new_in(1));
}

fn a_mutex_keeps_the_others_out<W: Wait>() {
    let mutex = Shm::new(Mutex::<u64, W>::new_in(0));
    crew(THREADS, |_| {
        for lap in 0..LAPS {
            match lap % 3 {
                0 => *mutex.lock().unwrap() += 1,
                1 => *mutex.try_lock_for(SOON).unwrap() += 1,
                _ => *std::iter::repeat_with(|| mutex.try_lock().ok()).flatten().next().unwrap() += 1,
            }
        }
    });
    assert_eq!(*mutex.lock().unwrap(), u64::from(THREADS * LAPS));
}

fn each_permit_of_a_pool_has_its_data<W: Wait>() {
    let world = Shm::new((PermitPool::<2, W>::new_in(), [const { Naked::new() }; 2]));
    let (pool, counts) = &*world;
    crew(THREADS, |_| {
        for lap in 0..LAPS {
            let permit = if lap % 2 == 0 { pool.acquire() } else { pool.acquire_for(SOON) }.unwrap();
            // SAFETY: the permit belongs to one thread.
            unsafe { counts[permit.index()].bump() };
        }
    });
    // SAFETY: nobody else is left.
    assert_eq!(counts.iter().map(|count| unsafe { count.get() }).sum::<u64>(), u64::from(THREADS * LAPS));
}

fn writers_are_alone_and_readers_see_all_of_it<W: Wait>() {
    let lock = Shm::new(RwLock::<[u64; 2], 4, W>::new_in([0; 2]));
    crew(THREADS, |i| {
        for _ in 0..LAPS {
            if i % 2 == 0 {
                let mut pair = lock.write().unwrap();
                pair[0] += 1;
                pair[1] += 1;
            } else {
                let pair = lock.read().unwrap();
                assert_eq!(pair[0], pair[1]);
            }
        }
    });
    assert_eq!(*lock.read().unwrap(), [u64::from(THREADS / 2 * LAPS); 2]);
}

/// One thread hands a number to the other, and gets the place for the next one back.
fn handed_over<W: Wait>(permits: u32) {
    let world = Shm::new((Semaphore::<W>::new_in(0), Semaphore::<W>::new_in(permits), [const { Naked::new() }; 4]));
    let (full, empty, places) = &*world;
    crew(2, |i| {
        let (mine, theirs) = if i == 0 { (empty, full) } else { (full, empty) };
        for lap in (0..LAPS).step_by(permits as usize) {
            (0..permits).for_each(|_| mine.acquire().unwrap());
            for (n, place) in places.iter().enumerate().take(permits as usize) {
                let number = u64::from(lap) + n as u64;
                // SAFETY: between an `acquire` and the `release` that answers it all places belong to one thread.
                unsafe { if i == 0 { place.set(number) } else { assert_eq!(place.get(), number) } };
            }
            theirs.release_many(permits).unwrap();
        }
    });
}

fn permits_hand_data_over<W: Wait>() {
    handed_over::<W>(1);
}

fn many_permits_hand_data_over<W: Wait>() {
    handed_over::<W>(4);
}

/// Two threads put numbers in, two take them out, one place each time.
fn buffer<'a, W: Wait, G: GuardFor<'a>>(condition: &'a Condition<W>, full: &Naked, lock: impl Fn() -> G + Sync) {
    crew(THREADS, |i| {
        for _ in 0..LAPS {
            let mut guard = lock();
            // SAFETY: the guard lets one thread in, also whenever the wait returns.
            unsafe {
                while full.get() != u64::from(i % 2) {
                    condition.wait(&mut guard).unwrap();
                }
                full.set(u64::from(1 - i % 2));
            }
            match i / 2 {
                0 => condition.notify_all(),
                _ => condition.notify_all_on_unlock(&mut guard),
            }
        }
    });
}

fn a_buffer_behind_a_lock<W: Wait>() {
    let world = Shm::new((Lock::<W>::new_in(), Condition::<W>::new_in(), Naked::new()));
    buffer(&world.1, &world.2, || world.0.lock().unwrap());
}

fn a_buffer_behind_an_rlock<W: Wait>() {
    let world = Shm::new((RLock::<W>::new_in(), Condition::<W>::new_in(), Naked::new()));
    buffer(&world.1, &world.2, || world.0.lock().unwrap());
}

fn a_buffer_behind_a_mutex<W: Wait>() {
    let world = Shm::new((Mutex::<(), W>::new_in(()), Condition::<W>::new_in(), Naked::new()));
    buffer(&world.1, &world.2, || world.0.lock().unwrap());
}

fn a_set_event_publishes<W: Wait>() {
    for lap in 0..LAPS / 4 {
        let world = Shm::new((Event::<W>::new_in(), Naked::new()));
        let (event, data) = &*world;
        crew(THREADS, |i| {
            // SAFETY: written before the event is set, and read after it was seen to be.
            unsafe {
                match i {
                    0 => {
                        data.set(u64::from(lap));
                        return event.set();
                    }
                    1 => event.wait(),
                    2 => assert!(event.wait_timeout(SOON)),
                    _ => while !event.is_set() {},
                }
                assert_eq!(data.get(), u64::from(lap));
            }
        });
    }
}

fn events_hand_data_to_and_fro<W: Wait>() {
    let world = Shm::new(([Event::<W>::new_in(), Event::<W>::new_in()], Naked::new()));
    let (events, data) = &*world;
    events[0].set();
    crew(2, |i| {
        for _ in 0..LAPS {
            events[i as usize].wait();
            events[i as usize].clear();
            // SAFETY: only who was woken last has the data.
            unsafe { data.bump() };
            events[1 - i as usize].set();
        }
    });
    // SAFETY: nobody else is left.
    assert_eq!(unsafe { data.get() }, u64::from(2 * LAPS));
}

/// Each thread writes its own number before the barrier, and reads all after it.
fn parted<W: Wait, const MEMBERS: usize>(barrier: Barrier<W, MEMBERS>) {
    let world = Shm::new((barrier, [const { Naked::new() }; THREADS as usize]));
    let (barrier, numbers) = &*world;
    crew(THREADS, |i| {
        for lap in 0..u64::from(LAPS) {
            // SAFETY: each has its own before the first barrier, and nobody writes between that and the second.
            unsafe { numbers[i as usize].set(lap) };
            barrier.wait().unwrap();
            // SAFETY: as above.
            numbers.iter().for_each(|number| assert_eq!(unsafe { number.get() }, lap));
            barrier.wait_timeout(SOON).unwrap();
        }
    });
}

fn a_barrier_parts_what_was_before_from_what_comes_after<W: Wait>() {
    parted(Barrier::<W>::new_in(THREADS));
}

fn members_part_what_was_before_from_what_comes_after<W: Wait>() {
    parted(Barrier::<W, { THREADS as usize }>::with_members(THREADS));
}

fn the_barriers_action_sees_all_and_is_seen_by_all<W: Wait>() {
    let world = Shm::new((Barrier::<W>::new_in(THREADS), [const { Naked::new() }; THREADS as usize], Naked::new()));
    let (barrier, numbers, sum) = &*world;
    crew(THREADS, |i| {
        for lap in 1..=u64::from(LAPS) {
            // SAFETY: before the barrier each has its own number and nobody the sum, in the action its runner has all,
            // and the sum is read only until the next barrier, before which nobody writes it.
            unsafe {
                numbers[i as usize].bump();
                barrier.wait_with(|| sum.set(numbers.iter().map(|number| number.get()).sum())).unwrap();
                assert_eq!(sum.get(), lap * u64::from(THREADS));
            }
            barrier.wait().unwrap();
        }
    });
}

fn what_was_done_once_is_seen_by_all<W: Wait>() {
    for _ in 0..LAPS / 4 {
        let world = Shm::new((Once::<W>::new_in(), Naked::new()));
        let (once, data) = &*world;
        crew(THREADS, |_| {
            // SAFETY: one closure alone runs, and before anybody reads.
            once.call_once(|| unsafe { data.bump() });
            // SAFETY: as above.
            assert_eq!(unsafe { data.get() }, 1);
        });
    }
}

fn a_cell_gives_what_was_put_there<W: Wait>() {
    for _ in 0..LAPS / 4 {
        let cell = Shm::new(OnceCell::<[u64; 8], W>::new_in());
        crew(THREADS, |i| {
            let found = match i {
                0 => *cell.get_or_init(|| [1; 8]),
                1 => cell.set([2; 8]).map_or_else(|_| *cell.get().unwrap(), |()| [2; 8]),
                2 => cell.get().copied().unwrap_or([2; 8]),
                _ => *std::iter::repeat_with(|| cell.get()).flatten().next().unwrap(),
            };
            assert!(found == [1; 8] || found == [2; 8], "{found:?}");
        });
    }
}

/// What one thread acquires the other releases: nothing else tells the first that it may go on.
fn a_lock_goes_from_hand_to_hand<W: Wait>() {
    let world = Shm::new((Lock::<W>::new_in(), Event::<W>::new_in(), Naked::new()));
    let (lock, taken, data) = &*world;
    crew(2, |i| {
        for _ in 0..LAPS {
            if i == 0 {
                lock.acquire().unwrap();
                // SAFETY: the lock is held, and handed on with the event.
                unsafe { data.bump() };
                lock.disown();
                taken.set();
            } else {
                taken.wait();
                taken.clear();
                // SAFETY: the lock is held for this thread.
                unsafe { data.bump() };
                lock.release().unwrap();
            }
        }
    });
    // SAFETY: nobody else is left.
    assert_eq!(unsafe { data.get() }, u64::from(2 * LAPS));
}
