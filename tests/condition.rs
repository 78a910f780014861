//! Condition: who waits sleeps until it is notified, and as many wake as were notified. (Guards and kills:
//! condition_guards.rs.)

mod support;

use std::time::Duration;

use shmsync::wait::Wait;
use shmsync::{Condition, Lock, Mutex};
use support::*;

every_backend!(
    notify_wakes_exactly_as_many,
    notify_works_with_the_lock_held_too,
    notify_more_than_there_are_is_not_remembered,
    notify_before_the_wait_is_not_remembered,
    a_long_wait_wakes_nobody_by_itself,
    wait_tells_a_notification_from_a_timeout,
    timeouts_are_kept,
    wait_while_sees_every_step,
    wait_while_may_not_have_to_wait,
    wait_timeout_while_gives_up,
    a_timeout_beyond_the_clock_waits,
    signals_are_hidden,
    debug_does_not_block,
    everyone_wakes_in_every_round,
);

struct World<W: Wait> {
    lock: Lock<W>,
    cond: Condition<W>,
    waiting: Tally,
    woken: Tally,
}

impl<W: Wait> World<W> {
    fn new() -> Shm<Self> {
        Shm::new(Self { lock: Lock::new_in(), cond: Condition::new_in(), waiting: Tally::new(), woken: Tally::new() })
    }

    /// Waits once, in a child.
    fn wait(&self) {
        let mut guard = self.lock.lock().unwrap();
        self.waiting.up();
        self.cond.wait(&mut guard).unwrap();
        assert_eq!(self.lock.holder().map(|owner| owner.tid()), Some(gettid()), "the lock is held again");
        self.woken.up();
    }

    /// `n` more children that wait.
    fn sleepers(&self, n: u32) -> Vec<Child> {
        let before = self.waiting.get();
        let team = team(n, |_| self.wait());
        self.all_wait(before + n);
        team
    }

    /// Returns when so many have begun to wait: who has counted itself can have let go of the lock by waiting only.
    fn all_wait(&self, n: u32) {
        self.waiting.reaches(n);
        drop(self.lock.lock().unwrap());
    }

    fn exactly(&self, woken: u32) {
        self.woken.reaches(woken);
        self.woken.stays(woken, SLICES);
    }
}

fn notify_wakes_exactly_as_many<W: Wait>() {
    let world = World::<W>::new();
    let team = world.sleepers(7);
    world.exactly(0);
    world.cond.notify_one();
    world.exactly(1);
    world.cond.notify(3);
    world.exactly(4);
    world.cond.notify(0);
    world.exactly(4);
    world.cond.notify_one();
    world.cond.notify_one();
    world.exactly(6);
    let late = world.sleepers(2);
    world.cond.notify_all();
    join(team.into_iter().chain(late));
    assert_eq!(world.woken.get(), 9);
}

fn notify_works_with_the_lock_held_too<W: Wait>() {
    let world = World::<W>::new();
    let team = world.sleepers(5);
    let guard = world.lock.lock().unwrap();
    world.cond.notify_one();
    world.cond.notify(2);
    world.woken.stays(0, ms(20)); // They need the lock.
    drop(guard);
    world.exactly(3);
    let guard = world.lock.lock().unwrap();
    world.cond.notify_all();
    drop(guard);
    join(team);
}

fn notify_more_than_there_are_is_not_remembered<W: Wait>() {
    for n in [3, 10, u32::MAX] {
        let world = World::<W>::new();
        let team = world.sleepers(2);
        world.cond.notify(n);
        join(team);
        let late = world.sleepers(1);
        world.exactly(2);
        world.cond.notify_one();
        join(late);
    }
}

fn notify_before_the_wait_is_not_remembered<W: Wait>() {
    let (lock, cond) = (Lock::<W>::new_in(), Condition::<W>::new_in());
    cond.notify_all();
    cond.notify_one();
    let mut guard = lock.lock().unwrap();
    cond.notify_all();
    assert_eq!(cond.wait_timeout(&mut guard, ms(20)), Ok(false));
    assert_eq!(cond.wait_timeout(&mut guard, Duration::ZERO), Ok(false));
}

fn a_long_wait_wakes_nobody_by_itself<W: Wait>() {
    let world = World::<W>::new();
    let team = world.sleepers(3);
    world.woken.stays(0, ms(500)); // Several of the longest slices.
    world.cond.notify_one();
    world.woken.reaches(1);
    world.woken.stays(1, ms(500));
    world.cond.notify_one();
    world.exactly(2);
    world.cond.notify_one();
    join(team);
}

fn wait_tells_a_notification_from_a_timeout<W: Wait>() {
    let world = World::<W>::new();
    let waiter = fork(|| {
        let mut guard = world.lock.lock().unwrap();
        assert_eq!(world.cond.wait_timeout(&mut guard, ms(10)), Ok(false));
        assert_eq!(world.lock.holder().map(|owner| owner.tid()), Some(gettid()));
        world.waiting.up();
        assert_eq!(world.cond.wait_timeout(&mut guard, SOON), Ok(true));
        assert_eq!(world.lock.holder().map(|owner| owner.tid()), Some(gettid()));
    });
    world.all_wait(1);
    world.cond.notify_one();
    join([waiter]);
}

fn timeouts_are_kept<W: Wait>() {
    let (lock, cond) = (Lock::<W>::new_in(), Condition::<W>::new_in());
    let mut guard = lock.lock().unwrap();
    for timeout in [Duration::ZERO, Duration::from_micros(10), ms(1), ms(7), ms(230)] {
        keeps_time(timeout, |timeout| assert_eq!(cond.wait_timeout(&mut guard, timeout), Ok(false)));
    }
    assert!(lock.is_locked());
}

fn wait_while_sees_every_step<W: Wait>() {
    let world = Shm::new((Mutex::<u32, W>::new_in(0), Condition::<W>::new_in(), Tally::new()));
    let (mutex, cond, waiting) = &*world;
    let waiter = fork(|| {
        let mut step = mutex.lock().unwrap();
        let mut asked = 0;
        let keep_waiting = |step: &mut u32| {
            asked += 1;
            waiting.up();
            *step < 4
        };
        cond.wait_while(&mut step, keep_waiting).unwrap();
        assert_eq!((*step, asked), (4, 5), "asked once before and once after each notification");
    });
    for n in 1..=4 {
        waiting.reaches(n);
        *mutex.lock().unwrap() += 1;
        cond.notify_one();
    }
    join([waiter]);
}

fn wait_while_may_not_have_to_wait<W: Wait>() {
    let (lock, cond) = (Lock::<W>::new_in(), Condition::<W>::new_in());
    let mut guard = lock.lock().unwrap();
    assert_eq!(cond.wait_while(&mut guard, |()| false), Ok(()));
    assert_eq!(cond.wait_timeout_while(&mut guard, Duration::ZERO, |()| false), Ok(true));
    assert_eq!(cond.wait_timeout_while(&mut guard, SOON, |()| false), Ok(true));
    assert!(lock.is_locked());
}

fn wait_timeout_while_gives_up<W: Wait>() {
    let world = World::<W>::new();
    let notifier = fork(|| {
        loop {
            world.cond.notify_all(); // Being woken in vain must not start the timeout afresh.
            std::thread::sleep(ms(3));
        }
    });
    let mut guard = world.lock.lock().unwrap();
    for timeout in [Duration::ZERO, ms(1), ms(60)] {
        keeps_time(timeout, |timeout| {
            assert_eq!(world.cond.wait_timeout_while(&mut guard, timeout, |()| true), Ok(false));
        });
    }
    let mut asked = 0;
    let twice = |(): &mut ()| {
        asked += 1;
        asked < 3
    };
    assert_eq!(world.cond.wait_timeout_while(&mut guard, SOON, twice), Ok(true));
    assert_eq!(asked, 3);
    drop(notifier);
}

fn a_timeout_beyond_the_clock_waits<W: Wait>() {
    let world = World::<W>::new();
    let waiter = fork(|| {
        let mut guard = world.lock.lock().unwrap();
        world.waiting.up();
        assert_eq!(world.cond.wait_timeout(&mut guard, Duration::MAX), Ok(true));
        let mut first = true;
        let once = |(): &mut ()| std::mem::take(&mut first);
        world.waiting.up();
        assert_eq!(world.cond.wait_timeout_while(&mut guard, Duration::MAX, once), Ok(true));
    });
    for n in 1..=2 {
        world.all_wait(n);
        world.cond.notify_all();
    }
    join([waiter]);
}

fn signals_are_hidden<W: Wait>() {
    for flags in [0, libc::SA_RESTART] {
        let (world, handled) = (World::<W>::new(), Shm::new(Tally::new()));
        let waiter = fork(|| {
            count_signals_in(&handled, flags);
            world.wait();
        });
        world.all_wait(1);
        pester(&waiter, &handled, || handled.get() > 30);
        world.woken.stays(0, ms(20));
        world.cond.notify_one();
        join([waiter]);
    }
}

fn debug_does_not_block<W: Wait>() {
    let (lock, cond) = (Lock::<W>::new_in(), Condition::<W>::new_in());
    let _guard = lock.lock().unwrap();
    assert!(format!("{cond:?}").contains("Condition"), "{cond:?}");
}

fn everyone_wakes_in_every_round<W: Wait>() {
    const MEMBERS: u32 = 6;
    const ROUNDS: u32 = 400;
    let world = Shm::new((Mutex::<[u32; 2], W>::new_in([0; 2]), Condition::<W>::new_in()));
    join(team(MEMBERS, |_| {
        let (mutex, cond) = &*world;
        for round in 0..ROUNDS {
            let mut state = mutex.lock().unwrap();
            let [arrived, now] = &mut *state;
            assert_eq!(*now, round);
            *arrived += 1;
            if *arrived == MEMBERS {
                (*arrived, *now) = (0, *now + 1);
                cond.notify_all();
            } else {
                cond.wait_while(&mut state, |[_, now]| *now == round).unwrap();
            }
        }
    }));
}
