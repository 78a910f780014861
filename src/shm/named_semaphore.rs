//! [`NamedSemaphore`]: a [`Semaphore`] that is a region of its own and is found by its name, as POSIX has them.
//!
//! It is a `Shared<Semaphore>` with a stamp that no other region has, so that one is never opened as the other.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::ops::Deref;

use super::options::Options;
use super::place::unlink;
use super::shared::Shared;
use crate::error::{Error, ErrorKind};
use crate::sync::Semaphore;

/// What tells a named semaphore's region from all others. Part of the format: programs of other versions compare it.
const STAMP: u64 = u64::from_le_bytes(*b"namedsem");

/// What lies in the region. By the name of this type tools tell it from others.
mod value {
    #[derive(zerocopy::FromBytes)]
    #[repr(transparent)]
    pub(super) struct NamedSemaphore(pub(super) crate::sync::Semaphore);
}

/// A semaphore between processes that know its name: `sem_open`, with the manners of Python's `posix_ipc.Semaphore`.
///
/// It dereferences to a [`Semaphore`], which has the verbs:
///
/// | `posix_ipc` | here |
/// |---|---|
/// | `Semaphore(name)` | [`open(name)`](Self::open) |
/// | `Semaphore(name, O_CREAT, initial_value=n)` | [`open_or_create(name, n)`](Self::open_or_create) |
/// | `Semaphore(name, O_CREX, initial_value=n)` | [`create(name, n)`](Self::create) |
/// | `Semaphore(None, O_CREX, initial_value=n)` | [`create_random(n)`](Self::create_random) |
/// | `mode=0o660` | [`options().mode(0o660)`](Self::options), which the umask does not narrow |
/// | another user's, if permitted | [`options().allow_owner(uid)`](Self::options), which says whom one trusts |
/// | `acquire()`, which a signal ends | [`acquire_interruptible(None)`](Semaphore::acquire_interruptible); [`acquire()`](Semaphore::acquire) waits on |
/// | `acquire(0)`, `BusyError` | [`try_acquire()`](Semaphore::try_acquire), `WouldBlock` |
/// | `acquire(t)`, `BusyError` | [`acquire_for(t)`](Semaphore::acquire_for), `TimedOut`; no step of the wall clock matters |
/// | `release()` | [`release()`](Semaphore::release) |
/// | `value` | [`value()`](Semaphore::value) |
/// | `name` | [`name()`](Self::name) |
/// | `close()` | [`close()`](Self::close), or dropping it |
/// | `unlink()`, `unlink_semaphore(name)` | [`unlink()`](Self::unlink), [`unlink_semaphore(name)`](unlink_semaphore) |
///
/// The names are those of regions, not those of `sem_open`: neither finds the other's semaphores, and a `Shared` and a
/// `NamedSemaphore` cannot have one name. Both are files in `/dev/shm`, so a name that begins with `/sem.` may be taken.
///
/// # What a death costs
/// As with POSIX, permits belong to nobody: a process that is killed takes those it holds with it, for good. Nothing else
/// is lost; nobody waits for ever because somebody was killed while waiting or releasing. Where permits must come
/// back, use a [`PermitPool`](crate::PermitPool), which knows their holders.
///
/// # Errors
/// Those of [`Shared`](Shared#errors). A region that is no named semaphore, though it may hold a [`Semaphore`], is
/// a [`LayoutMismatch`](ErrorKind::LayoutMismatch).
///
/// # Example
/// ```
/// use shmsync::NamedSemaphore;
/// use std::time::Duration;
///
/// # let name = &format!("/shmsync-doc-sem-{}", std::process::id());
/// let slots = NamedSemaphore::open_or_create(name, 2)?; // the same in every process
/// slots.acquire()?;
/// assert_eq!(slots.value(), 1);
///
/// let same = NamedSemaphore::open(name)?; // another process, say
/// if same.acquire_for(Duration::from_millis(10)).is_ok() {
///     same.release()?;
/// }
/// slots.release()?;
///
/// slots.unlink()?; // who has it open keeps it
/// assert_eq!(same.value(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct NamedSemaphore {
    shared: Shared<value::NamedSemaphore>,
    name: String,
}

/// The ways to a semaphore. How each may fail is said [above](Self#errors).
#[allow(clippy::missing_errors_doc)]
impl NamedSemaphore {
    /// Makes a new semaphore with `value` permits under a name that must be free.
    ///
    /// # Panics
    /// Here and wherever a value is given: if it exceeds [`SEM_VALUE_MAX`](crate::SEM_VALUE_MAX).
    pub fn create(name: &str, value: u32) -> Result<Self, Error> {
        Self::options().create(name, value)
    }

    /// Opens the semaphore of that name.
    pub fn open(name: &str) -> Result<Self, Error> {
        Self::options().open(name)
    }

    /// Opens the semaphore of that name, or makes it with `value` permits when there is none. All who call it at once end
    /// up with the same one; to one that exists the value says nothing.
    #[allow(clippy::missing_panics_doc)] // Said at `create`.
    pub fn open_or_create(name: &str, value: u32) -> Result<Self, Error> {
        Self::options().open_or_create(name, value)
    }

    /// Makes a new semaphore with `value` permits under a name that nothing has: `/shmsync-` and 16 random digits.
    ///
    /// ```
    /// let sem = shmsync::NamedSemaphore::create_random(1)?;
    /// println!("tell the others: {}", sem.name());
    /// # sem.unlink()?;
    /// # Ok::<(), shmsync::Error>(())
    /// ```
    #[allow(clippy::missing_panics_doc)] // Said at `create`.
    pub fn create_random(value: u32) -> Result<Self, Error> {
        Self::options().create_random(value)
    }

    /// The same ways with permissions of your own, and to semaphores of other users.
    #[must_use]
    pub const fn options() -> NamedSemaphoreOptions {
        NamedSemaphoreOptions::new()
    }

    /// The name by which it was made or opened.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Is done with it, in this process: what dropping it does. Permits that it holds are not released.
    pub fn close(self) {}

    /// [`unlink_semaphore`] with its own name. If that was given to another semaphore since, it is that one's.
    pub fn unlink(&self) -> Result<(), Error> {
        unlink_semaphore(&self.name)
    }
}

impl Deref for NamedSemaphore {
    type Target = Semaphore;

    #[inline]
    fn deref(&self) -> &Semaphore {
        &self.shared.0
    }
}

impl fmt::Debug for NamedSemaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NamedSemaphore").field("name", &self.name).field("value", &self.value()).finish()
    }
}

/// How a [`NamedSemaphore`] is made or opened, where the defaults do not fit. From [`NamedSemaphore::options`].
///
/// ```
/// # let name = &format!("/shmsync-doc-sem-mode-{}", std::process::id());
/// let sem = shmsync::NamedSemaphore::options().mode(0o660).create(name, 1)?; // for the group, too
/// # sem.unlink()?;
/// # Ok::<(), shmsync::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct NamedSemaphoreOptions(Options<value::NamedSemaphore>);

/// Each does what the method of the same name does in [`NamedSemaphore`], or in [`Options`].
#[allow(clippy::missing_errors_doc, clippy::missing_panics_doc)]
impl NamedSemaphoreOptions {
    const fn new() -> Self {
        Self(Options::new().stamp(STAMP).any_pointer_width())
    }

    /// Who may open a new semaphore, as [`Options::mode`] has it: exactly these permissions, 0600 unless asked.
    #[must_use]
    pub const fn mode(self, mode: u32) -> Self {
        Self(self.0.mode(mode))
    }

    /// Opens semaphores of that user as well, as [`Options::allow_owner`].
    #[must_use]
    pub const fn allow_owner(self, user: u32) -> Self {
        Self(self.0.allow_owner(user))
    }

    /// Opens semaphores whoever they belong to, as [`Options::allow_any_owner`], and as POSIX does.
    #[must_use]
    pub const fn allow_any_owner(self) -> Self {
        Self(self.0.allow_any_owner())
    }

    /// Opens semaphores to look at them, as [`Options::observing`].
    #[must_use]
    pub const fn observing(self) -> Self {
        Self(self.0.observing())
    }

    /// As [`NamedSemaphore::open`].
    pub fn open(&self, name: &str) -> Result<NamedSemaphore, Error> {
        Ok(NamedSemaphore { shared: self.0.open(name)?, name: name.to_owned() })
    }

    /// As [`NamedSemaphore::create`].
    pub fn create(&self, name: &str, value: u32) -> Result<NamedSemaphore, Error> {
        let shared = self.0.create(name, value::NamedSemaphore(Semaphore::new(value)))?;
        Ok(NamedSemaphore { shared, name: name.to_owned() })
    }

    /// As [`NamedSemaphore::open_or_create`].
    pub fn open_or_create(&self, name: &str, value: u32) -> Result<NamedSemaphore, Error> {
        let fresh = value::NamedSemaphore(Semaphore::new(value)); // A value that is too high panics also where it would not be used.
        let shared = self.0.open_or_create(name, || fresh)?;
        Ok(NamedSemaphore { shared, name: name.to_owned() })
    }

    /// As [`NamedSemaphore::create_random`].
    pub fn create_random(&self, value: u32) -> Result<NamedSemaphore, Error> {
        loop {
            // Keys from the kernel's random numbers, once a thread; the process id, because a forked child has its
            // parent's. What is drawn twice nevertheless is drawn again, because a name is given once.
            let name = format!("/shmsync-{:016x}", RandomState::new().hash_one(std::process::id()));
            match self.create(&name, value) {
                Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
                done => return done,
            }
        }
    }
}

/// Removes the name of a [`NamedSemaphore`]. Whoever has it open keeps it; the name is free at once.
///
/// Unlike [`unlink`], it looks what has the name, and removes no other region. (Not what another process gives the name to
/// in that very moment, having unlinked the semaphore itself.)
///
/// # Errors
/// Those of opening it, and of [`unlink`]. So it must be readable and writable for the caller; otherwise `unlink` it.
pub fn unlink_semaphore(name: &str) -> Result<(), Error> {
    NamedSemaphore::options().allow_any_owner().observing().open(name)?;
    unlink(name)
}
