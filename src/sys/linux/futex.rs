//! The shared futex: sleep while a 32-bit word holds a value, wake who sleeps on it, across processes.
//!
//! Never `FUTEX_PRIVATE_FLAG`: the kernel then finds sleepers by the page behind the address, not by the address.
#![allow(unsafe_code)]

use super::errno;

/// How a wait on a futex ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    Woken,
    /// The word had another value already.
    Changed,
    TimedOut,
    Interrupted,
}

/// What the futex call takes for a timespec where it is the 32-bit one: two machine words, whatever libc's time_t is.
#[repr(C)]
struct KernelTimespec {
    seconds: libc::c_long,
    nanos: libc::c_long,
}

/// Sleeps on `word` while it holds `expected`, at the latest until `until` (nanoseconds, monotonic).
///
/// `FUTEX_WAIT_BITSET` takes an absolute time on `CLOCK_MONOTONIC`. Having a timeout, it ends with EINTR after every
/// signal handler, `SA_RESTART` or not: the kernel restarts such a wait only after a stop.
pub(crate) fn wait(word: *const u32, expected: u32, until: u64) -> Wait {
    let until = KernelTimespec {
        seconds: (until / 1_000_000_000) as libc::c_long,
        nanos: (until % 1_000_000_000) as libc::c_long,
    };
    // SAFETY: the kernel reads four bytes at `word` and answers EFAULT if it cannot; `until` outlives the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_futex,
            word,
            libc::FUTEX_WAIT_BITSET,
            expected,
            &raw const until,
            std::ptr::null::<u32>(),
            libc::FUTEX_BITSET_MATCH_ANY,
        )
    };
    if result == 0 {
        return Wait::Woken;
    }
    match errno() {
        libc::EAGAIN => Wait::Changed,
        libc::ETIMEDOUT => Wait::TimedOut,
        libc::EINTR => Wait::Interrupted,
        // EFAULT: the region was unmapped or cut under us. EINVAL, ENOSYS, EPERM: not with these arguments, unless a
        // sandbox forbids futexes. None can be waited out.
        errno => panic!("futex wait failed with errno {errno}"),
    }
}

/// Wakes up to `count` of those who sleep on `word`; returns how many. Leaves `errno` alone, which only a failure writes.
pub(crate) fn wake(word: *const u32, count: u32) -> u32 {
    let count = count.min(i32::MAX as u32);
    // SAFETY: the kernel only translates `word`; it neither reads nor writes there.
    let result = unsafe { libc::syscall(libc::SYS_futex, word, libc::FUTEX_WAKE, count) };
    match result {
        0.. => result as u32,
        _ => panic!("futex wake failed with errno {}", errno()),
    }
}
