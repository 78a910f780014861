//! The ways to a region of named objects. `Region`'s own constructors are these with the defaults.

use std::path::Path;

use super::Region;
use super::geometry::{Geometry, first_words};
use crate::error::{Error, ErrorKind};
use crate::shm::handle::Handle;
use crate::shm::layout::Layout;
use crate::shm::mapping::{Mapping, Vacant, Whole};
#[cfg(doc)]
use crate::shm::options::Options;
use crate::shm::place::Place;
use crate::shm::terms::{HugePages, Owners, Terms};

/// How a [`Region`] is made or opened, where the defaults do not fit. From [`Region::options`].
///
/// What can be asked for is what [`Options`] can be asked for, and the number of [`objects`](Self::objects). The ways are
/// those of [`Region`], which also says how they fail.
///
/// ```
/// use shmsync::Region;
///
/// # let name = &format!("/shmsync-doc-region-options-{}", std::process::id());
/// let region = Region::options().mode(0o660).objects(10_000).create(name, 1 << 20)?;
/// # shmsync::unlink(name)?;
/// # Ok::<(), shmsync::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct RegionOptions {
    terms: Terms,
    objects: Option<usize>,
}

/// What can be asked for.
impl RegionOptions {
    pub(super) const fn new() -> Self {
        Self { terms: Terms::DEFAULT, objects: None }
    }

    /// Who may open a new region, as in `chmod`; 0600, the owner alone, unless asked. As [`Options::mode`].
    #[must_use]
    pub const fn mode(mut self, mode: u32) -> Self {
        self.terms.mode = mode & 0o777;
        self
    }

    /// Opens regions of this user as well as the caller's own and root's. As [`Options::allow_owner`].
    #[must_use]
    pub const fn allow_owner(mut self, user: u32) -> Self {
        self.terms.owners = Owners::Trusted(Some(user));
        self
    }

    /// Opens regions whoever they belong to. As [`Options::allow_any_owner`].
    #[must_use]
    pub const fn allow_any_owner(mut self) -> Self {
        self.terms.owners = Owners::Anybody;
        self
    }

    /// Makes regions that programs of 32 and of 64 bits share. The kind, size and alignment of each object are compared
    /// all the same. As [`Options::any_pointer_width`].
    #[must_use]
    pub const fn any_pointer_width(mut self) -> Self {
        self.terms.any_width = true;
        self
    }

    /// The largest region that is made or opened, in bytes, head and directory included. No limit unless asked. As [`Options::max_size`].
    #[must_use]
    pub const fn max_size(mut self, bytes: usize) -> Self {
        self.terms.max_size = bytes;
        self
    }

    /// Which pages the region is to have, for this process's mapping of it. As [`Options::huge_pages`].
    #[must_use]
    pub const fn huge_pages(mut self, pages: HugePages) -> Self {
        self.terms.huge_pages = pages;
        self
    }

    /// Whether all of the region is kept in memory for as long as this process has it mapped. As [`Options::lock_memory`].
    #[must_use]
    pub const fn lock_memory(mut self, lock: bool) -> Self {
        self.terms.lock_memory = lock;
        self
    }

    /// Whether the page faults of the whole region are taken at once. As [`Options::populate`].
    #[must_use]
    pub const fn populate(mut self, populate: bool) -> Self {
        self.terms.populate = populate;
        self
    }

    /// As [`Options::observing`]: opens a region to look at it. Who only looks is not [attached](Region::attached) either, so
    /// what is removed meanwhile may be something else before his eyes.
    #[must_use]
    pub const fn observing(mut self) -> Self {
        self.terms.observes = true;
        self
    }

    /// How many objects a new region's directory has room for: from 1 to 65,536, at 256 bytes each.
    ///
    /// An object that was removed takes up its entry as long as it takes up its bytes.
    #[must_use]
    pub const fn objects(mut self, objects: usize) -> Self {
        self.objects = Some(objects);
        self
    }
}

/// The ways to a region.
impl RegionOptions {
    /// As [`Region::create`].
    #[allow(clippy::missing_errors_doc)] // Here and below: the type's documentation says where they are.
    pub fn create(&self, name: &str, room: usize) -> Result<Region, Error> {
        self.create_at(Place::named(name)?, room)
    }

    /// As [`Region::open`].
    #[allow(clippy::missing_errors_doc)]
    pub fn open(&self, name: &str) -> Result<Region, Error> {
        self.open_at(Place::named(name)?)
    }

    /// As [`Region::open_or_create`].
    #[allow(clippy::missing_errors_doc)]
    pub fn open_or_create(&self, name: &str, room: usize) -> Result<Region, Error> {
        self.open_or_create_at(Place::named(name)?, room)
    }

    /// As [`Region::anonymous`].
    #[allow(clippy::missing_errors_doc)]
    pub fn anonymous(&self, room: usize) -> Result<Region, Error> {
        let (layout, geometry) = self.layout(room)?;
        Region::of(Mapping::anonymous(&layout, &self.terms, |vacant| begin(vacant, &geometry))?)
    }

    /// As [`Region::create_file`].
    #[allow(clippy::missing_errors_doc)]
    pub fn create_file(&self, path: impl AsRef<Path>, room: usize) -> Result<Region, Error> {
        self.create_at(Place::file(path.as_ref())?, room)
    }

    /// As [`Region::open_file`].
    #[allow(clippy::missing_errors_doc)]
    pub fn open_file(&self, path: impl AsRef<Path>) -> Result<Region, Error> {
        self.open_at(Place::file(path.as_ref())?)
    }

    /// As [`Region::open_or_create_file`].
    #[allow(clippy::missing_errors_doc)]
    pub fn open_or_create_file(&self, path: impl AsRef<Path>, room: usize) -> Result<Region, Error> {
        self.open_or_create_at(Place::file(path.as_ref())?, room)
    }

    /// As [`Region::from_handle`].
    #[allow(clippy::missing_errors_doc)]
    pub fn from_handle(&self, handle: &Handle) -> Result<Region, Error> {
        Region::of(handle.attach(&self.layout(0)?.0, &self.terms)?)
    }

    fn create_at(&self, place: Place, room: usize) -> Result<Region, Error> {
        let (layout, geometry) = self.layout(room)?;
        Mapping::create(place, &layout, &self.terms, |vacant| begin(vacant, &geometry))
    }

    fn open_at(&self, place: Place) -> Result<Region, Error> {
        let mapping = Mapping::open(place, &self.layout(0)?.0, &self.terms)?;
        if self.terms.observes { Region::observed(mapping) } else { Region::of(mapping) }
    }

    fn open_or_create_at(&self, place: Place, room: usize) -> Result<Region, Error> {
        let (layout, geometry) = self.layout(room)?;
        Mapping::open_or_create(place, &layout, &self.terms, |vacant| begin(vacant, &geometry))
    }

    fn layout(&self, room: usize) -> Result<(Layout, Geometry), Error> {
        let entries = self.objects.unwrap_or_else(|| Geometry::usual_entries(room));
        let layout = Geometry::new(entries, room).and_then(|(geometry, size)| {
            let layout = Layout::of_region(size.try_into().ok()?)?;
            Some((Layout { any_width: self.terms.any_width, ..layout }, geometry))
        });
        layout.ok_or_else(|| Error::new(ErrorKind::NoSpace, format!("no region can have room for {room} bytes")))
    }
}

fn begin(vacant: Vacant<'_>, geometry: &Geometry) {
    vacant.begin_with(first_words(geometry.entries));
}
