//! The verbs that are async-signal-safe, from handlers that interrupt a wait for the same object, or the same verb.
//!
//! Each kind of object is acted on by a handler in the middle of its own wait: asleep, at random moments of a storm, and
//! at each instruction in turn. In `cargo test` that is a sample of the instructions; all of them with
//! `SHMSYNC_SWEEP=all cargo test --release --test signals`.
#![cfg(all(target_os = "linux", not(loom)))]

mod support;

use std::any::TypeId;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use shmsync::wait::{Deadline, KernelRobust, PosixSem, Wait, Woken, Word};
use shmsync::{BoundedSemaphore, Event, Lock, Semaphore};
use support::awaited::*;
use support::*;

every_backend!(
    a_handler_ends_the_wait_that_it_interrupts,
    a_storm_of_handlers_loses_nothing,
    a_handler_comes_at_any_instruction_of_a_wait,
    a_handler_comes_at_any_instruction_of_the_same_verb,
    a_handler_comes_at_any_instruction_of_a_look,
);
for_backend!(
    kernel_robust,
    shmsync::wait::KernelRobust,
    a_handler_ends_the_wait_that_it_interrupts,
    a_storm_of_handlers_loses_nothing,
    a_handler_comes_at_any_instruction_of_a_wait
);

/// Calls a function that is generic over the kind of object, for each.
macro_rules! for_each_kind {
    ($test:ident, $backend:ident) => {
        $test::<Event<$backend>>();
        $test::<Semaphore<$backend>>();
        $test::<Pairs<$backend>>();
        $test::<BoundedSemaphore<$backend>>();
        $test::<Told<$backend, false>>();
        $test::<Told<$backend, true>>();
        // With the kernel's list only the holder releases, and not from a handler.
        if TypeId::of::<$backend>() != TypeId::of::<KernelRobust>() {
            $test::<Lock<$backend>>();
        }
    };
}

fn a_handler_ends_the_wait_that_it_interrupts<W: Wait>() {
    for_each_kind!(one_signal_a_wait, W);
}

/// There is one signal for each wait, when it sleeps: whoever is not woken by it sleeps for ever.
fn one_signal_a_wait<A: Awaited>() {
    const ROUNDS: u32 = 12;
    for flags in [0, libc::SA_RESTART] {
        let (desk, about) = (Desk::<A>::new(), Shm::new(Tally::new()));
        let waiter = fork(|| {
            acts_at(libc::SIGUSR1, flags, &*desk);
            for round in 0..ROUNDS {
                about.up();
                // Who wants to know of signals learns of this one, and finds what its handler did.
                if round % 2 == 0 || !desk.object.wait(true) && !desk.object.poll() {
                    assert_eq!(round % 2, 0, "what the handler did is not there");
                    assert!(desk.object.wait(false));
                }
                desk.takes.up();
            }
        });
        for round in 1..=ROUNDS {
            about.reaches(round);
            asleep(waiter.pid());
            waiter.signal(libc::SIGUSR1);
            desk.takes.reaches(round);
        }
        join([waiter]);
        desk.balances();
        assert_eq!(desk.acts.get(), ROUNDS);
    }
}

fn a_storm_of_handlers_loses_nothing<W: Wait>() {
    for_each_kind!(storm, W);
}

/// Two processes wait for what comes from the handlers of their own timers and of each other's, from their first verb on.
fn storm<A: Awaited>() {
    const GENERATIONS: u32 = 5;
    const SPAN: Duration = ms(30);
    for generation in 0..GENERATIONS {
        let desk = Desk::<A>::new();
        let flags = if generation % 2 == 0 { 0 } else { libc::SA_RESTART };
        join(team(2, |_| {
            let mut dice = Dice::new();
            let end = Instant::now() + SPAN;
            acts_at(libc::SIGALRM, flags, &*desk);
            while Instant::now() < end {
                alarm_every(50 + dice.below(150) as u32);
                for _ in 0..20 {
                    desk.wait();
                    desk.poll();
                    // The same verb, for the handler to interrupt; and what it gave, or what a handler did.
                    desk.act();
                    desk.wait();
                }
            }
            alarm_every(0);
        }));
        desk.balances();
        assert!(desk.takes.get() >= 80, "only {} went on", desk.takes.get());
    }
}

/// One of how many instructions.
#[cfg(target_arch = "x86_64")]
fn stride() -> usize {
    if std::env::var("SHMSYNC_SWEEP").is_ok_and(|which| which == "all") { 1 } else { 8 }
}

fn a_handler_comes_at_any_instruction_of_a_wait<W: Wait>() {
    if cfg!(not(target_env = "gnu")) && size_of::<W>() > 0 {
        eprintln!("skipped: without sem_clockwait a wait is naps of 50 µs, and steps through it have no end");
        return;
    }
    for_each_kind!(at_instructions_of_a_wait, W);
}

#[cfg(target_arch = "x86_64")]
fn at_instructions_of_a_wait<A: Awaited>() {
    at_instructions(
        |desk: &Desk<A>| {
            // What earlier handlers did, so that there is something to wait for.
            while desk.object.poll() {
                desk.takes.up();
            }
        },
        Desk::wait,
    );
}

fn a_handler_comes_at_any_instruction_of_a_look<W: Wait>() {
    for_each_kind!(at_instructions_of_a_look, W);
}

#[cfg(target_arch = "x86_64")]
fn at_instructions_of_a_look<A: Awaited>() {
    at_instructions(|_| {}, Desk::<A>::poll);
}

fn a_handler_comes_at_any_instruction_of_the_same_verb<W: Wait>() {
    for_each_kind!(at_instructions_of_the_same_verb, W);
}

/// With somebody to wake.
#[cfg(target_arch = "x86_64")]
fn at_instructions_of_the_same_verb<A: Awaited>() {
    let (desk, over) = (Desk::<A>::new(), Shm::new(Tally::new()));
    let waiter = fork(|| {
        while over.get() == 0 {
            desk.wait();
        }
    });
    join([fork(|| {
        let acts = breakpoints::act_at_instructions(&*desk, stride(), || asleep(waiter.pid()), || desk.act());
        assert!(acts > 0);
    })]);
    over.up();
    desk.act();
    join([waiter]);
    desk.balances();
}

#[cfg(target_arch = "x86_64")]
fn at_instructions<A: Awaited>(prepare: fn(&Desk<A>), verb: fn(&Desk<A>)) {
    let desk = Desk::<A>::new();
    join([fork(|| {
        pin_to(0); // whoever acts is on this CPU, so that nobody spins, and there are fewer instructions
        let acts = breakpoints::act_at_instructions(&*desk, stride(), || prepare(&desk), || verb(&desk));
        assert!(acts > 0);
        desk.balances();
    })]);
}

#[cfg(not(target_arch = "x86_64"))]
mod elsewhere {
    pub(crate) fn at_instructions_of_a_wait<A>() {}
    pub(crate) fn at_instructions_of_a_look<A>() {}
    pub(crate) fn at_instructions_of_the_same_verb<A>() {}
}
#[cfg(not(target_arch = "x86_64"))]
use elsewhere::*;

/// Whoever gives way to a sleeper that does not come, because it was killed, naps; that is to be interrupted, too.
#[test]
fn a_signal_ends_the_naps_before_a_sleep() {
    watched("a_signal_ends_the_naps_before_a_sleep", || {
        let (wait, word) = (Shm::new(PosixSem::NEW), AtomicU32::new(0));
        let handled = Shm::new(Tally::new());
        // SAFETY: any bytes are a state, and it begins with an atomic word of this size.
        let state = unsafe { &*std::ptr::from_ref(&*wait).cast::<AtomicU64>() };
        // Makes the `sem_t`.
        wait.wait(Word::whole(&word), 0, Deadline::after(ms(1)));
        // From now on one post is under way, in an era a second ahead, so that it is not forgotten.
        let a_post_is_under_way = || state.store((era() + 4) << 56 | 1 << 31 | 1, SeqCst);
        a_post_is_under_way();
        let mut napper = fork(|| {
            count_signals_in(&handled, libc::SA_RESTART);
            let ended = wait.wait(Word::whole(&word), 0, Deadline::after(SOON));
            assert_eq!((ended, state.load(SeqCst) & 0xffff), (Woken::Interrupted, 1), "it gave way to the end");
        });
        handled.reaches(1);
        // One that comes between two naps ends none.
        while napper.wait_exit(ms(2)).is_none() {
            a_post_is_under_way();
            napper.signal(libc::SIGUSR1);
        }
        join([napper]);
    });
}

/// As the head of `posix_sem.rs` counts them.
fn era() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is one to write to.
    assert_eq!(unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) }, 0);
    (now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64) >> 28 & 0xff
}
