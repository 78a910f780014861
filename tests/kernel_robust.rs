//! KernelRobust: the kernel's notice of a death, beside glibc's own robust mutexes, and its hazards.

mod shm_support;
mod support;

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use shm_support::{in_child, own_mounts};
use shmsync::wait::KernelRobust;
use shmsync::{AcquireError, Lock, Mutex, PoisonCause, RLock, ReleaseError};
use support::namespaces::*;
use support::*;

type Robust = Lock<KernelRobust>;

fn robust() -> Robust {
    Lock::new_in()
}

/// Whether the kernel looks after what a thread holds. Where it does not, slices do, and these tests have nothing to see.
fn kernel_looks() -> bool {
    let (mut head, mut size) = (0_usize, 0_usize);
    // SAFETY: the kernel writes a pointer and a size, of the calling thread's list.
    let answers = unsafe { libc::syscall(libc::SYS_get_robust_list, 0, &raw mut head, &raw mut size) } == 0;
    let looks = answers && cfg!(all(target_env = "gnu", target_pointer_width = "64"));
    if !looks {
        eprintln!("skipped: no robust list of the common form (32 bits, musl, or qemu)");
    }
    looks
}

/// glibc's.
struct Glibc(std::cell::UnsafeCell<libc::pthread_mutex_t>);

// SAFETY: it synchronizes by itself.
unsafe impl Sync for Glibc {}
// SAFETY: made in place, in shared memory, and not moved after.
unsafe impl Send for Glibc {}

impl Glibc {
    const fn new() -> Self {
        Self(std::cell::UnsafeCell::new(libc::PTHREAD_MUTEX_INITIALIZER))
    }

    fn make(&self) {
        // SAFETY: nobody has locked it yet.
        unsafe {
            let mut kind: libc::pthread_mutexattr_t = std::mem::zeroed();
            libc::pthread_mutexattr_init(&raw mut kind);
            libc::pthread_mutexattr_setpshared(&raw mut kind, libc::PTHREAD_PROCESS_SHARED);
            libc::pthread_mutexattr_setrobust(&raw mut kind, libc::PTHREAD_MUTEX_ROBUST);
            assert_eq!(libc::pthread_mutex_init(self.0.get(), &raw const kind), 0);
        }
    }

    fn lock(&self) -> i32 {
        // SAFETY: it was made.
        unsafe { libc::pthread_mutex_lock(self.0.get()) }
    }

    fn unlock(&self) {
        // SAFETY: it was made.
        assert_eq!(unsafe { libc::pthread_mutex_unlock(self.0.get()) }, 0);
    }

    fn repair(&self) {
        // SAFETY: it was made, and is held by a thread that got EOWNERDEAD.
        assert_eq!(unsafe { libc::pthread_mutex_consistent(self.0.get()) }, 0);
        self.unlock();
    }
}

/// Both kinds held in every order, with releases in between; then killed, and all of both kinds are reported.
#[test]
fn both_kinds_in_one_list_survive_a_kill() {
    watched("both_kinds_in_one_list_survive_a_kill", || {
        if !kernel_looks() {
            return;
        }
        let shared = Shm::new(([robust(), robust(), robust()], [Glibc::new(), Glibc::new(), Glibc::new()]));
        let (ours, theirs) = &*shared;
        theirs.iter().for_each(Glibc::make);
        for order in 0..60_u32 {
            let dead = die_after(|| {
                let mut random = order;
                for step in 0..40 {
                    random = random.wrapping_mul(1_103_515_245).wrapping_add(12_345);
                    let i = (random >> 16) as usize % 3;
                    if step % 2 == 0 {
                        if ours[i].holder().is_some() { ours[i].release().unwrap() } else { ours[i].acquire().unwrap() }
                    } else if step % 4 == 1 {
                        assert_eq!(theirs[i].lock(), 0);
                        theirs[i].unlock();
                    }
                }
                for i in 0..3 {
                    if ours[i].holder().is_none() {
                        ours[i].acquire().unwrap();
                    }
                    assert_eq!(theirs[(i + order as usize) % 3].lock(), 0);
                }
            });
            for lock in ours {
                // Marked by the kernel, before anybody asked.
                assert!(format!("{lock:?}").contains("died"), "{lock:?}");
                assert_died(lock.acquire(), dead.pid());
                lock.recover().unwrap();
                lock.release().unwrap();
            }
            for mutex in theirs {
                assert_eq!(mutex.lock(), libc::EOWNERDEAD);
                mutex.repair();
            }
        }
    });
}

/// In a list that was left whole, the sleeper is woken by the kernel and not by the end of its slice: asked of a waiter
/// whose slices have grown to 100 ms.
#[test]
fn a_sleeper_is_told_at_once() {
    watched("a_sleeper_is_told_at_once", || {
        if !kernel_looks() {
            return;
        }
        let lock = Shm::new(robust());
        let mut fastest = Duration::MAX;
        for _ in 0..5 {
            let taken = Shm::new(Tally::new());
            let mut holder = fork(|| {
                lock.acquire().unwrap();
                taken.up();
                until_killed();
            });
            taken.reaches(1);
            thread::scope(|scope| {
                let waiter = scope.spawn(|| {
                    let result = lock.acquire();
                    (result, Instant::now())
                });
                thread::sleep(ms(900));
                let killed = Instant::now();
                holder.kill();
                let (result, learned) = waiter.join().unwrap();
                assert_died(result, holder.pid());
                fastest = fastest.min(learned.saturating_duration_since(killed));
            });
            lock.recover().unwrap();
            lock.release().unwrap();
        }
        assert!(fastest < ms(10), "the fastest of five took {fastest:?}");
    });
}

/// Who takes over from the dead has had time for what a thread must do once: its part of the robust list is made before it
/// sleeps, even if it never held anything.
#[test]
fn a_sleeper_has_its_list_already() {
    let is_linked = || {
        let (mut head, mut size) = (std::ptr::null_mut::<usize>(), 0_usize);
        // SAFETY: the kernel writes both, for the calling thread.
        let result = unsafe { libc::syscall(libc::SYS_get_robust_list, 0, &raw mut head, &raw mut size) };
        assert_eq!(result, 0);
        // SAFETY: what glibc registered for this thread: its first word is the first entry, or the head itself.
        unsafe { *head != head.addr() }
    };
    if !kernel_looks() {
        return;
    }
    watched("a_sleeper_has_its_list_already", || {
        let lock = robust();
        lock.acquire().unwrap();
        thread::scope(|scope| {
            scope.spawn(|| {
                assert!(!is_linked());
                assert_eq!(lock.try_acquire(), Err(AcquireError::WouldBlock));
                assert!(!is_linked(), "who does not wait has nothing to prepare");
                assert_eq!(lock.acquire_for(ms(5)), Err(AcquireError::TimedOut));
                assert!(is_linked());
            });
        });
        lock.release().unwrap();
    });
}

#[test]
fn only_the_holder_releases() {
    watched("only_the_holder_releases", || {
        let lock = robust();
        assert_eq!(lock.release(), Err(ReleaseError::NotLocked));
        lock.acquire().unwrap();
        let me = lock.holder();
        thread::scope(|scope| {
            scope.spawn(|| assert_eq!(lock.release(), Err(ReleaseError::NotOwner(me))));
        });
        lock.disown();
        assert_eq!(lock.holder(), me, "a node that is linked cannot be given away");
        lock.release().unwrap();
    });
}

/// The kernel walks no further, the slices do; and holding many in any order of release breaks no list.
#[test]
fn more_than_the_kernel_looks_after() {
    watched("more_than_the_kernel_looks_after", || {
        if !kernel_looks() {
            return;
        }
        let locks: Shm<[Robust; 700]> = Shm::new([const { Lock::new_in() }; 700]);
        let dead = die_after(|| {
            locks.iter().for_each(|lock| lock.acquire().unwrap());
            locks.iter().step_by(3).for_each(|lock| lock.release().unwrap());
            locks.iter().step_by(3).for_each(|lock| lock.acquire().unwrap());
        });
        let marked = locks.iter().filter(|lock| format!("{lock:?}").contains("died")).count();
        assert!((512..700).contains(&marked), "{marked} marked by the kernel");
        locks.iter().for_each(|lock| assert_died(lock.acquire_for(ms(500)), dead.pid()));
    });
}

/// The thread's row of fences grows while it holds much, with mutexes of glibc's before, in between and behind. The kernel
/// gets to all that is held, and nothing is left in the list of what is not.
#[test]
fn the_list_grows_with_what_is_held() {
    watched("the_list_grows_with_what_is_held", || {
        if !kernel_looks() {
            return;
        }
        const MANY: usize = 200;
        let shared = Shm::new(([const { Robust::new_in() }; MANY], [const { Glibc::new() }; MANY / 10 + 1]));
        let (ours, theirs) = &*shared;
        theirs.iter().for_each(Glibc::make);
        for kept in [1, 2, 7] {
            let dead = die_after(|| {
                assert_eq!(theirs[MANY / 10].lock(), 0, "before there is a row");
                for (i, lock) in ours.iter().enumerate() {
                    lock.acquire().unwrap();
                    if i % 10 == 9 {
                        assert_eq!(theirs[i / 10].lock(), 0);
                    }
                }
                let released = ours.iter().enumerate().filter(|(i, _)| i % kept != 0);
                released.for_each(|(_, lock)| lock.release().unwrap());
                theirs.iter().step_by(3).for_each(Glibc::unlock);
            });
            for (i, lock) in ours.iter().enumerate() {
                let marked = format!("{lock:?}").contains("died");
                assert_eq!(marked, i % kept == 0, "{i} of every {kept}");
                if marked {
                    assert_died(lock.acquire(), dead.pid());
                    lock.recover().unwrap();
                    lock.release().unwrap();
                }
            }
            for (i, mutex) in theirs.iter().enumerate() {
                let free = i % 3 == 0;
                assert_eq!(mutex.lock(), if free { 0 } else { libc::EOWNERDEAD }, "{i}");
                if free { mutex.unlock() } else { mutex.repair() }
            }
        }
    });
}

/// A thread's end is a death; and its successor in the same memory starts with a list of its own.
#[test]
fn a_thread_that_ends_is_dead() {
    watched("a_thread_that_ends_is_dead", || {
        let (lock, mutex, rlock) = (robust(), Mutex::<u32, KernelRobust>::new_in(7), RLock::<KernelRobust>::new_in());
        for _ in 0..50 {
            thread::scope(|scope| {
                scope.spawn(|| {
                    lock.acquire().unwrap();
                    rlock.acquire().unwrap();
                    rlock.acquire().unwrap();
                    std::mem::forget(mutex.lock().unwrap());
                });
            });
            assert!(matches!(lock.acquire(), Err(AcquireError::OwnerDied(_))));
            assert!(matches!(rlock.acquire(), Err(AcquireError::OwnerDied(_))));
            let poisoned = mutex.lock().unwrap_err();
            assert!(matches!(poisoned.cause(), PoisonCause::Died(_)));
            mutex.clear_poison();
            drop(poisoned);
            lock.recover().unwrap();
            lock.release().unwrap();
            rlock.recover().unwrap();
            assert_eq!(rlock.depth(), 1);
            rlock.release().unwrap();
        }
    });
}

/// What the kernel leaves of a word: no thread id, the mark.
fn mark(lock: &Robust) {
    // SAFETY: the word is the first eight bytes, and every access to it is atomic.
    let word = unsafe { AtomicU64::from_ptr(std::ptr::from_ref(lock).cast_mut().cast()) };
    word.store(word.load(Ordering::Relaxed) & !0x3fff_ffff | 0x4000_0000, Ordering::Relaxed);
}

/// A thread of another PID namespace with the same id can make the kernel mark a living holder, but not before it has
/// held the lock. Until then a mark is believed without a look at the holder; from then on it is taken back.
#[test]
fn a_wrong_mark_is_taken_back() {
    watched("a_wrong_mark_is_taken_back", || {
        [false, true].into_iter().for_each(a_wrong_mark_is_taken_back_in_order);
    });
}

fn a_wrong_mark_is_taken_back_in_order(ours_first: bool) {
    let shared = Shm::new(([robust(), robust()], Tally::new()));
    let ([visited, other], visits) = &*shared;
    if ours_first {
        visited.acquire().unwrap();
        visited.release().unwrap();
    }
    in_child(|| {
        own_mounts();
        let nested = Nested::new(|| {
            visited.acquire().unwrap();
            visited.release().unwrap();
            visits.up();
        });
        nested.join();
    });
    visited.acquire().unwrap();
    other.acquire().unwrap();
    let holder = visited.holder();
    mark(visited);
    mark(other);
    thread::scope(|scope| {
        let another = scope.spawn(|| {
            if visits.get() > 0 {
                assert_eq!(visited.try_acquire(), Err(AcquireError::WouldBlock));
                assert_eq!(visited.holder(), holder);
            }
            assert!(matches!(other.try_acquire(), Err(AcquireError::OwnerDied(owner)) if Some(owner) == holder));
        });
        another.join().unwrap(); // ThreadSanitizer sees a join, and not how std's scope ends
    });
    if visits.get() > 0 {
        visited.release().unwrap();
    }
    other.recover().unwrap();
    other.release().unwrap();
}

/// `exec` ends what a program holds: the new one has neither the guard nor the mapping.
#[test]
fn who_becomes_another_program_has_left() {
    watched("who_becomes_another_program_has_left", || {
        if !kernel_looks() {
            return;
        }
        let lock = Shm::new(robust());
        let mut child = fork(|| {
            lock.acquire().unwrap();
            let arguments = [c"sleep".as_ptr(), c"60".as_ptr(), std::ptr::null()];
            // SAFETY: strings that end in NUL, and a list of them that ends in a null pointer.
            unsafe { libc::execvp(arguments[0], arguments.as_ptr()) };
            panic!("no sleep: {}", std::io::Error::last_os_error());
        });
        eventually("the lock is the dead one's", || match lock.acquire_for(ms(1)) {
            Err(AcquireError::OwnerDied(owner)) if owner.tid() == child.pid() => Ok(()),
            Ok(()) => {
                lock.release().unwrap();
                Err(String::from("free"))
            }
            other => Err(format!("{other:?}")),
        });
        assert!(!matches!(state(child.pid()), 'Z' | 'X'), "it lives");
        lock.recover().unwrap();
        lock.release().unwrap();
        child.kill();
    });
}

/// A forked child has its parent's record, and must not work on its parent's list.
#[test]
fn a_forked_child_has_a_list_of_its_own() {
    watched("a_forked_child_has_a_list_of_its_own", || {
        let shared = Shm::new((robust(), robust()));
        let (parents, childs) = &*shared;
        parents.acquire().unwrap();
        let dead = die_after(|| {
            assert!(matches!(parents.release(), Err(ReleaseError::NotOwner(_))));
            childs.acquire().unwrap();
        });
        assert_died(childs.acquire(), dead.pid());
        assert_eq!(parents.holder().map(|owner| owner.tid()), Some(gettid()));
        parents.release().unwrap();
    });
}

/// A link outlives what it was for: the word was scribbled over, or its region is gone and another is in its place.
#[test]
fn a_link_of_old_is_no_right_to_what_another_holds() {
    watched("a_link_of_old_is_no_right_to_what_another_holds", || {
        fn reset<T>(lock: &T) {
            // SAFETY: the word is its first eight bytes, and every access to it is atomic.
            let word = unsafe { AtomicU64::from_ptr(std::ptr::from_ref(lock).cast_mut().cast()) };
            word.store(0, Ordering::Relaxed);
        }
        let shared = Shm::new((robust(), RLock::<KernelRobust>::new_in()));
        let (lock, rlock) = &*shared;
        lock.acquire().unwrap();
        rlock.acquire().unwrap();
        reset(lock);
        reset(rlock);
        let held = Shm::new(Tally::new());
        let child = fork(|| {
            lock.acquire().unwrap();
            rlock.acquire().unwrap();
            held.up();
            until_killed();
        });
        held.reaches(1);
        assert!(matches!(lock.release(), Err(ReleaseError::NotOwner(Some(owner))) if owner.tid() == child.pid()));
        assert_eq!(rlock.acquire_for(Duration::from_millis(10)), Err(AcquireError::TimedOut));
        assert!(rlock.release().is_err());
        for holder in [lock.holder(), rlock.holder()] {
            assert_eq!(holder.map(|owner| owner.tid()), Some(child.pid()));
        }
    });
}

/// Hand over hand, and then nested: there is room again when all is released, and the kernel finds what is not.
#[test]
fn hand_over_hand_for_longer_than_the_list() {
    watched("hand_over_hand_for_longer_than_the_list", || {
        let locks: Shm<[Robust; 3]> = Shm::new([const { Lock::new_in() }; 3]);
        let dead = die_after(|| {
            locks[0].acquire().unwrap();
            for step in 0..2000 {
                locks[(step + 1) % 3].acquire().unwrap();
                locks[step % 3].release().unwrap();
            }
            for at in 0..2 {
                locks[at].acquire().unwrap();
            }
        });
        for lock in &*locks {
            assert_died(lock.acquire(), dead.pid());
        }
    });
}
