//! A copy of this process.
#![allow(unsafe_code)]

use std::io;
use std::mem;
use std::panic::{self, AssertUnwindSafe};

use super::child::Child;
use crate::sys::process::{self, Forked};

/// Runs `f` in a copy of this process, which ends with the exit code that `f` returns.
///
/// The child has a copy of all memory, and the regions themselves: what it does to a primitive there, it does to the
/// one. It is a process of its own to them: what its parent holds, it does not hold.
///
/// It ends as soon as `f` does, by `_exit`. Nothing below this call is ever returned to or unwound in the child, no destructor
/// of the parent's runs there, no `atexit` handler; what `print!` has not flushed is not printed. If `f` panics, the exit code
/// is 101.
///
/// ```
/// use shmsync::{Mutex, Shared, process};
///
/// let jobs = Shared::anonymous(Mutex::new(3))?;
/// // SAFETY: this process has a single thread, so nobody holds a lock that the child could need.
/// let child = unsafe {
///     process::fork(|| {
///         *jobs.lock().unwrap() += 1;
///         7
///     })?
/// };
/// child.join(None)?;
/// assert_eq!(child.exit_code(), Some(7));
/// assert_eq!(*jobs.lock().unwrap(), 4);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// What `fork` says: too many processes (`EAGAIN`), no memory; no descriptor for the child (`EMFILE`), which may be found
/// out only when it runs, and then it is killed.
///
/// # Safety
/// Only the calling thread exists in the child. Whatever any other thread was in the middle of at that moment stays so
/// there: a lock that it held is held for ever, and what it was changing is half changed. With several threads, `f` may
/// therefore call only what does not depend on them: the primitives of this crate in shared memory, system calls, `exec`; on
/// glibc and musl also the allocator, which they put in order. Not `println!`, nor a panic (which takes the lock of
/// `stderr`), nor anything of a library that keeps threads of its own.
pub unsafe fn fork<F: FnOnce() -> u8>(f: F) -> io::Result<Child> {
    Child::prepare()?;
    // SAFETY: the caller's promise for `f`; around it there is nothing but the catching of a panic.
    match unsafe { process::fork()? } {
        Forked::Parent(pid) => Child::adopt(pid),
        Forked::Child => {
            let code = panic::catch_unwind(AssertUnwindSafe(f)).unwrap_or_else(|payload| {
                mem::forget(payload); // To drop it may panic again.
                101
            });
            process::exit_at_once(code)
        }
    }
}
