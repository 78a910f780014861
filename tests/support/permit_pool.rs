//! Permit pools: taking one or all of the permits, and knowing a dead one's.

use std::mem;
use std::time::Duration;

use shmsync::wait::Wait;
use shmsync::{Permit, PermitPool};

use super::*;

pub const fn us(n: u64) -> Duration {
    Duration::from_micros(n)
}

pub fn shared<const N: usize, W: Wait>() -> Shm<PermitPool<N, W>> {
    Shm::new(PermitPool::new_in())
}

/// Takes a permit and never gives it back, as long as the calling thread lives.
pub fn keep<const N: usize, W: Wait>(pool: &PermitPool<N, W>) -> usize {
    let permit = pool.try_acquire().unwrap();
    let index = permit.index();
    mem::forget(permit);
    index
}

/// The permit is one that a dead `tid` held.
#[track_caller]
pub fn assert_reclaimed<const N: usize, W: Wait>(permit: &Permit<'_, N, W>, tid: u32) {
    let dead = permit.reclaimed().map(|owner| (owner.tid(), owner.is_alive()));
    assert_eq!(dead, Some((tid, false)));
}

/// Takes all permits of a pool in which nobody else who lives has one.
#[track_caller]
pub fn take_all<const N: usize, W: Wait>(pool: &PermitPool<N, W>) -> Vec<Permit<'_, N, W>> {
    let all: Vec<_> = (0..N).map(|i| pool.try_acquire().unwrap_or_else(|e| panic!("permit {i} of {N}: {e}"))).collect();
    let mut indices: Vec<_> = all.iter().map(Permit::index).collect();
    indices.sort_unstable();
    assert!(indices.into_iter().eq(0..N));
    assert_eq!(pool.available(), 0);
    all
}
