//! What children leave behind: no zombie, no signal to a stranger, nothing of the parent's in a fork.

mod process_support;
mod shm_support;

use std::fs;
use std::io;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU32, Ordering};

use process_support::{LIMIT, eventually, fork, joined, ms, sleeper, state};
use shm_support::in_child;
use shmsync::process::{self, Command};
use shmsync::{AcquireError, Lock, Shared};

#[test]
fn a_dropped_child_goes_on_and_leaves_no_zombie_for_ever() {
    let gate = Shared::anonymous(AtomicU32::new(0)).unwrap();
    let pids: Vec<u32> = (0..5)
        .map(|_| {
            let child = fork(|| {
                while gate.load(Ordering::Relaxed) == 0 {
                    // SAFETY: no memory is involved.
                    unsafe { libc::usleep(1000) };
                }
                gate.fetch_add(1, Ordering::Relaxed);
                0
            });
            child.pid()
        })
        .collect();
    assert!(pids.iter().all(|pid| !"Z-".contains(state(*pid))), "they go on");
    gate.store(1, Ordering::Relaxed);
    eventually("their end", || pids.iter().all(|pid| "Z-".contains(state(*pid))));
    assert_eq!(gate.load(Ordering::Relaxed), 6);
    joined(&fork(|| 0));
    assert!(pids.iter().all(|pid| state(*pid) == '-'), "zombies are left");
}

#[test]
fn a_child_may_be_killed_when_it_is_dropped() {
    let mut child = sleeper();
    let pid = child.pid();
    child.kill_on_drop(true);
    drop(child);
    assert_eq!(state(pid), '-');
}

#[test]
fn a_forked_copy_of_a_child_is_a_picture() {
    let child = sleeper(); // which its owner kills on drop
    in_child(|| {
        assert!(child.is_alive());
        assert_eq!(child.join(None).unwrap_err().raw_os_error(), Some(libc::ECHILD));
        assert_eq!(child.exit_code(), None);
        // SAFETY: read once, and the other one is forgotten with this process.
        drop(unsafe { std::ptr::read(&child) });
    });
    assert_eq!(child.join(Some(ms(20))).unwrap(), None, "a picture has killed it");
    in_child(|| child.kill().unwrap());
    joined(&child);
}

#[test]
fn without_a_descriptor_nothing_is_started() {
    in_child(|| {
        let limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: reads that local; the limit is this child's own.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) }, 0);
        // SAFETY: the child does nothing.
        let error = unsafe { process::fork(|| 0) }.unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
        assert_eq!(Command::new("true").spawn().unwrap_err().raw_os_error(), Some(libc::EMFILE));
        // SAFETY: takes numbers, and writes nothing.
        let waited = unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG) };
        assert_eq!((waited, io::Error::last_os_error().raw_os_error()), (-1, Some(libc::ECHILD)), "a child is left");
    });
}

/// The kernel throws away how they end.
#[test]
fn who_ignores_sigchld_still_waits_for_children() {
    in_child(|| {
        // SAFETY: in this child alone.
        unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
        let child = sleeper();
        assert_eq!(child.join(Some(ms(20))).unwrap(), None);
        child.kill().unwrap();
        assert_eq!(child.join(Some(LIMIT)).unwrap_err().raw_os_error(), Some(libc::ECHILD));
        assert!(!child.is_alive());
        assert_eq!(child.exit_code(), None);
    });
}

// ---- Forks ------------------------------------------------------------------------------------------------------

#[test]
fn nothing_of_the_parent_is_unwound_or_dropped_in_the_child() {
    struct Counted<'a>(&'a AtomicU32);
    impl Drop for Counted<'_> {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let drops = Shared::anonymous(AtomicU32::new(0)).unwrap();
    {
        let _mine = Counted(&drops);
        assert_eq!(joined(&fork(|| 5)).code(), Some(5));
        assert_eq!(drops.load(Ordering::Relaxed), 0);
    }
    assert_eq!(drops.load(Ordering::Relaxed), 1);
}

/// In a process with a single thread, whose panic hook takes no lock, as a panic may only there.
#[test]
fn a_panic_ends_the_child_with_101_and_goes_no_further() {
    struct Worse;
    impl Drop for Worse {
        fn drop(&mut self) {
            panic!("worse");
        }
    }
    in_child(|| {
        let nowhere = fs::File::options().write(true).open("/dev/null").unwrap();
        // SAFETY: in this child alone, whose complaints go to its parent by another way as well.
        unsafe { libc::dup2(nowhere.as_raw_fd(), libc::STDERR_FILENO) };
        let child = fork(|| panic!("on purpose"));
        assert_eq!(joined(&child).code(), Some(101));
        let child = fork(|| std::panic::panic_any(Worse));
        assert_eq!(joined(&child).code(), Some(101));
    });
}

#[test]
fn a_forked_child_is_somebody_else_to_the_primitives() {
    let lock = Shared::anonymous(Lock::new()).unwrap();
    lock.acquire().unwrap();
    let child = fork(|| u8::from(lock.try_acquire() == Err(AcquireError::WouldBlock)));
    assert_eq!(joined(&child).code(), Some(1), "its parent's lock is not its own");
    lock.release().unwrap();
    joined(&fork(|| lock.acquire().map_or(1, |()| 0)));
    assert!(matches!(lock.acquire(), Err(AcquireError::OwnerDied(_))));
}
