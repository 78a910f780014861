//! Linux: the clock, and the map of this folder.
#![allow(unsafe_code)]

pub(crate) mod file;
pub(crate) mod futex;
pub(crate) mod peek;
pub(crate) mod proc;
pub(crate) mod process;
pub(crate) mod robust;
pub(crate) mod sem;
pub(crate) mod socket;
pub(crate) mod thread;

use std::io;

/// Nanoseconds of `CLOCK_MONOTONIC`.
pub(crate) fn monotonic_nanos() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is a timespec to write to.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    debug_assert_eq!(result, 0, "CLOCK_MONOTONIC exists on every Linux");
    // Both are small and not negative: the clock counts from the boot.
    (now.tv_sec as u64) * 1_000_000_000 + now.tv_nsec as u64
}

/// Sleeps until `nanos` on the monotonic clock, or until a signal handler has run; whether one has.
pub(crate) fn nap_until(nanos: u64) -> bool {
    let until = timespec(nanos);
    // SAFETY: `until` is a timespec to read; the remainder is not asked for.
    let result = unsafe {
        libc::clock_nanosleep(libc::CLOCK_MONOTONIC, libc::TIMER_ABSTIME, &raw const until, std::ptr::null_mut())
    };
    result == libc::EINTR
}

/// A timespec of `nanos`, which callers keep within 32 bits of seconds: a slice from now, or an hour.
fn timespec(nanos: u64) -> libc::timespec {
    libc::timespec { tv_sec: (nanos / 1_000_000_000) as _, tv_nsec: (nanos % 1_000_000_000) as _ }
}

// ---- The door: -1 becomes errno, and EINTR another try ----------------------------------------------------------

fn done<N: PartialEq + From<i8>>(result: N) -> io::Result<N> {
    if result == N::from(-1) { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn uninterrupted<R>(mut call: impl FnMut() -> io::Result<R>) -> io::Result<R> {
    loop {
        match call() {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

fn errno() -> i32 {
    io::Error::last_os_error().raw_os_error().unwrap_or(0)
}
