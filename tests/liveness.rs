//! Liveness where it is hard to see: each case is made for real, and nobody who lives is ever called dead.
//!
//! What needs a namespace of its own is done in a child that makes one, as root or in a user namespace; where the
//! machine allows neither, the test prints why it did nothing.

mod shm_support;
mod support;

use std::path::Path;
use std::{fs, thread};

use shm_support::{become_nobody, in_child, is_root, own_mounts};
use shmsync::{AcquireError, Lock};
use support::holder::*;
use support::namespaces::*;
use support::*;

macro_rules! tests {
    ($($test:ident),+ $(,)?) => {
        mod liveness {
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
    a_holder_in_a_nested_pid_namespace_is_never_called_dead,
    a_holder_outside_of_the_pid_namespace_is_never_called_dead,
    the_proc_of_another_pid_namespace_proves_nothing,
    nor_does_one_where_the_own_id_happens_to_be_the_same,
    who_is_hidden_lives_until_its_id_is_gone,
    without_proc_only_an_id_that_is_gone_is_proof,
    who_took_it_without_proc_is_never_called_dead,
    without_a_descriptor_to_spare_only_an_id_that_is_gone_is_proof,
    a_process_whose_first_thread_ended_still_finds_out,
    a_process_with_an_unreadable_name_still_finds_out,
    a_process_with_the_id_of_a_dead_holder_does_not_keep_its_lock,
    a_thread_with_the_id_of_a_dead_holder_does_not_keep_its_lock,
    who_has_asked_before_learns_that_the_id_is_anothers,
);

fn a_holder_in_a_nested_pid_namespace_is_never_called_dead() {
    let (lock, step) = (Shm::new(Lock::new()), Shm::new(Tally::new()));
    in_child(|| {
        own_mounts();
        let _nested = Nested::new(|| {
            let mut inner = holder(&lock);
            step.set(1);
            step.reaches(2);
            inner.kill();
            drop(inner);
            step.set(3);
            until_killed();
        });
        step.reaches(1);
        assert_lives(&lock);
        step.set(2);
        step.reaches(3);
        assert_lives(&lock); // It does not, and its id is nobody's; but nothing proves that here.
    });
}

fn a_holder_outside_of_the_pid_namespace_is_never_called_dead() {
    let lock = Shm::new(Lock::new());
    in_child(|| {
        lock.acquire().unwrap();
        let id = gettid();
        own_mounts();
        let nested = Nested::new(|| {
            mount_proc(c"");
            // SAFETY: signal 0 only asks.
            assert_eq!(unsafe { libc::kill(id as i32, 0) }, -1, "in here its id is nobody's");
            assert_lives(&lock);
            next_id_is(id);
            let other = fork(|| until_killed());
            assert_eq!(other.pid(), id, "in here its id is somebody else's");
            assert_lives(&lock);
        });
        nested.join();
    });
}

fn the_proc_of_another_pid_namespace_proves_nothing() {
    let lock = Shm::new(Lock::new());
    in_child(|| {
        let outer = gettid();
        own_mounts();
        thread::sleep(ms(50)); // So that those inside start later.
        let nested = Nested::new(|| {
            next_id_is(outer);
            let mut child = holder(&lock);
            assert_eq!(child.pid(), outer, "what /proc shows under its id is somebody else");
            assert_lives(&lock);
            child.kill();
            assert_lives(&lock); // A zombie, but nobody can tell.
            drop(child);
            assert_dead(&lock);
        });
        nested.join();
    });
}

/// The id alone would take the /proc outside for the own one.
fn nor_does_one_where_the_own_id_happens_to_be_the_same() {
    const AGAIN: i32 = 7;
    let lock = Shm::new(Lock::new());
    in_child(|| {
        own_mounts();
        let nested = Nested::new(|| {
            lock.acquire().unwrap();
            assert_eq!(gettid(), 1, "what /proc shows under its id is another first process");
            let outer = Shm::new(Tally::new());
            let id_outside = || fs::read_link("/proc/self").unwrap().to_str().unwrap().parse::<u32>().unwrap();
            for _ in 0..2000 {
                join([fork(|| outer.set(id_outside()))]);
                next_id_is(outer.get() + 1);
                let mut asker = fork(|| {
                    if id_outside() != std::process::id() {
                        // SAFETY: always allowed.
                        unsafe { libc::_exit(AGAIN) };
                    }
                    assert_lives(&lock);
                });
                if asker.wait_exit(SOON).and_then(|status| status.code()) != Some(AGAIN) {
                    return join([asker]);
                }
            }
            panic!("skip: processes start so fast here that no id could be foretold");
        });
        nested.join();
    });
}

fn who_is_hidden_lives_until_its_id_is_gone() {
    let (locks, step) = (Shm::new([Lock::new(), Lock::new()]), Shm::new(Tally::new()));
    in_child(|| {
        assert!(is_root(), "skip: only root can become another user");
        let (living, mut killed) = (holder(&locks[0]), holder(&locks[1]));
        killed.kill();
        let asker = fork(|| {
            own_mounts();
            mount_proc(c"hidepid=2");
            become_nobody();
            assert!(!Path::new("/proc").join(living.pid().to_string()).exists(), "it is hidden");
            assert_lives(&locks[0]);
            assert_lives(&locks[1]); // A zombie, but nobody can tell.
            step.set(1);
            step.reaches(2);
            assert_dead(&locks[1]);
        });
        eventually("asked", || if step.get() > 0 || state(asker.pid()) == 'Z' { Ok(()) } else { Err("not".into()) });
        drop(killed);
        step.set(2);
        join([asker]);
    });
}

fn without_proc_only_an_id_that_is_gone_is_proof() {
    let locks = Shm::new([Lock::new(), Lock::new()]);
    in_child(|| {
        let (_living, mut killed) = (holder(&locks[0]), holder(&locks[1]));
        killed.kill();
        assert!(!owner_in(&locks[1]).is_alive());
        own_mounts();
        hide_proc();
        assert_lives(&locks[0]);
        assert_lives(&locks[1]);
        drop(killed);
        assert_dead(&locks[1]);
    });
}

fn who_took_it_without_proc_is_never_called_dead() {
    let (mine, lock) = (Shm::new(Lock::new()), Shm::new(Lock::new()));
    in_child(|| {
        mine.acquire().unwrap();
        let prepare = || {
            own_mounts();
            hide_proc();
            assert_lives(&mine);
        };
        let mut child = holder_after(prepare, &lock);
        assert_lives(&lock);
        child.kill();
        assert_lives(&lock);
        drop(child);
        assert_lives(&lock);
    });
}

fn without_a_descriptor_to_spare_only_an_id_that_is_gone_is_proof() {
    let locks = Shm::new([Lock::new(), Lock::new()]);
    in_child(|| {
        let (_living, mut killed) = (holder(&locks[0]), holder(&locks[1]));
        killed.kill();
        assert!(!owner_in(&locks[1]).is_alive());
        let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: reads the limits.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &none) }, 0);
        assert!(fs::File::open("/proc/self/stat").is_err());
        assert_lives(&locks[0]);
        assert_lives(&locks[1]);
        drop(killed);
        assert_dead(&locks[1]);
    });
}

fn a_process_whose_first_thread_ended_still_finds_out() {
    let locks = Shm::new([Lock::new(), Lock::new()]);
    // Forked here, for a child dies with the thread that forked it.
    let (_living, mut killed) = (holder(&locks[0]), holder(&locks[1]));
    killed.kill();
    in_child(|| {
        thread::scope(|scope| {
            scope.spawn(|| {
                let asked = std::panic::catch_unwind(|| {
                    eventually("the first thread is gone", || match state(std::process::id()) {
                        'Z' => Ok(()),
                        state => Err(state.to_string()),
                    });
                    assert_lives(&locks[0]);
                    assert_dead(&locks[1]);
                });
                // SAFETY: always allowed; ends the process.
                unsafe { libc::_exit(if asked.is_ok() { 0 } else { 101 }) }
            });
            // SAFETY: ends this thread only. Its stack stays, so what the other borrows stays.
            unsafe { libc::syscall(libc::SYS_exit, 0) };
        });
    });
}

fn a_process_with_an_unreadable_name_still_finds_out() {
    let lock = Shm::new(Lock::new());
    in_child(|| {
        // SAFETY: the name ends in NUL.
        assert_eq!(unsafe { libc::prctl(libc::PR_SET_NAME, c"\xff\nNSpid:\t1 2".as_ptr()) }, 0);
        let mut child = holder(&lock);
        assert_lives(&lock);
        child.kill(); // And not reaped: only /proc can tell.
        assert_dead(&lock);
    });
}

/// In a PID namespace with its own /proc: kills a holder, and runs `heir` when the next thread or process is to have its
/// id, which `heir` is given with the lock.
fn with_the_next_id_a_dead_holders(heir: impl FnOnce(u32, &Lock)) {
    let lock = Shm::new(Lock::new());
    in_child(|| {
        own_mounts();
        let nested = Nested::new(|| {
            mount_proc(c"");
            let dead = holder(&lock).pid();
            assert_eq!(owner_in(&lock).tid(), dead);
            thread::sleep(ms(50)); // Who comes next starts at another time, even where a tick is 10 ms.
            next_id_is(dead);
            heir(dead, &lock);
        });
        nested.join();
    });
}

fn a_process_with_the_id_of_a_dead_holder_does_not_keep_its_lock() {
    with_the_next_id_a_dead_holders(|dead, lock| {
        let heir = fork(|| until_killed());
        assert_eq!((heir.pid(), state(dead) != '-'), (dead, true));
        assert_dead(lock);
    });
}

fn a_thread_with_the_id_of_a_dead_holder_does_not_keep_its_lock() {
    with_the_next_id_a_dead_holders(|dead, lock| {
        let (id, end) = (Tally::new(), Tally::new());
        thread::scope(|scope| {
            scope.spawn(|| {
                id.set(gettid());
                end.reaches(1);
            });
            id.reaches(1);
            assert_eq!((id.get(), state(dead) != '-'), (dead, true));
            assert_dead(lock);
            end.up();
        });
    });
}

/// Who waits asks after the holder in a short way, which takes the heir of its id for the holder: its robust list begins at
/// the same address, being forked by the same process. (Unless the waiter looks in the millisecond between the two.)
fn who_has_asked_before_learns_that_the_id_is_anothers() {
    let lock = Shm::new(Lock::new());
    in_child(|| {
        own_mounts();
        let nested = Nested::new(|| {
            mount_proc(c"");
            let holder = holder(&lock);
            let (id, owner) = (holder.pid(), owner_in(&lock));
            let asker = fork(|| {
                let (result, took) = timed(|| lock.acquire_for(SOON));
                assert_eq!(result, Err(AcquireError::OwnerDied(owner)));
                assert!(took < SOON / 2, "after {took:?}");
            });
            thread::sleep(ms(1000));
            drop(holder);
            next_id_is(id);
            let heir = fork(|| until_killed());
            assert_eq!(heir.pid(), id);
            join([asker]);
            assert_ne!(state(id), '-', "the heir lives");
        });
        nested.join();
    });
}
