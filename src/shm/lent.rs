//! Regions in memory that was mapped by somebody else: at an address, or by another crate.
//!
//! Such a region has no descriptor and no name that we know of, so there is nothing to publish: its header is written
//! last, and what has none is no region (`header`). Who comes too early is told so.
#![allow(unsafe_code)]

use memmap2::MmapMut;
use zerocopy::FromBytes;

use super::layout::{HEAD, Layout};
use super::mapping::{Mapping, Vacant};
use super::memory::Memory;
use super::options::{Options, leave_zero};
use super::place::Place;
use super::shared::Shared;
use crate::error::{Error, ErrorKind};

/// Regions in memory that is mapped already.
///
/// Whoever maps it decides how it is shared: with `MAP_SHARED` between processes, otherwise between the threads of
/// one. The first `init`s it, all others attach. A region has as many bytes as `T` and 4096 bytes for its head, or `T`'s
/// alignment if that is more; what comes behind it in the memory is not touched. The memory must be aligned as `T` is, and
/// to eight bytes at least.
///
/// It has no [`handle`](Self::try_handle): hand on what the memory was mapped from.
impl<T: FromBytes + Sync> Shared<T> {
    /// The region at this address, which somebody has made there. Dropping the `Shared` unmaps nothing.
    ///
    /// # Errors
    /// [`Unsupported`](crate::ErrorKind::Unsupported) when the memory is not aligned,
    /// [`Truncated`](crate::ErrorKind::Truncated) when it is too short,
    /// [`NotARegion`](crate::ErrorKind::NotARegion) when nobody has made one there yet, and
    /// [`LayoutMismatch`](crate::ErrorKind::LayoutMismatch).
    ///
    /// # Safety
    /// - `length` bytes from `start` on are mapped for reading and writing, and all can be touched without a fault (no file
    ///   behind them is shorter), until the `Shared` is dropped.
    /// - Until then, whoever else reads or writes there does so as in a region of this crate, be it this process or another:
    ///   no `&mut` reference to the bytes is used, nor a `&` one.
    pub unsafe fn from_raw(start: *mut u8, length: usize) -> Result<Self, Error> {
        // SAFETY: the caller's promise.
        unsafe { Self::options().from_raw(start, length) }
    }

    /// Makes a region at this address, whatever was there, with this value. Dropping the `Shared` unmaps nothing.
    ///
    /// ```
    /// use shmsync::{ErrorKind, Mutex, Shared};
    ///
    /// // A page of your own, here by way of the allocator; larger than a region for a Mutex<u64>.
    /// let layout = std::alloc::Layout::from_size_align(8192, 4096)?;
    /// // SAFETY: the layout has a size.
    /// let start = unsafe { std::alloc::alloc_zeroed(layout) };
    ///
    /// // SAFETY: it is mapped, stays so until both are dropped, and nobody else uses it.
    /// let jobs = unsafe {
    ///     let early = Shared::<Mutex<u64>>::from_raw(start, 8192);
    ///     assert_eq!(early.unwrap_err().kind(), ErrorKind::NotARegion);
    ///     Shared::init_raw(start, 8192, Mutex::new(3))?
    /// };
    /// // SAFETY: as above.
    /// let same = unsafe { Shared::<Mutex<u64>>::from_raw(start, 8192)? };
    /// *same.lock().unwrap() += 1;
    /// assert_eq!(*jobs.lock().unwrap(), 4);
    ///
    /// drop((jobs, same));
    /// // SAFETY: from the allocator, with that layout, and nobody uses it any more.
    /// unsafe { std::alloc::dealloc(start, layout) };
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Unsupported`](crate::ErrorKind::Unsupported) when the memory is not aligned,
    /// [`Truncated`](crate::ErrorKind::Truncated) when it is too short. Then nothing was changed.
    ///
    /// # Safety
    /// As for [`from_raw`](Self::from_raw); and until it returns, nobody else uses the bytes of the region at all, other
    /// than trying to attach to it. If this process dies meanwhile there is no region yet, and another may begin anew.
    pub unsafe fn init_raw(start: *mut u8, length: usize, value: T) -> Result<Self, Error> {
        // SAFETY: the caller's promise.
        unsafe { Self::options().init_raw(start, length, value) }
    }

    /// The region in a mapping of [`memmap2`], which is kept, and unmapped when the `Shared` is dropped.
    ///
    /// # Errors
    /// As [`from_raw`](Self::from_raw).
    pub fn from_mmap(map: MmapMut) -> Result<Self, Error> {
        Self::options().from_mmap(map)
    }

    /// Makes a region in a mapping of [`memmap2`], whatever was there, and keeps it as [`from_mmap`](Self::from_mmap)
    /// does.
    ///
    /// ```
    /// use memmap2::{MmapMut, MmapOptions};
    /// use shmsync::Shared;
    /// use std::sync::atomic::{AtomicU64, Ordering};
    ///
    /// # let path = std::env::temp_dir().join(format!("shmsync-doc-mmap-{}", std::process::id()));
    /// let file = std::fs::File::options().read(true).write(true).create_new(true).open(&path)?;
    /// file.set_len(4096 + 8)?;
    /// // SAFETY: nobody cuts the file off, and it is used as a region only.
    /// let (one, two) = unsafe { (MmapMut::map_mut(&file)?, MmapMut::map_mut(&file)?) };
    /// let counter = Shared::init_mmap(one, AtomicU64::new(7))?;
    /// let same = Shared::<AtomicU64>::from_mmap(two)?;
    /// same.fetch_add(1, Ordering::Relaxed);
    /// assert_eq!(counter.load(Ordering::Relaxed), 8);
    /// # std::fs::remove_file(&path)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Unsupported`](crate::ErrorKind::Unsupported) when the memory is not aligned,
    /// [`Truncated`](crate::ErrorKind::Truncated) when it is too short. Then nothing was changed.
    pub fn init_mmap(map: MmapMut, value: T) -> Result<Self, Error> {
        Self::options().init_mmap(map, value)
    }
}

/// The same with options. Of them the stamp and the largest size count; the others are for who maps the memory.
impl<T: FromBytes + Sync> Options<T> {
    /// As [`Shared::from_raw`].
    ///
    /// # Safety
    /// As for [`Shared::from_raw`].
    #[allow(clippy::missing_errors_doc)] // Here and below: the documentation of `Shared` says where they are.
    pub unsafe fn from_raw(&self, start: *mut u8, length: usize) -> Result<Shared<T>, Error> {
        // SAFETY: the caller's promise.
        unsafe { self.attach_within(start, length, ()) }
    }

    /// As [`Shared::init_raw`].
    ///
    /// # Safety
    /// As for [`Shared::init_raw`].
    #[allow(clippy::missing_errors_doc)]
    pub unsafe fn init_raw(&self, start: *mut u8, length: usize, value: T) -> Result<Shared<T>, Error> {
        // SAFETY: the caller's promise.
        unsafe { self.init_within(start, length, (), |vacant| vacant.put(value)) }
    }

    /// [`init_raw`](Self::init_raw) with all bytes zero, for types that are too large for the stack.
    ///
    /// # Safety
    /// As for [`Shared::init_raw`].
    #[allow(clippy::missing_errors_doc)]
    pub unsafe fn init_raw_zeroed(&self, start: *mut u8, length: usize) -> Result<Shared<T>, Error> {
        // SAFETY: the caller's promise.
        unsafe { self.init_within(start, length, (), leave_zero) }
    }

    /// As [`Shared::from_mmap`].
    #[allow(clippy::missing_errors_doc)]
    pub fn from_mmap(&self, mut map: MmapMut) -> Result<Shared<T>, Error> {
        let (start, length) = (map.as_mut_ptr(), map.len());
        // SAFETY: the mapping is kept. It was exclusively ours, so that no reference to its bytes is left; and who made it of
        // a file has promised what it takes that its bytes may be touched.
        unsafe { self.attach_within(start, length, map) }
    }

    /// As [`Shared::init_mmap`].
    #[allow(clippy::missing_errors_doc)]
    pub fn init_mmap(&self, mut map: MmapMut, value: T) -> Result<Shared<T>, Error> {
        let (start, length) = (map.as_mut_ptr(), map.len());
        // SAFETY: as above; and exclusive is also what it must be while it is made a region.
        unsafe { self.init_within(start, length, map, |vacant| vacant.put(value)) }
    }

    /// [`init_mmap`](Self::init_mmap) with all bytes zero, for types that are too large for the stack.
    #[allow(clippy::missing_errors_doc)]
    pub fn init_mmap_zeroed(&self, mut map: MmapMut) -> Result<Shared<T>, Error> {
        let (start, length) = (map.as_mut_ptr(), map.len());
        // SAFETY: as above.
        unsafe { self.init_within(start, length, map, leave_zero) }
    }

    /// # Safety
    /// The promise of [`Shared::from_raw`], for as long as `keeper` lives.
    pub(super) unsafe fn attach_within(
        &self,
        start: *mut u8,
        length: usize,
        keeper: impl Send + Sync + 'static,
    ) -> Result<Shared<T>, Error> {
        let layout = self.layout()?;
        let place = Place::Memory(start.addr());
        check(start, length, &layout, &place)?;
        // SAFETY: the caller's promise; it is aligned, and a head long, as was just checked.
        let memory = unsafe { Memory::lent(start, length, keeper) };
        // SAFETY: as was just checked.
        unsafe { Mapping::attach_within(memory, place, &layout, self.terms()) }.map(Shared::new)
    }

    /// # Safety
    /// The promise of [`Shared::init_raw`], for as long as `keeper` lives.
    pub(super) unsafe fn init_within(
        &self,
        start: *mut u8,
        length: usize,
        keeper: impl Send + Sync + 'static,
        fill: impl FnOnce(Vacant<'_>),
    ) -> Result<Shared<T>, Error> {
        let layout = self.layout()?;
        let place = Place::Memory(start.addr());
        check(start, length, &layout, &place)?;
        // SAFETY: the caller's promise; it is aligned, and a head long, as was just checked.
        let memory = unsafe { Memory::lent(start, length, keeper) };
        // SAFETY: the caller's promise.
        unsafe { Mapping::init_within(memory, place, &layout, self.terms(), fill) }.map(Shared::new)
    }
}

fn check(start: *mut u8, length: usize, layout: &Layout, place: &Place) -> Result<(), Error> {
    let align = layout.align.max(8); // the words of the header
    if start.is_null() || start.addr() % align != 0 {
        let message = format!("{place} cannot be there: the address is not aligned to {align} bytes");
        return Err(Error::new(ErrorKind::Unsupported, message));
    }
    if length < HEAD {
        let message = format!("{place} would need {HEAD} bytes of memory for its head alone, there are {length}");
        return Err(Error::new(ErrorKind::Truncated, message));
    }
    Ok(())
}
