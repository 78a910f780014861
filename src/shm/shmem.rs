//! Regions in a `Shmem` of the crate `shared_memory`.
#![allow(unsafe_code)]

use shared_memory::Shmem;
use zerocopy::FromBytes;

use super::mapping::Vacant;
use super::options::{Options, leave_zero};
use super::shared::Shared;
use crate::error::Error;

/// Regions in the memory of a [`Shmem`], with the feature `shared_memory`.
///
/// The `Shmem` is kept, and dropped with the `Shared`: if it is the owner, the name that it has made is gone then.
/// Whether its memory is really there was not checked by that crate: on a full file system the first touch is a `SIGBUS`.
/// Regions of this crate's own are reserved.
impl<T: FromBytes + Sync> Shared<T> {
    /// The region in this memory.
    ///
    /// # Errors
    /// As [`from_mmap`](Self::from_mmap).
    pub fn from_shmem(shmem: Shmem) -> Result<Self, Error> {
        Self::options().from_shmem(shmem)
    }

    /// Makes a region in this memory, whatever was there.
    ///
    /// ```
    /// use shared_memory::ShmemConf;
    /// use shmsync::Shared;
    /// use std::sync::atomic::{AtomicU64, Ordering};
    ///
    /// let shmem = ShmemConf::new().size(8192).create()?;
    /// let id = shmem.get_os_id().to_owned();
    /// // SAFETY: it is new, and who opens it only attaches.
    /// let counter = unsafe { Shared::init_shmem(shmem, AtomicU64::new(7))? };
    ///
    /// // Another process would say:
    /// let same = Shared::<AtomicU64>::from_shmem(ShmemConf::new().os_id(&id).open()?)?;
    /// assert_eq!(same.load(Ordering::Relaxed), 7);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`init_mmap`](Self::init_mmap).
    ///
    /// # Safety
    /// Until it returns, nobody else uses the bytes, in this process or another, other than trying to attach to them. (A
    /// `Shmem` is not exclusive, which is why that crate's `as_slice_mut` is unsafe.)
    pub unsafe fn init_shmem(shmem: Shmem, value: T) -> Result<Self, Error> {
        // SAFETY: the caller's promise.
        unsafe { Self::options().init_shmem(shmem, value) }
    }
}

/// The same with options. Of them the stamp and the largest size count.
impl<T: FromBytes + Sync> Options<T> {
    /// As [`Shared::from_shmem`].
    #[allow(clippy::missing_errors_doc)] // Here and below: the documentation of `Shared` says where they are.
    pub fn from_shmem(&self, shmem: Shmem) -> Result<Shared<T>, Error> {
        let (start, length) = (shmem.as_ptr(), shmem.len());
        // SAFETY: the whole file was mapped when it was opened, for reading and writing, until the `Shmem` is dropped; and
        // references to its bytes are an unsafe matter of that crate.
        unsafe { self.attach_within(start, length, Kept(shmem)) }
    }

    /// As [`Shared::init_shmem`].
    ///
    /// # Safety
    /// As for [`Shared::init_shmem`].
    #[allow(clippy::missing_errors_doc)]
    pub unsafe fn init_shmem(&self, shmem: Shmem, value: T) -> Result<Shared<T>, Error> {
        // SAFETY: the caller's promise.
        unsafe { self.init(shmem, |vacant| vacant.put(value)) }
    }

    /// [`init_shmem`](Self::init_shmem) with all bytes zero, for types that are too large for the stack.
    ///
    /// # Safety
    /// As for [`Shared::init_shmem`].
    #[allow(clippy::missing_errors_doc)]
    pub unsafe fn init_shmem_zeroed(&self, shmem: Shmem) -> Result<Shared<T>, Error> {
        // SAFETY: the caller's promise.
        unsafe { self.init(shmem, leave_zero) }
    }

    unsafe fn init(&self, shmem: Shmem, fill: impl FnOnce(Vacant<'_>)) -> Result<Shared<T>, Error> {
        let (start, length) = (shmem.as_ptr(), shmem.len());
        // SAFETY: as in `from_shmem`, and the caller's promise.
        unsafe { self.init_within(start, length, Kept(shmem), fill) }
    }
}

/// It is neither `Send` nor `Sync` by itself, for it has a raw pointer.
struct Kept(#[allow(dead_code, reason = "kept for its drop")] Shmem);

// SAFETY: all that is done with it from now on is to drop it (in version 0.12 munmap, shm_unlink, close and the removal of
// a file, which know no thread).
unsafe impl Send for Kept {}
// SAFETY: nothing is done through a reference.
unsafe impl Sync for Kept {}
