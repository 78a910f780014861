//! A signal that comes again and again, for the verbs that a signal may end.
#![allow(unsafe_code)]

use std::mem;
use std::ptr;

/// From now on SIGALRM comes to this process every two milliseconds, and has a handler.
pub(super) fn ring() {
    extern "C" fn heard(_: libc::c_int) {}
    let every = libc::timeval { tv_sec: 0, tv_usec: 2000 };
    let timer = libc::itimerval { it_interval: every, it_value: every };
    // SAFETY: a zeroed sigaction has no flags (so no restart of what it interrupts) and an empty mask; the handler does
    // nothing; the timer is read and not kept.
    let done = unsafe {
        let mut action: libc::sigaction = mem::zeroed();
        action.sa_sigaction = heard as extern "C" fn(libc::c_int) as usize;
        libc::sigaction(libc::SIGALRM, &action, ptr::null_mut()) == 0
            && libc::setitimer(libc::ITIMER_REAL, &timer, ptr::null_mut()) == 0
    };
    assert!(done, "no alarm");
}
