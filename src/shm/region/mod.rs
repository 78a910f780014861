//! [`Region`]: a mapping that holds many objects, each under a name.
//!
//! | file        | its one idea |
//! |-------------|--------------|
//! | `options`   | [`RegionOptions`]: the ways to a region, on terms of one's own |
//! | `verbs`     | what one does with a region's objects: get, make, remove |
//! | `objects`   | [`ObjectInfo`]: what is there, for tools that know none of the types |
//! | `list`      | [`List`]: a fixed number of items, each changed whole |
//! | `look`      | the state of an object whose type is known by name only |
//! | `directory` | finding, making and removing entries, and what a killed process leaves of that |
//! | `store`     | the bytes, and checked offsets as the only way to them |
//! | `attached`  | who may have a removed object in hand |
//! | `geometry`  | where what lies |
//! | `heap`      | what is free is what no entry says is taken |
//! | `entry`     | the 256 bytes of one object in the directory |
//! | `held`      | locks that nobody waits for for ever |
//! | `item`      | [`Item`]: what may stand in a list |
//! | `kind`      | [`Kind`] and [`Object`]: what an object is, in words and in a number |
//! | `text`      | short texts in shared memory |
//!
//! Each names only those below it, but for the [`Region`] here, whose parts `options`, `verbs`,
//! `objects` and `list` are.

mod attached;
mod directory;
mod entry;
mod geometry;
mod heap;
mod held;
mod item;
mod kind;
mod list;
mod look;
mod objects;
mod options;
mod store;
mod text;
mod verbs;

use std::path::Path;
use std::{fmt, io};

pub use attached::Attached;
use attached::Attachment;
pub use item::Item;
pub use kind::{Kind, Object};
pub use list::List;
pub use objects::ObjectInfo;
pub use options::RegionOptions;
use store::Store;

use super::handle::Handle;
use super::mapping::{Mapping, Whole};
use crate::error::{Error, ErrorKind};

/// Memory that other processes map as well and that holds many objects, each under a name.
///
/// Programs that were not compiled together meet in it: each asks for what it needs, and whoever comes first makes it.
///
/// ```
/// use shmsync::{Lock, Region, Semaphore};
/// use std::sync::atomic::{AtomicU64, Ordering};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let name = &format!("/shmsync-doc-region-{}", std::process::id());
/// let region = Region::open_or_create(name, 1 << 20)?;
/// let jobs = region.get_or_init::<Lock>("jobs")?;
/// let pool = region.get_or_init_with("pool", || Semaphore::new(4))?;
/// let done = region.value::<AtomicU64>("done")?;
///
/// jobs.acquire()?;
/// done.fetch_add(1, Ordering::Relaxed);
/// jobs.release()?;
///
/// // Another program would say:
/// let same = Region::open(name)?;
/// assert_eq!(same.get::<Semaphore>("pool")?.value(), 4);
/// assert_eq!(same.get::<Lock>("pool").unwrap_err().kind(), shmsync::ErrorKind::LayoutMismatch);
/// # shmsync::unlink(name)?;
/// # Ok(())
/// # }
/// ```
///
/// # Objects
///
/// | ask | for what |
/// |---|---|
/// | [`get`](Self::get), [`get_or_init`](Self::get_or_init), [`get_or_init_with`](Self::get_or_init_with) | a type that has a [`Kind`]: the primitives, atomics, numbers, your own |
/// | [`value`](Self::value), [`value_or_init`](Self::value_or_init) | any plain type; only its name, size and alignment are compared |
/// | [`array`](Self::array) | as many of a plain type as you say |
/// | [`list`](Self::list) | items of mixed kinds, texts among them, each changed whole |
///
/// An object is found with its first value or not at all; who makes one and is killed half way leaves nothing behind. A
/// name has 1 to 64 bytes, none of them a control character. Objects are plain data and what changes in them must be atomic
/// or in a [`Mutex`](crate::Mutex), exactly as in a [`Shared`](crate::Shared).
///
/// To find an object, nobody waits for anybody. Making and removing is done by one process at a time; if it is killed
/// meanwhile, the next goes on at once, and if it is stopped for more than ten seconds, that is an error
/// ([`Busy`](crate::ErrorKind::Busy)). That it was killed must be proven: if it lived in another PID namespace, or its id is
/// another's by now and there is no `/proc`, it counts as stopped, until an operator says that it is dead
/// ([`recover_directory`](Self::recover_directory)).
///
/// # Removing
///
/// [`remove`](Self::remove) frees a name at once. The bytes stay as they are for all who may still use them, which are those
/// who were attached at that time: they are used again when these have gone, by dropping their `Region`, by ending in
/// whatever way, or by saying that they hold nothing any more ([`renew`](Self::renew)). Children that they have forked count
/// as well. `renew` wants the `Region` for itself: who keeps it in a `static`, or lends it out for as long as the program
/// runs, never says that, and what is removed while it runs stays as it is.
///
/// A `Region` keeps two descriptors open: the file, and the same once more, by which the kernel knows that it is attached.
/// Who cannot open it once more, because it was given a [`handle`](Self::handle) to what it may not open, or for want of
/// `/proc`, is attached by the first: for as long as anybody has that one, the giver among them. Then, and where the
/// file system knows no locks at all, nothing that was removed is used again; in the latter case never.
///
/// # What is believed
///
/// Whatever another process may write anywhere in the region: an offset leads to memory of the region or to an error, and
/// every verb comes to an end. Beyond that it is as with `Shared`: what others scribble over is theirs, and who may write
/// the file may also cut it off.
///
/// # Errors
///
/// The ways to a region fail as those to a [`Shared`](crate::Shared#errors) do; a region of one `T` is a
/// [`LayoutMismatch`](crate::ErrorKind::LayoutMismatch). The verbs for objects say
/// - [`NotFound`](crate::ErrorKind::NotFound): there is no object of that name;
/// - [`LayoutMismatch`](crate::ErrorKind::LayoutMismatch): it is of another kind, size, alignment or layout, or what the
///   directory says of it is damaged;
/// - [`NoSpace`](crate::ErrorKind::NoSpace): no room for it, or for one object more;
/// - [`InvalidName`](crate::ErrorKind::InvalidName), [`Busy`](crate::ErrorKind::Busy), as above;
///   [`Unsupported`](crate::ErrorKind::Unsupported) for a type that is aligned to more than 4096 bytes.
pub struct Region {
    // Unmapped before others are told so.
    store: Store,
    attachment: Attachment,
}

/// The ways to a region. How each may fail is said [above](Self#errors).
#[allow(clippy::missing_errors_doc)]
impl Region {
    /// Makes a new region, with `room` bytes for objects beside its directory, under a name that must be free.
    ///
    /// An object takes up a multiple of 64 bytes. The directory has room for one object for each 4096 bytes, but for 64 at
    /// the least and 4096 at the most, unless [asked](RegionOptions::objects); at 256 bytes for each it comes on top.
    pub fn create(name: &str, room: usize) -> Result<Self, Error> {
        Self::options().create(name, room)
    }

    /// Maps the region of that name, whatever its size.
    pub fn open(name: &str) -> Result<Self, Error> {
        Self::options().open(name)
    }

    /// Maps the region of that name, whatever its size, or makes one with `room` bytes for objects when there is none.
    pub fn open_or_create(name: &str, room: usize) -> Result<Self, Error> {
        Self::options().open_or_create(name, room)
    }

    /// Makes a region without a name: for forked children, and for those that are given its [`handle`](Self::handle).
    pub fn anonymous(room: usize) -> Result<Self, Error> {
        Self::options().anonymous(room)
    }

    /// Makes a new region in a file of your own, which must not exist.
    pub fn create_file(path: impl AsRef<Path>, room: usize) -> Result<Self, Error> {
        Self::options().create_file(path, room)
    }

    /// Maps the region in that file.
    pub fn open_file(path: impl AsRef<Path>) -> Result<Self, Error> {
        Self::options().open_file(path)
    }

    /// Maps the region in that file, or makes it when there is none.
    pub fn open_or_create_file(path: impl AsRef<Path>, room: usize) -> Result<Self, Error> {
        Self::options().open_or_create_file(path, room)
    }

    /// Maps the region of a [`Handle`]. Besides what opening may answer, it is
    /// [`NotFound`](crate::ErrorKind::NotFound) when this process did not inherit the descriptor.
    pub fn from_handle(handle: &Handle) -> Result<Self, Error> {
        Self::options().from_handle(handle)
    }

    /// The same ways with permissions, a number of objects or other terms of your own.
    #[must_use]
    pub fn options() -> RegionOptions {
        RegionOptions::new()
    }

    /// This region in a form that a child process can be given.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle::new(&self.store.mapping).expect("no way to a region of many objects is without a file")
    }
}

impl Whole for Region {
    fn of(mapping: Mapping) -> Result<Self, Error> {
        let store = Store::new(mapping)?;
        let file = store.mapping.descriptor().map(|descriptor| descriptor.file());
        let attachment = Attachment::new(file, store.head())
            .map_err(|e| Error::os(format!("cannot attach to {}", store.mapping.place()), e))?;
        Ok(Self { store, attachment })
    }

    fn mapping(&self) -> &Mapping {
        &self.store.mapping
    }
}

/// Who is attached.
impl Region {
    fn observed(mapping: Mapping) -> Result<Self, Error> {
        Ok(Self { store: Store::new(mapping)?, attachment: Attachment::NONE })
    }

    /// Says that this process uses nothing any more of what it got from this `Region` before.
    ///
    /// The exclusive borrow is the proof: there is no reference into the region then. What has been removed before may be
    /// used again by others from now on, as if the region had been closed and opened. For processes that run long and have
    /// others remove what they once used. A child that was forked before is not concerned, and counts as before.
    ///
    /// # Errors
    /// When no descriptor is left, or no memory; [`PermissionDenied`](crate::ErrorKind::PermissionDenied) if this process may
    /// not open the file any more; [`Unsupported`](crate::ErrorKind::Unsupported) where [`attached`](Self::attached) is, too.
    /// Everything is as it was then.
    ///
    /// # Example
    /// ```standalone_crate
    /// use shmsync::{ErrorKind, Region};
    ///
    /// let mut region = Region::anonymous(4096)?;
    /// for _ in 0..10 {
    ///     region.array::<u8>("all of it", 4096)?;
    ///     region.remove("all of it")?;
    ///     assert_eq!(region.array::<u8>("the same", 4096).unwrap_err().kind(), ErrorKind::NoSpace);
    ///     region.renew()?;
    /// }
    /// # Ok::<(), shmsync::Error>(())
    /// ```
    pub fn renew(&mut self) -> Result<(), Error> {
        let descriptor = self.store.mapping.descriptor();
        let again = descriptor.map(|descriptor| self.attachment.again(descriptor.file(), self.store.head()));
        self.attachment =
            again.unwrap_or_else(|| Err(io::ErrorKind::Unsupported.into())).map_err(|e| self.not_counted(e))?;
        Ok(())
    }

    /// The processes that have opened this region and are still attached, this one among them.
    ///
    /// The kernel knows: those that were killed are not among them, whatever they left. A process that opened it twice is
    /// there twice. Children that were forked share their parent's place. Those that could not open the file once more share
    /// one place, and so do those that are more than 256. Out of date as soon as it is known.
    ///
    /// # Errors
    /// [`Unsupported`](crate::ErrorKind::Unsupported) where the file system knows no locks.
    pub fn attached(&self) -> Result<Vec<Attached>, Error> {
        self.attachment.all(self.store.head()).map_err(|e| self.not_counted(e))
    }

    fn not_counted(&self, why: io::Error) -> Error {
        let message = format!("who is attached to {} cannot be told or changed", self.store.mapping.place());
        match why.kind() {
            io::ErrorKind::Unsupported => Error::new(ErrorKind::Unsupported, message + " here"),
            _ => Error::os(message, why),
        }
    }
}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Region({}, {} objects)", self.store.mapping.place(), self.store.live().count())
    }
}
