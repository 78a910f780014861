//! Children that were dropped while they ran: whoever comes by here waits for those that have ended.
//!
//! A list to which anybody adds and which is only ever taken whole, so that it needs no lock: one that another thread
//! holds while this one forks would be held in the child for ever. A forked child has a copy of it, and finds out that those
//! are no children of its own.
#![allow(unsafe_code)]

use std::os::fd::{AsFd, OwnedFd};
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use crate::sys::process;

struct Orphan {
    child: OwnedFd,
    next: *mut Orphan,
}

static FIRST: AtomicPtr<Orphan> = AtomicPtr::new(ptr::null_mut());

/// Leaves a child to be waited for by `reap`.
pub(super) fn leave(child: OwnedFd) {
    push(Box::new(Orphan { child, next: ptr::null_mut() }));
}

fn push(orphan: Box<Orphan>) {
    let orphan = Box::into_raw(orphan);
    let mut first = FIRST.load(Ordering::Relaxed); // only compared
    loop {
        // SAFETY: it comes from the box above, and nobody else sees it before it is in the list.
        unsafe { (*orphan).next = first };
        // edge: orphan left -> taken (Release end)
        match FIRST.compare_exchange_weak(first, orphan, Ordering::Release, Ordering::Relaxed) {
            Ok(_) => return,
            Err(other) => first = other,
        }
    }
}

/// Waits for those that have ended, and for none that has not.
pub(super) fn reap() {
    // edge: orphan left -> taken (Acquire end)
    let mut next = FIRST.swap(ptr::null_mut(), Ordering::Acquire);
    while !next.is_null() {
        // SAFETY: a pointer in the list comes from a box, and whoever takes the list takes all of them alone.
        let orphan = unsafe { Box::from_raw(next) };
        next = orphan.next;
        // An error: somebody else has waited for it, or it is no child of this process.
        if let Ok(None) = process::reap(orphan.child.as_fd()) {
            push(orphan);
        }
    }
}
