//! Semaphore: tokens are neither lost nor made, whoever takes and gives them. (The shared verbs: acquire.rs.)

mod support;

use shmsync::wait::Wait;
use shmsync::{AcquireError, ReleaseError, SEM_VALUE_MAX, Semaphore};
use support::*;

every_backend!(
    counts,
    overflow_changes_nothing,
    releasing_none_does_nothing,
    release_many_lets_as_many_through,
    every_release_is_taken_once,
    released_by_another_process,
    a_pool_never_gives_out_more_than_it_has,
    ping_pong,
    debug_does_not_block,
    killed_waiters_swallow_nothing,
    kills_leave_the_others_going,
);

fn shared<W: Wait>(value: u32) -> Shm<Semaphore<W>> {
    Shm::new(Semaphore::new_in(value))
}

fn counts<W: Wait>() {
    let sem = Semaphore::<W>::new_in(3);
    for left in (0..3).rev() {
        assert_eq!(sem.acquire(), Ok(()));
        assert_eq!(sem.value(), left);
    }
    assert_eq!(sem.try_acquire(), Err(AcquireError::WouldBlock));
    assert_eq!(sem.acquire_for(ms(1)), Err(AcquireError::TimedOut));
    assert_eq!(sem.value(), 0, "the errors changed nothing");
    assert_eq!(sem.release(), Ok(()));
    assert_eq!(sem.release_many(4), Ok(()));
    assert_eq!(sem.value(), 5, "it is not bounded by its first value");
}

fn overflow_changes_nothing<W: Wait>() {
    assert_eq!(SEM_VALUE_MAX, i32::MAX as u32);
    let sem = Semaphore::<W>::new_in(SEM_VALUE_MAX - 1);
    assert_eq!(sem.release_many(2), Err(ReleaseError::Overflow));
    assert_eq!(sem.release_many(u32::MAX), Err(ReleaseError::Overflow));
    assert_eq!(sem.value(), SEM_VALUE_MAX - 1);
    assert_eq!(sem.release(), Ok(()));
    for n in [1, 2, SEM_VALUE_MAX, SEM_VALUE_MAX + 1, u32::MAX] {
        assert_eq!(sem.release_many(n), Err(ReleaseError::Overflow));
        assert_eq!(sem.value(), SEM_VALUE_MAX);
    }
    assert_eq!(sem.release(), Err(ReleaseError::Overflow));
    sem.acquire().unwrap();
    assert_eq!(sem.value(), SEM_VALUE_MAX - 1);
    let sem = Semaphore::<W>::new_in(0);
    assert_eq!(sem.release_many(SEM_VALUE_MAX), Ok(()));
    assert_eq!(sem.value(), SEM_VALUE_MAX);
}

fn releasing_none_does_nothing<W: Wait>() {
    for value in [0, 7, SEM_VALUE_MAX] {
        let sem = Semaphore::<W>::new_in(value);
        assert_eq!(sem.release_many(0), Ok(()));
        assert_eq!(sem.value(), value);
    }
}

/// `n` children that are asleep in `acquire`; each counts itself in `through` when it has got its token.
fn sleepers<W: Wait>(n: u32, sem: &Semaphore<W>, through: &Tally) -> Vec<Child> {
    let about = Shm::new(Tally::new());
    let team = team(n, |_| {
        about.up();
        sem.acquire().unwrap();
        through.up();
    });
    about.reaches(n);
    team.iter().for_each(|child| asleep(child.pid()));
    team
}

fn release_many_lets_as_many_through<W: Wait>() {
    let (sem, through) = (shared::<W>(0), Shm::new(Tally::new()));
    let team = sleepers(6, &sem, &through);
    through.stays(0, ms(20));
    for (n, sum) in [(1, 1), (3, 4), (0, 4)] {
        sem.release_many(n).unwrap();
        through.reaches(sum);
        through.stays(sum, SLICES);
        assert_eq!(sem.value(), 0);
    }
    sem.release_many(5).unwrap();
    join(team);
    assert_eq!((through.get(), sem.value()), (6, 3));
}

fn every_release_is_taken_once<W: Wait>() {
    const EACH: u32 = 6_000;
    let sem = shared::<W>(0);
    let takers = team(3, |_| (0..EACH).for_each(|_| sem.acquire().unwrap()));
    let givers = team(2, |i| match i {
        0 => (0..EACH).for_each(|_| sem.release().unwrap()),
        _ => (0..EACH).for_each(|_| sem.release_many(2).unwrap()),
    });
    join(givers.into_iter().chain(takers));
    assert_eq!(sem.value(), 0);
}

fn released_by_another_process<W: Wait>() {
    let sem = shared::<W>(1);
    sem.acquire().unwrap();
    join([fork(|| assert_eq!(sem.release(), Ok(())))]);
    assert_eq!((sem.value(), sem.try_acquire()), (1, Ok(())));
}

fn a_pool_never_gives_out_more_than_it_has<W: Wait>() {
    const TOKENS: u32 = 3;
    let (sem, inside) = (shared::<W>(TOKENS), Shm::new(Tally::new()));
    join(team(7, |i| {
        for round in 0..1_500 {
            match (i + round) % 4 {
                0 => sem.acquire_for(SOON).unwrap(),
                1 if sem.acquire_for(std::time::Duration::from_micros(30)).is_err() => continue,
                1 => {}
                _ => sem.acquire().unwrap(),
            }
            assert!(inside.up() <= TOKENS);
            if round % 32 == 0 {
                std::thread::yield_now(); // On a busy machine that may take milliseconds.
            }
            inside.down();
            sem.release().unwrap();
        }
    }));
    assert_eq!((sem.value(), inside.get()), (TOKENS, 0));
}

fn ping_pong<W: Wait>() {
    const ROUNDS: u32 = 10_000;
    let (ping, pong) = (shared::<W>(0), shared::<W>(0));
    let partner = fork(|| {
        for _ in 0..ROUNDS {
            ping.acquire().unwrap();
            pong.release().unwrap();
        }
    });
    for _ in 0..ROUNDS {
        ping.release().unwrap();
        pong.acquire_for(SOON).unwrap();
    }
    join([partner]);
    assert_eq!((ping.value(), pong.value()), (0, 0));
}

fn debug_does_not_block<W: Wait>() {
    let sem = Semaphore::<W>::new_in(4711);
    assert!(format!("{sem:?}").contains("4711"), "{sem:?}");
}

fn killed_waiters_swallow_nothing<W: Wait>() {
    let (sem, through) = (shared::<W>(0), Shm::new(Tally::new()));
    let mut dead = sleepers(4, &sem, &through);
    let living = sleepers(2, &sem, &through);
    dead.iter_mut().for_each(Child::kill);
    sem.release_many(2).unwrap();
    join(living);
    assert_eq!((through.get(), sem.value()), (2, 0));
    // And what is known of the waiters has healed: the next token is simply there.
    sem.release().unwrap();
    assert_eq!((sem.value(), sem.try_acquire()), (1, Ok(())));
}

/// Takers are killed, a giver gives: every token ends with a taker, or in the hands of one that was killed.
fn kills_leave_the_others_going<W: Wait>() {
    const KILLS: u32 = 80;
    let (sem, given, stop) = (shared::<W>(0), Shm::new(Tally::new()), Shm::new(Tally::new()));
    let taken = Shm::new(Tally::new());
    let giver = fork(|| {
        while stop.get() == 0 {
            sem.release().unwrap();
            given.up();
            // Mostly faster than the takers, so that they sleep at times and find tokens at times.
            eventually("few tokens", || (sem.value() < 4).then_some(()).ok_or_else(String::new));
        }
    });
    kill_at_random(4, KILLS, |_, rounds| {
        sem.acquire().unwrap();
        taken.up();
        rounds.up();
    });
    stop.up();
    if sem.try_acquire().is_ok() {
        taken.up(); // In case the giver waits for few tokens.
    }
    join([giver]);
    let lost = i64::from(given.get()) - i64::from(taken.get()) - i64::from(sem.value());
    assert!((0..=i64::from(KILLS) + 4).contains(&lost), "{lost} tokens lost by {KILLS} kills");
}
