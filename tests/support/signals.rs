//! Signals that come while somebody sleeps.

use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering::SeqCst};

use super::*;

/// In a child: counts every SIGUSR1 in `handled`, beginning with one that it sends itself. `flags` as of `sigaction`.
pub fn count_signals_in(handled: &Tally, flags: libc::c_int) {
    static HANDLED: AtomicPtr<Tally> = AtomicPtr::new(ptr::null_mut());
    extern "C" fn count(_: libc::c_int) {
        // SAFETY: set before the handler is installed, to memory that stays mapped for the life of the child.
        unsafe { &*HANDLED.load(SeqCst) }.up();
    }
    HANDLED.store(ptr::from_ref(handled).cast_mut(), SeqCst);
    // SAFETY: all-zero is a valid sigaction; the handler does nothing but an atomic addition.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = count as *const () as usize;
        action.sa_flags = flags;
        assert_eq!(libc::sigaction(libc::SIGUSR1, &action, ptr::null_mut()), 0);
        assert_eq!(libc::raise(libc::SIGUSR1), 0);
    }
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
