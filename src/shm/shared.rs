//! [`Shared<T>`]: a `T` that lies in a region, and every way to come by one.
#![allow(unsafe_code)]

use std::any::type_name;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::path::Path;

use zerocopy::FromBytes;

use super::handle::Handle;
use super::layout::offset_of_payload;
use super::mapping::Mapping;
use super::options::Options;
use crate::error::{Error, ErrorKind};
use crate::owner::Owner;

/// A `T` in memory that other processes map as well. It dereferences to `&T`.
///
/// | region      | made with                      | found by                                     | ends when |
/// |-------------|--------------------------------|----------------------------------------------|-----------|
/// | named       | [`create`](Self::create)       | its name `/name`: the file `/dev/shm/name`   | [unlinked](crate::unlink) and closed by all, or at a reboot |
/// | in a file   | [`create_file`](Self::create_file) | its path, on any file system             | the file is removed and closed by all |
/// | anonymous   | [`anonymous`](Self::anonymous) | a [`Handle`], or being forked                | closed by all |
/// | lent        | [`init_mmap`](Self::init_mmap), [`init_raw`](Self::init_raw) | who maps the same memory       | who mapped it says so |
///
/// # What may be shared
///
/// `T` is [`FromBytes`]: any bytes are a valid `T`, so nothing another process leaves there can break this one's
/// memory. And it is [`Sync`]. Derive it for your own `#[repr(C)]` structs; every primitive of this crate, every
/// atomic, and arrays and structs of them qualify, pointers and references do not.
///
/// *What changes belongs into atomics or a* [`Mutex`](crate::Mutex). Treat plain fields (`u64`, arrays of bytes) as
/// constants from the creation on: the compiler takes them for that, and a process that changes one nevertheless,
/// through another type or by writing the file, races with all who read it.
///
/// The value is never dropped in place: other processes go on using it. Dropping a `Shared` unmaps it here, no more.
///
/// # What is checked
///
/// A region is published whole: with its size reserved and its first value written. Nobody ever sees half of one, and
/// a creator that is killed leaves nothing behind. (Where the file system does not know files without a name, such as
/// NFS, it may leave a temporary file called `.shmsync.…`.) Whoever opens it is told when it was made by another
/// version of the crate, for another kind of machine, or for a type of another size, alignment or
/// [stamp](Options::stamp).
///
/// # What cannot be checked
///
/// Who may write the file may also cut it off. Touching the missing part of a named region or of one in a file then
/// raises `SIGBUS`, which ends the process. Anonymous regions are sealed against that. The permissions are 0600 unless
/// [asked](Options::mode); give them to those whom you trust with the data.
///
/// # Errors
///
/// Every way here ends in an [`Error`]; its [`kind`](Error::kind) is
/// [`InvalidName`](crate::ErrorKind::InvalidName) for a name not of the form `/name` with 1 to 254 bytes after the only
/// slash, or a path that cannot be a file's; [`PermissionDenied`](crate::ErrorKind::PermissionDenied);
/// [`Unsupported`](crate::ErrorKind::Unsupported) when `T` is aligned to more than a page; and
/// - from what creates: [`AlreadyExists`](crate::ErrorKind::AlreadyExists) (whatever it is that has the name),
///   [`NoSpace`](crate::ErrorKind::NoSpace) when the file system or the memory has not that much left,
///   [`NotFound`](crate::ErrorKind::NotFound) when the directory does not exist;
/// - from what opens: [`NotFound`](crate::ErrorKind::NotFound), [`NotARegion`](crate::ErrorKind::NotARegion) (also
///   for a symbolic link, which is not followed), [`Truncated`](crate::ErrorKind::Truncated),
///   [`LayoutMismatch`](crate::ErrorKind::LayoutMismatch); [`Busy`](crate::ErrorKind::Busy) when somebody has been about to
///   remove it for a second (see [`unlink_unused`](crate::unlink_unused)).
///
/// ```
/// use shmsync::{Lock, Shared};
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use zerocopy::FromBytes;
///
/// #[derive(FromBytes)]
/// #[repr(C)]
/// struct Account {
///     lock: Lock,
///     balance: AtomicU64,
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let name = &format!("/shmsync-doc-shared-{}", std::process::id());
/// let account = Shared::create(name, Account { lock: Lock::new(), balance: AtomicU64::new(100) })?;
///
/// // Another process would say:
/// let same = Shared::<Account>::open(name)?;
/// same.lock.acquire()?;
/// same.balance.fetch_sub(30, Ordering::Relaxed);
/// same.lock.release()?;
///
/// assert_eq!(account.balance.load(Ordering::Relaxed), 70);
/// shmsync::unlink(name)?;
/// # Ok(())
/// # }
/// ```
pub struct Shared<T: FromBytes + Sync> {
    mapping: Mapping,
    of: PhantomData<fn() -> T>,
}

/// The ways to a region. How each may fail is said [above](Self#errors).
#[allow(clippy::missing_errors_doc)]
impl<T: FromBytes + Sync> Shared<T> {
    pub(super) fn new(mapping: Mapping) -> Self {
        Self { mapping, of: PhantomData }
    }

    /// Makes a new region with this value and publishes it under a name that must be free.
    ///
    /// ```
    /// use shmsync::{ErrorKind, Shared};
    /// use std::sync::atomic::AtomicU64;
    ///
    /// # let name = &format!("/shmsync-doc-create-{}", std::process::id());
    /// let counter = Shared::create(name, AtomicU64::new(7))?;
    /// let again = Shared::create(name, AtomicU64::new(8));
    /// assert_eq!(again.unwrap_err().kind(), ErrorKind::AlreadyExists);
    /// # shmsync::unlink(name)?;
    /// # Ok::<(), shmsync::Error>(())
    /// ```
    pub fn create(name: &str, value: T) -> Result<Self, Error> {
        Self::options().create(name, value)
    }

    /// [`create`](Self::create) with all bytes zero, for types that are too large for the stack.
    ///
    /// ```
    /// use shmsync::Shared;
    /// use std::sync::atomic::AtomicU64;
    ///
    /// # let name = &format!("/shmsync-doc-zeroed-{}", std::process::id());
    /// let table = Shared::<[AtomicU64; 1 << 21]>::create_zeroed(name)?; // 16 MiB
    /// assert_eq!(table[1_000_000].load(std::sync::atomic::Ordering::Relaxed), 0);
    /// # shmsync::unlink(name)?;
    /// # Ok::<(), shmsync::Error>(())
    /// ```
    pub fn create_zeroed(name: &str) -> Result<Self, Error> {
        Self::options().create_zeroed(name)
    }

    /// Maps the region of that name.
    ///
    /// ```
    /// use shmsync::{ErrorKind, Shared};
    /// use std::sync::atomic::{AtomicU32, AtomicU64};
    ///
    /// # let name = &format!("/shmsync-doc-open-{}", std::process::id());
    /// let made = Shared::create(name, AtomicU64::new(7))?;
    /// let opened = Shared::<AtomicU64>::open(name)?;
    ///
    /// let error = Shared::<AtomicU32>::open(name).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::LayoutMismatch);
    /// assert!(error.to_string().contains("payload size is 8, expected 4"));
    /// # shmsync::unlink(name)?;
    /// # Ok::<(), shmsync::Error>(())
    /// ```
    pub fn open(name: &str) -> Result<Self, Error> {
        Self::options().open(name)
    }

    /// Maps the region of that name, or makes it when there is none.
    ///
    /// Any number of processes may call it at once: they all end up with the same region and its one first value. The
    /// closure may run in several of them; only the value of the one that publishes first is ever seen, the regions of
    /// the others vanish unseen.
    ///
    /// ```
    /// use shmsync::Shared;
    /// use std::sync::atomic::{AtomicU64, Ordering};
    ///
    /// # let name = &format!("/shmsync-doc-either-{}", std::process::id());
    /// let first = Shared::open_or_create(name, || AtomicU64::new(1))?;
    /// let second = Shared::open_or_create(name, || AtomicU64::new(2))?;
    /// assert_eq!(second.load(Ordering::Relaxed), 1);
    /// # shmsync::unlink(name)?;
    /// # Ok::<(), shmsync::Error>(())
    /// ```
    pub fn open_or_create(name: &str, value: impl FnOnce() -> T) -> Result<Self, Error> {
        Self::options().open_or_create(name, value)
    }

    /// [`open_or_create`](Self::open_or_create) with all bytes zero, for types that are too large for the stack.
    pub fn open_or_create_zeroed(name: &str) -> Result<Self, Error> {
        Self::options().open_or_create_zeroed(name)
    }

    /// Makes a region without a name: for forked children, and for those that are given its [`handle`](Self::handle).
    ///
    /// ```
    /// use shmsync::Shared;
    /// use std::sync::atomic::{AtomicU64, Ordering};
    ///
    /// let counter = Shared::anonymous(AtomicU64::new(7))?;
    /// assert_eq!(counter.fetch_add(1, Ordering::Relaxed), 7);
    /// # Ok::<(), shmsync::Error>(())
    /// ```
    pub fn anonymous(value: T) -> Result<Self, Error> {
        Self::options().anonymous(value)
    }

    /// [`anonymous`](Self::anonymous) with all bytes zero, for types that are too large for the stack.
    ///
    /// ```
    /// use shmsync::{Lock, Shared};
    ///
    /// let locks = Shared::<[Lock; 10_000]>::anonymous_zeroed()?; // zero is a fresh lock
    /// assert!(!locks[9_999].is_locked());
    /// # Ok::<(), shmsync::Error>(())
    /// ```
    pub fn anonymous_zeroed() -> Result<Self, Error> {
        Self::options().anonymous_zeroed()
    }

    /// Makes a new region with this value in a file of your own, which must not exist.
    ///
    /// It may be on any file system, and outlive a reboot on a disk. Nothing is forced onto the disk, though: after a
    /// power failure the file may be any mixture of old and new bytes.
    ///
    /// ```
    /// use shmsync::Shared;
    /// use std::sync::atomic::{AtomicU64, Ordering};
    ///
    /// # let directory = std::env::temp_dir();
    /// let path = directory.join(format!("counter-{}", std::process::id()));
    /// let counter = Shared::create_file(&path, AtomicU64::new(7))?;
    /// let opened = Shared::<AtomicU64>::open_file(&path)?;
    /// assert_eq!(opened.load(Ordering::Relaxed), 7);
    /// # std::fs::remove_file(&path).unwrap();
    /// # Ok::<(), shmsync::Error>(())
    /// ```
    pub fn create_file(path: impl AsRef<Path>, value: T) -> Result<Self, Error> {
        Self::options().create_file(path, value)
    }

    /// [`create_file`](Self::create_file) with all bytes zero, for types that are too large for the stack.
    pub fn create_file_zeroed(path: impl AsRef<Path>) -> Result<Self, Error> {
        Self::options().create_file_zeroed(path)
    }

    /// Maps the region in that file.
    pub fn open_file(path: impl AsRef<Path>) -> Result<Self, Error> {
        Self::options().open_file(path)
    }

    /// Maps the region in that file, or makes it when there is none, as [`open_or_create`](Self::open_or_create) does.
    ///
    /// ```
    /// use shmsync::Shared;
    /// use std::sync::atomic::{AtomicU64, Ordering};
    ///
    /// # let path = std::env::temp_dir().join(format!("starts-{}", std::process::id()));
    /// let starts = Shared::open_or_create_file(&path, || AtomicU64::new(0))?;
    /// starts.fetch_add(1, Ordering::Relaxed); // how often any process of any boot came here
    /// # std::fs::remove_file(&path).unwrap();
    /// # Ok::<(), shmsync::Error>(())
    /// ```
    pub fn open_or_create_file(path: impl AsRef<Path>, value: impl FnOnce() -> T) -> Result<Self, Error> {
        Self::options().open_or_create_file(path, value)
    }

    /// [`open_or_create_file`](Self::open_or_create_file) with all bytes zero.
    pub fn open_or_create_file_zeroed(path: impl AsRef<Path>) -> Result<Self, Error> {
        Self::options().open_or_create_file_zeroed(path)
    }

    /// Maps the region of a [`Handle`], which shows an example. Besides what opening may answer, it is
    /// [`NotFound`](crate::ErrorKind::NotFound) when this process did not inherit the descriptor.
    pub fn from_handle(handle: &Handle) -> Result<Self, Error> {
        Self::options().from_handle(handle)
    }

    /// The same ways with permissions or a layout stamp of your own.
    #[must_use]
    pub fn options() -> Options<T> {
        Options::new()
    }

    /// Who has been waiting for something in here for more than some milliseconds: for tools. Out of date as soon as it is
    /// known, and some may have died meanwhile.
    ///
    /// It is those who wait for a `Lock`, `RLock`, `Mutex` or `Once`, or to write to an `RwLock`, and at most 248 of them.
    ///
    /// ```
    /// use shmsync::{Lock, Shared};
    /// use std::time::Duration;
    ///
    /// let lock = Shared::anonymous(Lock::new())?;
    /// lock.acquire().unwrap();
    /// std::thread::scope(|scope| {
    ///     scope.spawn(|| lock.acquire_for(Duration::from_millis(500)).unwrap_err());
    ///     while lock.long_waiters().is_empty() {
    ///         std::thread::sleep(Duration::from_millis(1));
    ///     }
    /// });
    /// assert_eq!(lock.long_waiters(), []);
    /// # Ok::<(), shmsync::Error>(())
    /// ```
    #[must_use]
    pub fn long_waiters(&self) -> Vec<Owner> {
        self.mapping.wait_table().waiting().map(|(owner, _)| owner).collect()
    }

    /// This region in a form that a child process can be given.
    ///
    /// # Panics
    /// If it lies in memory that you mapped yourself, as [`try_handle`](Self::try_handle) tells.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.try_handle().unwrap_or_else(|e| panic!("{e}"))
    }

    /// [`handle`](Self::handle), where it is not known how the region was come by.
    ///
    /// # Errors
    /// [`Unsupported`](crate::ErrorKind::Unsupported) if it lies in memory that somebody else has mapped, from
    /// [`from_raw`](Self::from_raw) and the like: the descriptor, if there is one, is not known here.
    pub fn try_handle(&self) -> Result<Handle, Error> {
        Handle::new(&self.mapping).ok_or_else(|| {
            let message = format!("{} has no handle, for it was mapped by somebody else", self.mapping.place());
            Error::new(ErrorKind::Unsupported, message)
        })
    }
}

impl<T: FromBytes + Sync> Deref for Shared<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        let payload = self.mapping.payload(offset_of_payload(align_of::<T>())).cast::<T>();
        // SAFETY: the region was made or attached with the layout of T, so that by its invariants 1 to 3 the payload is
        // mapped, large enough and aligned for as long as `self` is borrowed; any bytes are a T (FromBytes); and
        // sharing it is T's promise (Sync), where the plain fields are constants by the contract of this type.
        unsafe { &*payload }
    }
}

impl<T: FromBytes + Sync> fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Shared<{}>({}, {} bytes)", type_name::<T>(), self.mapping.place(), size_of::<T>())
    }
}
