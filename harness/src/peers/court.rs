//! A court for ping-pong: two signals with the ball beside each, or a monitor with one ball under its lock.
//!
//! The ball lies next to the signal that announces it, on the same cache line where the signal leaves room, as a user
//! would place it: a message that costs one more line transfer would hide half of what is measured.
//! It is written and read with plain loads and stores: only the signal orders them, so a signal that comes too early
//! shows an old number.
#![allow(unsafe_code)]

use super::{MonitorPeer, Peer, Place, RallyPeer};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// One-way: somebody raises it, the one on the other side awaits it.
pub trait Signal: Peer {
    /// Lets the waiting side through, now or when it comes.
    fn raise(&self);

    /// Waits until it was raised, and lowers it.
    fn await_and_lower(&self);
}

/// Two signals, one for each side.
#[repr(C)]
#[derive(Debug)]
pub struct Court<S> {
    to: [Half<S>; 2],
}

#[repr(C, align(128))] // A line each, and the neighbour that the prefetcher brings along.
#[derive(Debug)]
struct Half<S> {
    signal: S,
    ball: AtomicU64,
}

impl<S: Signal> Peer for Court<S> {
    const PLACE: Place = S::PLACE;

    fn name() -> String {
        S::name()
    }

    fn new(size: u32) -> Self {
        Self { to: [(); 2].map(|()| Half { signal: S::new(size), ball: AtomicU64::new(0) }) }
    }

    unsafe fn init(&self, size: u32) {
        for half in &self.to {
            // SAFETY: the caller's promise for the whole is one for its parts.
            unsafe { half.signal.init(size) };
        }
    }
}

impl<S: Signal> RallyPeer for Court<S> {
    #[inline]
    fn hit(&self, side: usize, number: u64) {
        if number > 0 {
            let mine = &self.to[side];
            mine.signal.await_and_lower();
            check(mine.ball.load(Relaxed), number);
        }
        let theirs = &self.to[1 - side];
        theirs.ball.store(number + 1, Relaxed);
        theirs.signal.raise();
    }
}

/// A monitor whose condition is whose turn it is.
#[repr(C, align(128))]
#[derive(Debug)]
pub struct MonitorCourt<M> {
    monitor: M,
    ball: AtomicU64,
}

impl<M: MonitorPeer> Peer for MonitorCourt<M> {
    const PLACE: Place = M::PLACE;

    fn name() -> String {
        M::name()
    }

    fn new(size: u32) -> Self {
        Self { monitor: M::new(size), ball: AtomicU64::new(0) }
    }

    unsafe fn init(&self, size: u32) {
        // SAFETY: the caller's promise for the whole is one for its parts.
        unsafe { self.monitor.init(size) };
    }
}

impl<M: MonitorPeer> RallyPeer for MonitorCourt<M> {
    #[inline]
    fn hit(&self, side: usize, number: u64) {
        let my_turn = || self.ball.load(Relaxed) % 2 == side as u64;
        self.monitor.exchange(my_turn, || {
            check(self.ball.load(Relaxed), number);
            self.ball.store(number + 1, Relaxed);
        });
    }
}

#[inline]
fn check(found: u64, expected: u64) {
    assert!(found == expected, "a signal without its message: the ball bears {found}, not {expected}");
}
