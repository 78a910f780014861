//! PermitPool: whatever a dead one held comes back.

mod support;

use std::mem;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use shmsync::wait::Wait;
use shmsync::{AcquireError, Permit, PermitPool};
use support::permit_pool::*;
use support::*;

every_backend!(
    the_next_acquirer_gets_a_killed_holders_permit,
    a_repairer_that_dies_is_the_next_dead_holder,
    who_cleans_up_gets_the_deads_permits_and_no_others,
    all_permits_of_the_dead_are_there_at_once,
    one_dead_holder_among_many_living_ones,
    a_thread_that_ended_is_a_dead_holder,
    a_stopped_holder_keeps_its_permit,
    a_blocked_one_learns_of_a_death_in_time,
    everyone_blocked_gets_a_dead_holders_permit,
    a_storm_loses_nothing,
);

fn the_next_acquirer_gets_a_killed_holders_permit<W: Wait>() {
    type Verb<W> = fn(&PermitPool<3, W>) -> Result<Permit<'_, 3, W>, AcquireError>;
    let verbs: [Verb<W>; 5] = [
        |pool| pool.try_acquire(),
        |pool| pool.acquire(),
        |pool| pool.acquire_for(us(100)),
        |pool| pool.acquire_for(SOON),
        |pool| pool.acquire_interruptible(None),
    ];
    for verb in verbs {
        for reap in [false, true] {
            let (pool, index) = (shared::<3, W>(), Shm::new(Tally::new()));
            let mut zombie = Some(die_after(|| index.set(keep(&pool) as u32)));
            let pid = zombie.as_ref().unwrap().pid();
            if reap {
                zombie = None;
            }
            assert_eq!(pool.available(), 2, "a dead holder's is not free yet");
            let free: Vec<_> = (0..2).map(|_| pool.acquire().unwrap()).collect();
            assert!(free.iter().all(|permit| permit.reclaimed().is_none()));
            let permit = verb(&pool).unwrap();
            assert_reclaimed(&permit, pid);
            assert_eq!(permit.index(), index.get() as usize);
            assert_eq!(pool.try_acquire().unwrap_err(), AcquireError::WouldBlock);
            drop(permit);
            assert_eq!(pool.acquire().unwrap().reclaimed(), None, "it is told once");
            drop(zombie);
            thread::sleep(ms(2)); // The next pool has the same address, and who polled believes itself for 1 ms.
        }
    }
}

fn a_repairer_that_dies_is_the_next_dead_holder<W: Wait>() {
    let pool = shared::<1, W>();
    let first = die_after(|| _ = keep(&pool));
    let second = die_after(|| {
        let permit = pool.acquire().unwrap();
        assert_reclaimed(&permit, first.pid());
        mem::forget(permit);
    });
    assert_reclaimed(&pool.acquire().unwrap(), second.pid());
}

fn who_cleans_up_gets_the_deads_permits_and_no_others<W: Wait>() {
    let pool = shared::<40, W>();
    assert_eq!(pool.recover().unwrap_err(), AcquireError::WouldBlock);
    let mine = pool.acquire().unwrap();
    let kept = Shm::new(Tally::new());
    let mut living = fork(|| {
        keep(&pool);
        kept.up();
        until_killed();
    });
    kept.reaches(1);
    let dead = [(); 3].map(|()| die_after(|| _ = keep(&pool)));
    let mut found: Vec<_> = std::iter::from_fn(|| pool.recover().ok()).collect();
    found.sort_unstable_by_key(|permit| permit.reclaimed().map(|owner| owner.tid()));
    let mut pids = dead.each_ref().map(Child::pid);
    pids.sort_unstable();
    assert_eq!(found.len(), 3);
    found.iter().zip(pids).for_each(|(permit, pid)| assert_reclaimed(permit, pid));
    assert_eq!(pool.available(), 35);
    drop(found);
    assert_eq!(pool.available(), 38);
    living.kill();
    assert_reclaimed(&pool.recover().unwrap(), living.pid());
    drop(mine);

    // And its end wakes who waits.
    let pool = shared::<1, W>();
    let dead = die_after(|| _ = keep(&pool));
    let permit = pool.recover().unwrap();
    assert_reclaimed(&permit, dead.pid());
    let mut waiter = fork(|| drop(pool.acquire_for(SOON).unwrap()));
    asleep(waiter.pid());
    drop(permit);
    assert!(timed(|| waiter.join(SOON).unwrap()).1 < SOON / 2);
}

fn all_permits_of_the_dead_are_there_at_once<W: Wait>() {
    fn of<const N: usize, W: Wait>() {
        for holders in [1, 3] {
            let pool = shared::<N, W>();
            let dead: Vec<_> =
                (0..holders).map(|i| die_after(|| (i..N).step_by(holders).for_each(|_| _ = keep(&pool)))).collect();
            assert_eq!(pool.available(), 0);
            assert_eq!(pool.holders().count(), N);
            let all = take_all(&pool);
            for permit in &all {
                let tid = permit.reclaimed().expect("it was a dead one's").tid();
                assert!(dead.iter().any(|child| child.pid() == tid));
            }
            drop(all);
            assert!(take_all(&pool).iter().all(|permit| permit.reclaimed().is_none()));
        }
    }
    of::<1, W>();
    of::<3, W>();
    of::<64, W>();
    of::<1024, W>();
}

/// One killed among N − 1 who live, each of them another thread: by polling and by waiting.
fn one_dead_holder_among_many_living_ones<W: Wait>() {
    const N: usize = 64;
    let (pool, end) = (shared::<N, W>(), Tally::new());
    let held = Tally::new();
    thread::scope(|scope| {
        for _ in 1..N {
            scope.spawn(|| {
                let _permit = pool.acquire().unwrap();
                held.up();
                end.reaches(1);
            });
        }
        held.reaches(N as u32 - 1);
        for poll in [true, false] {
            let dead = die_after(|| _ = keep(&pool));
            let permit = if poll {
                eventually("found by polling", || pool.try_acquire().map_err(|e| e.to_string()))
            } else {
                pool.acquire_for(SOON).unwrap()
            };
            assert_reclaimed(&permit, dead.pid());
        }
        assert_eq!(pool.available(), 1);
        end.up();
    });
    assert_eq!(pool.available(), N);
}

fn a_thread_that_ended_is_a_dead_holder<W: Wait>() {
    let pool = PermitPool::<3, W>::new_in();
    let (index, tid) = thread::scope(|scope| scope.spawn(|| (keep(&pool), gettid())).join().unwrap());
    let _others = [keep(&pool), keep(&pool)];
    // Its id goes away a moment after it was joined: this waits as long as it takes.
    let permit = pool.acquire().unwrap();
    assert_eq!(permit.index(), index);
    assert_reclaimed(&permit, tid);
}

fn a_stopped_holder_keeps_its_permit<W: Wait>() {
    let (pool, held) = (shared::<1, W>(), Shm::new(Tally::new()));
    let mut child = fork(|| {
        keep(&pool);
        held.up();
        until_killed();
    });
    held.reaches(1);
    child.stop();
    assert_eq!(pool.try_acquire().unwrap_err(), AcquireError::WouldBlock);
    assert_eq!(pool.acquire_for(SLICES).unwrap_err(), AcquireError::TimedOut);
    child.resume();
    child.kill();
    assert_reclaimed(&pool.acquire().unwrap(), child.pid());
}

/// Time from the kill of a holder to the waiter's permit, the waiter having waited for `waited`.
fn notice<W: Wait>(waited: Duration) -> Duration {
    let (pool, held, about) = (shared::<1, W>(), Shm::new(Tally::new()), Shm::new(Tally::new()));
    let got = Shm::new(AtomicU64::new(0));
    let clock = Instant::now();
    let mut holder = fork(|| {
        keep(&pool);
        held.up();
        until_killed();
    });
    held.reaches(1);
    let pid = holder.pid();
    let waiter = fork(|| {
        about.up();
        let permit = pool.acquire().unwrap();
        got.store(clock.elapsed().as_nanos() as u64, Relaxed);
        assert_reclaimed(&permit, pid);
    });
    about.reaches(1);
    asleep(waiter.pid());
    thread::sleep(waited);
    holder.signal(libc::SIGKILL);
    let killed = clock.elapsed();
    holder.kill(); // Waits for the death.
    join([waiter]);
    Duration::from_nanos(got.load(Relaxed)).saturating_sub(killed)
}

fn a_blocked_one_learns_of_a_death_in_time<W: Wait>() {
    let mut soon: Vec<_> = (0..15).map(|i| notice::<W>(us(500 * i))).collect();
    soon.sort_unstable();
    // The bounds are the promise's, 2 and 100 ms; the rest is for a machine that is busy with other tests.
    assert!(soon[7] < ms(2) + ms(10), "{soon:?}");
    let mut late: Vec<_> = (0..3).map(|_| notice::<W>(ms(400))).collect();
    late.sort_unstable();
    assert!(late[1] < ms(100) + ms(30), "{late:?}");
    eprintln!("noticed after {:?} (median), {:?} (longest); having waited long {late:?}", soon[7], soon[14]);
}

fn everyone_blocked_gets_a_dead_holders_permit<W: Wait>() {
    let (pool, about, got) = (shared::<8, W>(), Shm::new(Tally::new()), Shm::new(Tally::new()));
    let held = Shm::new(Tally::new());
    let mut holder = fork(|| {
        (0..8).for_each(|_| _ = keep(&pool));
        held.up();
        until_killed();
    });
    held.reaches(1);
    let waiters = team(8, |_| {
        about.up();
        let permit = pool.acquire().unwrap();
        assert!(permit.reclaimed().is_some());
        got.up();
        got.reaches(8);
    });
    about.reaches(8);
    waiters.iter().for_each(|waiter| asleep(waiter.pid()));
    holder.kill();
    let ((), took) = timed(|| join(waiters));
    assert!(took < Duration::from_secs(2), "it took {took:?}");
    assert_eq!(pool.available(), 8);
}

/// Workers are killed at random moments, also in the middle of taking, using and giving back.
fn a_storm_loses_nothing<W: Wait>() {
    fn of<const N: usize, W: Wait>(kills: u32) {
        struct World<const N: usize, W: Wait> {
            pool: PermitPool<N, W>,
            left: [Naked; N],
            right: [Naked; N],
        }
        let world = Shm::new(World::<N, W> {
            pool: PermitPool::new_in(),
            left: [const { Naked::new() }; N],
            right: [const { Naked::new() }; N],
        });
        let reclaimed = Shm::new(Tally::new());
        // Some hold several, some give up: no more than there are, or they would wait for each other for ever.
        kill_at_random(4, kills, |i, rounds| {
            let (permits, timed) = match i % 4 {
                0 if N > 8 => (vec![world.pool.acquire().unwrap(), world.pool.acquire().unwrap()], false),
                1 => (world.pool.acquire_for(us(200)).into_iter().collect(), true),
                2 => (world.pool.try_acquire().into_iter().collect(), true),
                _ => (vec![world.pool.acquire().unwrap()], false),
            };
            assert!(timed || !permits.is_empty());
            for permit in &permits {
                let (left, right) = (&world.left[permit.index()], &world.right[permit.index()]);
                // SAFETY: the permit is this index's only one.
                unsafe {
                    if permit.reclaimed().is_some() {
                        reclaimed.up();
                        right.set(left.get());
                    }
                    assert_eq!(left.get(), right.get(), "torn, and nobody said so");
                    left.bump();
                    right.bump();
                }
            }
            rounds.up();
        });
        // Everybody is dead by now.
        drop(take_all(&world.pool));
        assert_eq!(world.pool.available(), N);
        assert!(N > 3 || reclaimed.get() > 0, "no kill has hit a holder");
    }
    of::<1, W>(60);
    of::<3, W>(60);
    of::<64, W>(30);
    of::<1024, W>(15);
}
