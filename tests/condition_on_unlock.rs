//! Notifications whose wakes wait for the unlock: who is meant, when they are woken, and what becomes of those for whom the
//! guard does nothing.

mod support;

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use shmsync::wait::Wait;
use shmsync::{AcquireError, Condition, GuardFor, Lock, Mutex, PoisonCause, RLock};
use support::*;

every_backend!(
    who_is_meant_is_decided_at_the_call,
    every_guard_wakes_when_it_is_dropped,
    every_guard_wakes_when_it_waits,
    two_conditions_of_one_guard,
    a_guard_within_a_guard,
    a_wait_past_the_guard_that_owes,
    a_panic_unlocks_and_wakes,
    a_forgotten_guard_loses_nobody,
    a_guard_that_holds_nothing_wakes_at_once,
    a_forked_child_has_a_copy,
    a_notifier_that_dies_with_the_lock,
    a_bounded_buffer_loses_nothing,
);

struct World<W: Wait> {
    lock: Lock<W>,
    rlock: RLock<W>,
    mutex: Mutex<u32, W>,
    changed: [Condition<W>; 2],
    woken: Tally,
}

impl<W: Wait> World<W> {
    fn new() -> Shm<Self> {
        Shm::new(Self {
            lock: Lock::new_in(),
            rlock: RLock::new_in(),
            mutex: Mutex::new_in(0),
            changed: [Condition::new_in(), Condition::new_in()],
            woken: Tally::new(),
        })
    }

    /// `n` children that wait for the condition `at`, and sleep.
    fn sleepers(&self, at: usize, n: u32, wait: impl Fn(&Condition<W>)) -> Vec<Child> {
        let changed = &self.changed[at];
        let team = team(n, |_| {
            wait(changed);
            self.woken.up();
        });
        shows(changed, n, 0);
        team.iter().for_each(|child| asleep(child.pid()));
        team
    }

    fn with_lock(&self, at: usize, n: u32) -> Vec<Child> {
        self.sleepers(at, n, |changed| changed.wait(&mut self.lock.lock().unwrap()).unwrap())
    }

    fn with_rlock(&self, at: usize, n: u32) -> Vec<Child> {
        self.sleepers(at, n, |changed| changed.wait(&mut self.rlock.lock().unwrap()).unwrap())
    }

    fn with_mutex(&self, at: usize, n: u32) -> Vec<Child> {
        self.sleepers(at, n, |changed| {
            changed.wait(&mut self.mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())).unwrap();
        })
    }
}

/// Waits until the condition shows these counts.
#[track_caller]
fn shows<W: Wait>(changed: &Condition<W>, waiters: u32, signals: u32) {
    let expected = format!("Condition {{ waiters: {waiters}, signals: {signals} }}");
    eventually("the counts", || match format!("{changed:?}") {
        shown if shown == expected => Ok(()),
        other => Err(other),
    });
}

fn who_is_meant_is_decided_at_the_call<W: Wait>() {
    let world = World::<W>::new();
    let [changed, other] = &world.changed;
    let team = world.with_lock(0, 5);
    let mut guard = world.lock.lock().unwrap();
    changed.notify_one_on_unlock(&mut guard);
    shows(changed, 4, 1);
    changed.notify_on_unlock(&mut guard, 0);
    other.notify_all_on_unlock(&mut guard); // Nobody waits for it.
    changed.notify_on_unlock(&mut guard, 2);
    shows(changed, 2, 3);
    world.woken.stays(0, ms(20));
    drop(guard);
    world.woken.reaches(3);
    world.woken.stays(3, SLICES);
    // Who waits later, be it with the same guard, is not meant.
    let mut guard = world.lock.lock().unwrap();
    changed.notify_all_on_unlock(&mut guard);
    shows(changed, 0, 0);
    assert_eq!(changed.wait_timeout(&mut guard, ms(20)), Ok(false));
    drop(guard);
    join(team);
    assert_eq!(world.woken.get(), 5);
}

/// Rounds in which all but one wait, more than there are CPUs, so that they sleep; the last of them to pass says so. A
/// round without its wake takes at least a slice, which is 12 ms; with it, a tenth of one on a busy machine.
fn rounds_are_quick<'a, G: GuardFor<'a>, W: Wait>(
    world: &'a World<W>,
    lock: impl Fn() -> G,
    end: impl Fn(G, &'a Condition<W>),
) {
    const ROUNDS: u32 = 50;
    let [changed, passed] = &world.changed;
    let waiters = online_cpus() as u32 + 1;
    let run = || {
        world.woken.set(0);
        let team = team(waiters, |_| {
            let mut guard = lock();
            for _ in 0..ROUNDS {
                changed.wait(&mut guard).unwrap();
                if world.woken.up() % waiters == 0 {
                    passed.notify_all();
                }
            }
        });
        let ((), took) = timed(|| {
            for _ in 0..ROUNDS {
                shows(changed, waiters, 0);
                let mut guard = lock();
                changed.notify_all_on_unlock(&mut guard);
                end(guard, passed);
            }
        });
        join(team);
        took
    };
    let best = (0..4).map(|_| run()).min();
    assert!(best < Some(ms(u64::from(ROUNDS) * 6)), "{ROUNDS} rounds took {best:?} at best");
}

fn every_guard_wakes_when_it_is_dropped<W: Wait>() {
    let world = World::<W>::new();
    rounds_are_quick(&world, || world.lock.lock().unwrap(), |guard, _| drop(guard));
    rounds_are_quick(&world, || world.rlock.lock().unwrap(), |guard, _| drop(guard));
    rounds_are_quick(&world, || world.mutex.lock().unwrap(), |guard, _| drop(guard));
}

fn every_guard_wakes_when_it_waits<W: Wait>() {
    let world = World::<W>::new();
    rounds_are_quick(&world, || world.lock.lock().unwrap(), |mut guard, passed| passed.wait(&mut guard).unwrap());
    rounds_are_quick(&world, || world.rlock.lock().unwrap(), |mut guard, passed| passed.wait(&mut guard).unwrap());
    rounds_are_quick(&world, || world.mutex.lock().unwrap(), |mut guard, passed| passed.wait(&mut guard).unwrap());
}

fn two_conditions_of_one_guard<W: Wait>() {
    let world = World::<W>::new();
    let mut team = world.with_mutex(0, 2);
    team.extend(world.with_mutex(1, 2));
    let mut guard = world.mutex.lock().unwrap();
    for changed in &world.changed {
        changed.notify_one_on_unlock(&mut guard);
    }
    for changed in &world.changed {
        changed.notify_one_on_unlock(&mut guard);
    }
    world.woken.stays(0, ms(20));
    drop(guard);
    join(team);
}

/// The inner guard's drop unlocks nothing, whatever it wakes.
fn a_guard_within_a_guard<W: Wait>() {
    let world = World::<W>::new();
    let team = world.with_rlock(0, 3);
    let mut outer = world.rlock.lock().unwrap();
    let mut inner = world.rlock.lock().unwrap();
    world.changed[0].notify_one_on_unlock(&mut inner);
    world.changed[0].notify_one_on_unlock(&mut outer);
    drop(inner);
    world.woken.stays(0, ms(20));
    assert_eq!(world.rlock.depth(), 1);
    drop(outer);
    world.woken.reaches(2);
    world.woken.stays(2, SLICES);
    world.changed[0].notify_one();
    join(team);
}

/// The inner guard's wait lets go of the lock, and knows nothing of what the outer one owes: their slices end.
fn a_wait_past_the_guard_that_owes<W: Wait>() {
    let world = World::<W>::new();
    let [changed, other] = &world.changed;
    let team = world.with_rlock(0, 3);
    let mut outer = world.rlock.lock().unwrap();
    changed.notify_all_on_unlock(&mut outer);
    let mut inner = world.rlock.lock().unwrap();
    while world.woken.get() < 3 {
        assert_eq!(other.wait_timeout(&mut inner, ms(10)), Ok(false));
    }
    drop((inner, outer));
    join(team);
}

fn a_panic_unlocks_and_wakes<W: Wait>() {
    let world = World::<W>::new();
    let team = world.with_mutex(0, 3);
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let mut guard = world.mutex.lock().unwrap();
        world.changed[0].notify_all_on_unlock(&mut guard);
        std::panic::resume_unwind(Box::new("on purpose"));
    }));
    assert!(panicked.is_err());
    join(team);
    let cause = world.mutex.lock().unwrap_err().cause();
    assert!(matches!(cause, PoisonCause::Panicked(owner) if owner.tid() == gettid()), "{cause}");
}

fn a_forgotten_guard_loses_nobody<W: Wait>() {
    let world = World::<W>::new();
    let team = world.with_lock(0, 3);
    let mut guard = world.lock.lock().unwrap();
    world.changed[0].notify_all_on_unlock(&mut guard);
    std::mem::forget(guard);
    world.woken.stays(0, SLICES);
    world.lock.release().unwrap();
    join(team);
}

/// The guard is there until they have passed.
fn a_guard_that_holds_nothing_wakes_at_once<W: Wait>() {
    let world = World::<W>::new();
    let team = world.with_lock(0, 3);
    let mut guard = world.lock.lock().unwrap();
    world.lock.release().unwrap(); // anybody may
    world.changed[0].notify_all_on_unlock(&mut guard);
    join(team);
    assert_eq!(world.changed[0].wait_timeout(&mut guard, ms(1)), Ok(false), "it takes its lock again");
    assert!(world.lock.is_locked());
    drop(guard);
    assert!(!world.lock.is_locked());
}

/// The copy unlocks nothing, and nobody passes for its wake.
fn a_forked_child_has_a_copy<W: Wait>() {
    let world = World::<W>::new();
    let team = world.with_lock(0, 3);
    let mut guard = world.lock.lock().unwrap();
    world.changed[0].notify_on_unlock(&mut guard, 2);
    let guard = RefCell::new(Some(guard));
    join([fork(|| drop(guard.take()))]);
    assert_eq!(world.lock.holder().map(|owner| owner.tid()), Some(gettid()));
    world.woken.stays(0, ms(20));
    drop(guard.take());
    world.woken.reaches(2);
    world.woken.stays(2, SLICES);
    world.changed[0].notify_one();
    join(team);
}

fn a_notifier_that_dies_with_the_lock<W: Wait>() {
    let world = World::<W>::new();
    let pid = Shm::new(Tally::new());
    let team = world.sleepers(0, 2, |changed| {
        let mut guard = world.lock.lock().unwrap();
        match changed.wait(&mut guard) {
            Err(AcquireError::OwnerDied(owner)) if owner.tid() == pid.get() => _ = guard.recover(),
            Ok(()) => {} // The other one has recovered it, and released it.
            other => panic!("{other:?}"),
        }
    });
    let _dead = die_after(|| {
        pid.set(gettid());
        let mut guard = world.lock.lock().unwrap();
        world.changed[0].notify_all_on_unlock(&mut guard);
        std::mem::forget(guard);
    });
    join(team);
    assert!(!world.lock.is_locked(), "released by the guard that recovered it");
}

/// As users write it: change, notify with the lock held, unlock.
fn a_bounded_buffer_loses_nothing<W: Wait>() {
    const EACH: u32 = 3_000;
    let buffer = Shm::new((Mutex::<[u32; 3], W>::new_in([0; 3]), Condition::<W>::new_in(), Condition::<W>::new_in()));
    let (state, room, items) = &*buffer;
    let team = team(4, |i| {
        for _ in 0..EACH {
            let mut guard = state.lock().unwrap();
            if i % 2 == 0 {
                room.wait_while(&mut guard, |[used, ..]| *used == 4).unwrap();
                guard[0] += 1;
                guard[1] += 1;
                items.notify_one_on_unlock(&mut guard);
            } else {
                items.wait_while(&mut guard, |[used, ..]| *used == 0).unwrap();
                guard[0] -= 1;
                guard[2] += 1;
                room.notify_one_on_unlock(&mut guard);
            }
        }
    });
    join(team);
    assert_eq!(*state.lock().unwrap(), [0, 2 * EACH, 2 * EACH]);
}
