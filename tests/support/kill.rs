//! Children that die: while they hold something, or at any moment.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::os::unix::process::ExitStatusExt;
use std::thread;
use std::time::Duration;

use shmsync::AcquireError;

use super::*;

/// Has a child do `take` and kills it. It stays a zombie until the returned value is dropped.
pub fn die_after(take: impl FnOnce()) -> Child {
    let taken = Shm::new(Tally::new());
    let mut child = fork(|| {
        take();
        taken.up();
        until_killed();
    });
    taken.reaches(1);
    child.kill();
    child
}

#[track_caller]
pub fn assert_died<T: std::fmt::Debug>(result: Result<T, AcquireError>, tid: u32) {
    match result {
        Err(AcquireError::OwnerDied(owner)) => assert_eq!((owner.tid(), owner.is_alive()), (tid, false)),
        other => panic!("{other:?} instead of the death of tid {tid}"),
    }
}

/// Has `workers` children do `work(number, rounds)` again and again, kills `kills` of them at random moments, each
/// time with a fresh child in its place, and then asserts that every worker goes on counting its rounds.
#[track_caller]
pub fn kill_at_random(workers: u32, kills: u32, work: impl Fn(u32, &Tally)) {
    let rounds = Shm::new([const { Tally::new() }; 8]);
    let hire = |i: usize| {
        fork(|| {
            loop {
                work(i as u32, &rounds[i]);
            }
        })
    };
    let kill = |child: &mut Child| {
        child.kill();
        let killed = child.wait_exit(SOON).and_then(|status| status.signal()) == Some(libc::SIGKILL);
        assert!(killed, "a worker ended by itself: {:?}", child.join(SOON));
    };
    let mut dice = Dice::new();
    let mut team: Vec<_> = (0..workers as usize).map(hire).collect();
    for _ in 0..kills {
        thread::sleep(Duration::from_micros(dice.below(3000)));
        let i = dice.below(workers.into()) as usize;
        kill(&mut team[i]);
        team[i] = hire(i);
    }
    for rounds in &rounds[..team.len()] {
        rounds.reaches(rounds.get() + 10);
    }
    team.iter_mut().for_each(kill);
}

/// In a child: waits for the SIGKILL that is to come.
pub fn until_killed() -> ! {
    loop {
        thread::park();
    }
}

/// Numbers for choosing whom to kill and when (xorshift).
#[derive(Debug)]
pub struct Dice(u64);

impl Dice {
    pub fn new() -> Self {
        Self(RandomState::new().build_hasher().finish() | 1)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % n
    }
}
