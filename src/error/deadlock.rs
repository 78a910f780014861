//! The circle in words: what `WouldDeadlock` says when it is shown to the thread that got it.
//!
//! The error itself is a plain code, as all errors of the hot paths are. The words are kept for the thread, as
//! the number of a failed system call is: until its next one.

use std::cell::RefCell;

thread_local! {
    static LAST: RefCell<String> = const { RefCell::new(String::new()) };
}

/// The calling thread is about to learn of a deadlock; `circle` says who waits for whom.
pub(crate) fn remember(circle: String) {
    // A thread that is ending has no words any more: then it gets the code alone.
    let _ = LAST.try_with(|last| last.replace(circle));
}

/// What is to be said of the calling thread's last deadlock.
pub(crate) fn words() -> String {
    let known = LAST.try_with(|last| last.borrow().clone()).ok().filter(|circle| !circle.is_empty());
    known.unwrap_or_else(|| String::from("the thread that got this can say who waits for whom"))
}
