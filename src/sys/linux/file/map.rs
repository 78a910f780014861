//! What becomes of a mapping's pages: huge ones of both kinds, populated ones, locked ones.
//!
//! The verbs take an address and change no byte there, so that they are safe: what is not mapped is an error.
#![allow(unsafe_code)]

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::ptr;

use super::super::{done, uninterrupted};
use super::FileSystem;

/// How long a file is that has `size` bytes at least: on hugetlbfs files consist of whole pages.
pub(crate) fn in_whole_pages(file: &File, size: u64) -> io::Result<u64> {
    let too_large = || io::Error::from_raw_os_error(libc::EFBIG);
    reserved_page(file)?.map_or(Ok(size), |page| size.checked_next_multiple_of(page).ok_or_else(too_large))
}

/// The size of this file's pages if it lies on hugetlbfs, whose pages are set aside.
pub(crate) fn reserved_page(file: &File) -> io::Result<Option<u64>> {
    let system = FileSystem::of(file)?;
    Ok(system.is_hugetlbfs().then_some(system.block))
}

/// A mapping that begins at a multiple of the huge page's size, without which there can be none in it.
pub(crate) struct Aligned {
    start: *mut u8,
    length: usize,
}

// SAFETY: it is a range of addresses that any thread may unmap; nothing is read or written through it.
unsafe impl Send for Aligned {}
// SAFETY: as above.
unsafe impl Sync for Aligned {}

impl Aligned {
    /// `None` if the system has no transparent huge pages, or one is larger than the file.
    pub(crate) fn map(file: &File, length: usize) -> io::Result<Option<Self>> {
        let Some(huge) = huge_page().filter(|huge| *huge <= length) else { return Ok(None) };
        let room = length.checked_add(huge).ok_or_else(|| io::Error::from_raw_os_error(libc::ENOMEM))?;
        let (none, private) = (libc::PROT_NONE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE);
        // SAFETY: addresses that nothing uses, wherever the system likes.
        let all = mapped(unsafe { libc::mmap(ptr::null_mut(), room, none, private, -1, 0) })?;
        let mut reserved = Self { start: all, length: room };
        let before = all.align_offset(huge);
        let start = all.wrapping_add(before);
        let (both, shared) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_FIXED);
        // SAFETY: `before` is less than a huge page, so that the range lies within the reserved one, which is ours alone.
        mapped(unsafe { libc::mmap(start.cast(), length, both, shared, file.as_raw_fd(), 0) })?;
        // SAFETY: what is reserved before it, which nobody has seen.
        unsafe { unmap(all, before) };
        let end = length.next_multiple_of(super::page_size());
        // SAFETY: what is reserved behind it, from the next page on.
        unsafe { unmap(start.wrapping_add(end), room - before - end) };
        (reserved.start, reserved.length) = (start, length);
        Ok(Some(reserved))
    }

    pub(crate) fn start(&self) -> *mut u8 {
        self.start
    }
}

impl Drop for Aligned {
    fn drop(&mut self) {
        // SAFETY: it was mapped by `map`, and who reads or writes through it has promised to have ended.
        unsafe { unmap(self.start, self.length) };
    }
}

fn mapped(address: *mut libc::c_void) -> io::Result<*mut u8> {
    if address == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(address.cast()) }
}

/// # Safety
/// Nobody uses that range any more. It begins at a page.
unsafe fn unmap(start: *mut u8, length: usize) {
    if length > 0 {
        // SAFETY: the caller's promise.
        let result = unsafe { libc::munmap(start.cast(), length) };
        debug_assert_eq!(result, 0, "munmap of our own mapping: {}", io::Error::last_os_error());
    }
}

/// The size of a transparent huge page.
fn huge_page() -> Option<usize> {
    let size = fs::read_to_string("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size").ok()?;
    size.trim().parse().ok().filter(|size: &usize| size.is_power_of_two())
}

/// Not among libc's constants for musl.
const MADV_COLLAPSE: i32 = 25;

/// Advises the system to use huge pages for a mapping, and to begin now. Whether it can is not told.
pub(crate) fn make_huge(start: *mut u8, length: usize) {
    // EINVAL: a kernel without huge pages, or one before 6.1, which does not know MADV_COLLAPSE. EBUSY, EAGAIN, ENOMEM:
    // no huge page to be had now; the advice may bear fruit later.
    let _ = advise(start, length, libc::MADV_HUGEPAGE);
    let _ = advise(start, length, MADV_COLLAPSE);
}

/// Takes the page faults of a mapping now, those of a first write included.
pub(crate) fn populate(start: *mut u8, length: usize) -> io::Result<()> {
    match advise(start, length, libc::MADV_POPULATE_WRITE) {
        // Before Linux 5.14.
        Err(e) if e.raw_os_error() == Some(libc::EINVAL) => advise(start, length, libc::MADV_WILLNEED),
        result => result,
    }
}

fn advise(start: *mut u8, length: usize, advice: i32) -> io::Result<()> {
    // SAFETY: the advices above change no byte of memory, whosever it is.
    uninterrupted(|| done(unsafe { libc::madvise(start.cast(), length, advice) })).map(drop)
}

/// Keeps a mapping's pages in memory until it is unmapped.
pub(crate) fn lock(start: *mut u8, length: usize) -> io::Result<()> {
    // SAFETY: changes no byte of memory.
    uninterrupted(|| done(unsafe { libc::mlock(start.cast(), length) })).map(drop)
}

/// How many bytes this process may lock; `None` where the system does not say, or sets no limit.
pub(crate) fn lock_limit() -> Option<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: writes that local.
    let known = unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &raw mut limit) } == 0;
    #[allow(clippy::unnecessary_cast)] // `rlim_t` is 32 bits wide on some targets.
    (known && limit.rlim_cur != libc::RLIM_INFINITY).then_some(limit.rlim_cur as u64)
}
