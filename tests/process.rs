//! How children end, and waiting for it.

#[allow(dead_code, unreachable_pub)] // A part is used.
#[path = "support/namespaces.rs"]
mod namespaces;
mod process_support;
mod shm_support;

use std::os::fd::{AsFd, AsRawFd};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use std::{fs, mem, thread};

use namespaces::{Nested, next_id_is};
use process_support::{LIMIT, eventually, fork, joined, ms, sleeper, state};
use shm_support::in_child;
use shmsync::Shared;
use shmsync_harness::process::{fork as watched_fork, watchdog};

#[test]
fn exit_codes_are_codes_or_negative_signals() {
    for code in [0, 7, 255] {
        let child = fork(|| code);
        assert_eq!(joined(&child).code(), Some(code.into()));
        assert_eq!(child.exit_code(), Some(code.into()));
    }
    let child = sleeper();
    assert_eq!(child.exit_code(), None);
    child.terminate().unwrap();
    assert!(!joined(&child).success());
    assert_eq!(child.exit_code(), Some(-libc::SIGTERM));

    let child = sleeper();
    child.kill().unwrap();
    joined(&child);
    assert_eq!(child.exit_code(), Some(-libc::SIGKILL));

    let child = sleeper();
    child.signal(libc::SIGUSR1).unwrap();
    joined(&child);
    assert_eq!(child.exit_code(), Some(-libc::SIGUSR1));
    assert_eq!(sleeper().signal(12345).unwrap_err().raw_os_error(), Some(libc::EINVAL));
}

#[test]
fn a_child_that_has_ended_is_known_to_have_and_is_no_zombie() {
    let child = fork(|| 3);
    eventually("its end", || !child.is_alive());
    assert_eq!(state(child.pid()), '-');
    assert_eq!(child.join(Some(Duration::ZERO)).unwrap().and_then(|status| status.code()), Some(3));
    assert_eq!(child.join(None).unwrap().and_then(|status| status.code()), Some(3));
    // There is nobody to be hit, and that is well.
    child.terminate().and_then(|()| child.kill()).unwrap();

    let child = fork(|| 4);
    eventually("its exit code", || child.exit_code() == Some(4));
    assert_eq!(state(child.pid()), '-');
}

/// The number may be somebody else's by then: here, where the test chooses the numbers, it is.
#[test]
fn no_signal_goes_to_a_stranger() {
    in_child(|| {
        let nested = Nested::new(|| {
            let child = fork(|| 0);
            joined(&child);
            next_id_is(child.pid());
            let stranger = sleeper();
            assert_eq!(stranger.pid(), child.pid());
            child.kill().unwrap();
            assert!(!child.is_alive());
            assert_eq!(child.exit_code(), Some(0));
            assert_eq!(stranger.join(Some(ms(50))).unwrap(), None, "a stranger was killed");
        });
        nested.join();
    });
}

#[test]
fn a_stopped_child_is_alive() {
    let child = sleeper();
    child.signal(libc::SIGSTOP).unwrap();
    eventually("standing still", || state(child.pid()) == 'T');
    assert_eq!(child.join(Some(ms(20))).unwrap(), None);
    assert!(child.is_alive() && child.exit_code().is_none());
    child.signal(libc::SIGCONT).unwrap();
    assert_eq!(child.join(Some(ms(20))).unwrap(), None);
}

#[test]
fn all_threads_that_wait_hear_of_it() {
    let _watchdog = watchdog(LIMIT, "several threads that join one child");
    for _ in 0..50 {
        let child = sleeper();
        thread::scope(|scope| {
            let waiters: Vec<_> = (0..4).map(|_| scope.spawn(|| child.join(None).unwrap().unwrap())).collect();
            child.kill().unwrap();
            for waiter in waiters {
                assert_eq!(std::os::unix::process::ExitStatusExt::signal(&waiter.join().unwrap()), Some(libc::SIGKILL));
            }
        });
    }
}

/// A debugger hears first that a process has ended, and its parent when the debugger has.
#[test]
fn a_child_whose_debugger_keeps_its_end_is_waited_for() {
    let child = sleeper();
    let step = Shared::anonymous(AtomicU32::new(0)).unwrap();
    let pid = child.pid() as libc::pid_t;
    let _debugger = watched_fork(|| {
        // SAFETY: takes numbers, and writes nothing.
        let seized = unsafe { libc::ptrace(libc::PTRACE_SEIZE, pid, 0, 0) } == 0;
        step.store(if seized { 1 } else { 2 }, Ordering::Relaxed);
        while step.load(Ordering::Relaxed) != 3 {
            thread::sleep(ms(1));
        }
        // SAFETY: takes numbers, and writes nothing.
        unsafe { libc::waitpid(pid, std::ptr::null_mut(), libc::__WALL) };
    });
    eventually("the debugger", || step.load(Ordering::Relaxed) != 0);
    if step.load(Ordering::Relaxed) == 2 {
        return eprintln!("skipped: no process may be debugged here");
    }
    child.kill().unwrap();
    eventually("its end", || state(child.pid()) == 'Z');
    assert_eq!(child.join(Some(ms(50))).unwrap(), None);
    step.store(3, Ordering::Relaxed);
    joined(&child);
    assert_eq!(child.exit_code(), Some(-libc::SIGKILL));
}

#[test]
fn its_descriptor_can_be_polled() {
    let child = sleeper();
    let readable = |timeout| {
        let mut poll = libc::pollfd { fd: child.as_fd().as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one pollfd, alive over the call.
        unsafe { libc::poll(&mut poll, 1, timeout) == 1 }
    };
    assert!(!readable(0));
    child.kill().unwrap();
    assert!(readable(60_000));
}

// ---- Time -------------------------------------------------------------------------------------------------------

#[test]
fn join_keeps_its_time() {
    let child = sleeper();
    for timeout in [ms(0), ms(1), ms(50)] {
        let late = (0..5).map(|_| {
            let start = Instant::now();
            assert_eq!(child.join(Some(timeout)).unwrap(), None);
            assert!(start.elapsed() >= timeout, "early");
            start.elapsed() - timeout
        });
        let late = late.min().unwrap();
        assert!(late < ms(50), "{timeout:?} was always late, at best by {late:?}");
    }
    let _watchdog = watchdog(LIMIT, "timeouts that overflow");
    thread::scope(|scope| {
        let waiters = [Some(Duration::MAX), Some(Duration::from_secs(1 << 33)), None];
        let waiters = waiters.map(|timeout| {
            scope.spawn({
                let child = &child;
                move || child.join(timeout).unwrap()
            })
        });
        thread::sleep(ms(20));
        assert!(waiters.iter().all(|waiter| !waiter.is_finished()));
        child.kill().unwrap();
        assert!(waiters.into_iter().all(|waiter| waiter.join().unwrap().is_some()));
    });
}

/// Who waits sleeps once.
#[test]
fn join_does_not_poll() {
    let switches = || {
        let status = fs::read_to_string("/proc/thread-self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("voluntary_ctxt_switches:")).unwrap();
        line.split_whitespace().next_back().unwrap().parse::<u64>().unwrap()
    };
    let child = sleeper();
    let before = switches();
    assert_eq!(child.join(Some(ms(300))).unwrap(), None);
    assert!(switches() - before <= 3, "{} times asleep", switches() - before);
}

#[test]
fn signals_do_not_end_the_wait() {
    extern "C" fn nothing(_: i32) {}
    in_child(|| {
        let period = libc::timeval { tv_sec: 0, tv_usec: 500 };
        let timer = libc::itimerval { it_interval: period, it_value: period };
        let child = sleeper();
        // SAFETY: the handler does nothing, in this child alone, and system calls are not restarted after it.
        unsafe {
            let mut action: libc::sigaction = mem::zeroed();
            action.sa_sigaction = nothing as extern "C" fn(i32) as libc::sighandler_t;
            libc::sigaction(libc::SIGALRM, &action, std::ptr::null_mut());
            libc::setitimer(libc::ITIMER_REAL, &timer, std::ptr::null_mut());
        }
        let start = Instant::now();
        assert_eq!(child.join(Some(ms(100))).unwrap(), None);
        assert!(start.elapsed() >= ms(100));
        child.kill().unwrap();
        joined(&child);
    });
}

/// Where nobody waits for children the kernel does, at once: a short one may be gone before it can be held.
#[test]
fn a_child_that_nobody_need_wait_for_may_be_gone_at_once() {
    in_child(|| {
        // SAFETY: an attribute of this process, which is a child made for that.
        unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
        for _ in 0..300 {
            let child = fork(|| 0);
            assert_eq!(child.join(Some(LIMIT)).unwrap_err().raw_os_error(), Some(libc::ECHILD));
            assert!(!child.is_alive());
            assert_eq!(child.exit_code(), None);
            child.kill().unwrap();
        }
    });
}
