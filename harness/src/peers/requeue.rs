//! Prototypes of a condition that moves its waiters to its lock (`FUTEX_CMP_REQUEUE`) where others wake them all: limits
//! to compare with, not rivals. Nobody is looked after: whoever sleeps when another is killed may sleep for ever.
//!
//! The lock is the usual futex of three states: 0 free, 1 held, 2 held and somebody may sleep. What differs is who is
//! woken when. With [`OneByOne`] a pass through the lock wakes one, at its end: the next is woken when the last is done.
//! With [`Eagerly`] every unlock wakes one, also that of a waiter which has passed and waits again, as parking_lot's does
//! while anybody is queued. So more are woken than have passed, and both ends of the queue move at once.
#![allow(unsafe_code)]

use super::{MonitorPeer, Notify, Peer};
use std::marker::PhantomData;
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};

const FREE: u32 = 0;
const HELD: u32 = 1;
const SLEEPERS: u32 = 2;

/// Which unlock wakes a sleeper.
pub trait Waking: Sync {
    /// What the prototype is called.
    const NAME: &'static str;
    /// What a lock that was free becomes.
    const TAKEN: u32;
}

/// That of who had to wait for the lock.
#[derive(Debug)]
pub struct OneByOne;

impl Waking for OneByOne {
    const NAME: &'static str = "requeue prototype, one by one";
    const TAKEN: u32 = HELD;
}

/// Every one. (A mutex for other uses would not make that system call for nobody.)
#[derive(Debug)]
pub struct Eagerly;

impl Waking for Eagerly {
    const NAME: &'static str = "requeue prototype, eagerly";
    const TAKEN: u32 = SLEEPERS;
}

/// A lock and a condition.
#[derive(Debug)]
pub struct RequeueMonitor<W: Waking> {
    lock: AtomicU32,
    notifications: AtomicU32,
    waking: PhantomData<W>,
}

impl<W: Waking> Peer for RequeueMonitor<W> {
    fn name() -> String {
        String::from(W::NAME)
    }

    fn new(_size: u32) -> Self {
        Self { lock: AtomicU32::new(FREE), notifications: AtomicU32::new(0), waking: PhantomData }
    }
}

impl<W: Waking> RequeueMonitor<W> {
    fn lock(&self) {
        if self.lock.compare_exchange(FREE, W::TAKEN, Ordering::Acquire, Ordering::Relaxed).is_err() {
            self.lock_after_waiting();
        }
    }

    /// Whoever has slept cannot know whether others do.
    fn lock_after_waiting(&self) {
        while self.lock.swap(SLEEPERS, Ordering::Acquire) != FREE {
            sleep(&self.lock, SLEEPERS);
        }
    }

    fn unlock(&self) {
        if self.lock.swap(FREE, Ordering::Release) == SLEEPERS {
            wake_one(&self.lock);
        }
    }

    fn wait(&self) {
        let seen = self.notifications.load(Ordering::Relaxed);
        self.unlock();
        sleep(&self.notifications, seen);
        self.lock_after_waiting();
    }

    /// Wakes one and moves the others to the lock, whose next holder is that one, or somebody who wakes it.
    fn notify_all(&self) {
        let mut now = self.notifications.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        while !requeue(&self.notifications, now, &self.lock) {
            now = self.notifications.load(Ordering::Relaxed);
        }
    }
}

impl<W: Waking> MonitorPeer for RequeueMonitor<W> {
    #[inline]
    fn wait_until(&self, arrive: impl FnOnce(), mut ready: impl FnMut() -> bool, leave: impl FnOnce()) {
        self.lock();
        arrive();
        while !ready() {
            self.wait();
        }
        leave();
        self.unlock();
    }

    #[inline]
    fn broadcast(&self, change: impl FnOnce(), when: Notify) {
        self.lock();
        change();
        if when == Notify::AfterUnlock {
            self.unlock();
            return self.notify_all();
        }
        self.notify_all();
        self.unlock();
    }

    #[inline]
    fn exchange(&self, mut ready: impl FnMut() -> bool, change: impl FnOnce()) {
        self.lock();
        while !ready() {
            self.wait();
        }
        change();
        self.notifications.fetch_add(1, Ordering::Relaxed);
        wake_one(&self.notifications);
        self.unlock();
    }
}

/// Sleeps while `word` is `value`, or for no reason.
fn sleep(word: &AtomicU32, value: u32) {
    // SAFETY: the kernel reads the word, which outlives the call; there is no timeout to read.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAIT, value, ptr::null::<libc::timespec>()) };
}

fn wake_one(word: &AtomicU32) {
    // SAFETY: it touches no memory.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, 1) };
}

/// Wakes one who sleeps on `from` and has all others sleep on `to`; `false` if `from` is not `value` any more.
fn requeue(from: &AtomicU32, value: u32, to: &AtomicU32) -> bool {
    let all = libc::c_long::from(i32::MAX);
    // SAFETY: the kernel reads `from`, and touches no other memory; both outlive the call.
    let moved =
        unsafe { libc::syscall(libc::SYS_futex, from.as_ptr(), libc::FUTEX_CMP_REQUEUE, 1, all, to.as_ptr(), value) };
    moved >= 0
}
