//! An unnamed process-shared `sem_t` in bytes that anybody may have written: used for parking only.
#![allow(unsafe_code)]

use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::errno;

/// How a wait on the semaphore ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    Posted,
    TimedOut,
    Interrupted,
}

const LONGS: usize = size_of::<libc::sem_t>() / size_of::<libc::c_ulong>();

/// Room for a `sem_t`, zero until `init`.
#[derive(zerocopy::FromBytes)]
#[repr(C)]
pub(crate) struct Sem(UnsafeCell<[libc::c_ulong; LONGS]>);

const _: () = assert!(size_of::<Sem>() == size_of::<libc::sem_t>() && align_of::<Sem>() >= align_of::<libc::sem_t>());

// SAFETY: it is only ever passed to the sem_* functions, which synchronize by themselves.
unsafe impl Sync for Sem {}

#[cfg(target_env = "gnu")]
unsafe extern "C" {
    /// glibc 2.30 and later; not in the libc crate.
    fn sem_clockwait(sem: *mut libc::sem_t, clock: libc::clockid_t, until: *const libc::timespec) -> libc::c_int;
}

impl Sem {
    #[expect(clippy::declare_interior_mutable_const, reason = "each use is a fresh one, for a const constructor")]
    pub(crate) const NEW: Self = Self(UnsafeCell::new([0; LONGS]));

    fn as_ptr(&self) -> *mut libc::sem_t {
        self.0.get().cast()
    }

    /// Makes it, with the value zero. Not to be called while another thread may wait on it.
    pub(crate) fn init(&self) {
        // SAFETY: the pointer is to a sem_t's worth of aligned bytes, and a sem_t may be made over any.
        let result = unsafe { libc::sem_init(self.as_ptr(), 1, 0) };
        assert_eq!(result, 0, "sem_init failed with errno {}", errno());
    }

    /// Whether the part that never changes is as `init` left it. glibc ends the process when it finds anything else
    /// there. Who scribbles between this look and the use can still do that; who did so before cannot.
    pub(crate) fn is_sound(&self) -> bool {
        /// Where "private or shared" is kept: after value and number of waiters on musl, between them on 32-bit glibc,
        /// and on 64-bit systems in the second long either way.
        const KIND: usize = if cfg!(all(target_env = "musl", target_pointer_width = "32")) { 2 } else { 1 };
        let sound = Self::NEW;
        sound.init();
        // SAFETY: both are aligned and mapped; the other's is read as atomic, since anybody may write it.
        unsafe { self.long(KIND).load(Ordering::Relaxed) == sound.long(KIND).load(Ordering::Relaxed) }
    }

    /// # Safety
    /// `at` is less than `LONGS`.
    unsafe fn long(&self, at: usize) -> &AtomicUsize {
        // SAFETY: within the room, by the caller's promise; a long is a usize on Linux, and aligned.
        unsafe { AtomicUsize::from_ptr(self.0.get().cast::<usize>().add(at)) }
    }

    /// Waits for a post until `until` (nanoseconds, monotonic).
    #[cfg(target_env = "gnu")]
    pub(crate) fn wait(&self, until: u64) -> Wait {
        let until = super::timespec(until);
        // SAFETY: the sem_t was made; whatever its bytes hold, glibc touches nothing but them.
        let result = unsafe { sem_clockwait(self.as_ptr(), libc::CLOCK_MONOTONIC, &raw const until) };
        if result == 0 {
            return Wait::Posted;
        }
        match errno() {
            libc::ETIMEDOUT => Wait::TimedOut,
            libc::EINTR => Wait::Interrupted,
            errno => panic!("sem_clockwait failed with errno {errno}"),
        }
    }

    /// Waits for a post until `until` (nanoseconds, monotonic).
    ///
    /// This libc can wait on a semaphore only by the wall clock, which may jump; so look, nap briefly, look again.
    #[cfg(not(target_env = "gnu"))]
    pub(crate) fn wait(&self, until: u64) -> Wait {
        /// About three times what waking costs: shorter naps burn CPU, longer ones delay a hand-over.
        const NAP_NANOS: u64 = 50_000;
        loop {
            if self.try_wait() {
                return Wait::Posted;
            }
            let now = super::monotonic_nanos();
            if now >= until {
                return Wait::TimedOut;
            }
            if super::nap_until(until.min(now + NAP_NANOS)) {
                return Wait::Interrupted;
            }
        }
    }

    /// Takes one post if there is one.
    pub(crate) fn try_wait(&self) -> bool {
        // SAFETY: as in `wait`. Any failure (EAGAIN, EINTR) means that nothing was taken.
        unsafe { libc::sem_trywait(self.as_ptr()) == 0 }
    }

    /// Lets one waiter through. Leaves `errno` as it is, since a signal handler may do this between another call of its
    /// thread and the look at its error.
    pub(crate) fn post(&self) {
        let before = errno();
        // SAFETY: as in `wait`. EOVERFLOW, from bytes somebody scribbled, means that posts abound: nobody is stuck.
        if unsafe { libc::sem_post(self.as_ptr()) } != 0 {
            set_errno(before);
        }
    }
}

fn set_errno(errno: i32) {
    // SAFETY: libc gives every thread its own, which lives as long as the thread.
    unsafe { *libc::__errno_location() = errno };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn posts_that_abound_leave_errno_alone() {
        let sem = Sem::NEW;
        sem.init();
        // SAFETY: a long of the room, and the value is in the first on every libc.
        unsafe { sem.long(0) }.store(i32::MAX as usize, Ordering::Relaxed);
        set_errno(4711);
        sem.post();
        assert_eq!(errno(), 4711);
        assert!(sem.try_wait(), "the value was not where it was thought to be");
    }
}
