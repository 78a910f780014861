//! A bell that wakes everybody at once: sleepers that look again and again would keep each other from going to sleep,
//! when there are a thousand.

use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

/// Sleeps while `word` is `value`.
pub(super) fn await_change(word: &AtomicU32, value: u32) {
    while word.load(SeqCst) == value {
        // SAFETY: the kernel reads the word, which outlives the call; there is no timeout to read.
        unsafe {
            libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAIT, value, ptr::null::<libc::timespec>())
        };
    }
}

/// Changes `word`, and wakes all who sleep for that.
pub(super) fn ring(word: &AtomicU32, value: u32) {
    word.store(value, SeqCst);
    // SAFETY: it touches no memory.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, i32::MAX) };
}
