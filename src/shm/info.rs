//! What can be told of a region by who does not know what is in it: from its header, and from the kernel's locks.

use std::fs::File;
use std::io;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::header::Header;
use super::layout::MAPPED;
use super::place::Place;
use crate::error::{Error, ErrorKind};
use crate::sys::file::{self, locks};

/// A region seen from outside, whatever it holds and whoever made it: for tools.
///
/// ```
/// use shmsync::{Mutex, RegionInfo, Shared};
///
/// # let name = &format!("/shmsync-doc-info-{}", std::process::id());
/// let account = Shared::create(name, Mutex::new([100_u64, 0]))?;
/// let info = RegionInfo::of(name)?;
/// assert_eq!(info.contents(), Some("Mutex<[u64; 2]>"));
/// assert!(!info.holds_objects() && info.problem().is_none());
/// assert_eq!(info.is_mapped(), Some(true));
/// # shmsync::unlink(name)?;
/// # Ok::<(), shmsync::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct RegionInfo {
    header: Header,
    length: u64,
    is_mapped: Option<bool>,
}

impl RegionInfo {
    /// The named region. It is opened for reading only, and not mapped.
    ///
    /// # Errors
    /// As [`read`](Self::read), and [`InvalidName`](ErrorKind::InvalidName).
    pub fn of(name: &str) -> Result<Self, Error> {
        Self::at(&Place::named(name)?)
    }

    /// The region in that file. A region called `/name` is the file `/dev/shm/name`.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound), [`PermissionDenied`](ErrorKind::PermissionDenied);
    /// [`NotARegion`](ErrorKind::NotARegion) if it does not begin as one does; [`Truncated`](ErrorKind::Truncated) if it
    /// has not even a header. What else is wrong with it is a [`problem`](Self::problem).
    pub fn read(path: impl AsRef<Path>) -> Result<Self, Error> {
        Self::at(&Place::file(path.as_ref())?)
    }

    fn at(place: &Place) -> Result<Self, Error> {
        let path = place.path().unwrap_or_default();
        let file = file::open_to_look(&path).map_err(|e| Error::os(format!("cannot open {place}"), e))?;
        let (header, length) = Header::read(&file, place)?;
        let is_mapped = is_mapped(&file).filter(|&seen| seen || !header.is_lent());
        Ok(Self { header, length, is_mapped })
    }

    /// The version of the region's format; this crate makes and opens those of [`VERSION`](Self::VERSION).
    #[must_use]
    pub fn version(&self) -> u32 {
        self.header.version
    }

    /// The version of the format of the regions that this crate makes.
    pub const VERSION: u32 = Header::VERSION;

    /// How many bytes it has, its head included, as it says itself.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.header.total_size
    }

    /// How many of them are not the head but the value, or the directory and the objects.
    #[must_use]
    pub fn payload_size(&self) -> u64 {
        self.header.payload_size
    }

    /// Its layout stamp, which is compared by whoever opens it.
    #[must_use]
    pub fn stamp(&self) -> u64 {
        self.header.stamp
    }

    /// Whether it is a [`Region`](crate::Region) of named objects, and not a [`Shared`](crate::Shared) of one value.
    #[must_use]
    pub fn holds_objects(&self) -> bool {
        self.header.holds_objects()
    }

    /// What is in it, in words: of a [`Shared`](crate::Shared) the name of its type without paths, as far as it fits in 47
    /// bytes. It is whatever its maker wrote there.
    #[must_use]
    pub fn contents(&self) -> Option<&str> {
        self.header.what.text()
    }

    /// Whether it was made since the machine was started; `None` if its maker, or this process, could not tell which start
    /// that was.
    #[must_use]
    pub fn is_of_this_boot(&self) -> Option<bool> {
        self.header.is_of_this_boot()
    }

    /// Why no program that was built with this version of the crate, on a machine like this, could open it, whatever type it
    /// asked for, as far as that is to be seen; `None` if nothing is.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        self.header.problem(self.length)
    }

    /// Whether some process had it mapped when this was read, in whatever PID namespace, as the kernel's locks tell; `None`
    /// if the file system knows no locks, and if none is seen of a region that was ever used in memory which somebody else
    /// had mapped (`init_mmap`, `from_raw` and their like), for such users lock nothing.
    ///
    /// A process that was started with its [`Handle`](crate::Handle) counts as long as it lives. Not seen are those that
    /// have mapped the file by other means than this crate's, and those whose file system refused the lock.
    #[must_use]
    pub fn is_mapped(&self) -> Option<bool> {
        self.is_mapped
    }
}

/// The lock is held together by all who have the region mapped.
fn is_mapped(file: &File) -> Option<bool> {
    let mut seen = false;
    locks::locked(file, MAPPED + 1, &mut |_| seen = true).ok().map(|()| seen)
}

/// Removes the name of a region unless some process has it mapped; whether it did.
///
/// Unlike looking first and [`unlink`](crate::unlink)ing then, it leaves no moment in between: who opens the region
/// meanwhile waits, and finds it gone. That some process has it mapped is known as [`RegionInfo::is_mapped`] says. Only who
/// `unlink`s it and makes a new one, between this function's last look and its own removal, has the new one removed: leave
/// names that may be in use to this function alone.
///
/// What is no region is left alone, and so is a region of another version of the format, whose locks may be others.
///
/// # Errors
/// As `unlink`; [`NotARegion`](ErrorKind::NotARegion) and [`Truncated`](ErrorKind::Truncated) as
/// [`RegionInfo::read`]; and [`Unsupported`](ErrorKind::Unsupported) where the file system knows no locks, for a region of
/// another version, and for one that was ever used in memory which somebody else had mapped (`init_mmap`, `from_raw` and
/// their like), for of such users nobody knows.
///
/// ```standalone_crate
/// use shmsync::Shared;
/// use std::sync::atomic::AtomicU64;
///
/// # let name = &format!("/shmsync-doc-unused-{}", std::process::id());
/// let number = Shared::create(name, AtomicU64::new(1))?;
/// assert!(!shmsync::unlink_unused(name)?);
/// drop(number);
/// assert!(shmsync::unlink_unused(name)?);
/// # Ok::<(), shmsync::Error>(())
/// ```
pub fn unlink_unused(name: &str) -> Result<bool, Error> {
    let place = Place::named(name)?;
    let path = place.path().unwrap_or_default();
    let cannot = |e| Error::os(format!("cannot unlink {place}"), e);
    let file = file::open(&path).map_err(cannot)?;
    let unsupported =
        |why: String| Error::new(ErrorKind::Unsupported, format!("whether {place} is mapped cannot be told: {why}"));
    let (header, _) = Header::read(&file, &place)?;
    if header.version != Header::VERSION {
        return Err(unsupported(format!("its format is of version {}", header.version)));
    }
    let no_locks = |e: io::Error| unsupported(e.to_string());
    if !locks::lock(&file, MAPPED, locks::Claim::Alone).map_err(no_locks)? {
        return Ok(false);
    }
    let mut seen = false;
    locks::locked(&file, MAPPED, &mut |_| seen = true).map_err(no_locks)?;
    if Header::read(&file, &place)?.0.is_lent() {
        return Err(unsupported("it is used in memory that somebody else has mapped, or was".into()));
    }
    // Should it have been unlinked and made again since it was opened, the new one is not ours to remove.
    let same = file::is_at(&file, &path);
    if seen || !same {
        return Ok(false);
    }
    file::unlink(&path).map_err(cannot)?;
    Ok(true) // Closing the file lets those go on who wait to open it.
}

/// Says that this process has the region mapped, which it has just opened under a name, unless it is about to be removed.
/// Where there are no locks, nobody is told.
pub(super) fn claim(file: &File, place: &Place) -> Result<(), Error> {
    /// Between lock and unlink is a moment only, unless the remover is stopped there.
    const PATIENCE: Duration = Duration::from_secs(1);
    let deadline = Instant::now() + PATIENCE;
    let cannot = |e| Error::os(format!("cannot say that {place} is mapped"), e);
    while !mark(file).map_err(cannot)? {
        if Instant::now() > deadline {
            let message = format!("{place} is kept locked by somebody who is about to remove it, or says so");
            return Err(Error::new(ErrorKind::Busy, message));
        }
        thread::sleep(Duration::from_micros(200));
    }
    // Not whether any name leads to it: it may have a second one, and not every file system counts them.
    if !place.path().is_some_and(|path| file::is_at(file, &path)) {
        return Err(Error::new(ErrorKind::NotFound, format!("{place} was removed while it was opened")));
    }
    Ok(())
}

/// Says that this process has mapped that file: `false` if somebody has it for himself. Where there are no locks, nobody is
/// told; but who could not be told for another reason would have the region removed under his hands.
pub(super) fn mark(file: &File) -> io::Result<bool> {
    match locks::lock(file, MAPPED, locks::Claim::Together) {
        Err(e) if matches!(e.raw_os_error(), Some(libc::EINVAL | libc::EOPNOTSUPP | libc::ENOSYS)) => Ok(true),
        marked => marked,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_cannot_be_told_of_is_not_told_that_all_is_well() {
        // Of a file that may not be read no lock can be had together with others: EBADF.
        let file = File::options().write(true).open("/dev/null").unwrap();
        assert_eq!(mark(&file).unwrap_err().raw_os_error(), Some(libc::EBADF));
        assert!(mark(&file::anonymous(false).unwrap()).unwrap());
    }
}
