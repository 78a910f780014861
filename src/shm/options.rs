//! The ways to a region with a mode or a stamp of one's own. `Shared`'s own constructors are these with the defaults.

use std::fmt;
use std::marker::PhantomData;
use std::path::Path;

use zerocopy::FromBytes;

use super::handle::Handle;
use super::layout::Layout;
use super::mapping::{Mapping, Vacant};
use super::place::Place;
use super::shared::Shared;
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
    mode: u32,
    stamp: u64,
    of: PhantomData<fn() -> T>,
}

impl<T: FromBytes + Sync> Options<T> {
    pub(super) const fn new() -> Self {
        Self { mode: 0o600, stamp: 0, of: PhantomData }
    }

    /// Who may open a new region, as in `chmod`; 0600, the owner alone, unless asked. Whoever opens it writes to it, so
    /// read and write go together.
    ///
    /// The file gets exactly these permissions: the umask does not narrow them. Only the nine bits of 0777 count.
    /// It plays no part in opening, nor for anonymous regions, which have no name to open.
    #[must_use]
    pub const fn mode(mut self, mode: u32) -> Self {
        self.mode = mode & 0o777;
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
        Mapping::open(Place::named(name)?, &self.layout()?).map(Shared::new)
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
        Mapping::anonymous(&self.layout()?, |vacant| vacant.put(value)).map(Shared::new)
    }

    /// As [`Shared::anonymous_zeroed`].
    #[allow(clippy::missing_errors_doc)]
    pub fn anonymous_zeroed(&self) -> Result<Shared<T>, Error> {
        Mapping::anonymous(&self.layout()?, leave_zero).map(Shared::new)
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
        Mapping::open(Place::file(path.as_ref())?, &self.layout()?).map(Shared::new)
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
        handle.attach(&self.layout()?).map(Shared::new)
    }

    fn create_at(&self, place: Place, fill: impl FnOnce(Vacant<'_>)) -> Result<Shared<T>, Error> {
        Mapping::create(place, &self.layout()?, self.mode, fill).map(Shared::new)
    }

    fn open_or_create_at(&self, place: Place, fill: impl FnOnce(Vacant<'_>)) -> Result<Shared<T>, Error> {
        Mapping::open_or_create(place, &self.layout()?, self.mode, fill).map(Shared::new)
    }

    fn layout(&self) -> Result<Layout, Error> {
        Layout::of::<T>(self.stamp)
    }
}

/// For large types: a fresh region is zero bytes, which are a `T`, so that no `T` ever passes over the stack.
fn leave_zero(_: Vacant<'_>) {}

impl<T> Clone for Options<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Options<T> {}

impl<T> fmt::Debug for Options<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options").field("mode", &format_args!("{:#o}", self.mode)).field("stamp", &self.stamp).finish()
    }
}
