//! Child processes by descriptor: a pidfd is the child's alone, whatever becomes of its number.
#![allow(unsafe_code)]

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::ptr;

use super::{done, monotonic_nanos, timespec, uninterrupted};

/// Whom `fork` returns to.
pub(crate) enum Forked {
    Child,
    /// With the child's id.
    Parent(u32),
}

/// # Safety
/// The child keeps to what a child of a process with several threads may do.
pub(crate) unsafe fn fork() -> io::Result<Forked> {
    // SAFETY: the caller's promise.
    match done(unsafe { libc::fork() })? {
        0 => Ok(Forked::Child),
        pid => Ok(Forked::Parent(pid.unsigned_abs())),
    }
}

/// Ends the process, and nothing else: no destructor, no `atexit` handler, no flush.
pub(crate) fn exit_at_once(code: u8) -> ! {
    // SAFETY: always allowed.
    unsafe { libc::_exit(code.into()) }
}

/// A descriptor of the process, close-on-exec. The caller knows that the number is not somebody else's by now.
pub(crate) fn open(pid: u32) -> io::Result<OwnedFd> {
    // SAFETY: takes numbers.
    let fd = uninterrupted(|| done(unsafe { libc::syscall(libc::SYS_pidfd_open, pid as libc::pid_t, 0) }))?;
    // SAFETY: just opened, and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// Kills a child and waits for it, unless somebody else has waited for it: then the number may be a stranger's.
pub(crate) fn end(pid: u32) {
    let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: plain integers, for which zero stands for nothing.
    let mut about: libc::siginfo_t = unsafe { mem::zeroed() };
    // SAFETY: writes to `about`; only looks.
    let ours = done(unsafe { libc::waitid(libc::P_PID, pid, &raw mut about, flags) }).is_ok();
    if !ours {
        return;
    }
    let pid = pid as libc::pid_t;
    // SAFETY: takes numbers. Its status is not asked for.
    unsafe {
        libc::kill(pid, libc::SIGKILL);
        let _ = uninterrupted(|| done(libc::waitpid(pid, ptr::null_mut(), 0)));
    }
}

/// Waits until the process has ended, or until a moment on the monotonic clock; whether it has ended.
pub(crate) fn wait(process: BorrowedFd<'_>, deadline: u64) -> io::Result<bool> {
    /// What `timespec` has room for on every target; then it is looked at again.
    const LONGEST: u64 = 3_600_000_000_000;
    let mut ended = libc::pollfd { fd: process.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    loop {
        let left = deadline.saturating_sub(monotonic_nanos());
        let limit = timespec(left.min(LONGEST));
        let limit = if deadline == u64::MAX { ptr::null() } else { &raw const limit };
        // SAFETY: one pollfd to write and perhaps a timespec to read, which outlive the call; no signal mask.
        match done(unsafe { libc::ppoll(&raw mut ended, 1, limit, ptr::null()) }) {
            Ok(0) if left <= LONGEST => return Ok(false),
            Ok(0) => {}
            Ok(_) => return Ok(true),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

/// How the child ended, once; `None` if it still runs. `ECHILD`: it is no child of this process, or was waited for.
pub(crate) fn reap(child: BorrowedFd<'_>) -> io::Result<Option<ExitStatus>> {
    // SAFETY: plain integers, for which zero stands for nothing.
    let mut about: libc::siginfo_t = unsafe { mem::zeroed() };
    let flags = libc::WEXITED | libc::WNOHANG;
    let id = child.as_raw_fd() as libc::id_t;
    // SAFETY: writes to `about`.
    uninterrupted(|| done(unsafe { libc::waitid(libc::P_PIDFD, id, &raw mut about, flags) }))?;
    // SAFETY: waitid has filled in the fields of a child, or left all zero.
    let (pid, status) = unsafe { (about.si_pid(), about.si_status()) };
    Ok((pid != 0).then(|| ExitStatus::from_raw(raw_status(about.si_code, status))))
}

/// What `wait` would have said.
fn raw_status(code: i32, status: i32) -> i32 {
    match code {
        libc::CLD_EXITED => (status & 0xff) << 8,
        libc::CLD_DUMPED => status | 0x80,
        _ => status,
    }
}

/// Sends a signal to this process and no other. `ESRCH`: it has ended, and was waited for.
pub(crate) fn signal(process: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    let information = ptr::null::<libc::siginfo_t>();
    // SAFETY: takes numbers; without information the kernel makes its own.
    done(unsafe { libc::syscall(libc::SYS_pidfd_send_signal, process.as_raw_fd(), signal, information, 0) }).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader};
    use std::os::fd::AsFd;
    use std::process::{Command, Stdio};

    #[test]
    fn the_three_ways_to_end_are_told_as_wait_tells_them() {
        let ended = |code, status| ExitStatus::from_raw(raw_status(code, status));
        assert_eq!(ended(libc::CLD_EXITED, 7).code(), Some(7));
        assert_eq!(ended(libc::CLD_KILLED, 9).signal(), Some(9));
        let dumped = ended(libc::CLD_DUMPED, 6);
        assert!(dumped.signal() == Some(6) && dumped.core_dumped());
    }

    /// Somebody else's child has the number that a child of ours had.
    #[test]
    fn only_children_of_ours_are_ended_and_only_once() {
        let mut shell = Command::new("sh");
        shell.args(["-c", "sleep 1000 & echo $!; wait"]).stdout(Stdio::piped());
        let mut shell = shell.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(shell.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let grandchild = line.trim().parse().unwrap();
        end(grandchild);
        let grandchild = open(grandchild).unwrap();
        assert!(!wait(grandchild.as_fd(), 0).unwrap(), "it runs");
        assert!(shell.try_wait().unwrap().is_none(), "as does who waits for it");

        end(shell.id());
        end(shell.id());
        assert_eq!(shell.wait().unwrap_err().raw_os_error(), Some(libc::ECHILD), "it has been waited for");
        signal(grandchild.as_fd(), libc::SIGKILL).unwrap();
        assert!(wait(grandchild.as_fd(), u64::MAX).unwrap());
    }
}
