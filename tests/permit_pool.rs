//! PermitPool: every index has one holder, and whatever a dead one held comes back.

mod support;

use std::mem;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use shmsync::wait::Wait;
use shmsync::{AcquireError, Owner, Permit, PermitPool};
use support::*;
use zerocopy::FromBytes;

every_backend!(
    gives_out_each_index_once,
    errors_change_nothing,
    names_its_holders,
    a_permit_unwinds,
    debug_does_not_block,
    timed_verbs_keep_time,
    a_blocked_one_gets_it,
    many_wait_for_many,
    nobody_shares_an_index,
    nobody_shares_the_only_one,
    the_next_acquirer_gets_a_killed_holders_permit,
    a_repairer_that_dies_is_the_next_dead_holder,
    all_permits_of_the_dead_are_there_at_once,
    one_dead_holder_among_many_living_ones,
    a_thread_that_ended_is_a_dead_holder,
    a_stopped_holder_keeps_its_permit,
    what_was_taken_over_is_not_freed_twice,
    a_forked_child_releases_nothing,
    a_blocked_one_learns_of_a_death_in_time,
    everyone_blocked_gets_a_dead_holders_permit,
    killed_waiters_swallow_nothing,
    a_storm_loses_nothing,
    signals_end_only_interruptible_waits,
    any_bytes_are_a_pool,
);

const fn us(n: u64) -> Duration {
    Duration::from_micros(n)
}

fn shared<const N: usize, W: Wait>() -> Shm<PermitPool<N, W>> {
    Shm::new(PermitPool::new_in())
}

/// Takes a permit and never gives it back, as long as the calling thread lives.
fn keep<const N: usize, W: Wait>(pool: &PermitPool<N, W>) -> usize {
    let permit = pool.try_acquire().unwrap();
    let index = permit.index();
    mem::forget(permit);
    index
}

/// The permit is one that a dead `tid` held.
#[track_caller]
fn assert_reclaimed<const N: usize, W: Wait>(permit: &Permit<'_, N, W>, tid: u32) {
    let dead = permit.reclaimed().map(|owner| (owner.tid(), owner.is_alive()));
    assert_eq!(dead, Some((tid, false)));
}

/// Takes all permits of a pool in which nobody else who lives has one.
#[track_caller]
fn take_all<const N: usize, W: Wait>(pool: &PermitPool<N, W>) -> Vec<Permit<'_, N, W>> {
    let all: Vec<_> = (0..N).map(|i| pool.try_acquire().unwrap_or_else(|e| panic!("permit {i} of {N}: {e}"))).collect();
    let mut indices: Vec<_> = all.iter().map(Permit::index).collect();
    indices.sort_unstable();
    assert!(indices.into_iter().eq(0..N));
    assert_eq!(pool.available(), 0);
    all
}

fn gives_out_each_index_once<W: Wait>() {
    fn of<const N: usize, W: Wait>() {
        let pool = PermitPool::<N, W>::new_in();
        for _ in 0..3 {
            assert_eq!((pool.available(), pool.capacity()), (N, N));
            let all = take_all(&pool);
            assert!(all.iter().all(|permit| permit.reclaimed().is_none()));
            assert_eq!(pool.try_acquire().unwrap_err(), AcquireError::WouldBlock);
            drop(all);
        }
        // In any order of giving back.
        let mut all = take_all(&pool);
        for i in 0..N {
            drop(all.swap_remove(i * 7919 % all.len()));
            assert_eq!(pool.available(), i + 1);
        }
    }
    of::<1, W>();
    of::<3, W>();
    of::<64, W>();
    of::<1024, W>();
}

fn errors_change_nothing<W: Wait>() {
    let pool = PermitPool::<2, W>::new_in();
    let held = (pool.acquire().unwrap(), pool.acquire_for(SOON).unwrap());
    assert_eq!(pool.try_acquire().unwrap_err(), AcquireError::WouldBlock);
    assert_eq!(pool.acquire_for(Duration::ZERO).unwrap_err(), AcquireError::TimedOut);
    assert_eq!(pool.acquire_for(ms(1)).unwrap_err(), AcquireError::TimedOut);
    assert_eq!(pool.acquire_until(Instant::now()).unwrap_err(), AcquireError::TimedOut);
    assert_eq!(pool.acquire_interruptible(Some(ms(1))).unwrap_err(), AcquireError::TimedOut);
    assert_eq!(pool.available(), 0);
    drop(held);
    assert_eq!(pool.available(), 2);
    // Patience is not asked for when there is no need.
    drop(pool.acquire_for(Duration::ZERO).unwrap());
    drop(pool.acquire_until(Instant::now()).unwrap());
    drop(pool.acquire_interruptible(None).unwrap());
    assert_eq!(pool.available(), 2);
}

fn names_its_holders<W: Wait>() {
    let pool = shared::<3, W>();
    assert_eq!(pool.holders().count(), 0);
    let mine = pool.acquire().unwrap();
    assert_eq!(pool.holder(mine.index()).as_ref().map(Owner::tid), Some(gettid()));
    let (held, done) = (Shm::new(Tally::new()), Shm::new(Tally::new()));
    let child = fork(|| {
        let _theirs = pool.acquire().unwrap();
        held.up();
        done.reaches(1);
    });
    held.reaches(1);
    let mut tids: Vec<_> = pool.holders().map(|(_, owner)| owner.tid()).collect();
    let mut expected = vec![gettid(), child.pid()];
    tids.sort_unstable();
    expected.sort_unstable();
    assert_eq!(tids, expected);
    assert!(pool.holders().all(|(index, owner)| pool.holder(index) == Some(owner) && owner.is_alive()));
    done.up();
    join([child]);
    assert_eq!(pool.holders().map(|(index, _)| index).collect::<Vec<_>>(), [mine.index()]);
}

fn a_permit_unwinds<W: Wait>() {
    let pool = PermitPool::<1, W>::new_in();
    let unwound = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _permit = pool.acquire().unwrap();
        std::panic::resume_unwind(Box::new(()));
    }));
    assert!(unwound.is_err());
    assert!(pool.try_acquire().is_ok());
}

fn debug_does_not_block<W: Wait>() {
    let pool = PermitPool::<64, W>::new_in();
    let permit = pool.acquire().unwrap();
    let shown = format!("{pool:?} {permit:?}");
    assert!(shown.contains("63") && shown.contains("64") && shown.contains(&permit.index().to_string()), "{shown}");
}

fn timed_verbs_keep_time<W: Wait>() {
    let pool = PermitPool::<1, W>::new_in();
    let _held = pool.acquire().unwrap();
    for timeout in [us(100), ms(3), ms(40)] {
        keeps_time(timeout, |timeout| assert!(pool.acquire_for(timeout).is_err()));
        keeps_time(timeout, |timeout| assert!(pool.acquire_until(Instant::now() + timeout).is_err()));
    }
}

fn a_blocked_one_gets_it<W: Wait>() {
    let (pool, about, got) = (shared::<3, W>(), Shm::new(Tally::new()), Shm::new(Tally::new()));
    let mut held = take_all(&pool);
    let waiters = team(4, |_| {
        about.up();
        let permit = pool.acquire().unwrap();
        assert_eq!(permit.reclaimed(), None);
        got.up();
        got.reaches(3);
    });
    about.reaches(4);
    waiters.iter().for_each(|waiter| asleep(waiter.pid()));
    got.stays(0, SLICES);
    for i in 1..=3 {
        drop(held.pop());
        got.reaches(i);
    }
    join(waiters);
    assert_eq!((pool.available(), got.get()), (3, 4));
}

/// All give back at once: nobody may be left asleep, nor have to wait for the end of a slice.
fn many_wait_for_many<W: Wait>() {
    let mut took = Vec::new();
    for _ in 0..20 {
        let (pool, about, got) = (shared::<8, W>(), Shm::new(Tally::new()), Shm::new(Tally::new()));
        let held = take_all(&pool);
        let waiters = team(8, |_| {
            about.up();
            let _permit = pool.acquire().unwrap();
            got.up();
            got.reaches(8);
        });
        about.reaches(8);
        waiters.iter().for_each(|waiter| asleep(waiter.pid()));
        let ((), time) = timed(|| {
            drop(held);
            join(waiters);
        });
        took.push(time);
        assert_eq!(pool.available(), 8);
    }
    took.sort_unstable();
    assert!(took[10] < ms(60), "{took:?}");
}

/// A pool with one unprotected counter per index.
struct Places<const N: usize, W: Wait> {
    pool: PermitPool<N, W>,
    used: [Naked; N],
    rounds: AtomicU64,
}

impl<const N: usize, W: Wait> Places<N, W> {
    fn new() -> Shm<Self> {
        Shm::new(Self { pool: PermitPool::new_in(), used: [const { Naked::new() }; N], rounds: AtomicU64::new(0) })
    }

    /// Uses the place that the permit stands for, which nobody else does.
    fn use_up(&self, permit: &Permit<'_, N, W>) {
        // SAFETY: the permit is this place's only one.
        unsafe { self.used[permit.index()].bump() };
        self.rounds.fetch_add(1, Relaxed);
    }

    fn bumps(&self) -> u64 {
        // SAFETY: only called when all others are done.
        self.used.iter().map(|used| unsafe { used.get() }).sum()
    }
}

fn stress<const N: usize, W: Wait>(rounds: u32) {
    let places = Places::<N, W>::new();
    join(team(8, |i| {
        for round in 0..rounds {
            let permit = match (i + round) % 4 {
                0 => places.pool.acquire_for(SOON).unwrap(),
                1 => match places.pool.acquire_for(us(30)) {
                    Ok(permit) => permit,
                    Err(error) => {
                        assert_eq!(error, AcquireError::TimedOut);
                        continue;
                    }
                },
                2 => match places.pool.try_acquire() {
                    Ok(permit) => permit,
                    Err(error) => {
                        assert_eq!(error, AcquireError::WouldBlock);
                        continue;
                    }
                },
                _ => places.pool.acquire().unwrap(),
            };
            assert_eq!(permit.reclaimed(), None, "everybody lives");
            places.use_up(&permit);
            if round % 16 == 0 {
                thread::yield_now();
            }
        }
    }));
    assert_eq!(places.bumps(), places.rounds.load(Relaxed));
    assert!(places.bumps() >= u64::from(rounds) * 8 / 2);
    drop(take_all(&places.pool));
}

fn nobody_shares_an_index<W: Wait>() {
    stress::<3, W>(2_000);
    stress::<64, W>(4_000);
    stress::<1024, W>(4_000);
}

fn nobody_shares_the_only_one<W: Wait>() {
    stress::<1, W>(2_000);
}

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

/// A pool as bytes and as a pool, for doing to it what no verb does.
fn slots_of<const N: usize, W: Wait>(pool: &PermitPool<N, W>) -> &[AtomicU64; N] {
    let end = std::ptr::from_ref(pool).addr() + size_of_val(pool);
    let slots = std::ptr::from_ref(pool).cast::<u8>().wrapping_add(size_of_val(pool) - size_of::<[AtomicU64; N]>());
    assert_eq!(slots.addr() + 8 * N, end);
    // SAFETY: the last field of the `repr(C)` struct is this array, which ends where the struct does.
    unsafe { &*slots.cast() }
}

fn what_was_taken_over_is_not_freed_twice<W: Wait>() {
    let pool = shared::<1, W>();
    let permit = pool.acquire().unwrap();
    // As if somebody had found this thread dead, and taken the permit.
    slots_of(&pool)[0].store(u64::from(std::process::id()) ^ 0x55, Relaxed);
    drop(permit);
    assert_eq!(pool.available(), 0);
}

fn a_forked_child_releases_nothing<W: Wait>() {
    let pool = shared::<2, W>();
    let permit = pool.acquire().unwrap();
    join([fork(|| {
        // SAFETY: a bitwise copy, as the fork itself made one; it is dropped once in this process.
        drop(unsafe { std::ptr::read(&permit) });
        assert_eq!(pool.available(), 1);
        let own = pool.try_acquire().unwrap();
        assert_ne!(own.index(), permit.index());
        assert_eq!(pool.holder(own.index()).as_ref().map(Owner::tid), Some(gettid()));
    })]);
    assert_eq!(pool.available(), 1);
    drop(permit);
    assert_eq!(pool.available(), 2);
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

fn killed_waiters_swallow_nothing<W: Wait>() {
    let (pool, about, got) = (shared::<2, W>(), Shm::new(Tally::new()), Shm::new(Tally::new()));
    let held = take_all(&pool);
    let waiters = |n| {
        let before = about.get();
        let team = team(n, |_| {
            about.up();
            let _permit = pool.acquire().unwrap();
            got.up();
            got.reaches(2);
        });
        about.reaches(before + n);
        team.iter().for_each(|waiter| asleep(waiter.pid()));
        team
    };
    let mut dead = waiters(4);
    let living = waiters(2);
    dead.iter_mut().for_each(Child::kill);
    drop(held);
    join(living);
    assert_eq!(got.get(), 2);
    drop(take_all(&pool));
    // What is known of the waiters heals. (A `PosixSem` forgets those that were killed after half a second.)
    eventually("healed", || {
        drop(pool.acquire().unwrap());
        let shown = format!("{:?}", *pool);
        if shown.contains("waited_for: false") { Ok(()) } else { Err(shown) }
    });
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

fn signals_end_only_interruptible_waits<W: Wait>() {
    let (pool, handled, done) = (shared::<1, W>(), Shm::new(Tally::new()), Shm::new(Tally::new()));
    let held = pool.acquire().unwrap();
    let child = fork(|| {
        count_signals_in(&handled, libc::SA_RESTART);
        let interrupted = pool.acquire_interruptible(None).map(|permit| permit.index());
        assert_eq!(interrupted, Err(AcquireError::Interrupted));
        done.up();
        drop(pool.acquire().unwrap());
    });
    handled.reaches(1);
    pester(&child, &handled, || done.get() == 1);
    let before = handled.get();
    pester(&child, &handled, || handled.get() >= before + 20);
    assert_eq!(state(child.pid()), 'S', "acquire goes on");
    drop(held);
    join([child]);
}

/// Whatever bytes are found: no verb panics, and all that do not wait for ever return.
fn any_bytes_are_a_pool<W: Wait>() {
    fn of<const N: usize, W: Wait>(dice: &mut Dice) {
        let size = size_of::<PermitPool<N, W>>();
        let mut bytes: Vec<u8> = match dice.below(4) {
            0 => vec![0xff; size],
            1 => (0..size).map(|_| if dice.below(8) == 0 { dice.below(256) as u8 } else { 0 }).collect(),
            _ => (0..size).map(|_| dice.below(256) as u8).collect(),
        };
        // The backend's own bytes are its own tests' business: glibc aborts the process on a scribbled `sem_t`.
        bytes[8..8 + size_of::<W>()].fill(0);
        let pool = PermitPool::<N, W>::read_from_bytes(&bytes).unwrap();
        assert!(pool.available() <= N);
        assert!(pool.holders().count() <= N);
        assert!(format!("{pool:?}").contains(&N.to_string()));
        let mut held = Vec::new();
        held.extend(pool.try_acquire());
        held.extend(pool.acquire_for(us(50)));
        held.extend(pool.acquire_for(Duration::ZERO));
        held.extend(pool.acquire_until(Instant::now() + us(20)));
        held.extend(pool.acquire_interruptible(Some(ms(2))));
        for permit in held {
            assert_eq!(pool.holder(permit.index()).as_ref().map(Owner::tid), Some(gettid()));
            let _ = permit.reclaimed();
        }
        drop(pool.try_acquire());
    }
    let mut dice = Dice::new();
    for _ in 0..100 {
        of::<1, W>(&mut dice);
        of::<3, W>(&mut dice);
        of::<64, W>(&mut dice);
    }
    of::<1024, W>(&mut dice);
    let zeroes = [0_u8; size_of::<PermitPool<3>>()];
    drop(take_all(&PermitPool::<3>::read_from_bytes(&zeroes).unwrap()));
}
