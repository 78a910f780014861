//! A child process that was started here.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{ChildStderr, ChildStdin, ChildStdout, ExitStatus};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::orphans;
use crate::sys;
use crate::sys::process;
use crate::time::Deadline;

/// A child process, from [`fork`](super::fork) or [`Command::spawn`](super::Command::spawn).
///
/// All verbs may be called by several threads at once: one may [`join`](Self::join) while another
/// [`kill`](Self::kill)s. A forked child that has a copy of it can ask whether its sibling [is alive](Self::is_alive), and
/// send signals to it; it cannot wait for it (`ECHILD`).
///
/// What it means to drop one [is said above](super#what-becomes-of-a-child-that-is-dropped).
///
/// ```
/// use shmsync::process::Command;
/// use std::time::Duration;
///
/// let child = Command::new("sleep").arg("1000").spawn()?;
/// assert_eq!(child.join(Some(Duration::from_millis(10)))?, None); // still running
/// assert!(child.is_alive());
///
/// child.terminate()?;
/// let status = child.join(None)?.expect("it has ended");
/// assert!(!status.success());
/// assert_eq!(child.exit_code(), Some(-15)); // by SIGTERM
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Child {
    pid: u32,
    /// Until it is dropped.
    pidfd: Option<OwnedFd>,
    /// Whether it had ended, and somebody else had waited for it, before it could be held: then the descriptor is another,
    /// that is always readable, as that of an ended child is.
    is_gone: bool,
    /// Who may wait for it.
    parent: u32,
    /// How it ended, as soon as somebody has waited for it.
    status: Mutex<Option<ExitStatus>>,
    kill_on_drop: bool,
    /// Where to write what it reads, if it was started with a [`piped`](std::process::Stdio::piped) input. Unlike std's
    /// `wait`, [`join`](Self::join) does not close it: drop it before you wait for a child that reads to the end.
    pub stdin: Option<ChildStdin>,
    /// Where to read what it writes, if that is piped.
    pub stdout: Option<ChildStdout>,
    /// Where to read what it complains of, if that is piped.
    pub stderr: Option<ChildStderr>,
}

impl Child {
    /// Whether children can be held at all. Before one is started, because afterwards it would be too late.
    pub(super) fn prepare() -> io::Result<()> {
        orphans::reap();
        process::open(std::process::id()).map(drop).map_err(|e| match e.raw_os_error() {
            Some(libc::ENOSYS) => io::Error::new(io::ErrorKind::Unsupported, "no pidfd_open: before Linux 5.4"),
            _ => e,
        })
    }

    /// Takes charge of a child that was just started. If it cannot (for want of a descriptor), the child is killed. If it has
    /// ended and was waited for already (this process ignores `SIGCHLD`, or another thread waits for anybody), then that is
    /// how it is.
    pub(super) fn adopt(pid: u32) -> io::Result<Self> {
        let (pidfd, is_gone) = match process::open(pid) {
            Ok(pidfd) => (pidfd, false),
            Err(e) if e.raw_os_error() == Some(libc::ESRCH) => (File::open("/dev/null")?.into(), true),
            Err(e) => {
                process::end(pid);
                return Err(e);
            }
        };
        Ok(Self {
            pid,
            pidfd: Some(pidfd),
            is_gone,
            parent: std::process::id(),
            status: Mutex::new(None),
            kill_on_drop: false,
            stdin: None,
            stdout: None,
            stderr: None,
        })
    }

    /// Its process id. It may be somebody else's as soon as the child has been waited for.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Waits until it has ended, at most for `timeout`, and says how it ended; `None` if the time was over first.
    ///
    /// The timeout runs on the monotonic clock; zero only looks, `None` waits for ever. Signals do not end the wait.
    ///
    /// # Errors
    /// `ECHILD` if somebody else has waited for it, if this process ignores `SIGCHLD`, and in a forked child that is not its
    /// parent.
    pub fn join(&self, timeout: Option<Duration>) -> io::Result<Option<ExitStatus>> {
        let deadline = timeout.map_or(Deadline::NEVER, Deadline::after);
        self.join_until(deadline)
    }

    fn join_until(&self, deadline: Deadline) -> io::Result<Option<ExitStatus>> {
        /// How often to look at a child that has ended, while a debugger keeps its end from its parent.
        const TRACED_NANOS: u64 = 1_000_000;
        if self.is_copy() {
            return self.reap();
        }
        loop {
            if !process::wait(self.as_fd(), deadline.nanos())? {
                return Ok(None);
            }
            if let Some(status) = self.reap()? {
                return Ok(Some(status));
            }
            let now = Deadline::now();
            if now >= deadline {
                return Ok(None);
            }
            sys::nap_until(now.plus(TRACED_NANOS).min(deadline).nanos());
        }
    }

    /// Whether it still runs. If not, this has waited for it, and it is no zombie.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        let runs = !matches!(process::wait(self.as_fd(), Deadline::PAST.nanos()), Ok(true));
        if !runs {
            let _ = self.reap(); // An error is for `join`.
        }
        runs
    }

    /// How it ended: the code that it returned, or the negative number of the signal that killed it. `None` while it runs,
    /// and if that is not known, as `join` tells.
    #[must_use]
    pub fn exit_code(&self) -> Option<i32> {
        let status = self.reap().ok()??;
        status.code().or_else(|| status.signal().map(|signal| -signal))
    }

    /// Asks it to end, with `SIGTERM`. If it has ended, that is no error.
    ///
    /// # Errors
    /// `EPERM` if it has become another user.
    pub fn terminate(&self) -> io::Result<()> {
        self.signal(libc::SIGTERM)
    }

    /// Ends it, with `SIGKILL`. If it has ended, that is no error. It takes a moment: [`join`](Self::join) to be sure.
    ///
    /// # Errors
    /// As [`terminate`](Self::terminate).
    pub fn kill(&self) -> io::Result<()> {
        self.signal(libc::SIGKILL)
    }

    /// Sends it any signal. If it has ended, that is no error.
    ///
    /// # Errors
    /// As [`terminate`](Self::terminate); `EINVAL` if there is no such signal.
    pub fn signal(&self, signal: i32) -> io::Result<()> {
        if self.is_gone {
            return Ok(());
        }
        match process::signal(self.as_fd(), signal) {
            Err(e) if e.raw_os_error() == Some(libc::ESRCH) => Ok(()),
            result => result,
        }
    }

    /// Whether dropping this kills the child and waits for it, which lasts until it is really dead.
    pub fn kill_on_drop(&mut self, kill: bool) {
        self.kill_on_drop = kill;
    }

    /// Takes notice of its end, if it has ended.
    fn reap(&self) -> io::Result<Option<ExitStatus>> {
        if self.is_copy() || self.is_gone {
            return Err(io::Error::from_raw_os_error(libc::ECHILD));
        }
        // Only one can wait for it, and the others shall hear of it.
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        if status.is_none() {
            *status = process::reap(self.as_fd())?;
        }
        Ok(*status)
    }

    /// Whether this is a forked child, which has got it with all the rest of its parent's memory. There it must not be
    /// waited for; and the lock may be held for ever, by a thread that is not there.
    fn is_copy(&self) -> bool {
        self.parent != std::process::id()
    }
}

/// Its pidfd, which can be polled, with others: readable means that the child has ended.
impl AsFd for Child {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_ref().expect("taken by nobody but drop").as_fd()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.is_copy() {
            return;
        }
        if self.kill_on_drop && self.kill().is_ok() {
            let _ = self.join(None); // Nobody can be told here.
        }
        if let (Ok(None), Some(pidfd)) = (self.reap(), self.pidfd.take()) {
            orphans::leave(pidfd);
        }
        orphans::reap();
    }
}
