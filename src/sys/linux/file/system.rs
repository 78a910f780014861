//! Which file system an open file lies on.
//!
//! By the 64-bit form of the call: the other is `EOVERFLOW` in 32-bit programs when the file system is large.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;

use super::super::{done, uninterrupted};

/// What the kernel says of a file system.
pub(crate) struct FileSystem {
    /// Its magic number, all of which have 32 bits.
    kind: u32,
    /// The size of its blocks; on hugetlbfs, of its pages.
    pub(super) block: u64,
}

impl FileSystem {
    pub(crate) fn of(file: &File) -> io::Result<Self> {
        let mut about = MaybeUninit::<libc::statfs64>::zeroed();
        // SAFETY: `about` is writable and of the type that fstatfs64 fills; the borrowed file keeps the descriptor open.
        uninterrupted(|| done(unsafe { libc::fstatfs64(file.as_raw_fd(), about.as_mut_ptr()) }))?;
        // SAFETY: plain integers, zeroed at first and filled by now.
        let about = unsafe { about.assume_init() };
        #[allow(clippy::unnecessary_cast)] // Their types differ between targets.
        Ok(Self { kind: about.f_type as u32, block: about.f_bsize as u64 })
    }

    pub(crate) fn is_proc(&self) -> bool {
        self.kind == libc::PROC_SUPER_MAGIC as u32
    }

    pub(super) fn is_tmpfs(&self) -> bool {
        self.kind == libc::TMPFS_MAGIC as u32
    }

    pub(super) fn is_hugetlbfs(&self) -> bool {
        self.kind == libc::HUGETLBFS_MAGIC as u32
    }
}
