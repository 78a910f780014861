//! Event: a set releases everybody who waits, whatever comes after it.

mod support;

use std::thread;
use std::time::Duration;

use shmsync::wait::Wait;
use shmsync::{AcquireError, Event};
use support::*;

every_backend!(
    sets_and_clears,
    set_releases_everybody,
    set_and_clear_at_once_releases_everybody,
    a_second_set_is_a_set,
    timeouts_are_kept,
    a_timeout_beyond_the_clock_waits,
    a_long_wait_ends_with_the_set,
    signals_are_hidden,
    an_interruptible_wait_is_interrupted,
    ping_pong,
    ping_pong_on_one_cpu,
    ping_pong_beside_a_busy_process,
    every_round_releases_everybody,
    debug_does_not_block,
    a_killed_waiter_disturbs_nobody,
    kills_leave_the_others_going,
);

fn shared<W: Wait>() -> Shm<Event<W>> {
    Shm::new(Event::new_in())
}

/// `n` children that sleep in `wait`.
fn sleepers<W: Wait>(n: u32, event: &Event<W>) -> Vec<Child> {
    let about = Shm::new(Tally::new());
    let team = team(n, |i| {
        about.up();
        if i % 2 == 0 { event.wait() } else { assert!(event.wait_timeout(SOON)) }
    });
    about.reaches(n);
    team.iter().for_each(|child| asleep(child.pid()));
    team
}

fn sets_and_clears<W: Wait>() {
    let event = Event::<W>::new_in();
    assert!(!event.is_set());
    assert!(!event.wait_timeout(Duration::ZERO));
    event.clear();
    assert!(!event.is_set());
    for _ in 0..3 {
        event.set();
        assert!(event.is_set());
        event.wait();
        assert!(event.wait_timeout(Duration::ZERO) && event.wait_timeout(Duration::MAX));
        assert_eq!(event.wait_interruptible(None), Ok(true));
        assert!(event.is_set(), "waiting does not clear it");
    }
    event.clear();
    event.clear();
    assert!(!event.is_set());
    assert!(!event.wait_timeout(ms(1)));
    assert_eq!(event.wait_interruptible(Some(ms(1))), Ok(false));
}

fn set_releases_everybody<W: Wait>() {
    let event = shared::<W>();
    let team = sleepers(6, &event);
    join([fork(|| event.set())]);
    join(team);
    assert!(event.is_set());
}

fn set_and_clear_at_once_releases_everybody<W: Wait>() {
    let event = shared::<W>();
    for _ in 0..5 {
        let team = sleepers(4, &event);
        event.set();
        event.clear();
        join(team);
        assert!(!event.is_set());
    }
}

/// If set returned early because it is set already, this waiter would clear the second one and sleep.
fn a_second_set_is_a_set<W: Wait>() {
    const ROUNDS: u32 = 3_000;
    let (event, done) = (shared::<W>(), Shm::new((Tally::new(), Tally::new())));
    let setter = fork(|| {
        for _ in 0..ROUNDS {
            done.0.up();
            event.set(); // Often set already.
        }
    });
    while done.1.get() < ROUNDS {
        event.wait();
        event.clear();
        done.1.set(done.0.get());
    }
    join([setter]);
}

fn timeouts_are_kept<W: Wait>() {
    let event = Event::<W>::new_in();
    for timeout in [Duration::ZERO, Duration::from_micros(10), ms(1), ms(7), ms(230)] {
        keeps_time(timeout, |timeout| assert!(!event.wait_timeout(timeout)));
    }
}

fn a_timeout_beyond_the_clock_waits<W: Wait>() {
    let (event, about) = (shared::<W>(), Shm::new(Tally::new()));
    let mut waiter = fork(|| {
        about.up();
        assert!(event.wait_timeout(Duration::MAX));
    });
    about.reaches(1);
    asleep(waiter.pid());
    assert_eq!(waiter.wait_exit(SLICES), None);
    event.set();
    join([waiter]);
}

fn a_long_wait_ends_with_the_set<W: Wait>() {
    let event = shared::<W>();
    let team = sleepers(3, &event);
    thread::sleep(ms(600)); // Into the longest slices.
    let ((), took) = timed(|| {
        event.set();
        join(team);
    });
    assert!(took < Duration::from_secs(1), "it took {took:?}");
}

fn signals_are_hidden<W: Wait>() {
    for flags in [0, libc::SA_RESTART] {
        let (event, handled) = (shared::<W>(), Shm::new(Tally::new()));
        let mut waiter = fork(|| {
            count_signals_in(&handled, flags);
            event.wait();
        });
        handled.reaches(1);
        pester(&waiter, &handled, || handled.get() > 50);
        assert_eq!(waiter.wait_exit(ms(20)), None, "a signal must not end the wait");
        event.set();
        join([waiter]);
    }
}

fn an_interruptible_wait_is_interrupted<W: Wait>() {
    for (flags, timeout) in [(0, None), (libc::SA_RESTART, None), (libc::SA_RESTART, Some(SOON))] {
        let (event, handled) = (shared::<W>(), Shm::new(Tally::new()));
        let waiter = fork(|| {
            count_signals_in(&handled, flags);
            assert_eq!(event.wait_interruptible(timeout), Err(AcquireError::Interrupted));
        });
        handled.reaches(1);
        pester(&waiter, &handled, || state(waiter.pid()) == 'Z');
        join([waiter]);
    }
}

fn play<W: Wait>(rounds: u32, cpus: [usize; 2]) {
    let (ping, pong) = (shared::<W>(), shared::<W>());
    let player = |cpu, mine: &Event<W>, theirs: &Event<W>, serves: bool| {
        pin_to(cpu);
        for round in 0..rounds {
            if serves || round > 0 {
                theirs.set();
            }
            mine.wait();
            mine.clear();
        }
        theirs.set();
    };
    join([fork(|| player(cpus[0], &ping, &pong, true)), fork(|| player(cpus[1], &pong, &ping, false))]);
}

fn ping_pong<W: Wait>() {
    play::<W>(12_000, [0, 1]);
}

fn ping_pong_on_one_cpu<W: Wait>() {
    play::<W>(5_000, [0, 0]);
}

/// Handing over by `sched_yield` gives the CPU to the busy process for milliseconds; sleeping does not.
fn ping_pong_beside_a_busy_process<W: Wait>() {
    let _busy = busy(1);
    let best = (0..3).map(|_| timed(|| play::<W>(500, [0, 0])).1).min();
    assert!(best < Some(ms(250)), "500 rounds took {best:?}"); // sem_t needs some 8 ms.
}

/// Two events turn about: everybody passes every one, and nobody is left behind.
fn every_round_releases_everybody<W: Wait>() {
    const MEMBERS: u32 = 4;
    let (doors, passed) = (Shm::new([Event::<W>::new_in(), Event::new_in()]), Shm::new(Tally::new()));
    let members = team(MEMBERS, |_| {
        for round in 0..500 {
            doors[round % 2].wait();
            passed.up();
        }
    });
    for round in 0..500 {
        doors[(round + 1) % 2].clear();
        doors[round % 2].set();
        eventually("everybody passes", || {
            let passed = passed.get();
            (passed == MEMBERS * (round as u32 + 1)).then_some(()).ok_or_else(|| format!("{passed} in {round}"))
        });
    }
    join(members);
}

fn debug_does_not_block<W: Wait>() {
    let event = Event::<W>::new_in();
    let clear = format!("{event:?}");
    event.set();
    assert_ne!(clear, format!("{event:?}"));
}

fn a_killed_waiter_disturbs_nobody<W: Wait>() {
    let event = shared::<W>();
    let mut dead = sleepers(2, &event);
    let living = sleepers(2, &event);
    dead.iter_mut().for_each(Child::kill);
    event.set();
    event.clear();
    join(living);
    let late = sleepers(1, &event);
    event.set();
    join(late);
}

/// The first worker sets and clears, the others wait without a bound. Any of them is killed at any moment.
fn kills_leave_the_others_going<W: Wait>() {
    let event = shared::<W>();
    kill_at_random(5, 80, |i, rounds| {
        if i == 0 {
            event.set();
            event.clear();
        } else {
            event.wait();
        }
        rounds.up();
    });
}
