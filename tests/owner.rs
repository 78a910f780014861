//! Owner: which thread, and whether it lives. Dead means proven dead, and nothing proven is missed.

mod support;

use std::thread;

use shmsync::Lock;
use support::holder::*;
use support::*;

/// Test names in the style of the other files, without backends: an owner has none.
macro_rules! tests {
    ($($test:ident),+ $(,)?) => {
        mod owner {
            $(
                #[test]
                fn $test() {
                    $crate::support::watched(stringify!($test), super::$test);
                }
            )+
        }
    };
}

tests!(
    the_caller_lives,
    it_looks_like_a_thread_id,
    a_living_child_lives,
    a_stopped_child_lives,
    a_zombie_is_dead,
    a_reaped_child_is_dead,
    who_is_reaped_during_a_look_stays_dead,
    a_living_thread_lives_and_a_finished_one_is_dead,
    a_thread_outlives_its_processs_first_thread,
    a_child_sees_its_parent,
    owners_of_one_thread_are_equal,
    a_forked_child_is_another_owner,
    a_grandchild_after_threads_is_named_right,
);

fn the_caller_lives() {
    let lock = Lock::new();
    lock.acquire().unwrap();
    let owner = owner_in(&lock);
    assert_eq!((owner.tid(), owner.is_alive()), (gettid(), true));
    lock.release().unwrap();
    assert!(owner.is_alive(), "holding nothing is not being dead");
}

fn it_looks_like_a_thread_id() {
    let lock = Lock::new();
    lock.acquire().unwrap();
    assert_eq!(owner_in(&lock).to_string(), format!("tid {}", gettid()));
    assert!(format!("{:?}", owner_in(&lock)).contains(&gettid().to_string()));
}

fn a_living_child_lives() {
    let lock = Shm::new(Lock::new());
    let child = holder(&lock);
    let owner = owner_in(&lock);
    assert_eq!((owner.tid(), owner.is_alive()), (child.pid(), true));
}

fn a_stopped_child_lives() {
    let lock = Shm::new(Lock::new());
    let mut child = holder(&lock);
    child.stop();
    assert_eq!(state(child.pid()), 'T');
    assert!(owner_in(&lock).is_alive());
    child.resume();
    assert!(owner_in(&lock).is_alive());
}

fn a_zombie_is_dead() {
    let lock = Shm::new(Lock::new());
    let mut child = holder(&lock);
    child.kill();
    assert_eq!(state(child.pid()), 'Z');
    let owner = owner_in(&lock);
    assert_eq!((owner.tid(), owner.is_alive()), (child.pid(), false));
}

fn a_reaped_child_is_dead() {
    let lock = Shm::new(Lock::new());
    drop(holder(&lock));
    assert!(!owner_in(&lock).is_alive());
    // So is one that ended by itself.
    lock.release().unwrap();
    join([fork(|| lock.acquire().unwrap())]);
    assert!(!owner_in(&lock).is_alive());
}

/// A look at somebody dead takes several questions, and the child may be waited for between two of them.
fn who_is_reaped_during_a_look_stays_dead() {
    for _ in 0..200 {
        let lock = Shm::new(Lock::new());
        let mut child = holder(&lock);
        let owner = owner_in(&lock);
        let asked = Tally::new();
        child.kill();
        thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..20 {
                    assert!(!owner.is_alive(), "dead, and then alive");
                    asked.up();
                }
            });
            asked.reaches(2);
            drop(child);
        });
    }
}

fn a_living_thread_lives_and_a_finished_one_is_dead() {
    let lock = Lock::new();
    let (held, go) = (Tally::new(), Tally::new());
    let owner = thread::scope(|scope| {
        scope.spawn(|| {
            lock.acquire().unwrap();
            held.up();
            go.reaches(1);
        });
        held.reaches(1);
        let owner = owner_in(&lock);
        assert!(owner.is_alive());
        assert_ne!(owner.tid(), gettid());
        go.up();
        owner
    });
    // It is joined before the kernel has put it away.
    eventually("the thread is gone", || (!owner.is_alive()).then_some(()).ok_or_else(|| owner.to_string()));
}

/// The first thread of a process may end before others: the process is no zombie then, though its `/proc` says so.
fn a_thread_outlives_its_processs_first_thread() {
    let (lock, other) = (Shm::new(Lock::new()), Shm::new(Lock::new()));
    let held = Shm::new(Tally::new());
    let child = fork(|| {
        other.acquire().unwrap();
        thread::scope(|scope| {
            scope.spawn(|| {
                lock.acquire().unwrap();
                held.up();
                until_killed();
            });
            held.reaches(1);
            // SAFETY: ends this thread only. Its stack stays, so what the other borrows stays.
            unsafe { libc::syscall(libc::SYS_exit, 0) };
        });
    });
    held.reaches(1);
    eventually("the first thread is gone", || match state(child.pid()) {
        'Z' => Ok(()),
        state => Err(state.to_string()),
    });
    assert!(owner_in(&lock).is_alive(), "its own thread runs");
    assert!(!owner_in(&other).is_alive(), "that thread is gone for good");
    let owner = owner_in(&lock);
    drop(child);
    assert!(!owner.is_alive());
}

fn a_child_sees_its_parent() {
    let lock = Shm::new(Lock::new());
    lock.acquire().unwrap();
    let parent = gettid();
    join([fork(|| assert_eq!((owner_in(&lock).tid(), owner_in(&lock).is_alive()), (parent, true)))]);
}

fn owners_of_one_thread_are_equal() {
    let (one, two) = (Lock::new(), Lock::new());
    one.acquire().unwrap();
    for cpu in 0..4 {
        pin_to(cpu); // The CPU is in the word, but not in the owner.
        two.acquire().unwrap();
        assert_eq!(owner_in(&one), owner_in(&two));
        two.release().unwrap();
    }
    thread::scope(|scope| _ = scope.spawn(|| two.acquire().unwrap()));
    assert_ne!(owner_in(&one), owner_in(&two));
}

fn a_forked_child_is_another_owner() {
    let lock = Shm::new(Lock::new());
    lock.acquire().unwrap();
    let parent = owner_in(&lock);
    lock.release().unwrap();
    join([fork(|| {
        lock.acquire().unwrap();
        assert_ne!(owner_in(&lock), parent);
        assert_eq!(owner_in(&lock).tid(), std::process::id());
    })]);
}

/// Fork, thread, fork: in every one the cached identity is made anew.
fn a_grandchild_after_threads_is_named_right() {
    let lock = Shm::new(Lock::new());
    let named_right = || {
        lock.acquire().unwrap();
        let owner = owner_in(&lock);
        assert_eq!((owner.tid(), owner.is_alive()), (gettid(), true));
        lock.release().unwrap();
    };
    named_right();
    join([fork(|| {
        named_right();
        thread::scope(|scope| {
            scope.spawn(|| {
                named_right();
                join([fork(named_right)]);
                named_right();
            });
        });
        named_right();
    })]);
}
