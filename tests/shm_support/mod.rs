//! Names and directories that vanish with the test, and children that are somebody or somewhere else.
#![allow(dead_code, unreachable_pub)] // Every test uses its part.

pub mod sandbox;
pub mod smaps;

use std::error::Error as _;
use std::ffi::{CStr, CString};
use std::io;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use shmsync::{Error, ErrorKind, Shared};
use shmsync_harness::process;
use zerocopy::FromBytes;

/// Far more than any of the tests takes on a machine that does something else as well.
pub const LIMIT: Duration = Duration::from_secs(60);

fn unique(what: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("shmsync-test-{what}-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// The name of a region, unlinked when the test ends, however it does.
pub struct Name(String);

impl Name {
    pub fn new(what: &str) -> Self {
        Self(format!("/{}", unique(what)))
    }

    /// With as many bytes after the slash.
    pub fn of_length(length: usize) -> Self {
        Self(format!("{:x<1$}", &*Self::new("long"), length + 1))
    }

    /// The file behind it.
    pub fn path(&self) -> PathBuf {
        Path::new("/dev/shm").join(&self.0[1..])
    }
}

impl Deref for Name {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(self.path()).or_else(|_| std::fs::remove_dir(self.path()));
    }
}

/// A directory that is removed when the test ends.
pub struct Directory(PathBuf);

impl Directory {
    /// On whatever file system temporary files are.
    pub fn new(what: &str) -> Self {
        Self::within(&std::env::temp_dir(), what)
    }

    /// In memory.
    pub fn in_memory(what: &str) -> Self {
        Self::within(Path::new("/dev/shm"), what)
    }

    fn within(parent: &Path, what: &str) -> Self {
        let path = parent.join(unique(what));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.0).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

impl Deref for Directory {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The kind of a failure, whose message must name the region that it is about.
#[track_caller]
pub fn refusal<T: FromBytes + Sync>(result: Result<Shared<T>, Error>, naming: &str) -> ErrorKind {
    let error = result.expect_err("it must be refused");
    let message = error.to_string();
    assert!(message.contains(naming), "{message:?} does not name {naming:?}");
    error.kind()
}

/// Runs `f` in a child. If the child says "skip: reason", the reason is printed, and that is no failure.
#[track_caller]
pub fn in_child(f: impl FnOnce()) {
    if let Err(report) = process::fork(f).join(LIMIT) {
        match report.split_once("skip: ") {
            Some((_, reason)) => eprintln!("skipped: {reason}"),
            None => panic!("{report}"),
        }
    }
}

pub fn is_root() -> bool {
    ids().0 == 0
}

fn ids() -> (u32, u32) {
    // SAFETY: always allowed.
    unsafe { (libc::geteuid(), libc::getegid()) }
}

/// In a child of root: becomes nobody, for whom permissions count.
pub fn become_nobody() {
    // SAFETY: these change the credentials of this process, which is a child made for that; no memory is involved
    // but the empty list of groups.
    let done =
        unsafe { libc::setgroups(0, std::ptr::null()) == 0 && libc::setgid(65534) == 0 && libc::setuid(65534) == 0 };
    assert!(done, "skip: cannot become nobody: {}", io::Error::last_os_error());
}

/// In a child: gives it its own view of the mounts, in which it may mount and unmount.
pub fn own_mounts() {
    let (user, group) = ids();
    let what = if is_root() { libc::CLONE_NEWNS } else { libc::CLONE_NEWNS | libc::CLONE_NEWUSER };
    // SAFETY: the child has a single thread; no memory is involved.
    let done = unsafe { libc::unshare(what) } == 0;
    assert!(done, "skip: no mount namespace to be had: {}", io::Error::last_os_error());
    if user != 0 {
        // In a user namespace only mapped users can own files.
        let map = |file: &str, text: &str| std::fs::write(Path::new("/proc/self").join(file), text).unwrap();
        map("setgroups", "deny");
        map("uid_map", &format!("{user} {user} 1"));
        map("gid_map", &format!("{group} {group} 1"));
    }
    let private = libc::MS_REC | libc::MS_PRIVATE;
    // SAFETY: the strings end in NUL; type and data are not looked at for a change of propagation.
    let done =
        unsafe { libc::mount(c"none".as_ptr(), c"/".as_ptr(), std::ptr::null(), private, std::ptr::null()) == 0 };
    assert!(done, "skip: mounts cannot be made private: {}", io::Error::last_os_error());
}

/// After [`own_mounts`]: an empty file system of one MiB.
pub fn mount_one_mebibyte(at: &Path) {
    mount(c"tmpfs", at, c"size=1m");
}

/// After [`own_mounts`]: a file system whose pages are set aside.
pub fn mount_hugetlbfs(at: &Path) {
    mount(c"hugetlbfs", at, c"");
}

fn mount(kind: &CStr, at: &Path, data: &CStr) {
    let path = CString::new(at.to_str().unwrap()).unwrap();
    // SAFETY: all strings end in NUL and outlive the call.
    let done = unsafe { libc::mount(kind.as_ptr(), path.as_ptr(), kind.as_ptr(), 0, data.as_ptr().cast()) } == 0;
    assert!(done, "skip: no {kind:?} can be mounted: {}", io::Error::last_os_error());
}

/// How many descriptors this process has.
pub fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// The kind of the error of the system that is behind it.
#[track_caller]
pub fn reason<T: std::fmt::Debug>(result: Result<T, Error>) -> io::ErrorKind {
    let error = result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Os, "{error}");
    error.source().and_then(|source| source.downcast_ref::<io::Error>()).unwrap().kind()
}
