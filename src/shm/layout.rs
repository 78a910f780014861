//! Where a `T` lies in its region, and the stamp that two programs must agree on before they share it.
//!
//! The payload follows the head at the next multiple of its alignment. The head is the header, 128 bytes, and the table of
//! those who wait long; together 4096 bytes. The region ends with the payload.
//!
//! A region of named objects ([`Region`](crate::Region)) is one of any size, aligned to [`REGION_ALIGN`], whose stamp says so.
//!
//! The stamp is the FNV-1a hash of four 64-bit little-endian numbers, in this order: [`PRIMITIVES`], the payload's
//! size, its alignment, and the number that the user gave to [`Options::stamp`](crate::Options::stamp), or zero.

use super::header::Header;
use super::what::What;
use crate::error::{Error, ErrorKind};
use crate::sync::deadlock::WaitTable;
use crate::sys::file;

/// The version of the bytes of the crate's own primitives. Raise it with every change of what their words mean, for
/// neither their sizes nor their alignments would tell. 2: a token has its boot in it, and less of CPU and start time.
const PRIMITIVES: u64 = 2;

/// Of the region's file the byte (see `sys::file::locks`) that all lock together who have it mapped. Those before it are
/// locked by who is attached to a region of named objects.
pub(super) const MAPPED: u32 = 257;

/// What a region must look like for one type.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    pub(super) size: usize,
    pub(super) align: usize,
    pub(super) offset: usize,
    /// Header and payload.
    pub(super) total: usize,
    pub(super) stamp: u64,
    /// For people, and compared with nothing.
    pub(super) what: What,
    /// Whether a region of another size fits as well, as long as it is one of named objects.
    pub(super) any_size: bool,
    /// Of a new region: whether programs of 32 and of 64 bits are to share it.
    pub(super) any_width: bool,
}

/// How a [`Region`](crate::Region)'s payload is aligned, and so at most what is in it.
pub(super) const REGION_ALIGN: usize = 4096;
/// In the place of the user's number: "Region" and the version of its directory.
pub(super) const REGION: u64 = u64::from_be_bytes(*b"Region\0\x01");

impl Layout {
    /// A mapping begins at a page, so no payload can be aligned better than that.
    pub(super) fn of<T>(user_stamp: u64) -> Result<Self, Error> {
        let (size, align) = (size_of::<T>(), align_of::<T>());
        let page = file::page_size();
        if align > page {
            let what = std::any::type_name::<T>();
            let message = format!("{what} is aligned to {align} bytes, shared memory only to pages of {page}");
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        let offset = offset_of_payload(align);
        let total = offset + size; // No type is larger than half the address space: this cannot overflow.
        Ok(Self {
            size,
            align,
            offset,
            total,
            stamp: stamp(size as u64, align as u64, user_stamp),
            what: What::of::<T>(),
            any_size: false,
            any_width: false,
        })
    }

    /// That of a new region of named objects whose payload has `size` bytes, and of any that exists; `None` if no memory
    /// could be so large.
    pub(super) fn of_region(size: u64) -> Option<Self> {
        let (size, align) = (usize::try_from(size).ok()?, REGION_ALIGN);
        let offset = offset_of_payload(align);
        let total = offset.checked_add(size).filter(|&total| isize::try_from(total).is_ok())?;
        let stamp = stamp(size as u64, align as u64, REGION);
        let what = What::new("named objects");
        Some(Self { size, align, offset, total, stamp, what, any_size: true, any_width: false })
    }
}

/// Where the table is of those who wait long.
pub(super) const WAIT_TABLE: usize = size_of::<Header>();
/// What comes before every payload.
pub(super) const HEAD: usize = WAIT_TABLE + size_of::<WaitTable>();
const _: () = assert!(HEAD == 4096 && WAIT_TABLE % align_of::<WaitTable>() == 0);

pub(super) const fn offset_of_payload(align: usize) -> usize {
    HEAD.next_multiple_of(align)
}

/// Of a type: what two programs compare who share it, in a region of its own or under a name in one of many.
pub(super) fn stamp(size: u64, align: u64, user: u64) -> u64 {
    let numbers = [PRIMITIVES, size, align, user].map(u64::to_le_bytes);
    hash(numbers.as_flattened(), HASH_OF_NOTHING)
}

pub(super) const HASH_OF_NOTHING: u64 = 0xcbf2_9ce4_8422_2325;

/// FNV-1a, going on from the hash of what came before.
pub(super) const fn hash(bytes: &[u8], before: u64) -> u64 {
    let (mut hash, mut i) = (before, 0);
    while i < bytes.len() {
        hash = (hash ^ bytes[i] as u64).wrapping_mul(0x0100_0000_01b3);
        i += 1;
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stamp_is_pinned_and_every_number_counts() {
        assert_eq!(stamp(8, 8, 0), 0xd480_11e2_e61e_07a7);
        let all = [stamp(8, 8, 0), stamp(8, 4, 0), stamp(16, 8, 0), stamp(8, 8, 1)];
        for (i, one) in all.iter().enumerate() {
            assert!(!all[i + 1..].contains(one));
        }
    }

    #[test]
    fn payloads_are_aligned_and_leave_the_header_alone() {
        for align in [1, 8, 64, 128, 256, 4096] {
            let offset = offset_of_payload(align);
            assert!(offset >= 4096 && offset % align == 0, "{align}");
        }
        assert_eq!(Layout::of::<()>(0).unwrap().total, 4096);
        assert_eq!(Layout::of_region(100).unwrap().total, 4196);
        assert!(Layout::of_region(u64::MAX).is_none() && Layout::of_region(isize::MAX as u64).is_none());
    }
}
