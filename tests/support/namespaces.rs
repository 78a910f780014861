//! Children that see other processes than their parent does, another /proc, or none.

use std::ffi::{CStr, CString};
use std::path::Path;
use std::{fs, io, ptr};

/// The first process of a PID namespace, and with it all others there. Dropping it kills and reaps it.
#[derive(Debug)]
pub struct Nested(libc::pid_t);

impl Nested {
    /// Runs `f` in the first process of a new PID namespace. To be called in a child with its own mounts, which are the
    /// same in there, so that its /proc is not its own; see [`mount_proc`].
    ///
    /// Not by the harness's `fork`, whose child looks for its parent, and could not see it from there.
    pub fn new(f: impl FnOnce()) -> Self {
        // SAFETY: changes where this process's next children live; no memory is involved.
        let done = unsafe { libc::unshare(libc::CLONE_NEWPID) } == 0;
        assert!(done, "skip: no PID namespace to be had: {}", io::Error::last_os_error());
        // SAFETY: this process is a child with a single thread.
        match unsafe { libc::fork() } {
            -1 => panic!("fork: {}", io::Error::last_os_error()),
            0 => {
                // SAFETY: sets an attribute of this process.
                unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
                let code = if std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)).is_ok() { 0 } else { 101 };
                // SAFETY: always allowed.
                unsafe { libc::_exit(code) }
            }
            pid => Self(pid),
        }
    }

    /// Waits for its end, which must be a good one. What it said is in the words of the child that made it.
    #[track_caller]
    pub fn join(self) {
        assert_eq!(self.reap(), 0, "the first process of the namespace ended badly");
    }

    fn reap(&self) -> libc::c_int {
        let mut status = 0;
        // SAFETY: waits for this process's own child; writes one integer, into `status`. A second time it is ECHILD.
        unsafe { libc::waitpid(self.0, &mut status, 0) };
        status
    }
}

impl Drop for Nested {
    fn drop(&mut self) {
        // SAFETY: no memory is involved; until it is reaped, which -1 says it is, the id is its own.
        unsafe {
            if libc::waitpid(self.0, ptr::null_mut(), libc::WNOHANG) == 0 {
                libc::kill(self.0, libc::SIGKILL);
                self.reap();
            }
        }
    }
}

/// In a child with its own mounts: a /proc that counts as this process does. `options` as `mount -o` takes them.
pub fn mount_proc(options: &CStr) {
    mount(c"proc", Path::new("/proc"), Some(c"proc"), 0, options);
}

/// In a child with its own mounts: an empty directory in place of /proc.
pub fn hide_proc() {
    mount(c"none", Path::new("/proc"), Some(c"tmpfs"), 0, c"");
}

/// In a child with its own mounts: `from` is seen at `at`.
pub fn bind(from: &Path, at: &Path) {
    let from = CString::new(from.to_str().unwrap()).unwrap();
    mount(&from, at, None, libc::MS_BIND, c"");
}

fn mount(what: &CStr, at: &Path, kind: Option<&CStr>, flags: libc::c_ulong, options: &CStr) {
    let target = CString::new(at.to_str().unwrap()).unwrap();
    let kind = kind.map_or(ptr::null(), CStr::as_ptr);
    // SAFETY: all strings end in NUL and outlive the call.
    let done = unsafe { libc::mount(what.as_ptr(), target.as_ptr(), kind, flags, options.as_ptr().cast()) } == 0;
    assert!(done, "skip: {what:?} cannot be mounted at {}: {}", at.display(), io::Error::last_os_error());
}

/// In a PID namespace of the test's own: the next thread or process gets this id.
pub fn next_id_is(id: u32) {
    let written = fs::write("/proc/sys/kernel/ns_last_pid", (id - 1).to_string());
    assert!(written.is_ok(), "skip: no choice of thread ids: {}", written.unwrap_err());
}
