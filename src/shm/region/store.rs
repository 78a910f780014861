//! The bytes of a region of named objects, and the only way to them: checked offsets.
//!
//! What is written in the region is not believed: whoever asks for a `T` at an offset gets one only where a `T` fits,
//! inside the payload and aligned. Any bytes are a `T` then, as in a region of one object.
#![allow(unsafe_code)]

use std::{ptr, slice};

use zerocopy::FromBytes;

use super::entry::Entry;
use super::geometry::{Geometry, Head};
use crate::atomic::Ordering;
use crate::error::{Error, ErrorKind};
use crate::shm::layout::{REGION_ALIGN, offset_of_payload};
use crate::shm::mapping::Mapping;

pub(super) struct Store {
    pub(super) mapping: Mapping,
    pub(super) geometry: Geometry,
}

impl Store {
    /// What was mapped with the layout of a region of named objects.
    pub(super) fn new(mapping: Mapping) -> Result<Self, Error> {
        let place = mapping.place();
        let no_room = || {
            let message = format!("{place} is damaged: its {} bytes have no room for a directory", mapping.size());
            Error::new(ErrorKind::LayoutMismatch, message)
        };
        let head = at::<Head>(&mapping, 0).ok_or_else(no_room)?;
        let entries = head.entries.load(Ordering::Relaxed);
        let geometry = Geometry::of(mapping.size(), entries).ok_or_else(no_room)?;
        Ok(Self { mapping, geometry })
    }

    pub(super) fn head(&self) -> &Head {
        at(&self.mapping, 0).expect("was there when the region was opened, and a mapping keeps its size")
    }

    pub(super) fn entries(&self) -> &[Entry] {
        self.slice(Geometry::DIRECTORY, self.geometry.entries).expect("the geometry was checked against the size")
    }

    /// The `T` that begins so many bytes behind the payload's beginning, if one fits there.
    pub(super) fn at<T: FromBytes + Sync>(&self, offset: usize) -> Option<&T> {
        at(&self.mapping, offset)
    }

    /// As many `T` as that, one behind the other.
    pub(super) fn slice<T: FromBytes + Sync>(&self, offset: usize, length: usize) -> Option<&[T]> {
        let size = size_of::<T>().checked_mul(length)?;
        let begin = place_for(&self.mapping, offset, size, align_of::<T>())?;
        // SAFETY: as in `at`, for each of them; all lie in one mapping, which is not larger than `isize::MAX`.
        Some(unsafe { slice::from_raw_parts(begin.cast(), length) })
    }

    /// Moves a value to where nobody looks, because it is free; whether there was room.
    pub(super) fn put<T: FromBytes>(&self, offset: usize, value: T) -> bool {
        let begin = place_for(&self.mapping, offset, size_of::<T>(), align_of::<T>());
        // SAFETY: in the mapping, aligned. That nobody else has a reference there is the directory's promise: what it
        // calls free nobody has found, or all who have are gone. Should somebody have scribbled it, the bytes of a T are
        // as good for him as any other's are.
        begin.map(|begin| unsafe { begin.cast::<T>().write(value) }).is_some()
    }

    /// Writes zeros to where nobody looks.
    pub(super) fn clear(&self, offset: usize, size: usize) -> bool {
        // SAFETY: as in `put`.
        place_for(&self.mapping, offset, size, 1).map(|begin| unsafe { ptr::write_bytes(begin, 0, size) }).is_some()
    }
}

fn at<T: FromBytes + Sync>(mapping: &Mapping, offset: usize) -> Option<&T> {
    let begin = place_for(mapping, offset, size_of::<T>(), align_of::<T>())?;
    // SAFETY: the bytes are mapped as long as the mapping lives, which is borrowed; they are enough and aligned; any are a
    // T (FromBytes); and sharing it is T's promise (Sync), where plain fields are constants by the contract of `Region`.
    Some(unsafe { &*begin.cast() })
}

/// The address of so many bytes in the payload, if they are in it and aligned.
fn place_for(mapping: &Mapping, offset: usize, size: usize, align: usize) -> Option<*mut u8> {
    let end = offset.checked_add(size)?;
    // The payload begins at a multiple of REGION_ALIGN.
    let fits = end <= mapping.size() && align <= REGION_ALIGN && offset % align == 0;
    fits.then(|| mapping.payload(offset_of_payload(REGION_ALIGN)).wrapping_add(offset))
}
