//! Children for the tests of `shmsync::process`, none of which outlives its test.
#![allow(dead_code, unreachable_pub)] // Every test uses its part.

use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};

use shmsync::process::{self, Child, Command};

/// Far more than any of the tests takes on a machine that does something else as well.
pub const LIMIT: Duration = Duration::from_secs(60);

pub const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// This very program, started anew to do one of its ignored tests.
pub fn program(part: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--ignored", "--exact", "--nocapture", part]).stdout(Stdio::null());
    command
}

/// Forks from a test, whose process has several threads. The child does not outlive the test.
pub fn fork(f: impl FnOnce() -> u8) -> Child {
    let parent = std::process::id();
    let f = || {
        // SAFETY: sets an attribute of the child.
        unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
        if std::os::unix::process::parent_id() == parent { f() } else { 1 }
    };
    // SAFETY: no child of these tests does anything but system calls, panics aside, of which the one test that has them says
    // why they may.
    unsafe { process::fork(f).unwrap() }
}

/// A child that runs until it is killed.
pub fn sleeper() -> Child {
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
pub fn joined(child: &Child) -> ExitStatus {
    child.join(Some(LIMIT)).unwrap().expect("it ends in time")
}

/// The state letter of a process in `/proc`, `'-'` if there is none.
pub fn state(pid: u32) -> char {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().and_then(|rest| rest.chars().next()).unwrap_or('-')
}

#[track_caller]
pub fn eventually(what: &str, ready: impl Fn() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !ready() {
        assert!(Instant::now() < deadline, "{what}: not after {LIMIT:?}");
        thread::sleep(ms(1));
    }
}
