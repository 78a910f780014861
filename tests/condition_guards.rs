//! Condition with each kind of guard: what it lets go and takes back, and what is left when somebody is killed.

mod support;

use shmsync::wait::Wait;
use shmsync::{AcquireError, Condition, Lock, Mutex, PoisonCause, RLock};
use support::*;

every_backend!(
    a_lock_is_free_while_its_holder_waits,
    an_rlock_is_released_whole_and_restored,
    a_mutex_gives_its_data,
    the_timed_forms_restore_as_well,
    a_bounded_buffer_loses_nothing,
    a_killed_waiter_disturbs_nobody,
    a_stopped_waiter_disturbs_nobody,
    a_waiter_learns_that_the_holder_died,
    an_rlock_comes_back_from_the_dead_as_deep_as_it_was,
    a_waiter_on_a_mutex_gets_the_poison,
    kills_leave_the_others_going,
);

/// Forks a child that locks, does `waiting.up()` and waits. Returns after the second: who gets the lock then knows
/// that the child waits.
fn waiter(waiting: &Tally, wait: impl FnOnce()) -> Child {
    let before = waiting.get();
    let child = fork(wait);
    waiting.reaches(before + 1);
    child
}

fn a_lock_is_free_while_its_holder_waits<W: Wait>() {
    let world = Shm::new((Lock::<W>::new_in(), Condition::<W>::new_in(), Tally::new()));
    let (lock, cond, waiting) = &*world;
    let waiter = waiter(waiting, || {
        let mut guard = lock.lock().unwrap();
        waiting.up();
        cond.wait(&mut guard).unwrap();
        assert_eq!(lock.holder().map(|owner| owner.tid()), Some(gettid()));
    });
    drop(lock.lock().unwrap());
    assert!(!lock.is_locked());
    cond.notify_one();
    join([waiter]);
    assert!(!lock.is_locked());
}

fn an_rlock_is_released_whole_and_restored<W: Wait>() {
    let world = Shm::new((RLock::<W>::new_in(), Condition::<W>::new_in(), Tally::new()));
    let (lock, cond, waiting) = &*world;
    let waiter = waiter(waiting, || {
        let outer = lock.lock().unwrap();
        let middle = lock.lock().unwrap();
        let mut guard = lock.lock().unwrap();
        waiting.up();
        cond.wait(&mut guard).unwrap();
        assert_eq!((lock.depth(), lock.is_mine()), (3, true));
        drop((guard, middle));
        assert_eq!((lock.depth(), lock.is_mine()), (1, true));
        drop(outer);
        assert_eq!((lock.depth(), lock.is_mine()), (0, false));
    });
    drop(lock.lock().unwrap());
    assert_eq!((lock.depth(), lock.holder()), (0, None));
    // The notifier has a depth of its own.
    let guards = (lock.lock().unwrap(), lock.lock().unwrap());
    assert_eq!(lock.depth(), 2);
    cond.notify_all();
    drop(guards);
    join([waiter]);
    assert_eq!((lock.depth(), lock.holder()), (0, None));
}

fn a_mutex_gives_its_data<W: Wait>() {
    let world = Shm::new((Mutex::<u32, W>::new_in(0), Condition::<W>::new_in(), Tally::new()));
    let (mutex, cond, waiting) = &*world;
    let waiter = waiter(waiting, || {
        let mut data = mutex.lock().unwrap();
        *data = 1;
        waiting.up();
        cond.wait(&mut data).unwrap();
        assert_eq!(*data, 2);
        waiting.up();
        cond.wait_while(&mut data, |data| *data != 3).unwrap();
        *data = 4;
    });
    for n in 1..=2 {
        waiting.reaches(n);
        let mut data = mutex.lock().unwrap();
        assert_eq!(*data, n);
        *data = n + 1;
        cond.notify_one();
    }
    join([waiter]);
    assert_eq!(*mutex.lock().unwrap(), 4);
}

fn the_timed_forms_restore_as_well<W: Wait>() {
    let (lock, cond) = (RLock::<W>::new_in(), Condition::<W>::new_in());
    let _outer = (lock.lock().unwrap(), lock.lock().unwrap());
    let mut guard = lock.lock().unwrap();
    assert_eq!(cond.wait_timeout(&mut guard, ms(2)), Ok(false));
    assert_eq!((lock.depth(), lock.is_mine()), (3, true));
    assert_eq!(cond.wait_timeout_while(&mut guard, ms(2), |()| true), Ok(false));
    assert_eq!((lock.depth(), lock.is_mine()), (3, true));
}

fn a_bounded_buffer_loses_nothing<W: Wait>() {
    const EACH: u64 = 3_000;
    struct Buffer<W: Wait> {
        state: Mutex<([u64; 4], usize), W>,
        room: Condition<W>,
        items: Condition<W>,
        sums: Mutex<[u64; 2], W>,
    }
    let buffer = Shm::new(Buffer::<W> {
        state: Mutex::new_in(([0; 4], 0)),
        room: Condition::new_in(),
        items: Condition::new_in(),
        sums: Mutex::new_in([0; 2]),
    });
    let team = team(5, |i| {
        for n in 0..EACH * 2 {
            let mut state = buffer.state.lock().unwrap();
            if i < 3 && n % 3 != 2 {
                buffer.room.wait_while(&mut state, |(slots, used)| *used == slots.len()).unwrap();
                let at = state.1;
                state.0[at] = n;
                state.1 += 1;
                buffer.items.notify_one();
                buffer.sums.lock().unwrap()[0] += n;
            } else if i >= 3 {
                buffer.items.wait_while(&mut state, |(_, used)| *used == 0).unwrap();
                state.1 -= 1;
                let n = state.0[state.1];
                buffer.room.notify_one();
                buffer.sums.lock().unwrap()[1] += n;
            }
        }
    });
    join(team); // Three give two thirds of 6,000 each, two take 6,000 each.
    let sums = *buffer.sums.lock().unwrap();
    assert_eq!(sums[0], sums[1]);
    assert_eq!(buffer.state.lock().unwrap().1, 0);
}

struct World<W: Wait> {
    lock: Lock<W>,
    cond: Condition<W>,
    waiting: Tally,
    woken: Tally,
}

impl<W: Wait> World<W> {
    fn new() -> Shm<Self> {
        let (waiting, woken) = (Tally::new(), Tally::new());
        Shm::new(Self { lock: Lock::new_in(), cond: Condition::new_in(), waiting, woken })
    }

    fn sleepers(&self, n: u32) -> Vec<Child> {
        let wait = || {
            let mut guard = self.lock.lock().unwrap();
            self.waiting.up();
            self.cond.wait(&mut guard).unwrap();
            self.woken.up();
        };
        let team = (0..n).map(|_| waiter(&self.waiting, wait)).collect();
        drop(self.lock.lock().unwrap());
        team
    }
}

fn a_killed_waiter_disturbs_nobody<W: Wait>() {
    let world = World::<W>::new();
    let mut dead = world.sleepers(2); // They wait longest.
    let mut living = world.sleepers(1);
    dead.extend(world.sleepers(1));
    living.extend(world.sleepers(3));
    dead.iter().chain(&living).for_each(|child| asleep(child.pid()));
    dead.iter_mut().for_each(Child::kill);
    world.cond.notify_one();
    world.woken.reaches(1);
    world.cond.notify(2);
    world.woken.reaches(3);
    world.cond.notify_all();
    join(living);
}

fn a_stopped_waiter_disturbs_nobody<W: Wait>() {
    let world = World::<W>::new();
    let mut stopped = world.sleepers(2);
    let living = world.sleepers(2);
    stopped.iter_mut().for_each(Child::stop);
    world.cond.notify_all();
    join(living);
    stopped.iter_mut().for_each(Child::resume);
    join(stopped);
}

fn a_waiter_learns_that_the_holder_died<W: Wait>() {
    let (world, pid) = (World::<W>::new(), Shm::new(Tally::new()));
    let waiter = waiter(&world.waiting, || {
        let mut guard = world.lock.lock().unwrap();
        world.waiting.up();
        assert_died(world.cond.wait(&mut guard), pid.get());
        assert_eq!(world.lock.holder().map(|owner| owner.tid()), Some(pid.get()), "it is not held");
        guard.recover().unwrap();
        assert_eq!(world.lock.holder().map(|owner| owner.tid()), Some(gettid()));
    });
    let _dead = die_after(|| {
        world.lock.acquire().unwrap();
        pid.set(gettid());
        world.cond.notify_all();
    });
    join([waiter]);
    assert!(!world.lock.is_locked(), "released by the guard");
}

fn an_rlock_comes_back_from_the_dead_as_deep_as_it_was<W: Wait>() {
    let world = Shm::new((RLock::<W>::new_in(), Condition::<W>::new_in(), Tally::new()));
    let (lock, cond, waiting) = &*world;
    let waiter = waiter(waiting, || {
        let outer = lock.lock().unwrap();
        let mut guard = lock.lock().unwrap();
        waiting.up();
        assert!(matches!(cond.wait(&mut guard), Err(AcquireError::OwnerDied(_))));
        assert!(!lock.is_mine());
        guard.recover().unwrap();
        assert_eq!((lock.depth(), lock.is_mine()), (2, true));
        drop(guard);
        assert_eq!((lock.depth(), lock.is_mine()), (1, true), "the outer guard holds it still");
        drop(outer);
        assert_eq!((lock.depth(), lock.is_mine()), (0, false));
    });
    let _dead = die_after(|| {
        lock.acquire().unwrap();
        cond.notify_all();
    });
    join([waiter]);
}

fn a_waiter_on_a_mutex_gets_the_poison<W: Wait>() {
    let world = Shm::new((Mutex::<u32, W>::new_in(0), Condition::<W>::new_in(), Tally::new()));
    let (mutex, cond, waiting) = &*world;
    let waiter = waiter(waiting, || {
        let mut data = mutex.lock().unwrap();
        waiting.up();
        assert!(matches!(cond.wait(&mut data), Err(AcquireError::OwnerDied(_))));
        assert_eq!(*data, 1, "the guard is good all the same");
        *data = 2;
    });
    drop(mutex.lock().unwrap());
    let dead = die_after(|| {
        let mut data = mutex.lock().unwrap();
        *data = 1;
        cond.notify_all();
        std::mem::forget(data);
    });
    join([waiter]);
    let error = mutex.lock().unwrap_err();
    assert!(matches!(error.cause(), PoisonCause::Died(owner) if owner.tid() == dead.pid()));
    assert_eq!(*error.into_inner(), 2);
}

/// The first worker notifies, the others wait without a bound. Any of them is killed at any moment.
fn kills_leave_the_others_going<W: Wait>() {
    let world = World::<W>::new();
    kill_at_random(5, 80, |i, rounds| {
        let mut guard = match world.lock.lock() {
            Ok(guard) => guard,
            Err(AcquireError::OwnerDied(_)) => {
                if world.lock.recover().is_ok() {
                    world.lock.release().unwrap();
                }
                return;
            }
            Err(other) => panic!("{other}"),
        };
        if i == 0 && rounds.get() % 2 == 0 {
            world.cond.notify_all();
        } else if i == 0 {
            world.cond.notify_all_on_unlock(&mut guard);
        } else {
            match world.cond.wait(&mut guard) {
                Ok(()) => {}
                Err(AcquireError::OwnerDied(_)) => _ = guard.recover(),
                Err(other) => panic!("{other}"),
            }
        }
        drop(guard);
        rounds.up();
    });
}
