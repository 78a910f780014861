//! What /proc and the kernel say of a thread: whether it is there, its state, when it started, in which namespace.
//!
//! Every answer may be "cannot tell": /proc may be missing, belong to another PID namespace, or hide other users.
#![allow(unsafe_code)]

use std::fs::{self, File};
use std::io::Read;
use std::os::linux::fs::MetadataExt;

use super::errno;
use super::thread::pid;

/// A thread as its `stat` file shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Task {
    /// Whether it will never run its program again: a zombie, or in the kernel on its way there.
    pub(crate) is_over: bool,
    /// Clock ticks from the boot to its start, as the reader's time namespace counts.
    pub(crate) start: u64,
}

/// The calling thread.
pub(crate) fn own_task() -> Option<Task> {
    read_stat("/proc/thread-self/stat")
}

/// The thread `tid`, which need not be its process's first. Only meaningful where `sees_own_pids`.
pub(crate) fn task_of(tid: u32) -> Option<Task> {
    read_stat(&format!("/proc/{tid}/stat"))
}

fn read_stat(path: &str) -> Option<Task> {
    // The line is some 300 bytes; what comes after the start time may be cut off.
    let mut line = [0; 512];
    let length = File::open(path).ok()?.read(&mut line).ok()?;
    parse_stat(&line[..length])
}

/// `4711 (any (bytes) here) S 1 ..`: the state is the 3rd field, the flags are the 9th, the start time the 22nd.
fn parse_stat(line: &[u8]) -> Option<Task> {
    let name_end = line.iter().rposition(|&byte| byte == b')')?;
    let mut fields = std::str::from_utf8(&line[name_end + 1..]).ok()?.split_ascii_whitespace();
    /// Set as the first thing that a thread's end does, before the kernel walks its robust list.
    const PF_EXITING: u32 = 4;
    let state = fields.next()?;
    let flags: u32 = fields.nth(5)?.parse().ok()?;
    let start = fields.nth(12)?.parse().ok()?;
    Some(Task { is_over: matches!(state, "Z" | "X" | "x") || flags & PF_EXITING != 0, start })
}

/// The caller's PID namespace and time namespace, as inode numbers; the second is zero before Linux 5.6.
pub(crate) fn namespace() -> Option<(u64, u64)> {
    let inode = |path| fs::metadata(path).map(|found| found.st_ino());
    Some((inode("/proc/thread-self/ns/pid").ok()?, inode("/proc/thread-self/ns/time").unwrap_or(0)))
}

/// Whether /proc counts threads as the caller does: in a new PID namespace it may still be the old one's, and then
/// its `/proc/N` is somebody else.
pub(crate) fn sees_own_pids() -> bool {
    fs::read_link("/proc/self").is_ok_and(|own| own.to_str() == Some(pid().to_string().as_str()))
}

/// Whether a thread `tid` exists in the caller's PID namespace, be it a zombie.
pub(crate) fn tid_exists(tid: u32) -> bool {
    let Ok(tid) = libc::pid_t::try_from(tid) else { return false };
    // SAFETY: signal 0 is none: only existence and permission are looked at. Unlike kill, tkill sees single threads.
    let result = unsafe { libc::syscall(libc::SYS_tkill, tid, 0) };
    // EPERM: there, but another user's. Anything else but ESRCH (a sandbox's answer) proves nothing.
    result == 0 || errno() != libc::ESRCH
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_line_is_read_past_any_name() {
        let mut line = b"4711 (a) b) (c) S 1 4711 4711 0 -1 4194560 100 0 0 0 1 2 0 0 20 0 1 0 987654 1000".to_vec();
        assert_eq!(parse_stat(&line), Some(Task { is_over: false, start: 987_654 }));
        let exiting = String::from_utf8(line.clone()).unwrap().replace("4194560", "4194564");
        assert_eq!(parse_stat(exiting.as_bytes()), Some(Task { is_over: true, start: 987_654 }));
        let zombie = String::from_utf8(line.clone()).unwrap().replace(") S", ") Z");
        assert_eq!(parse_stat(zombie.as_bytes()), Some(Task { is_over: true, start: 987_654 }));
        line.truncate(40);
        assert_eq!(parse_stat(&line), None);
        assert_eq!(parse_stat(b""), None);
    }

    #[test]
    fn the_own_thread_is_seen_alike_from_both_sides() {
        let own = own_task().expect("this machine has /proc");
        assert!(sees_own_pids());
        assert_eq!(task_of(super::super::thread::tid()).map(|task| task.start), Some(own.start));
        assert!(tid_exists(super::super::thread::tid()));
    }

    #[test]
    fn no_thread_has_an_id_beyond_the_kernels_limit() {
        assert!(!tid_exists(0x3fff_fffe));
        assert!(!tid_exists(u32::MAX));
    }
}
