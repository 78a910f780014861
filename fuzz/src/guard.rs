//! Memory for one value that ends where the value ends: behind it is a page that cannot be touched, and what is in front of
//! it is looked after. It stays mapped for the life of the process, since some thread may still sleep there.
#![allow(unsafe_code)]

use std::ptr;

use zerocopy::FromBytes;

const PAGE: usize = 4096;
/// How much of the page in front of the value is looked after.
const BEFORE: usize = 256;
const MARK: u8 = 0xa5;

/// A page between two that cannot be touched.
pub struct Guarded {
    page: *mut u8,
}

impl Guarded {
    /// # Panics
    /// If there is no memory.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "it maps memory for good")]
    pub fn new() -> Self {
        let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
        // SAFETY: a new mapping, of whose pages the middle one is made usable.
        unsafe {
            let start = libc::mmap(ptr::null_mut(), 3 * PAGE, libc::PROT_NONE, flags, -1, 0);
            assert_ne!(start, libc::MAP_FAILED, "no memory");
            let page = start.cast::<u8>().add(PAGE);
            assert_eq!(libc::mprotect(page.cast(), PAGE, libc::PROT_READ | libc::PROT_WRITE), 0);
            Self { page }
        }
    }

    /// A `T` of these bytes, at the end of the page.
    ///
    /// # Panics
    /// If a `T` does not fit.
    ///
    /// # Safety
    /// What was put there before is not used any more.
    pub unsafe fn put<T: FromBytes + Sync>(&self, bytes: &[u8]) -> &'static T {
        let (size, at) = (size_of::<T>(), PAGE - size_of::<T>());
        assert!(size + BEFORE <= PAGE && at % align_of::<T>() == 0);
        let whole: Vec<u8> = bytes.iter().copied().chain(std::iter::repeat(0)).take(size).collect();
        // SAFETY: in the page, which stays mapped; nobody else uses it, by the caller's promise; aligned; and any bytes are a
        // `T`.
        unsafe {
            self.page.add(at - BEFORE).write_bytes(MARK, BEFORE);
            self.page.add(at).copy_from_nonoverlapping(whole.as_ptr(), size);
            &*self.page.add(at).cast()
        }
    }

    /// Whether what is in front of a `T` is as it was.
    #[must_use]
    pub fn is_sound_before<T>(&self) -> bool {
        let before = PAGE - size_of::<T>() - BEFORE;
        // SAFETY: in the page, and nobody is meant to have a reference there.
        unsafe { (before..before + BEFORE).all(|at| self.page.add(at).read_volatile() == MARK) }
    }
}
