//! On what terms a region is made, opened and mapped, whatever lies in it.

use std::fs::File;
use std::os::unix::fs::MetadataExt;

use super::layout::Layout;
use super::place::Place;
use crate::error::{Error, ErrorKind};
use crate::sys::file;

/// What [`Options`](crate::Options) say besides the layout.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    /// Of a new file.
    pub(super) mode: u32,
    pub(super) owners: Owners,
    pub(super) huge_pages: HugePages,
    pub(super) lock_memory: bool,
    pub(super) populate: bool,
    /// Of the whole region, its head included.
    pub(super) max_size: usize,
    /// Opened to be looked at, by somebody who is not counted among those who use it.
    pub(super) observes: bool,
    /// Made for programs of 32 and of 64 bits.
    pub(super) any_width: bool,
}

impl Terms {
    pub(super) const DEFAULT: Self = Self {
        mode: 0o600,
        owners: Owners::Trusted(None),
        huge_pages: HugePages::No,
        lock_memory: false,
        populate: false,
        max_size: usize::MAX,
        observes: false,
        any_width: false,
    };

    /// Whether the region is not too large.
    pub(super) fn check_size(&self, layout: &Layout, place: &Place) -> Result<(), Error> {
        if layout.total <= self.max_size {
            return Ok(());
        }
        let message = format!("{place} has {} bytes, at most {} are allowed", layout.total, self.max_size);
        Err(Error::new(ErrorKind::TooLarge, message))
    }

    /// Whether the file, which was found under a name, belongs to somebody who is trusted with it.
    pub(super) fn check_owner(&self, file: &File, place: &Place) -> Result<(), Error> {
        let Owners::Trusted(also) = self.owners else { return Ok(()) };
        let owner = file.metadata().map_err(|e| Error::os(format!("cannot tell the owner of {place}"), e))?.uid();
        let me = file::effective_user();
        if owner == me || owner == ROOT || Some(owner) == also {
            return Ok(());
        }
        let also = also.map_or_else(String::new, |also| format!(", user {also}"));
        let message = format!("{place} belongs to user {owner}, expected user {me}{also} or root");
        Err(Error::new(ErrorKind::PermissionDenied, message))
    }

    /// Whether the file has the pages that were asked for.
    pub(super) fn check_pages(&self, file: &File, place: &Place) -> Result<(), Error> {
        if self.huge_pages != HugePages::Reserved {
            return Ok(());
        }
        match file::reserved_page(file).map_err(|e| Error::os(format!("cannot tell the page size of {place}"), e))? {
            Some(_) => Ok(()),
            None => {
                let message = format!("{place} does not lie on hugetlbfs, so it cannot have reserved huge pages");
                Err(Error::new(ErrorKind::Unsupported, message))
            }
        }
    }
}

const ROOT: u32 = 0;

/// Whose files may be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owners {
    /// The caller's, root's, and perhaps one other user's.
    Trusted(Option<u32>),
    Anybody,
}

/// Pages larger than usual, of which the processor can remember the addresses of a large region.
///
/// For [`Options::huge_pages`](crate::Options::huge_pages), which says what becomes of a wish that cannot be granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum HugePages {
    /// The system's ordinary pages, unless the file system gives others by itself.
    #[default]
    No,
    /// Huge pages where the system can make some of ordinary memory. A wish: nobody is told when it cannot.
    ///
    /// The region is mapped at an address that fits, the system is advised (`MADV_HUGEPAGE`), and on Linux 6.1 or later
    /// told to gather the pages at once (`MADV_COLLAPSE`), which works on `/dev/shm` and for anonymous regions whatever
    /// `/sys/kernel/mm/transparent_hugepage/shmem_enabled` says, other than `deny`. Before 6.1 that setting and the
    /// `huge=` option of the mount decide. It takes time for each huge page, and does nothing for the last part of a
    /// region that fills none: a small region gets none at all. Every process that maps the region should ask.
    Transparent,
    /// Pages from the pool that the administrator has set aside (`vm.nr_hugepages`), of the default size: never swapped
    /// out, and nobody else's.
    ///
    /// Anonymous regions have them: [`NoSpace`](crate::ErrorKind::NoSpace) when the pool has not enough. A region in a
    /// file has them if the file lies on a mount of hugetlbfs, asked or not; otherwise to ask is
    /// [`Unsupported`](crate::ErrorKind::Unsupported), and so it is for every named region, because `/dev/shm` is none.
    Reserved,
}
