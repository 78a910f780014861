//! Children as the library starts and holds them: programs that are really started, and forks.

#[allow(dead_code, unreachable_pub)] // A part is used.
#[path = "support/namespaces.rs"]
mod namespaces;
mod shm_support;

use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use std::{fs, io, mem, thread};

use namespaces::{Nested, next_id_is};
use shm_support::{LIMIT, in_child};
use shmsync::process::{self, Child, Command, inherited};
use shmsync::{AcquireError, ErrorKind, Handle, Lock, Shared};
use shmsync_harness::process::{fork as watched_fork, watchdog};

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// This very program, started anew to do one of its ignored tests.
fn program(part: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--ignored", "--exact", "--nocapture", part]).stdout(Stdio::null());
    command
}

/// Forks from a test, whose process has several threads. The child does not outlive the test.
fn fork(f: impl FnOnce() -> u8) -> Child {
    let parent = std::process::id();
    let f = || {
        // SAFETY: sets an attribute of the child.
        unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
        if std::os::unix::process::parent_id() == parent { f() } else { 1 }
    };
    // SAFETY: no child of this file does anything but system calls, panics aside, of which the one test that has them says
    // why they may.
    unsafe { process::fork(f).unwrap() }
}

/// A child that runs until it is killed.
fn sleeper() -> Child {
    let mut child = fork(|| {
        loop {
            // SAFETY: no memory is involved.
            unsafe { libc::pause() };
        }
    });
    child.kill_on_drop(true);
    child
}

#[track_caller]
fn joined(child: &Child) -> ExitStatus {
    child.join(Some(LIMIT)).unwrap().expect("it ends in time")
}

/// The state letter of a process in `/proc`, `'-'` if there is none.
fn state(pid: u32) -> char {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().and_then(|rest| rest.chars().next()).unwrap_or('-')
}

#[track_caller]
fn eventually(what: &str, ready: impl Fn() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !ready() {
        assert!(Instant::now() < deadline, "{what}: not after {LIMIT:?}");
        thread::sleep(ms(1));
    }
}

// ---- Regions for programs ---------------------------------------------------------------------------------------

fn add(handle: &Handle) {
    Shared::<AtomicU64>::from_handle(handle).unwrap().fetch_add(1, Ordering::Relaxed);
}

#[test]
#[ignore = "the part of a child"]
fn child_that_inherits_two_and_starts_a_child() {
    for name in ["jobs", "second one, ä"] {
        add(&inherited(name).unwrap());
    }
    for absent in ["", "third", "a=b", "a\0b", "jobs "] {
        assert_eq!(inherited(absent).unwrap_err().kind(), ErrorKind::NotFound, "{absent:?}");
    }
    let child = program("child_that_inherits").spawn().unwrap();
    assert!(child.join(None).unwrap().unwrap().success());
}

#[test]
#[ignore = "the part of a child"]
fn child_that_inherits() {
    add(&inherited("jobs").unwrap());
}

#[test]
#[ignore = "the part of a child"]
fn child_by_argument() {
    add(&std::env::args().next_back().unwrap().parse().unwrap());
}

#[test]
#[ignore = "the part of a child"]
fn child_that_is_told_but_not_given() {
    let handle = inherited("jobs").unwrap();
    assert_eq!(Shared::<AtomicU64>::from_handle(&handle).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn programs_are_given_regions() {
    let _watchdog = watchdog(LIMIT, "programs that are given regions");
    let (one, two) = (Shared::anonymous(AtomicU64::new(0)).unwrap(), Shared::anonymous(AtomicU64::new(0)).unwrap());
    let mut command = program("child_that_inherits_two_and_starts_a_child");
    // The handles are gone before the start, and the second of a name counts.
    command.region("jobs", &two.handle()).region("jobs", &one.handle()).region("second one, ä", &two.handle());
    for round in 1..=2 {
        assert!(joined(&command.spawn().unwrap()).success());
        assert_eq!((one.load(Ordering::Relaxed), two.load(Ordering::Relaxed)), (2 * round, round));
    }
    let mut command = program("child_by_argument");
    command.region_arg(&one.handle());
    assert!(joined(&command.spawn().unwrap()).success());
    assert_eq!(one.load(Ordering::Relaxed), 5);
    // And the command keeps the region in being.
    drop(one);
    assert!(joined(&command.spawn().unwrap()).success());
}

#[test]
fn other_programs_do_not_inherit_what_a_command_keeps() {
    let _watchdog = watchdog(LIMIT, "a program that is given nothing");
    let region = Shared::anonymous(AtomicU64::new(0)).unwrap();
    let text = region.handle().to_string();
    let mut command = program("child_that_inherits");
    command.region("jobs", &region.handle());
    let mut other = program("child_that_is_told_but_not_given");
    other.env("SHMSYNC_REGION_jobs", &text);
    assert!(joined(&command.spawn().unwrap()).success());
    assert!(joined(&other.spawn().unwrap()).success());
}

#[test]
fn names_that_cannot_stand_in_the_environment_are_refused() {
    let region = Shared::anonymous(AtomicU64::new(0)).unwrap();
    for name in ["", "a=b", "a\0b"] {
        let error = program("none").region(name, &region.handle()).spawn().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{name:?}");
        assert!(error.to_string().contains(&format!("{name:?}")), "{error}");
    }
}

#[test]
fn what_is_no_handle_in_the_environment_is_an_invalid_name() {
    let child = program("child_that_was_told_nonsense").env("SHMSYNC_REGION_jobs", "nonsense").spawn().unwrap();
    assert!(joined(&child).success());
}

#[test]
#[ignore = "the part of a child"]
fn child_that_was_told_nonsense() {
    assert_eq!(inherited("jobs").unwrap_err().kind(), ErrorKind::InvalidName);
}

#[test]
fn pipes_and_std_commands_work_as_they_do() {
    let _watchdog = watchdog(LIMIT, "cat");
    let mut cat = Command::from(std::process::Command::new("cat"));
    let mut child = cat.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"meow").unwrap();
    let mut said = String::new();
    child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(said, "meow");
    assert!(joined(&child).success() && child.stderr.is_none());
    let error = Command::new("/no/such/program").spawn().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
}

// ---- How children end -------------------------------------------------------------------------------------------

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

// ---- What is left of them ---------------------------------------------------------------------------------------

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
