//! Real child processes for tests and workloads: forked, watched, and never left behind.
//!
//! # Forking from a process that has other threads
//!
//! Only the forking thread exists in the child; a lock that another thread held at that moment is held there for
//! ever. What a child may do, and why:
//!
//! * allocate, start threads, use shared memory and make system calls: glibc and musl repair their own locks in `fork`;
//! * panic: the panic hook is replaced once, before the first fork, so nobody is ever inside `set_hook` during a
//!   fork; in a child that hook only formats and writes to descriptors, and takes no lock. Unwinding looks frames up
//!   without a lock since glibc 2.35. Where it does not, a hang there ends at the parent's deadline;
//! * not print: the locks of `stdout` and `stderr` may be held, and libtest's capture buffer is a copy nobody reads.
//!   Say it with `panic!` or `assert!`: the message goes to descriptor 2 and into the text of [`Child::join`].
//!
//! A child ends in `_exit`: destructors of the frames below `fork` and `atexit` handlers belong to the parent.
#![cfg(unix)]
#![allow(unsafe_code)]

use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::panic::{self, AssertUnwindSafe};
use std::process::ExitStatus;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Once, OnceLock, mpsc};
use std::time::{Duration, Instant};
use std::{fs, mem, thread};

/// In a forked child the descriptor that carries panic messages to the parent; -1 in any other process.
static REPORT: AtomicI32 = AtomicI32::new(-1);

/// A child process. Dropping it kills and reaps it.
#[derive(Debug)]
pub struct Child {
    pid: libc::pid_t,
    /// Who forked it: a copy of this value in another process is a picture, not an owner.
    parent: u32,
    pidfd: Option<OwnedFd>,
    report: UnixStream,
    status: Option<ExitStatus>,
}

/// Runs `f` in a forked child, which exits with 0, or with 101 if `f` panicked.
///
/// The child also dies when the *thread* that forked it ends (Linux: `PR_SET_PDEATHSIG`).
#[allow(clippy::missing_panics_doc)] // A machine that cannot fork cannot run the test.
pub fn fork(f: impl FnOnce()) -> Child {
    teach_the_panic_hook();
    usable_cpus(); // So that no child is forked in the middle of its first initialisation.
    let (report, theirs) = UnixStream::pair().expect("a socket pair for the child's last words");
    report.set_nonblocking(true).and_then(|()| theirs.set_nonblocking(true)).expect("non-blocking");
    let parent = std::process::id();
    // SAFETY: the child keeps to what the head of this file allows it.
    match unsafe { libc::fork() } {
        -1 => panic!("fork: {}", io::Error::last_os_error()),
        0 => {
            REPORT.store(theirs.as_raw_fd(), Ordering::Relaxed);
            let code = if die_with(parent) && panic::catch_unwind(AssertUnwindSafe(f)).is_ok() { 0 } else { 101 };
            // SAFETY: always allowed. The frames below stay as they are, for they are the parent's.
            unsafe { libc::_exit(code) }
        }
        pid => Child { pid, parent, pidfd: pidfd_open(pid), report, status: None },
    }
}

impl Child {
    /// Its process id, which is also the id of its first thread.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid.unsigned_abs()
    }

    /// Sends SIGKILL and waits until the child is dead. It stays a zombie until it is joined or dropped.
    pub fn kill(&mut self) {
        self.signal(libc::SIGKILL);
        self.wait(libc::WEXITED | libc::WNOWAIT);
    }

    /// Sends SIGSTOP and waits until every thread of the child stands still (or the child has ended).
    pub fn stop(&mut self) {
        self.signal(libc::SIGSTOP);
        self.wait(libc::WSTOPPED | libc::WEXITED | libc::WNOWAIT);
    }

    /// Sends SIGCONT.
    pub fn resume(&mut self) {
        self.signal(libc::SIGCONT);
    }

    /// Sends a signal, unless the child has been reaped and its pid may be somebody else's.
    pub fn signal(&self, signal: libc::c_int) {
        if self.status.is_none() {
            // SAFETY: no memory is involved; an unreaped child's pid is its own.
            unsafe { libc::kill(self.pid, signal) };
        }
    }

    /// Waits at most `limit` for the end of the child; `None` says that it is still running.
    pub fn wait_exit(&mut self, limit: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now().checked_add(limit);
        while self.status.is_none() {
            let left = deadline.map_or(Duration::MAX, |deadline| deadline.saturating_duration_since(Instant::now()));
            match &self.pidfd {
                Some(pidfd) => poll_readable(pidfd.as_raw_fd(), left),
                None => thread::sleep(left.min(Duration::from_millis(1))), // Only on kernels before 5.3.
            }
            if !self.reap(libc::WNOHANG) && left.is_zero() {
                break;
            }
        }
        self.status
    }

    /// Waits at most `limit` for the child to end well. The error says how it ended, or what it hung in and that it
    /// was killed, with the messages of its panics.
    ///
    /// # Errors
    /// It ended with another exit code than 0, by a signal, or not in time.
    pub fn join(&mut self, limit: Duration) -> Result<(), String> {
        let how = match self.wait_exit(limit) {
            Some(status) if status.success() => return Ok(()),
            Some(status) => status.to_string(), // "exit status: 101", "signal: 9 (SIGKILL)"
            None => {
                let doing = doing(self.pid());
                self.kill();
                self.reap(0);
                format!("still running after {limit:?} ({doing}), killed")
            }
        };
        let mut words = Vec::new();
        let _ = self.report.read_to_end(&mut words); // Until its end, or until WouldBlock.
        Err(format!("child {}: {how}\n{}", self.pid, String::from_utf8_lossy(&words)).trim_end().to_owned())
    }

    /// `waitid` in a form that leaves the child to be reaped later.
    fn wait(&self, what: libc::c_int) {
        // SAFETY: an all-zero siginfo_t is a valid one; waitid writes into that local and nothing else.
        let failed = || unsafe { libc::waitid(libc::P_PID, self.pid(), &mut mem::zeroed(), what) } == -1;
        while self.status.is_none() && failed() {
            let error = io::Error::last_os_error();
            assert_eq!(error.kind(), io::ErrorKind::Interrupted, "waitid {}: {error}", self.pid);
        }
    }

    /// Takes the exit status if there is one, and says so. Without WNOHANG it waits for it.
    fn reap(&mut self, flags: libc::c_int) -> bool {
        let mut status = 0;
        // SAFETY: waitpid writes one integer, into `status`.
        if self.status.is_none() && unsafe { libc::waitpid(self.pid, &mut status, flags) } == self.pid {
            self.status = Some(ExitStatus::from_raw(status));
        }
        self.status.is_some()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.parent == std::process::id() && !self.reap(libc::WNOHANG) {
            self.kill();
            self.reap(0);
        }
    }
}

/// Aborts the process unless it is dropped in time; see [`watchdog`].
#[derive(Debug)]
pub struct Watchdog {
    _dropped: mpsc::Sender<()>,
}

/// Starts a guard: unless it is dropped within `limit`, a line that names `what` hung, and what each child was doing,
/// is written to descriptor 2 and the process aborts; its children die with it (see [`fork`]).
#[must_use = "the watch ends when the guard is dropped"]
pub fn watchdog(limit: Duration, what: &str) -> Watchdog {
    let (_dropped, bell) = mpsc::channel::<()>();
    let what = what.to_owned();
    thread::spawn(move || {
        if bell.recv_timeout(limit) == Err(mpsc::RecvTimeoutError::Timeout) {
            let mut text = format!("watchdog: {what} hangs: not finished after {limit:?}\n");
            for child in children() {
                text += &format!("watchdog:   child {child}: {}\n", doing(child));
            }
            write_raw(libc::STDERR_FILENO, &text); // Not eprintln!, which libtest would capture and lose.
            std::process::abort();
        }
    });
    Watchdog { _dropped }
}

/// How many CPUs this process may use.
#[must_use]
pub fn online_cpus() -> usize {
    usable_cpus().len()
}

/// How many processes this user may have. (Root may have more.)
#[must_use]
pub fn most_processes() -> usize {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: writes that local.
    let known = unsafe { libc::getrlimit(libc::RLIMIT_NPROC, &mut limit) } == 0;
    if known { usize::try_from(limit.rlim_cur).unwrap_or(usize::MAX) } else { usize::MAX }
}

/// Binds the calling thread to the `cpu`-th of the CPUs that this process may use, counted round and round.
pub fn pin_to(cpu: usize) {
    let cpu = usable_cpus()[cpu % online_cpus()];
    #[cfg(target_os = "linux")]
    // SAFETY: all-zero is an empty cpu_set_t; `cpu` came out of one, so it is in range; the call reads that set.
    unsafe {
        let mut set: libc::cpu_set_t = mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        let done = libc::sched_setaffinity(0, size_of_val(&set), &set);
        assert_eq!(done, 0, "pinning to CPU {cpu}: {}", io::Error::last_os_error());
    }
    #[cfg(not(target_os = "linux"))]
    let _ = cpu; // Nowhere else is there a way.
}

/// The CPUs of the process (of its first thread: others may have pinned themselves), read once.
fn usable_cpus() -> &'static [usize] {
    static CPUS: OnceLock<Vec<usize>> = OnceLock::new();
    CPUS.get_or_init(|| {
        #[cfg(target_os = "linux")]
        // SAFETY: the call fills the set, which is plain bits; every index asked about is within it.
        unsafe {
            let mut set: libc::cpu_set_t = mem::zeroed();
            if libc::sched_getaffinity(libc::getpid(), size_of_val(&set), &mut set) == 0 {
                return (0..libc::CPU_SETSIZE as usize).filter(|&cpu| libc::CPU_ISSET(cpu, &set)).collect();
            }
        }
        (0..thread::available_parallelism().map_or(1, usize::from)).collect()
    })
}

/// In a child the hook writes where no lock is needed; elsewhere it does what it did before.
fn teach_the_panic_hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| match REPORT.load(Ordering::Relaxed) {
            -1 => before(info),
            report => {
                write_raw(report, &format!("{info}\n"));
                write_raw(libc::STDERR_FILENO, &format!("child {} {info}\n", std::process::id()));
            }
        }));
    });
}

fn write_raw(fd: RawFd, text: &str) {
    // SAFETY: `fd` is open for the life of the process (2, or the child's end of its report) and ManuallyDrop keeps
    // it so. A File has neither buffer nor lock.
    let mut file = mem::ManuallyDrop::new(unsafe { fs::File::from_raw_fd(fd) });
    let _ = file.write_all(text.as_bytes()); // Nobody is left to tell.
}

/// In a child: asks to be killed when the parent dies, and says whether it still lives.
fn die_with(parent: u32) -> bool {
    #[cfg(target_os = "linux")]
    // SAFETY: sets an attribute of this process.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
    }
    std::os::unix::process::parent_id() == parent
}

fn pidfd_open(pid: libc::pid_t) -> Option<OwnedFd> {
    #[cfg(target_os = "linux")]
    // SAFETY: takes two integers and returns a new descriptor (close-on-exec) or -1.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) } as RawFd;
    #[cfg(not(target_os = "linux"))]
    let fd = pid.min(-1);
    // SAFETY: the descriptor is new, so nobody else owns it.
    (fd >= 0).then(|| unsafe { OwnedFd::from_raw_fd(fd) })
}

fn poll_readable(fd: RawFd, limit: Duration) {
    let limit = i32::try_from(limit.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX);
    // SAFETY: one pollfd, alive over the call. EINTR and an early end are the caller's loop's business.
    unsafe { libc::poll(&mut libc::pollfd { fd, events: libc::POLLIN, revents: 0 }, 1, limit) };
}

/// State letter and kernel function of a process's first thread, as far as the system tells.
fn doing(pid: u32) -> String {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().next()).unwrap_or("?").to_owned();
    let wchan = fs::read_to_string(format!("/proc/{pid}/wchan")).unwrap_or_default();
    format!("state {state}, in {}", if wchan.is_empty() { "?" } else { &wchan })
}

/// The live and dead children of every thread, as far as the system tells.
fn children() -> Vec<u32> {
    let tasks = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>()).collect()
}

#[cfg(test)]
#[path = "process_tests.rs"]
mod tests;
