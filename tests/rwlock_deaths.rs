//! RwLock<T>: whoever dies is out of the way: a reader without a trace, a writer with poison.

mod support;

use std::thread;
use std::time::{Duration, Instant};

use shmsync::wait::Wait;
use shmsync::{PoisonCause, TryLockError};
use support::rwlock::*;
use support::*;

every_backend!(
    a_killed_reader_blocks_nobody,
    killed_readers_give_their_slots_back,
    a_killed_writer_poisons,
    every_form_gives_the_poisoned_guard,
    everyone_blocked_gets_the_poisoned_data,
    a_writer_killed_while_it_waits_poisons_nothing,
    a_death_is_learned_within_two_milliseconds,
    a_death_is_learned_within_a_slice,
    kills_leave_the_others_going,
    kills_leave_the_others_going_with_too_few_slots,
);

fn a_killed_reader_blocks_nobody<W: Wait>() {
    for reaped in [false, true] {
        let forms: [fn(&Pair<W>); 4] = [
            |lock| bump(&mut lock.write().unwrap()),
            |lock| bump(&mut lock.try_write().unwrap()),
            |lock| bump(&mut lock.try_write_for(Duration::ZERO).unwrap()),
            |lock| bump(&mut lock.try_write_for(SOON).unwrap()),
        ];
        for form in forms {
            let lock = shared::<W>();
            let dead = [die_reading(&lock), die_reading(&lock)];
            let _zombies = (!reaped).then_some(dead);
            drop(lock.read().unwrap());
            form(&lock);
            assert!(!lock.is_poisoned() && lock.readers().count() == 0);
            assert_eq!(*lock.read().unwrap(), [1, 1]);
        }
    }
}

fn killed_readers_give_their_slots_back<W: Wait>() {
    let forms: [fn(&Pair<W, 2>); 4] = [
        |lock| assert_whole(&lock.read().unwrap()),
        |lock| assert_whole(&lock.try_read().unwrap()),
        |lock| assert_whole(&lock.try_read_for(Duration::ZERO).unwrap()),
        |lock| assert_whole(&lock.try_read_for(SOON).unwrap()),
    ];
    for form in forms {
        let lock = Shm::new(Pair::<W, 2>::new_in([0; 2]));
        let _living = inside(|| lock.read().unwrap());
        let _zombie = die_reading(&lock);
        form(&lock);
        drop(die_reading(&lock));
        form(&lock);
    }
}

fn a_killed_writer_poisons<W: Wait>() {
    for (reaped, by_reader) in [(false, false), (false, true), (true, false), (true, true)] {
        let lock = shared::<W>();
        let dead = die_writing(&lock, |pair| pair[0] = 2);
        let pid = dead.pid();
        let _zombie = (!reaped).then_some(dead);
        if by_reader {
            let error = lock.read().unwrap_err();
            assert_eq!((culprit(error.cause()), **error.get_ref()), ((pid, true), [2, 0]));
        }
        let mut error = lock.write().unwrap_err();
        assert_eq!((culprit(error.cause()), **error.get_ref()), ((pid, true), [2, 0]));
        assert!(lock.is_poisoned());
        error.get_mut()[1] = 2;
        lock.clear_poison();
        drop(error);
        assert_eq!((reading(&lock, ms(1)), writing(&lock, ms(1))), (FREE, FREE));
        assert_whole(&lock.read().unwrap());
    }
}

fn every_form_gives_the_poisoned_guard<W: Wait>() {
    fn cause<G>(error: TryLockError<G>) -> Option<(u32, bool)> {
        match error {
            TryLockError::Poisoned(error) => Some(culprit(error.cause())),
            _ => None,
        }
    }
    type Form<W> = fn(&Pair<W>) -> Option<(u32, bool)>;
    let forms: [Form<W>; 8] = [
        |lock| lock.read().err().map(|error| culprit(error.cause())),
        |lock| lock.try_read().err().and_then(cause),
        |lock| lock.try_read_for(Duration::ZERO).err().and_then(cause),
        |lock| lock.try_read_until(Instant::now() + SOON).err().and_then(cause),
        |lock| lock.write().err().map(|error| culprit(error.cause())),
        |lock| lock.try_write().err().and_then(cause),
        |lock| lock.try_write_for(Duration::ZERO).err().and_then(cause),
        |lock| lock.try_write_until(Instant::now() + SOON).err().and_then(cause),
    ];
    for form in forms {
        let lock = shared::<W>();
        let dead = die_writing(&lock, |_| ());
        assert_eq!(form(&lock), Some((dead.pid(), true)), "while nobody has noticed the death");
        assert_eq!(form(&lock), Some((dead.pid(), true)), "once it is poisoned");
    }
}

fn everyone_blocked_gets_the_poisoned_data<W: Wait>() {
    let lock = shared::<W>();
    let mut writer = inside(|| lock.write().unwrap());
    let pid = writer.pid();
    let mut waiters: Vec<_> =
        (0..3).map(|_| blocked(|| assert_eq!(culprit(lock.read().unwrap_err().cause()), (pid, true)))).collect();
    waiters.extend((0..3).map(|_| {
        blocked(|| {
            let mut error = lock.write().unwrap_err();
            assert_eq!(culprit(error.cause()), (pid, true));
            bump(error.get_mut());
        })
    }));
    thread::sleep(SLICES); // So that they are in their longest slices.
    writer.kill();
    join(waiters);
    assert_eq!(*lock.write().unwrap_err().into_inner(), [3, 3]);
}

fn a_writer_killed_while_it_waits_poisons_nothing<W: Wait>() {
    for behind_a_reader in [true, false] {
        let (lock, leave) = (shared::<W>(), Shm::new(Tally::new()));
        let first = match behind_a_reader {
            true => inside_until(&leave, || lock.read().unwrap()),
            false => inside_until(&leave, || lock.write().unwrap()),
        };
        let mut writer = blocked(|| lock.write().unwrap()[0] = 1);
        let reader = blocked(|| drop(lock.read().unwrap()));
        writer.kill();
        if behind_a_reader {
            assert_eq!(reading(&lock, SOON), FREE, "the dead writer keeps no reader out");
            join([reader]);
            leave.up();
            join([first]);
        } else {
            leave.up();
            join([first, reader]);
        }
        assert!(!lock.is_poisoned());
        assert_eq!((reading(&lock, ms(1)), writing(&lock, ms(1))), (FREE, FREE));
        assert_eq!(*lock.read().unwrap(), [0, 0]);
    }
}

/// How long it takes from a kill until the other has learned of it: a writer of a reader's, a reader of a writer's, a
/// reader without a slot of a reader's. The killed one stays a zombie.
fn learned<W: Wait>(waited: Duration, times: usize) -> [Vec<Duration>; 3] {
    fn measure<W: Wait>(waited: Duration, first_writes: bool, second_writes: bool) -> Duration {
        let lock = Shm::new(Pair::<W, 1>::new_in([0; 2]));
        let mut first = match first_writes {
            true => inside(|| lock.write().unwrap()),
            false => inside(|| lock.read().unwrap()),
        };
        let enter = || match second_writes {
            true => drop(lock.write().unwrap()),
            false => drop(lock.read()),
        };
        until_through(waited, enter, || first.kill())
    }
    [(false, true), (true, false), (false, false)].map(|(first_writes, second_writes)| {
        // From half of `waited` to once and a half, so that the kills do not all come at the same point of a slice.
        let waits = (0..times as u32).map(|i| waited / 2 + waited * i / times as u32);
        let mut all: Vec<_> = waits.map(|waited| measure::<W>(waited, first_writes, second_writes)).collect();
        all.sort_unstable();
        all
    })
}

/// The best of some tries, for a machine that is busy with something else: as many as it takes, within half a minute.
fn learned_within<W: Wait>(limit: Duration, waited: Duration, times: usize, pick: fn(&[Duration]) -> Duration) {
    let mut best = [Duration::MAX; 3];
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(30) {
        let picked = learned::<W>(waited, times).map(|sorted| pick(&sorted));
        best = std::array::from_fn(|i| best[i].min(picked[i]));
        if best.iter().all(|&took| took <= limit) {
            println!("a kill after {waited:?} was learned of within {best:?}");
            return;
        }
    }
    panic!("after {waited:?}, a kill was learned of within {best:?} only");
}

fn a_death_is_learned_within_two_milliseconds<W: Wait>() {
    learned_within::<W>(ms(2), ms(6), 15, |sorted| sorted[sorted.len() / 2]);
}

fn a_death_is_learned_within_a_slice<W: Wait>() {
    // A slice, and the time that the kernel takes for a kill and a wake.
    learned_within::<W>(ms(110), ms(1200), 2, |sorted| sorted[sorted.len() - 1]);
}

/// Unequal numbers come with poison only.
fn survive_kills<W: Wait, const N: usize>(kills: u32) {
    let lock = Shm::new(Pair::<W, N>::new_in([0; 2]));
    kill_at_random(5, kills, |me, rounds| {
        for round in 0..4 {
            if (round + me) % 4 > 0 {
                // A poisoned one may be torn, and that is all that a reader can know.
                _ = lock.read().map(|guard| assert_whole(&guard));
                continue;
            }
            let mut guard = lock.write().unwrap_or_else(|error| {
                let mut guard = error.into_inner();
                guard[1] = guard[0];
                lock.clear_poison();
                guard
            });
            assert_whole(&guard);
            bump(&mut guard);
        }
        rounds.up();
    });
    // Nothing is left of the dead.
    if let Err(error) = lock.write() {
        assert!(matches!(error.cause(), PoisonCause::Died(_)));
        lock.clear_poison();
    }
    assert_eq!(lock.readers().count(), 0);
    assert_eq!((reading(&lock, ms(1)), writing(&lock, ms(1))), (FREE, FREE));
}

fn kills_leave_the_others_going<W: Wait>() {
    survive_kills::<W, 16>(80);
}

fn kills_leave_the_others_going_with_too_few_slots<W: Wait>() {
    survive_kills::<W, 2>(80);
}
