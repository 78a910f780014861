//! What /proc and the kernel say of a thread: whether it is there, its state, when it started, in which namespace and
//! in which boot.
//!
//! Every answer may be "cannot tell": /proc may be missing, belong to another PID namespace, hide other users, or be
//! covered with something else here and there.
#![allow(unsafe_code)]

use std::ffi::CString;
use std::fs::{self, File};
use std::io::{self, Read};
use std::num::NonZeroUsize;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::linux::fs::MetadataExt;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::sync::atomic::{AtomicBool, Ordering};

use super::errno;
use super::file::FileSystem;
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
    read_stat(File::open("/proc/thread-self/stat"))
}

/// The thread `tid`, which need not be its process's first; or whoever has that number in the /proc that there is.
pub(crate) fn seeming_task(tid: u32) -> Option<Task> {
    read_stat(File::open(format!("/proc/{tid}/stat")))
}

/// A /proc that counts threads as the caller does. In a new PID namespace it may still be the old one's, and then its
/// `/proc/N` is somebody else. Held open, so that every question goes to this one, whatever is mounted over it.
pub(crate) struct OwnProc(File);

impl OwnProc {
    pub(crate) fn open() -> Option<Self> {
        let root = File::options().read(true).custom_flags(libc::O_PATH | libc::O_DIRECTORY).open("/proc").ok()?;
        let proc = Self(root);
        let mut status = Vec::new();
        proc.file("self/status").ok()?.read_to_end(&mut status).ok()?;
        // Lossy, because the name in it may be any bytes; but no line of its own.
        counts_alike(&String::from_utf8_lossy(&status), pid()).then_some(proc)
    }

    /// The thread `tid`, which need not be its process's first; `None` if there is none or it is hidden.
    pub(crate) fn task(&self, tid: u32) -> Option<Task> {
        read_stat(self.file(&format!("{tid}/stat")))
    }

    fn file(&self, path: &str) -> io::Result<File> {
        let path = CString::new(path)?;
        // SAFETY: the path ends in NUL and outlives the call; the borrowed root keeps its descriptor open.
        let fd = unsafe { libc::openat(self.0.as_raw_fd(), path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: openat has just returned this descriptor, so nobody else owns it.
        Ok(unsafe { File::from_raw_fd(fd) })
    }
}

/// Whether this `status` of the process, whose id is `pid`, counts as it does itself.
///
/// That it has the same id there is not enough: it may well be the 57th here and there. `NSpid` are its ids from the
/// namespace of that /proc down to its own, so one id is one namespace. Kernels before 4.1 have no such line.
fn counts_alike(status: &str, pid: u32) -> bool {
    let field = |name| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let pid = pid.to_string();
    field("Pid:") == Some(&pid) && field("NSpid:").is_none_or(|ids| ids == pid)
}

fn read_stat(file: io::Result<File>) -> Option<Task> {
    // The line is some 300 bytes; what comes after the start time may be cut off.
    let mut line = [0; 512];
    let length = file.ok()?.read(&mut line).ok()?;
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

/// Which boot of the machine this is: 16 random bytes; `None` where the kernel does not tell.
///
/// Containers hide it: systemd-nspawn and LXC mount a file of their own over it. Whoever believed that would take the
/// living outside for the dead of an earlier boot. So it must be a file of procfs, which no user can make; of which
/// mount of it does not matter, for all tell the same. What is left is another of procfs's own files in its place, and
/// of those only `uuid` looks like it, which reads differently every time.
pub(crate) fn boot_id() -> Option<[u8; 16]> {
    let file = File::open("/proc/sys/kernel/random/boot_id").ok().filter(is_of_procfs)?;
    let read = || {
        let mut text = [0; 36];
        file.read_exact_at(&mut text, 0).ok()?;
        let digits: String = std::str::from_utf8(&text).ok()?.chars().filter(|c| *c != '-').collect();
        u128::from_str_radix(&digits, 16).ok().map(u128::to_be_bytes)
    };
    read().filter(|&id| read() == Some(id))
}

fn is_of_procfs(file: &File) -> bool {
    FileSystem::of(file).is_ok_and(|system| system.is_proc())
}

/// Whether a thread `tid` exists in the caller's PID namespace, be it a zombie.
pub(crate) fn tid_exists(tid: u32) -> bool {
    let Ok(tid) = libc::pid_t::try_from(tid) else { return false };
    // SAFETY: signal 0 is none: only existence and permission are looked at. Unlike kill, tkill sees single threads.
    let result = unsafe { libc::syscall(libc::SYS_tkill, tid, 0) };
    // EPERM: there, but another user's. Anything else but ESRCH (a sandbox's answer) proves nothing.
    result == 0 || errno() != libc::ESRCH
}

/// Where the robust list of the thread `tid` begins, as an address of its own. "None" proves nothing: it may be that this libc
/// registers none before there is something in it, or that it is not the caller's to know.
///
/// Who has one lives: the kernel forgets it when a thread ends, before that is a zombie, and when it calls `exec`.
pub(crate) fn robust_list(tid: u32) -> Option<NonZeroUsize> {
    /// A refusal is not asked for twice: of a sandbox or of a security module, which may note each one down.
    static REFUSED: AtomicBool = AtomicBool::new(false);
    // Zero would be the caller.
    let tid = libc::pid_t::try_from(tid).ok().filter(|&tid| tid > 0 && !REFUSED.load(Ordering::Relaxed))?;
    let (mut head, mut size) = (0_usize, 0_usize);
    // SAFETY: the kernel writes both, and of the other thread's memory only says where something is.
    let result = unsafe { libc::syscall(libc::SYS_get_robust_list, tid, &raw mut head, &raw mut size) };
    if result == 0 {
        return NonZeroUsize::new(head);
    }
    if errno() != libc::ESRCH {
        REFUSED.store(true, Ordering::Relaxed);
    }
    None
}

/// Whether the process whose first thread is `tid` in the caller's PID namespace has ended, but nobody has waited for it
/// yet. A tenth of the price of a look into /proc. "No" proves nothing: it may be another thread's id, or no descriptor
/// is left, or the kernel is older than Linux 5.3.
pub(crate) fn is_zombie(tid: u32) -> bool {
    let Ok(tid) = libc::pid_t::try_from(tid) else { return false };
    // SAFETY: takes numbers.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, tid, 0) };
    let Ok(fd @ 0..) = libc::c_int::try_from(fd) else { return false };
    // SAFETY: just opened, and nobody else's.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    let mut ended = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one pollfd, which outlives the call.
    unsafe { libc::poll(&raw mut ended, 1, 0) == 1 && ended.revents & libc::POLLIN != 0 }
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
        let tid = super::super::thread::tid();
        assert_eq!(OwnProc::open().expect("its own").task(tid).map(|task| task.start), Some(own.start));
        assert_eq!(seeming_task(tid).map(|task| task.start), Some(own.start));
        assert!(tid_exists(tid));
    }

    #[test]
    fn no_thread_has_an_id_beyond_the_kernels_limit() {
        assert!(!tid_exists(0x3fff_fffe));
        assert!(!tid_exists(u32::MAX));
    }

    #[test]
    fn only_a_status_with_one_id_counts_alike() {
        let status = |ids: &str| format!("Name:\ta\nTgid:\t57\nPid:\t57\nPPid:\t1\n{ids}VmPeak:\t 1 kB\n");
        assert!(counts_alike(&status("NSpid:\t57\n"), 57));
        assert!(!counts_alike(&status("NSpid:\t57\t57\n"), 57), "the 57th in two namespaces");
        assert!(counts_alike(&status(""), 57), "an old kernel");
        assert!(!counts_alike(&status("NSpid:\t57\t1\n"), 1));
        assert!(!counts_alike("", 1));
    }

    #[test]
    fn the_boot_has_an_id_that_only_procfs_tells() {
        assert!(boot_id().is_some_and(|id| id != [0; 16]));
        assert_eq!(boot_id(), boot_id());
        assert!(!is_of_procfs(&File::open("/dev/null").unwrap()));
    }
}
