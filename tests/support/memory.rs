//! Memory that forked children share, and an integer in it that only the primitive under test protects.

use std::cell::UnsafeCell;
use std::io;
use std::ops::Deref;
use std::ptr::{self, NonNull};

/// A value in memory that forked children share.
#[derive(Debug)]
pub struct Shm<T>(NonNull<T>);

// SAFETY: a Shm is a reference to one T, and hands out nothing but `&T`.
unsafe impl<T: Sync> Send for Shm<T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for Shm<T> {}

impl<T: Sync> Shm<T> {
    pub fn new(value: T) -> Self {
        let (prot, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS);
        // SAFETY: a fresh mapping wherever the kernel likes.
        let at = unsafe { libc::mmap(ptr::null_mut(), size_of::<T>().max(1), prot, flags, -1, 0) };
        assert_ne!(at, libc::MAP_FAILED, "mmap: {}", io::Error::last_os_error());
        let at = NonNull::new(at.cast::<T>()).expect("not at zero");
        // SAFETY: the mapping is large enough, page-aligned and nobody else's yet.
        unsafe { at.write(value) };
        Self(at)
    }
}

impl<T> Deref for Shm<T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: mapped and initialised in `new`, unmapped in `drop` only.
        unsafe { self.0.as_ref() }
    }
}

impl<T> Drop for Shm<T> {
    fn drop(&mut self) {
        // SAFETY: the mapping made in `new`; `&mut self` says that no reference into it is left in this process.
        unsafe { libc::munmap(self.0.as_ptr().cast(), size_of::<T>().max(1)) };
    }
}

/// An integer without any protection of its own.
#[derive(Debug, Default)]
pub struct Naked(UnsafeCell<u64>);

// SAFETY: every access is unsafe and names what protects it.
unsafe impl Sync for Naked {}

impl Naked {
    pub const fn new() -> Self {
        Self(UnsafeCell::new(0))
    }

    /// Adds one slowly, so that a second one inside would be noticed.
    ///
    /// # Safety
    /// The caller is alone, as far as the primitive under test keeps its promise.
    pub unsafe fn bump(&self) {
        // SAFETY: the caller's promise. Volatile, for when it is not kept.
        unsafe {
            let old = self.0.get().read_volatile();
            std::hint::spin_loop();
            self.0.get().write_volatile(old + 1);
        }
    }

    /// # Safety
    /// As [`Self::bump`].
    pub unsafe fn set(&self, value: u64) {
        // SAFETY: the caller's promise.
        unsafe { self.0.get().write_volatile(value) };
    }

    /// # Safety
    /// As [`Self::bump`].
    pub unsafe fn get(&self) -> u64 {
        // SAFETY: the caller's promise.
        unsafe { self.0.get().read_volatile() }
    }
}
