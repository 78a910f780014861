//! Mapped bytes, and who unmaps them.
//!
//! What holds for every [`Memory`], and `mapping` relies on: from `start` on, `length` bytes are mapped, readable and
//! writable, at the same address for as long as it lives; they are no fewer than a region's head, aligned to eight.
#![allow(unsafe_code)]

use std::any::Any;
use std::fs::File;
use std::io;
use std::ptr::NonNull;

use memmap2::MmapOptions;

use super::header::Words;
use super::place::Place;
use super::terms::{HugePages, Terms};
use crate::error::{Error, ErrorKind};
use crate::sys::file::{self, Aligned};

pub(super) struct Memory {
    start: NonNull<u8>,
    length: usize,
    /// Unmaps it when dropped, unless that is the caller's business.
    _keeper: Box<dyn Any + Send + Sync>,
}

// SAFETY: the bytes are shared memory, which all threads reach alike; the pointer is given out, never followed here; and
// the keeper may be dropped by any thread.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

impl Memory {
    /// Maps the first `length` bytes, as many as a head at least, of a file that has as many. On hugetlbfs it is the whole
    /// of the last page.
    pub(super) fn map(file: &File, length: usize, terms: &Terms) -> io::Result<Self> {
        let too_large = |_| io::Error::from_raw_os_error(libc::ENOMEM);
        let whole = usize::try_from(file::in_whole_pages(file, length as u64)?).map_err(too_large)?;
        // On hugetlbfs they are huge anyhow, and perhaps larger than those.
        if terms.huge_pages == HugePages::Transparent && file::reserved_page(file)?.is_none() {
            if let Some(map) = Aligned::map(file, whole)? {
                file::make_huge(map.start(), whole);
                return Ok(Self::new(map.start(), whole, map));
            }
        }
        let map = MmapOptions::new().len(whole).map_raw(file)?;
        Ok(Self::new(map.as_mut_ptr(), whole, map))
    }

    /// What somebody else has mapped. `keeper` is kept, and may unmap it when it is dropped.
    ///
    /// # Safety
    /// While the keeper lives, the range is mapped for reading and writing, can be touched without a fault, and is written
    /// to by others only as a region is. It is as long as a region's head, and aligned to eight bytes.
    pub(super) unsafe fn lent(start: *mut u8, length: usize, keeper: impl Any + Send + Sync) -> Self {
        Self::new(start, length, keeper)
    }

    fn new(start: *mut u8, length: usize, keeper: impl Any + Send + Sync) -> Self {
        let start = NonNull::new(start).expect("nothing is mapped at zero");
        Self { start, length, _keeper: Box::new(keeper) }
    }

    pub(super) fn start(&self) -> *mut u8 {
        self.start.as_ptr()
    }

    /// Where the header is.
    pub(super) fn header(&self) -> &Words {
        // SAFETY: by the invariant it is mapped, long enough and aligned; others write there by atomics, or by system calls.
        unsafe { self.start.cast().as_ref() }
    }

    pub(super) fn length(&self) -> usize {
        self.length
    }

    /// Makes of its pages what the terms ask for, before anybody uses them.
    pub(super) fn prepare(&self, terms: &Terms, place: &Place) -> Result<(), Error> {
        let (start, length) = (self.start(), self.length);
        if terms.populate {
            file::populate(start, length).map_err(|e| Error::os(format!("cannot populate {place}"), e))?;
        }
        if terms.lock_memory {
            file::lock(start, length).map_err(|e| cannot_lock(length, place, e))?;
        }
        Ok(())
    }
}

/// ENOMEM here is not the machine's memory but the process's limit.
fn cannot_lock(length: usize, place: &Place, e: io::Error) -> Error {
    let what = format!("cannot lock the {length} bytes of {place} in memory");
    match (e.raw_os_error(), file::lock_limit()) {
        (Some(libc::ENOMEM), Some(limit)) => {
            let message = format!("{what}: the process may lock {limit} in all (RLIMIT_MEMLOCK)");
            Error::new(ErrorKind::PermissionDenied, message)
        }
        _ => Error::os(what, e),
    }
}
