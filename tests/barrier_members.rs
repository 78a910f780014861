//! Members of a barrier: those whose death breaks it.

mod support;

use std::thread;

use shmsync::wait::Wait;
use shmsync::{Barrier, BarrierError};
use support::*;

every_backend!(
    a_members_death_breaks_it,
    a_member_that_left_is_not_missed,
    a_dead_members_place_is_free_again,
    there_are_as_many_places_as_said,
    without_members_nobody_is_missed,
    a_forked_copy_of_a_member_is_none,
);

type Two<W> = Barrier<W, 2>;

/// Joins in a child, which is killed when `before` has run.
fn die_as_member<W: Wait>(barrier: &Two<W>) -> Child {
    die_after(|| std::mem::forget(barrier.join().expect("a place")))
}

fn a_members_death_breaks_it<W: Wait>() {
    let barrier = Shm::new(Two::<W>::with_members(2));
    let ready = Shm::new(Tally::new());
    let mut member = fork(|| {
        let _member = barrier.join().expect("a place");
        ready.up();
        until_killed();
    });
    ready.reaches(1);
    thread::scope(|scope| {
        let waiter = scope.spawn(|| barrier.wait());
        eventually("the arrival", || (barrier.n_waiting() == 1).then_some(()).ok_or_else(|| format!("{barrier:?}")));
        assert_eq!(barrier.n_waiting(), 1, "it lives, and is waited for");
        member.kill();
        let (result, took) = timed(|| waiter.join().unwrap());
        assert_eq!(result, Err(BarrierError::Broken));
        assert!(took < SOON, "{took:?}");
    });
    barrier.reset();
    assert_eq!(barrier.wait_timeout(ms(20)), Err(BarrierError::TimedOut), "the dead is forgotten, and breaks no more");
}

fn a_member_that_left_is_not_missed<W: Wait>() {
    let barrier = Shm::new(Two::<W>::with_members(2));
    join([fork(|| drop(barrier.join().expect("a place")))]);
    assert_eq!(barrier.wait_timeout(SLICES), Err(BarrierError::TimedOut));
}

fn a_dead_members_place_is_free_again<W: Wait>() {
    let barrier = Shm::new(Two::<W>::with_members(1));
    for _ in 0..3 {
        let dead = (die_as_member(&barrier), die_as_member(&barrier));
        let member = barrier.join().expect("the place of a dead one");
        assert!(barrier.is_broken());
        barrier.reset();
        assert!(barrier.is_broken() || member.wait().is_ok());
        drop(dead);
    }
}

fn there_are_as_many_places_as_said<W: Wait>() {
    let barrier = Two::<W>::with_members(1);
    let members = (barrier.join().expect("one"), barrier.join().expect("two"));
    assert!(barrier.join().is_none());
    drop(members);
    assert!(barrier.join().is_some());
}

fn without_members_nobody_is_missed<W: Wait>() {
    let barrier = Shm::new(Barrier::<W>::new_in(2));
    assert!(barrier.join().is_none());
    let _dead = die_after(|| ());
    assert_eq!(barrier.wait_timeout(SLICES), Err(BarrierError::TimedOut));
}

/// A child that drops its copy takes nobody's place away.
fn a_forked_copy_of_a_member_is_none<W: Wait>() {
    let barrier = Shm::new(Two::<W>::with_members(2));
    let member = barrier.join().expect("a place");
    join([fork(|| {
        // SAFETY: read once, and the other one is forgotten with this process.
        drop(unsafe { std::ptr::read(&member) });
        let _second = barrier.join().expect("the other place");
        assert!(barrier.join().is_none(), "the parent is a member still");
    })]);
    drop(member);
    let _both = (barrier.join().expect("a place"), barrier.join().expect("a place"));
}
