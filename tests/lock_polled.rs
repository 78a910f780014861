//! Who asks often and never for long learns of a death all the same: who polls, and who is interrupted all the time.

mod support;

use shmsync::wait::Wait;
use shmsync::{AcquireError, Lock, PermitPool};
use support::*;

every_backend!(who_polls_learns_of_a_death, who_is_interrupted_learns_of_a_death);

fn who_polls_learns_of_a_death<W: Wait>() {
    let (lock, held) = (Shm::new(Lock::<W>::new_in()), Shm::new(Tally::new()));
    let mut holder = fork(|| {
        lock.acquire().unwrap();
        held.up();
        until_killed();
    });
    held.reaches(1);
    for _ in 0..3 {
        assert_eq!(lock.try_acquire(), Err(AcquireError::WouldBlock));
        std::thread::sleep(ms(3));
    }
    holder.kill();
    let told = eventually("the death", || match lock.try_acquire() {
        Err(AcquireError::WouldBlock) => Err(String::from("not known")),
        other => Ok(other),
    });
    assert_died(told, holder.pid());
}

/// A profiler's timer, say: its signals come faster than the first slice ends.
fn who_is_interrupted_learns_of_a_death<W: Wait>() {
    let (things, held) = (Shm::new((Lock::<W>::new_in(), PermitPool::<1, W>::new_in())), Shm::new(Tally::new()));
    let (lock, pool) = &*things;
    let mut holder = fork(|| {
        lock.acquire().unwrap();
        std::mem::forget(pool.acquire().unwrap());
        held.up();
        until_killed();
    });
    held.reaches(1);
    holder.kill();
    join([fork(|| {
        extern "C" fn nothing(_: libc::c_int) {}
        handles(libc::SIGALRM, 0, nothing as *const ());
        let every = libc::timeval { tv_sec: 0, tv_usec: 300 };
        let timer = libc::itimerval { it_interval: every, it_value: every };
        // SAFETY: the kernel reads one struct; nobody wants the old one.
        assert_eq!(unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, std::ptr::null_mut()) }, 0);
        // Not by a slice that ended all the same, while this process had no CPU: after a few signals.
        let soon = |ask: &dyn Fn() -> Result<(), AcquireError>| {
            let answers = std::iter::repeat_with(ask).take(10);
            answers.into_iter().find(|answer| *answer != Err(AcquireError::Interrupted)).expect("more than ten signals")
        };
        assert_died(soon(&|| lock.acquire_interruptible(None)), holder.pid());
        assert_eq!(soon(&|| pool.acquire_interruptible(None).map(drop)), Ok(()));
    })]);
}
