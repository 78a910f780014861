//! Who polls a lock believes for a moment that its holder lives, and learns of the death all the same.

mod support;

use shmsync::wait::Wait;
use shmsync::{AcquireError, Lock};
use support::*;

every_backend!(who_polls_learns_of_a_death);

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
