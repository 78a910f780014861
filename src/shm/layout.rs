//! Where a `T` lies in its region, and the stamp that two programs must agree on before they share it.
//!
//! The payload follows the head at the next multiple of its alignment. The head is the header, 128 bytes, and the table of
//! those who wait long; together 4096 bytes. The region ends with the payload.
//!
//! The stamp is the FNV-1a hash of four 64-bit little-endian numbers, in this order: [`PRIMITIVES`], the payload's
//! size, its alignment, and the number that the user gave to [`Options::stamp`](crate::Options::stamp), or zero.

use super::header::Header;
use crate::error::{Error, ErrorKind};
use crate::sync::deadlock::WaitTable;
use crate::sys::file;

/// The version of the bytes of the crate's own primitives. Raise it with every change of what their words mean, for
/// neither their sizes nor their alignments would tell. 2: a token has its boot in it, and less of CPU and start time.
const PRIMITIVES: u64 = 2;

/// What a region must look like for one type.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    pub(super) size: usize,
    pub(super) align: usize,
    pub(super) offset: usize,
    /// Header and payload.
    pub(super) total: usize,
    pub(super) stamp: u64,
}

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
        Ok(Self { size, align, offset, total, stamp: stamp(size as u64, align as u64, user_stamp) })
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

fn stamp(size: u64, align: u64, user: u64) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325;
    for byte in [PRIMITIVES, size, align, user].map(u64::to_le_bytes).as_flattened() {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
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
    }
}
