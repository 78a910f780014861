//! Waits for a condition that do not end with a notification: the waiter is killed, or a signal handler runs.

mod support;

use std::time::Instant;

use shmsync::wait::Wait;
use shmsync::{AcquireError, Condition, Mutex};
use support::*;

every_backend!(what_was_meant_for_the_killed_is_forgotten, an_interruptible_wait_is_interrupted);

type Monitor<W> = (Mutex<u32, W>, Condition<W>);

fn monitor<W: Wait>() -> Shm<Monitor<W>> {
    Shm::new((Mutex::new_in(0), Condition::new_in()))
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

/// A notification for one of two, both of whom are killed before it: the next who waits is not woken by it, and finds out
/// that nobody takes it.
fn what_was_meant_for_the_killed_is_forgotten<W: Wait>() {
    let monitor = monitor::<W>();
    let (data, changed) = &*monitor;
    let mut dead = team(2, |_| _ = changed.wait(&mut data.lock().unwrap()));
    shows(changed, 2, 0);
    dead.iter_mut().for_each(|child| {
        asleep(child.pid());
        child.kill();
    });
    changed.notify_one();
    shows(changed, 1, 1);

    let woken = Shm::new(Tally::new());
    let waiter = fork(|| {
        let mut data = data.lock().unwrap();
        changed.wait(&mut data).unwrap();
        woken.up();
        assert_eq!(*data, 7);
    });
    // The dead are counted out, and their signal with them; this one still waits.
    shows(changed, 1, 0);
    woken.stays(0, SLICES);
    *data.lock().unwrap() = 7;
    changed.notify_one();
    join([waiter]);
    shows(changed, 0, 0);
}

fn an_interruptible_wait_is_interrupted<W: Wait>() {
    for timeout in [None, Some(SOON)] {
        let (monitor, handled) = (monitor::<W>(), Shm::new(Tally::new()));
        let (data, changed) = &*monitor;
        let waiter = fork(|| {
            count_signals_in(&handled, libc::SA_RESTART);
            let mut data = data.lock().unwrap();
            assert_eq!(changed.wait_interruptible(&mut data, timeout), Err(AcquireError::Interrupted));
            *data += 1; // It is held again.
            // Not `sleep`: each signal has it begin again with what is left and 50 µs of slack, so in a storm it never ends.
            let began = Instant::now();
            while began.elapsed() < ms(20) {
                std::hint::spin_loop();
            }
            *data += 1;
        });
        shows(changed, 1, 0);
        pester(&waiter, &handled, || state(waiter.pid()) == 'Z');
        assert_eq!(*data.lock().unwrap(), 2);
        join([waiter]);
        shows(changed, 0, 0);
    }
}
