//! The fast paths: each verb while nobody else is about, in a loop of any length, called as a user's crate calls it.
//!
//! `ci/instructions.sh` counts their instructions, `cargo bench` times them. (The workloads measure the pairs again,
//! beside their peers and with all the care that a comparison takes.)
#![allow(unsafe_code)]

use crate::peers::{LockPeer, PlMutex, PthreadMutex, PthreadRobust, Sem, StdMutex, TwoAtomics};
use crate::region::Region;
use shmsync::wait::{Futex, KernelRobust, PosixSem, Wait};
use shmsync::{Barrier, BoundedSemaphore, Condition, Event, Lock, Mutex};
use shmsync::{Once, OnceCell, PermitPool, RLock, RwLock, Semaphore};
use std::fmt;
use std::hint::black_box;
use std::time::Duration;

/// Runs a fast path as often as it is told.
pub type Loop = Box<dyn Fn(u64)>;

/// A fast path, and what it takes to run it.
pub struct FastPath {
    /// The type, the verbs, the backend.
    pub name: String,
    prepare: Box<dyn Fn() -> Loop>,
}

impl FastPath {
    /// Makes what the verbs are called on, in shared memory of its own.
    #[must_use]
    pub fn prepare(&self) -> Loop {
        (self.prepare)()
    }

    fn new<T: 'static>(name: String, fresh: fn() -> T, verbs: impl Fn(&T) + Copy + 'static) -> Self {
        Self::looped(name, fresh, move |it, times| (0..times).for_each(|_| verbs(it)))
    }

    /// For a verb that needs something done before the loop, and undone behind it.
    fn looped<T: 'static>(name: String, fresh: fn() -> T, run: impl Fn(&T, u64) + Copy + 'static) -> Self {
        let prepare = move || -> Loop {
            let it = Region::new(fresh()).expect("memory");
            Box::new(move |times| run(&it, times))
        };
        Self { name, prepare: Box::new(prepare) }
    }

    fn peer<P: LockPeer + 'static>() -> Self {
        let prepare = || -> Loop {
            let it = Region::new(P::new(1)).expect("memory");
            // SAFETY: it stays where it is, and nobody else knows of it.
            unsafe { it.init(1) };
            Box::new(move |times| (0..times).for_each(|_| it.with(|| ())))
        };
        Self { name: P::name(), prepare: Box::new(prepare) }
    }
}

impl fmt::Debug for FastPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FastPath").field(&self.name).finish()
    }
}

/// All of them, the peers last. The first is the loop alone, which is part of all the others.
#[must_use]
pub fn all() -> Vec<FastPath> {
    let nothing = FastPath::new("the loop alone".into(), || (), |()| black_box(()));
    let mut all = vec![nothing];
    all.extend(owned::<Futex>("Futex"));
    all.extend(counted::<Futex>("Futex"));
    all.extend(met::<Futex>("Futex"));
    all.extend(owned::<KernelRobust>("KernelRobust"));
    all.extend(owned::<PosixSem>("PosixSem"));
    all.extend(counted::<PosixSem>("PosixSem"));
    all.extend(met::<PosixSem>("PosixSem"));
    all.extend([FastPath::peer::<TwoAtomics>(), FastPath::peer::<Sem>(), FastPath::peer::<PthreadMutex>()]);
    all.extend([FastPath::peer::<PthreadRobust>(), FastPath::peer::<StdMutex>(), FastPath::peer::<PlMutex>()]);
    all
}

/// What has a holder in its word.
fn owned<W: Wait>(backend: &str) -> Vec<FastPath> {
    let name = |verbs: &str| format!("{verbs} ({backend})");
    vec![
        FastPath::new(name("Lock acquire, release"), Lock::<W>::new_in, |lock| {
            lock.acquire().unwrap();
            lock.release().unwrap();
        }),
        FastPath::new(name("Lock try_acquire, release"), Lock::<W>::new_in, |lock| {
            lock.try_acquire().unwrap();
            lock.release().unwrap();
        }),
        FastPath::new(name("Lock acquire_for, release"), Lock::<W>::new_in, |lock| {
            lock.acquire_for(Duration::from_secs(1)).unwrap();
            lock.release().unwrap();
        }),
        FastPath::new(name("Lock guard"), Lock::<W>::new_in, |lock| drop(lock.lock().unwrap())),
        FastPath::new(name("Mutex guard"), || Mutex::<u64, W>::new_in(0), |mutex| *mutex.lock().unwrap() += 1),
        FastPath::new(name("RLock acquire, release"), RLock::<W>::new_in, |lock| {
            lock.acquire().unwrap();
            lock.release().unwrap();
        }),
        FastPath::looped(name("RLock acquire, release, nested"), RLock::<W>::new_in, |lock, times| {
            let _outer = lock.lock().unwrap();
            for _ in 0..times {
                lock.acquire().unwrap();
                lock.release().unwrap();
            }
        }),
    ]
}

/// What is held by several.
fn counted<W: Wait>(backend: &str) -> Vec<FastPath> {
    let name = |verbs: &str| format!("{verbs} ({backend})");
    vec![
        FastPath::new(
            name("Semaphore acquire, release"),
            || Semaphore::<W>::new_in(1),
            |semaphore| {
                semaphore.acquire().unwrap();
                semaphore.release().unwrap();
            },
        ),
        FastPath::new(
            name("BoundedSemaphore acquire, release"),
            || BoundedSemaphore::<W>::new_in(1),
            |semaphore| {
                semaphore.acquire().unwrap();
                semaphore.release().unwrap();
            },
        ),
        FastPath::new(name("PermitPool permit"), PermitPool::<8, W>::new_in, |pool| drop(pool.acquire().unwrap())),
        FastPath::new(
            name("RwLock read guard"),
            || RwLock::<u64, 8, W>::new_in(1),
            |lock| {
                assert_eq!(*lock.read().unwrap(), 1);
            },
        ),
        FastPath::new(
            name("RwLock write guard"),
            || RwLock::<u64, 8, W>::new_in(1),
            |lock| {
                *lock.write().unwrap() += 1;
            },
        ),
    ]
}

/// What is waited for.
fn met<W: Wait>(backend: &str) -> Vec<FastPath> {
    let name = |verbs: &str| format!("{verbs} ({backend})");
    let set = || {
        let event = Event::<W>::new_in();
        event.set();
        event
    };
    let done = || {
        let once = Once::<W>::new_in();
        once.call_once(|| ());
        once
    };
    let full = || {
        let cell = OnceCell::<u64, W>::new_in();
        cell.set(1).unwrap();
        cell
    };
    vec![
        FastPath::new(name("Event is_set"), set, |event| assert!(event.is_set())),
        FastPath::new(name("Event set, when set"), set, |event| event.set()),
        FastPath::new(name("Event wait, when set"), set, |event| event.wait()),
        FastPath::new(name("Condition notify_one, nobody waits"), Condition::<W>::new_in, |condition| {
            condition.notify_one();
        }),
        FastPath::new(
            name("Barrier wait of one party"),
            || Barrier::<W>::new_in(1),
            |barrier| {
                barrier.wait().unwrap();
            },
        ),
        FastPath::new(name("Once call_once, when done"), done, |once| once.call_once(|| unreachable!())),
        FastPath::new(name("OnceCell get, when set"), full, |cell| assert_eq!(cell.get(), Some(&1))),
    ]
}
