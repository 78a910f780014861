//! The bytes without their type: made where nobody can see them, published whole, opened, mapped.
//!
//! What holds for every [`Mapping`], and whoever reads its payload relies on:
//!
//! 1. the mapping is readable, writable, shared, and at least `layout.total` bytes long;
//! 2. the payload lies within it, aligned as its layout asks, behind the header;
//! 3. it stays mapped, at the same address, as long as the `Mapping` lives;
//! 4. its file was no shorter than the mapping when it was mapped, and if it is anonymous never will be;
//! 5. all of it was zero, or written by whoever made it, before anybody else could see it.
#![allow(unsafe_code)]

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::handle::Descriptor;
use super::header::{Header, kind_of};
use super::info;
use super::layout::{Layout, WAIT_TABLE};
use super::memory::Memory;
use super::place::Place;
use super::terms::{HugePages, Terms};
use crate::error::{Error, ErrorKind};
use crate::sync::deadlock::{Registration, WaitTable};
use crate::sys::file::{self, Draft};

pub(super) struct Mapping {
    /// Before the mapping, for it must be dropped first.
    _registration: Registration,
    memory: Memory,
    /// `None` if the memory was mapped by somebody else.
    descriptor: Option<Arc<Descriptor>>,
    /// The payload's.
    size: usize,
    place: Place,
}

/// What a mapping is turned into, before a new one gets its name: so that what fails leaves nothing behind.
pub(super) trait Whole: Sized {
    fn of(mapping: Mapping) -> Result<Self, Error>;
    fn mapping(&self) -> &Mapping;
}

impl Whole for Mapping {
    fn of(mapping: Mapping) -> Result<Self, Error> {
        Ok(mapping)
    }
    fn mapping(&self) -> &Mapping {
        self
    }
}

impl Mapping {
    /// A region without a name, which only this process and those that it hands it to can reach.
    ///
    /// Here and below `fill` may write the payload, or leave it zero.
    pub(super) fn anonymous(layout: &Layout, terms: &Terms, fill: impl FnOnce(Vacant<'_>)) -> Result<Self, Error> {
        let place = Place::Anonymous;
        let reserved = terms.huge_pages == HugePages::Reserved;
        let file = file::anonymous(reserved).map_err(|e| Error::os(format!("cannot make {place}"), e))?;
        let region = Self::make(file, place, layout, terms, fill)?;
        file::seal_size(region.file())
            .map_err(|e| Error::os(format!("cannot seal the size of {}", region.place), e))?;
        Ok(region)
    }

    /// A new region under a name that must be free.
    pub(super) fn create<R: Whole>(
        place: Place,
        layout: &Layout,
        terms: &Terms,
        fill: impl FnOnce(Vacant<'_>),
    ) -> Result<R, Error> {
        let path = path_of(&place)?;
        let (draft, region) = Self::draft(&path, place, layout, terms, fill)?;
        let region = R::of(region)?;
        region.mapping().publish(&draft, &path)?;
        Ok(region)
    }

    /// A region that exists.
    pub(super) fn open(place: Place, layout: &Layout, terms: &Terms) -> Result<Self, Error> {
        let path = path_of(&place)?;
        let file = file::open(&path).map_err(|e| match path.symlink_metadata() {
            // For these the kernel's own words are "too many levels of symbolic links" and the like.
            Ok(about) if !about.is_file() => {
                Error::os(format!("cannot open {place}, which is {}", kind_of(about.file_type())), e)
            }
            _ => Error::os(format!("cannot open {place}"), e),
        })?;
        terms.check_owner(&file, &place)?;
        if !terms.observes {
            info::claim(&file, &place)?;
        }
        Self::attach(file, place, layout, terms)
    }

    /// Whichever is possible. Of several processes that find nothing, each drafts a region and one publishes its own;
    /// the others drop theirs and open that one.
    pub(super) fn open_or_create<R: Whole>(
        place: Place,
        layout: &Layout,
        terms: &Terms,
        fill: impl FnOnce(Vacant<'_>),
    ) -> Result<R, Error> {
        /// That it exists, and is gone when it is opened, time after time, is no race any more.
        const PATIENCE: Duration = Duration::from_secs(10);
        let path = path_of(&place)?;
        let open = || match Self::open(place.clone(), layout, terms) {
            Err(e) if e.kind() == ErrorKind::NotFound => None,
            done => Some(done.and_then(R::of)),
        };
        if let Some(done) = open() {
            return done;
        }
        let (draft, region) = match Self::draft(&path, place.clone(), layout, terms, fill) {
            // Perhaps it is the winner's region, or another loser's draft, for which there was no room beside it.
            Err(e) if e.kind() == ErrorKind::NoSpace => return open().unwrap_or(Err(e)),
            draft => draft?,
        };
        let (region, deadline) = (R::of(region)?, Instant::now() + PATIENCE);
        loop {
            match region.mapping().publish(&draft, &path) {
                Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
                done => return done.map(|()| region),
            }
            // It exists. If it has been unlinked by the time it is opened, the draft has another chance.
            if let Some(done) = open() {
                return done;
            }
            if Instant::now() > deadline {
                let message = format!("{place} exists, and is gone whenever it is opened");
                return Err(Error::new(ErrorKind::Busy, message));
            }
        }
    }

    /// Maps a file that claims to be a region, whoever it belongs to.
    pub(super) fn attach(file: File, place: Place, layout: &Layout, terms: &Terms) -> Result<Self, Error> {
        let layout = Header::check(&file, layout, &place)?;
        terms.check_size(&layout, &place)?;
        terms.check_pages(&file, &place)?;
        // The header says that all of it is there, and of a sparse copy it is not true.
        file::fill_holes(&file, layout.total as u64).map_err(|e| {
            Error::os(format!("cannot reserve the {} bytes of {place}, which has holes", layout.total), e)
        })?;
        Self::map(file, place, &layout, terms)
    }

    /// The address of the payload (invariants 1 to 3).
    pub(super) fn payload(&self, offset: usize) -> *mut u8 {
        self.memory.start().wrapping_add(offset)
    }

    /// How many bytes the payload has.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// Who waits for what in the payload.
    pub(super) fn wait_table(&self) -> &WaitTable {
        // SAFETY: it is where `of` says, in memory that lives as long as `self`; and it consists of atomics alone.
        unsafe { &*self.payload(WAIT_TABLE).cast() }
    }

    pub(super) fn descriptor(&self) -> Option<&Arc<Descriptor>> {
        self.descriptor.as_ref()
    }

    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// A whole region that has no name yet.
    fn draft(
        path: &Path,
        place: Place,
        layout: &Layout,
        terms: &Terms,
        fill: impl FnOnce(Vacant<'_>),
    ) -> Result<(Draft, Self), Error> {
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let (file, draft) = Draft::new(directory, terms.mode)
            .map_err(|e| Error::os(format!("cannot make {place}: no file can be made in {directory:?}"), e))?;
        Ok((draft, Self::make(file, place, layout, terms, fill)?))
    }

    fn publish(&self, draft: &Draft, path: &Path) -> Result<(), Error> {
        draft.publish(self.file(), path).map_err(|e| Error::os(format!("cannot give {} its name", self.place), e))
    }

    /// Turns a fresh file that nobody else has into a region.
    fn make(
        file: File,
        place: Place,
        layout: &Layout,
        terms: &Terms,
        fill: impl FnOnce(Vacant<'_>),
    ) -> Result<Self, Error> {
        terms.check_size(layout, &place)?;
        terms.check_pages(&file, &place)?;
        file::reserve(&file, layout.total as u64)
            .map_err(|e| Error::os(format!("cannot reserve {} bytes for {place}", layout.total), e))?;
        let region = Self::map(file, place, layout, terms)?;
        fill(Vacant { region: &region, layout });
        Header::write(region.memory.header(), layout);
        Ok(region)
    }

    fn map(file: File, place: Place, layout: &Layout, terms: &Terms) -> Result<Self, Error> {
        let cannot_map = |e| Error::os(format!("cannot map {} bytes of {place}", layout.total), e);
        let memory = Memory::map(&file, layout.total, terms).map_err(cannot_map)?;
        memory.prepare(terms, &place)?;
        // For tools. If somebody else's lock is in the way, which a scribbler may bring about, they see nobody here.
        if !terms.observes {
            info::mark(&file).map_err(|e| Error::os(format!("cannot say that {place} is mapped"), e))?;
        }
        let descriptor = Descriptor::new(file).map_err(cannot_map)?;
        // SAFETY: both lengths are `layout.total`, and a mapping begins at a page, to which every layout is aligned.
        Ok(unsafe { Self::of(memory, Some(Arc::new(descriptor)), place, layout) })
    }

    /// # Safety
    /// The memory is no shorter than the layout, and begins at a multiple of its alignment.
    unsafe fn of(memory: Memory, descriptor: Option<Arc<Descriptor>>, place: Place, layout: &Layout) -> Self {
        let at = |offset| memory.start().wrapping_add(offset);
        let (payload, table) = (at(layout.offset).addr(), at(WAIT_TABLE).cast());
        // SAFETY: by the caller's promise payload and table lie in the memory, which outlives the registration; and the
        // table is aligned as the memory is, to eight bytes.
        let registration = unsafe { Registration::new(payload, layout.size, table) };
        Self { _registration: registration, memory, descriptor, size: layout.size, place }
    }

    /// Of a region that was made of one.
    fn file(&self) -> &File {
        self.descriptor.as_ref().expect("it was made of a file").file()
    }
}

/// In memory that somebody else has mapped.
impl Mapping {
    /// The region that is there.
    ///
    /// # Safety
    /// The memory begins at a multiple of the layout's alignment.
    pub(super) unsafe fn attach_within(
        memory: Memory,
        place: Place,
        layout: &Layout,
        terms: &Terms,
    ) -> Result<Self, Error> {
        let layout = Header::check_memory(memory.header(), memory.length(), layout, &place)?;
        terms.check_size(&layout, &place)?;
        Header::lend(memory.header());
        // SAFETY: it is as long as the header says, which says what the layout does; and the caller's promise.
        Ok(unsafe { Self::of(memory, None, place, &layout) })
    }

    /// Makes a region there, whatever it was before.
    ///
    /// # Safety
    /// The memory begins at a multiple of the layout's alignment, and until this returns nobody else uses its bytes, other
    /// than to read the header.
    pub(super) unsafe fn init_within(
        memory: Memory,
        place: Place,
        layout: &Layout,
        terms: &Terms,
        fill: impl FnOnce(Vacant<'_>),
    ) -> Result<Self, Error> {
        terms.check_size(layout, &place)?;
        let found = memory.length();
        if found < layout.total {
            let message = format!("{place} would need {} bytes of memory, there are {found}", layout.total);
            return Err(Error::new(ErrorKind::Truncated, message));
        }
        Header::erase(memory.header());
        // SAFETY: it is long enough, and the caller's promise.
        let region = unsafe { Self::of(memory, None, place, layout) };
        // SAFETY: the head behind the header and the payload lie within, and nobody else uses them.
        unsafe { region.payload(WAIT_TABLE).write_bytes(0, layout.total - WAIT_TABLE) };
        fill(Vacant { region: &region, layout });
        Header::write(region.memory.header(), layout);
        Header::lend(region.memory.header());
        Ok(region)
    }
}

/// The payload of a region that nobody else can see yet, still zero.
pub(super) struct Vacant<'a> {
    region: &'a Mapping,
    layout: &'a Layout,
}

impl Vacant<'_> {
    /// Moves the first value in.
    pub(super) fn put<T>(self, value: T) {
        assert!(size_of::<T>() == self.layout.size, "the layout is that of another type");
        self.begin_with(value);
    }

    /// Moves a value to the beginning.
    pub(super) fn begin_with<T>(self, value: T) {
        let payload = self.region.payload(self.layout.offset).cast::<T>();
        assert!(size_of::<T>() <= self.layout.size && payload.is_aligned(), "the layout is that of another type");
        // SAFETY: by invariants 1 and 2 there are `layout.size` writable bytes, which is enough for a T as just
        // checked; and nobody else has them.
        unsafe { payload.write(value) };
    }
}

fn path_of(place: &Place) -> Result<PathBuf, Error> {
    place.path().ok_or_else(|| Error::new(ErrorKind::InvalidName, format!("{place} has no name")))
}
