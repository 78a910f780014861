//! PermitPool: every index has one holder, who is known by name and alone gives it back.

mod support;

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use shmsync::wait::Wait;
use shmsync::{AcquireError, Owner, Permit, PermitPool};
use support::permit_pool::*;
use support::*;
use zerocopy::FromBytes;

every_backend!(
    gives_out_each_index_once,
    errors_change_nothing,
    names_its_holders,
    a_permit_unwinds,
    debug_does_not_block,
    nobody_shares_an_index,
    nobody_shares_the_only_one,
    what_was_taken_over_is_not_freed_twice,
    a_forked_child_releases_nothing,
    any_bytes_are_a_pool,
);

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
