//! The ways to a region where the defaults do not fit. `Shared`'s own constructors are these with the defaults.

use std::fmt;
use std::marker::PhantomData;
use std::path::Path;

use zerocopy::FromBytes;

use super::handle::Handle;
use super::layout::Layout;
use super::mapping::{Mapping, Vacant};
use super::place::Place;
use super::shared::Shared;
use super::terms::{HugePages, Owners, Terms};
use crate::error::Error;

/// How a region is made or opened, where the defaults do not fit. From [`Shared::options`].
///
/// Each method does what the one of the same name does in [`Shared`], which also says how it fails.
///
/// ```
/// use shmsync::Shared;
/// use std::sync::atomic::AtomicU64;
///
/// # let name = &format!("/shmsync-doc-options-{}", std::process::id());
/// let counter = Shared::options().mode(0o660).stamp(2).create(name, AtomicU64::new(7))?;
/// let again = Shared::<AtomicU64>::options().stamp(2).open(name)?;
/// # shmsync::unlink(name)?;
/// # Ok::<(), shmsync::Error>(())
/// ```
pub struct Options<T> {
    terms: Terms,
    stamp: u64,
    of: PhantomData<fn() -> T>,
}

/// What can be asked for.
impl<T> Options<T> {
    pub(super) const fn new() -> Self {
        Self { terms: Terms::DEFAULT, stamp: 0, of: PhantomData }
    }

    /// Who may open a new region, as in `chmod`; 0600, the owner alone, unless asked. Whoever opens it writes to it, so
    /// read and write go together.
    ///
    /// The file gets exactly these permissions: the umask does not narrow them. Only the nine bits of 0777 count.
    /// It plays no part in opening, nor for anonymous regions, which have no name to open.
    #[must_use]
    pub const fn mode(mut self, mode: u32) -> Self {
        self.terms.mode = mode & 0o777;
        self
    }

    /// A number that goes into the region's layout stamp: those who open it must give the same.
    ///
    /// Size and alignment of the payload are always compared. What they cannot tell apart, such as two fields of the same
    /// size that changed places, becomes a [`LayoutMismatch`](crate::ErrorKind::LayoutMismatch) when you give each
    /// version of `T` a number of its own.
    #[must_use]
    pub const fn stamp(mut self, stamp: u64) -> Self {
        self.stamp = stamp;
        self
    }

    /// Opens regions of this user as well as the caller's own and root's.
    ///
    /// Everybody may make files in `/dev/shm` and `/tmp`, so the region that is found under a name may be a stranger's,
    /// made there before yours was. He could write to it, or cut it off. Therefore what opens a region by its name or
    /// path refuses those that belong to neither the caller's effective user nor root, with
    /// [`PermissionDenied`](crate::ErrorKind::PermissionDenied). Say here whom else you expect. One other user is
    /// remembered; the last call counts.
    ///
    /// A [`Handle`] is not found but given, so nobody is asked there.
    ///
    /// ```
    /// use shmsync::Shared;
    /// use std::sync::atomic::AtomicU64;
    ///
    /// # let name = &format!("/shmsync-doc-owner-{}", std::process::id());
    /// # let counter = Shared::create(name, AtomicU64::new(7))?;
    /// let daemon = 998; // which user it runs as
    /// let counter = Shared::<AtomicU64>::options().allow_owner(daemon).open(name)?;
    /// # shmsync::unlink(name)?;
    /// # Ok::<(), shmsync::Error>(())
    /// ```
    #[must_use]
    pub const fn allow_owner(mut self, user: u32) -> Self {
        self.terms.owners = Owners::Trusted(Some(user));
        self
    }

    /// Opens regions whoever they belong to, unlike [`allow_owner`](Self::allow_owner). For tools that look at all, and
    /// for directories where only the right ones can make files.
    #[must_use]
    pub const fn allow_any_owner(mut self) -> Self {
        self.terms.owners = Owners::Anybody;
        self
    }

    /// Makes regions that programs of 32 and of 64 bits share. Otherwise a region is for those of its maker's width, and
    /// the others get a [`LayoutMismatch`](crate::ErrorKind::LayoutMismatch). It plays no part in opening.
    ///
    /// You say by it that every field of `T` is at the same place, and means the same, in both. The primitives on
    /// [`Futex`](crate::wait::Futex) and [`KernelRobust`](crate::wait::KernelRobust), and all atomics but those of
    /// `usize` and `isize`, are alike. Not alike are these two; a `sem_t`, and with it [`PosixSem`](crate::wait::PosixSem); and on 32-bit
    /// x86 the places of `u64`, `i64` and `f64`, which are aligned to 4 bytes there and to 8 elsewhere. The sizes and the
    /// alignments of the whole are compared, and `T` is whatever bytes it finds: an error here is no undefined behaviour. But
    /// padding may hide a difference of size, and a `sem_t` that is shared so loses wakes, or ends a process.
    ///
    /// ```
    /// use shmsync::{Mutex, Shared};
    ///
    /// # let name = &format!("/shmsync-doc-width-{}", std::process::id());
    /// let total = Shared::options().any_pointer_width().create(name, Mutex::new(0_u64))?;
    /// # shmsync::unlink(name)?;
    /// # Ok::<(), shmsync::Error>(())
    /// ```
    #[must_use]
    pub const fn any_pointer_width(mut self) -> Self {
        self.terms.any_width = true;
        self
    }

    /// The largest region that is made or opened, in bytes, its head of 4096 bytes included; larger ones are
    /// [`TooLarge`](crate::ErrorKind::TooLarge). No limit unless asked.
    ///
    /// Nothing is reserved or mapped before the size is known to be allowed. That the file is longer than the region
    /// does not count: what is behind the region is not mapped.
    #[must_use]
    pub const fn max_size(mut self, bytes: usize) -> Self {
        self.terms.max_size = bytes;
        self
    }

    /// Which pages the region is to have, for this process's mapping of it: see [`HugePages`].
    ///
    /// ```
    /// use shmsync::{HugePages, Shared};
    /// use std::sync::atomic::AtomicU64;
    ///
    /// type Table = [AtomicU64; 1 << 19]; // 4 MiB
    /// let table = Shared::<Table>::options().huge_pages(HugePages::Transparent).anonymous_zeroed()?;
    /// # Ok::<(), shmsync::Error>(())
    /// ```
    #[must_use]
    pub const fn huge_pages(mut self, pages: HugePages) -> Self {
        self.terms.huge_pages = pages;
        self
    }

    /// Whether all of the region is kept in memory (`mlock`) for as long as this process has it mapped, so that nobody
    /// ever waits for swap.
    ///
    /// Needs the privilege or room within `RLIMIT_MEMLOCK`: otherwise it is
    /// [`PermissionDenied`](crate::ErrorKind::PermissionDenied), and nothing is made. It holds for this mapping; a forked
    /// child's is not locked, though the pages stay as long as the parent's is.
    #[must_use]
    pub const fn lock_memory(mut self, lock: bool) -> Self {
        self.terms.lock_memory = lock;
        self
    }

    /// Whether the page faults of the whole region, those of writing included, are taken at once, and not by whoever
    /// touches a page first.
    ///
    /// A page of a file on a disk counts as changed then. [`NoSpace`](crate::ErrorKind::NoSpace) when the memory is not to
    /// be had. Before Linux 5.14 it is an advice, and nobody is told if it was not taken.
    #[must_use]
    pub const fn populate(mut self, populate: bool) -> Self {
        self.terms.populate = populate;
        self
    }
}

/// The ways to a region.
impl<T: FromBytes + Sync> Options<T> {
    /// Opens regions without being counted among those who use them, by [`RegionInfo::is_mapped`](crate::RegionInfo::is_mapped)
    /// and [`unlink_unused`](crate::unlink_unused). For tools that look, and change nothing: else what they did would be lost
    /// when the region is removed meanwhile. It plays no part in making one.
    ///
    /// ```
    /// use shmsync::{Lock, Shared};
    ///
    /// # let name = &format!("/shmsync-doc-observing-{}", std::process::id());
    /// drop(Shared::create(name, Lock::new())?);
    /// let seen = Shared::<Lock>::options().observing().open(name)?;
    /// assert_eq!(seen.holder(), None);
    /// assert!(shmsync::unlink_unused(name)?, "nobody uses it");
    /// # Ok::<(), shmsync::Error>(())
    /// ```
    #[must_use]
    pub const fn observing(mut self) -> Self {
        self.terms.observes = true;
        self
    }

    /// As [`Shared::create`].
    #[allow(clippy::missing_errors_doc)] // Here and below: the type's documentation says where they are.
    pub fn create(&self, name: &str, value: T) -> Result<Shared<T>, Error> {
        self.create_at(Place::named(name)?, |vacant| vacant.put(value))
    }

    /// As [`Shared::create_zeroed`].
    #[allow(clippy::missing_errors_doc)]
    pub fn create_zeroed(&self, name: &str) -> Result<Shared<T>, Error> {
        self.create_at(Place::named(name)?, leave_zero)
    }

    /// As [`Shared::open`].
    #[allow(clippy::missing_errors_doc)]
    pub fn open(&self, name: &str) -> Result<Shared<T>, Error> {
        Mapping::open(Place::named(name)?, &self.layout()?, &self.terms).map(Shared::new)
    }

    /// As [`Shared::open_or_create`].
    #[allow(clippy::missing_errors_doc)]
    pub fn open_or_create(&self, name: &str, value: impl FnOnce() -> T) -> Result<Shared<T>, Error> {
        self.open_or_create_at(Place::named(name)?, |vacant| vacant.put(value()))
    }

    /// As [`Shared::open_or_create_zeroed`].
    #[allow(clippy::missing_errors_doc)]
    pub fn open_or_create_zeroed(&self, name: &str) -> Result<Shared<T>, Error> {
        self.open_or_create_at(Place::named(name)?, leave_zero)
    }

    /// As [`Shared::anonymous`].
    #[allow(clippy::missing_errors_doc)]
    pub fn anonymous(&self, value: T) -> Result<Shared<T>, Error> {
        Mapping::anonymous(&self.layout()?, &self.terms, |vacant| vacant.put(value)).map(Shared::new)
    }

    /// As [`Shared::anonymous_zeroed`].
    #[allow(clippy::missing_errors_doc)]
    pub fn anonymous_zeroed(&self) -> Result<Shared<T>, Error> {
        Mapping::anonymous(&self.layout()?, &self.terms, leave_zero).map(Shared::new)
    }

    /// As [`Shared::create_file`].
    #[allow(clippy::missing_errors_doc)]
    pub fn create_file(&self, path: impl AsRef<Path>, value: T) -> Result<Shared<T>, Error> {
        self.create_at(Place::file(path.as_ref())?, |vacant| vacant.put(value))
    }

    /// As [`Shared::create_file_zeroed`].
    #[allow(clippy::missing_errors_doc)]
    pub fn create_file_zeroed(&self, path: impl AsRef<Path>) -> Result<Shared<T>, Error> {
        self.create_at(Place::file(path.as_ref())?, leave_zero)
    }

    /// As [`Shared::open_file`].
    #[allow(clippy::missing_errors_doc)]
    pub fn open_file(&self, path: impl AsRef<Path>) -> Result<Shared<T>, Error> {
        Mapping::open(Place::file(path.as_ref())?, &self.layout()?, &self.terms).map(Shared::new)
    }

    /// As [`Shared::open_or_create_file`].
    #[allow(clippy::missing_errors_doc)]
    pub fn open_or_create_file(&self, path: impl AsRef<Path>, value: impl FnOnce() -> T) -> Result<Shared<T>, Error> {
        self.open_or_create_at(Place::file(path.as_ref())?, |vacant| vacant.put(value()))
    }

    /// As [`Shared::open_or_create_file_zeroed`].
    #[allow(clippy::missing_errors_doc)]
    pub fn open_or_create_file_zeroed(&self, path: impl AsRef<Path>) -> Result<Shared<T>, Error> {
        self.open_or_create_at(Place::file(path.as_ref())?, leave_zero)
    }

    /// As [`Shared::from_handle`].
    #[allow(clippy::missing_errors_doc)]
    pub fn from_handle(&self, handle: &Handle) -> Result<Shared<T>, Error> {
        handle.attach(&self.layout()?, &self.terms).map(Shared::new)
    }

    fn create_at(&self, place: Place, fill: impl FnOnce(Vacant<'_>)) -> Result<Shared<T>, Error> {
        Mapping::create(place, &self.layout()?, &self.terms, fill).map(Shared::new)
    }

    fn open_or_create_at(&self, place: Place, fill: impl FnOnce(Vacant<'_>)) -> Result<Shared<T>, Error> {
        Mapping::open_or_create(place, &self.layout()?, &self.terms, fill).map(Shared::new)
    }

    pub(super) fn terms(&self) -> &Terms {
        &self.terms
    }

    pub(super) fn layout(&self) -> Result<Layout, Error> {
        Ok(Layout { any_width: self.terms.any_width, ..Layout::of::<T>(self.stamp)? })
    }
}

/// For large types: a fresh region is zero bytes, which are a `T`, so that no `T` ever passes over the stack.
pub(super) fn leave_zero(_: Vacant<'_>) {}

impl<T> Clone for Options<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Options<T> {}

impl<T> fmt::Debug for Options<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Terms { mode, owners, huge_pages, lock_memory, populate, max_size, observes, any_width } = self.terms;
        f.debug_struct("Options")
            .field("mode", &format_args!("{mode:#o}"))
            .field("stamp", &self.stamp)
            .field("owners", &owners)
            .field("max_size", &max_size)
            .field("huge_pages", &huge_pages)
            .field("lock_memory", &lock_memory)
            .field("populate", &populate)
            .field("observing", &observes)
            .field("any_pointer_width", &any_width)
            .finish()
    }
}
