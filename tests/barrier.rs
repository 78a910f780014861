//! Barrier: nobody goes on before all have come; who gives up breaks it for all; reset makes it whole.

mod support;

use std::panic::{self, AssertUnwindSafe};
use std::thread;
use std::time::Duration;

use shmsync::wait::Wait;
use shmsync::{Barrier, BarrierError, BarrierWaitResult};
use support::*;

every_backend!(
    indices_are_in_order_of_arrival,
    every_round_has_each_index_once,
    nobody_goes_on_before_all_have_come,
    a_single_party_never_waits,
    the_action_runs_once_before_anybody_goes_on,
    who_comes_during_the_action_is_of_the_next_round,
    a_panicking_action_breaks_it,
    a_timeout_breaks_it_for_all,
    timeouts_are_kept,
    a_zero_timeout_looks_once,
    abort_breaks_it_until_reset,
    abort_while_the_action_runs,
    reset_sends_the_waiting_away_and_starts_afresh,
    signals_are_hidden,
    debug_does_not_block,
    a_killed_waiter_has_arrived,
    a_party_that_never_comes_is_survived,
    kills_leave_the_others_going,
);

fn shared<W: Wait>(parties: u32) -> Shm<Barrier<W>> {
    Shm::new(Barrier::new_in(parties))
}

/// Forks a child that arrives in `wait`, as the `n`-th of its round.
fn arrival<W: Wait>(barrier: &Barrier<W>, n: u32, wait: impl FnOnce()) -> Child {
    let child = fork(wait);
    eventually("the arrival", || match barrier.n_waiting() {
        waiting if waiting == n => Ok(()),
        waiting => Err(format!("{waiting} waiting instead of {n}")),
    });
    asleep(child.pid());
    child
}

/// `n` children that wait and must end with `expected`.
fn arrivals<W: Wait>(barrier: &Barrier<W>, n: u32, expected: Result<(), BarrierError>) -> Vec<Child> {
    let wait = || assert_eq!(barrier.wait().map(drop), expected);
    (1..=n).map(|n| arrival(barrier, n, wait)).collect()
}

fn place(passed: Result<BarrierWaitResult, BarrierError>) -> (u32, bool) {
    passed.map(|passed| (passed.index(), passed.is_leader())).unwrap()
}

fn seen<W: Wait>(barrier: &Barrier<W>) -> (u32, bool) {
    (barrier.n_waiting(), barrier.is_broken())
}

fn indices_are_in_order_of_arrival<W: Wait>() {
    let barrier = shared::<W>(4);
    assert_eq!((barrier.parties(), seen(&barrier)), (4, (0, false)));
    for _ in 0..3 {
        let wait = |i| arrival(&barrier, i + 1, || assert_eq!(place(barrier.wait()), (i, false)));
        let team: Vec<_> = (0..3).map(wait).collect();
        assert_eq!(place(barrier.wait()), (3, true));
        join(team);
        assert_eq!(seen(&barrier), (0, false));
    }
}

fn every_round_has_each_index_once<W: Wait>() {
    const PARTIES: u32 = 5;
    const ROUNDS: usize = 400;
    let (barrier, sums) = (shared::<W>(PARTIES), Shm::new([const { Tally::new() }; ROUNDS]));
    join(team(PARTIES, |_| {
        for sum in &*sums {
            let (index, leader) = place(barrier.wait());
            assert_eq!(leader, index == PARTIES - 1);
            (0..1 << (4 * index)).for_each(|_| _ = sum.up()); // One hexadecimal digit for each index.
        }
    }));
    assert!(sums.iter().all(|sum| sum.get() == 0x11111));
}

fn nobody_goes_on_before_all_have_come<W: Wait>() {
    for (parties, rounds) in [(2, 5_000), (4, 1_000), (7, 300)] {
        let (barrier, came) = (shared::<W>(parties), Shm::new([const { Tally::new() }; 7]));
        join(team(parties, |i| {
            for round in 1..=rounds {
                came[i as usize].up();
                match (round + i) % 3 {
                    0 => barrier.wait_timeout(SOON).map(drop).unwrap(),
                    1 => barrier.wait_with(|| ()).map(drop).unwrap(),
                    _ => barrier.wait().map(drop).unwrap(),
                }
                for came in &came[..parties as usize] {
                    let came = came.get(); // Of this round, or already of the next, but not of the one after.
                    assert!(came == round || came == round + 1, "{came} in round {round}");
                }
            }
        }));
        assert_eq!(seen(&barrier), (0, false));
    }
}

fn a_single_party_never_waits<W: Wait>() {
    for parties in [0, 1] {
        let barrier = Barrier::<W>::new_in(parties);
        assert_eq!(barrier.parties(), 1);
        let mut acted = 0;
        for _ in 0..3 {
            assert_eq!(place(barrier.wait()), (0, true));
            assert_eq!(place(barrier.wait_timeout(Duration::ZERO)), (0, true));
            assert_eq!(place(barrier.wait_with(|| acted += 1)), (0, true));
        }
        assert_eq!((acted, seen(&barrier)), (3, (0, false)));
    }
}

fn the_action_runs_once_before_anybody_goes_on<W: Wait>() {
    const ROUNDS: u32 = 500;
    let (barrier, acted) = (shared::<W>(3), Shm::new(Tally::new()));
    join(team(3, |_| {
        for round in 1..=ROUNDS {
            barrier.wait_with(|| _ = acted.up()).unwrap();
            assert_eq!(acted.get(), round);
            barrier.wait().unwrap();
        }
    }));
    // It is the last one's action that runs.
    let early = arrival(&barrier, 1, || _ = barrier.wait_with(|| panic!("not mine")).unwrap());
    let later = arrival(&barrier, 2, || _ = barrier.wait().unwrap());
    barrier.wait_with(|| _ = acted.up()).unwrap();
    join([early, later]);
    assert_eq!(acted.get(), ROUNDS + 1);
}

fn who_comes_during_the_action_is_of_the_next_round<W: Wait>() {
    let (barrier, steps, finish) = (shared::<W>(2), Shm::new(Tally::new()), Shm::new(Tally::new()));
    let first = arrivals(&barrier, 1, Ok(()));
    let leader = fork(|| {
        let action = || {
            steps.up();
            finish.reaches(1);
        };
        assert_eq!(place(barrier.wait_with(action)), (1, true));
    });
    steps.reaches(1);
    let third = fork(|| {
        steps.up();
        assert_eq!(place(barrier.wait()), (0, false));
        steps.up();
    });
    steps.reaches(2);
    asleep(third.pid());
    finish.up();
    join(first.into_iter().chain([leader]));
    steps.stays(2, SLICES); // It has arrived in the next round, and waits for its partner.
    assert_eq!(seen(&barrier), (1, false));
    assert_eq!(place(barrier.wait()), (1, true));
    join([third]);
}

fn a_panicking_action_breaks_it<W: Wait>() {
    let barrier = shared::<W>(3);
    let team = arrivals(&barrier, 2, Err(BarrierError::Broken));
    let panicking = || _ = barrier.wait_with(|| panic::resume_unwind(Box::new(7)));
    let payload = panic::catch_unwind(AssertUnwindSafe(panicking)).unwrap_err();
    assert_eq!(payload.downcast_ref(), Some(&7), "the panic goes on");
    join(team);
    assert_eq!(seen(&barrier), (0, true));
    assert_eq!(barrier.wait_timeout(SOON), Err(BarrierError::Broken));
}

fn a_timeout_breaks_it_for_all<W: Wait>() {
    let barrier = shared::<W>(4);
    let team = arrivals(&barrier, 2, Err(BarrierError::Broken));
    assert_eq!(barrier.wait_timeout(ms(5)), Err(BarrierError::TimedOut));
    join(team);
    assert_eq!(seen(&barrier), (0, true));
    assert_eq!(barrier.wait(), Err(BarrierError::Broken), "who comes later does not wait");
    assert_eq!(barrier.wait_with(|| panic!("no action")), Err(BarrierError::Broken));
}

fn timeouts_are_kept<W: Wait>() {
    let barrier = Barrier::<W>::new_in(2);
    for timeout in [Duration::from_micros(10), ms(1), ms(7), ms(230)] {
        keeps_time(timeout, |timeout| {
            assert_eq!(barrier.wait_timeout(timeout), Err(BarrierError::TimedOut));
            barrier.reset();
        });
    }
}

fn a_zero_timeout_looks_once<W: Wait>() {
    let barrier = shared::<W>(2);
    let team = arrivals(&barrier, 1, Ok(()));
    assert_eq!(place(barrier.wait_timeout(Duration::ZERO)), (1, true), "the last one need not wait");
    join(team);
    assert_eq!(barrier.wait_timeout(Duration::ZERO), Err(BarrierError::TimedOut));
    assert!(barrier.is_broken());
}

fn abort_breaks_it_until_reset<W: Wait>() {
    let barrier = shared::<W>(3);
    let team = arrivals(&barrier, 2, Err(BarrierError::Broken));
    barrier.abort();
    barrier.abort();
    join(team);
    assert_eq!(barrier.wait(), Err(BarrierError::Broken));
    assert_eq!(seen(&barrier), (0, true));
    barrier.reset();
    assert_eq!(seen(&barrier), (0, false));
    let team = arrivals(&barrier, 2, Ok(()));
    assert_eq!(place(barrier.wait()), (2, true));
    join(team);
}

fn abort_while_the_action_runs<W: Wait>() {
    let barrier = shared::<W>(2);
    let team = arrivals(&barrier, 1, Err(BarrierError::Broken));
    assert_eq!(barrier.wait_with(|| barrier.abort()), Err(BarrierError::Broken));
    join(team);
    assert!(barrier.is_broken());
}

fn reset_sends_the_waiting_away_and_starts_afresh<W: Wait>() {
    let barrier = shared::<W>(3);
    barrier.reset();
    for _ in 0..4 {
        let away = arrivals(&barrier, 2, Err(BarrierError::Broken));
        barrier.reset();
        assert_eq!(seen(&barrier), (0, false));
        let team = arrivals(&barrier, 2, Ok(())); // At once, while the others may not have looked yet.
        assert_eq!(place(barrier.wait()), (2, true));
        join(away.into_iter().chain(team));
    }
}

fn signals_are_hidden<W: Wait>() {
    for flags in [0, libc::SA_RESTART] {
        let (barrier, handled) = (shared::<W>(2), Shm::new(Tally::new()));
        let waiter = arrival(&barrier, 1, || {
            count_signals_in(&handled, flags);
            barrier.wait().unwrap();
        });
        pester(&waiter, &handled, || handled.get() > 30);
        assert_eq!(seen(&barrier), (1, false));
        barrier.wait().unwrap();
        join([waiter]);
    }
}

fn debug_does_not_block<W: Wait>() {
    let barrier = Barrier::<W>::new_in(4711);
    let whole = format!("{barrier:?}");
    barrier.abort();
    assert!(whole.contains("4711") && whole != format!("{barrier:?}"), "{whole}");
}

fn a_killed_waiter_has_arrived<W: Wait>() {
    let barrier = shared::<W>(3);
    let mut dead = arrivals(&barrier, 1, Ok(()));
    dead[0].kill();
    let team = arrival(&barrier, 2, || assert_eq!(place(barrier.wait()), (1, false)));
    assert_eq!(place(barrier.wait()), (2, true));
    join([team]);
    let team = arrivals(&barrier, 2, Ok(())); // And it takes no part in the next round.
    assert_eq!(place(barrier.wait()), (2, true));
    join(team);
}

fn a_party_that_never_comes_is_survived<W: Wait>() {
    let barrier = shared::<W>(3);
    let team = arrivals(&barrier, 1, Err(BarrierError::Broken));
    assert_eq!(barrier.wait_timeout(ms(20)), Err(BarrierError::TimedOut));
    join(team);
    barrier.reset();
    let team = arrivals(&barrier, 2, Ok(()));
    barrier.wait().unwrap();
    join(team);
}

fn kills_leave_the_others_going<W: Wait>() {
    let barrier = shared::<W>(4);
    kill_at_random(4, 60, |_, rounds| match barrier.wait_timeout(ms(20)) {
        Ok(_) => _ = rounds.up(),
        Err(_) => {
            thread::sleep(ms(1));
            // Whole again: somebody has done it. To reset that would send away who came meanwhile.
            if barrier.is_broken() {
                barrier.reset();
            }
        }
    });
}
