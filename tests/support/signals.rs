//! Signals that come while somebody sleeps, or at any moment.

use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering::SeqCst};

use super::*;

/// Installs a handler, of the form that `flags` ask for.
pub fn handles(signal: libc::c_int, flags: libc::c_int, handler: *const ()) {
    // SAFETY: all-zero is a valid sigaction; what the handler may do is its author's business.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as usize;
        action.sa_flags = flags;
        assert_eq!(libc::sigaction(signal, &action, ptr::null_mut()), 0);
    }
}

/// In a child: counts every SIGUSR1 in `handled`, beginning with one that it sends itself. `flags` as of `sigaction`.
pub fn count_signals_in(handled: &Tally, flags: libc::c_int) {
    static HANDLED: AtomicPtr<Tally> = AtomicPtr::new(ptr::null_mut());
    extern "C" fn count(_: libc::c_int) {
        // SAFETY: set before the handler is installed, to memory that stays mapped for the life of the child.
        unsafe { &*HANDLED.load(SeqCst) }.up();
    }
    HANDLED.store(ptr::from_ref(handled).cast_mut(), SeqCst);
    handles(libc::SIGUSR1, flags, count as *const ());
    // SAFETY: no memory is involved.
    assert_eq!(unsafe { libc::raise(libc::SIGUSR1) }, 0);
}

/// Sends SIGUSR1 until `enough`, each when the one before was handled and the child sleeps again (or has ended).
pub fn pester(child: &Child, handled: &Tally, enough: impl Fn() -> bool) {
    while !enough() {
        let before = handled.get();
        child.signal(libc::SIGUSR1);
        eventually("a signal handled", || match state(child.pid()) {
            'S' if handled.get() > before => Ok(()),
            'Z' | '-' => Ok(()),
            other => Err(format!("state {other}")),
        });
    }
}

/// Sends this process SIGALRM every `micros` from now on; never again with zero.
pub fn alarm_every(micros: u32) {
    let interval = libc::timeval { tv_sec: 0, tv_usec: micros as _ };
    let timer = libc::itimerval { it_interval: interval, it_value: interval };
    // SAFETY: `timer` is one to read; the old one is not asked for.
    assert_eq!(unsafe { libc::setitimer(libc::ITIMER_REAL, &timer, ptr::null_mut()) }, 0);
}
