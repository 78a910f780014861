//! A region given to a child process: the number of its descriptor, and proof that it still is that file.
//!
//! A child started with `exec` keeps the descriptors that are not marked close-on-exec, under their numbers. So a
//! [`Handle`] unmarks the region's own descriptor for as long as it lives. (A second descriptor of its own would do
//! too, but can fail to come by when the process has no more of them; clearing a mark cannot fail.) As text it is
//!
//! ```text
//! shmsync:fd=7:dev=26:ino=12345
//! ```
//!
//! where `dev` and `ino` are there for the child to find out when it was given the text without the descriptor.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use super::layout::Layout;
use super::mapping::Mapping;
use super::place::Place;
use super::terms::Terms;
use crate::error::{Error, ErrorKind};
use crate::sys::file::{self, Identity};

/// The descriptor of a region, and how many handles want children to inherit it.
#[derive(Debug)]
pub(super) struct Descriptor {
    file: File,
    identity: Identity,
    handles: Mutex<usize>,
}

impl Descriptor {
    pub(super) fn new(file: File) -> io::Result<Self> {
        Ok(Self { identity: file::identity(&file)?, file, handles: Mutex::new(0) })
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    pub(super) fn identity(&self) -> Identity {
        self.identity
    }

    /// One handle more, or one less. Count and mark change together, under the lock.
    fn count(&self, change: isize) {
        let mut handles = self.handles.lock().unwrap_or_else(PoisonError::into_inner);
        *handles = handles.wrapping_add_signed(change);
        file::set_inherited(&self.file, *handles > 0);
    }
}

/// A region in a form that another process can be given: text, and a descriptor that a child inherits.
///
/// Made by [`Shared::handle`](crate::Shared::handle). Pass its text on as an argument or in the environment, parse it
/// in the child, and attach with [`Shared::from_handle`](crate::Shared::from_handle). It works for every region, with
/// a name or without, and for one whose name has been [unlinked](crate::unlink). To a process that is no child it can be
/// [sent](Self::send) over a Unix socket.
///
/// **Keep it until the child has been started**: as long as it lives, every program that this process starts inherits
/// the descriptor, and no longer. It keeps the region's memory in being, whatever becomes of the `Shared` it was made
/// from.
///
/// A handle that was parsed from text owns nothing: parsing opens no descriptor and dropping closes none. In the child
/// the inherited descriptor stays open (and is inherited by the child's own children), so the text may be parsed there
/// more than once, and handed on.
///
/// ```
/// use shmsync::{Handle, Shared};
/// use std::process::Command;
/// use std::sync::atomic::{AtomicU32, Ordering};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let jobs = Shared::anonymous(AtomicU32::new(3))?;
/// let handle = jobs.handle();
/// let status = Command::new("true").arg(handle.to_string()).status()?; // your worker, started with this argument
/// # assert!(status.success());
/// drop(handle); // programs started from here on do not get it
///
/// // What the worker does, here in the same process:
/// # let handle = jobs.handle();
/// # let argument = handle.to_string();
/// let handle: Handle = argument.parse()?;
/// let jobs = Shared::<AtomicU32>::from_handle(&handle)?;
/// assert_eq!(jobs.load(Ordering::Relaxed), 3);
/// # Ok(())
/// # }
/// ```
pub struct Handle {
    number: RawFd,
    identity: Identity,
    /// `None` in a handle that was parsed.
    held: Option<Arc<Descriptor>>,
}

impl Handle {
    /// `None` if the region was mapped by somebody else.
    pub(super) fn new(mapping: &Mapping) -> Option<Self> {
        mapping.descriptor().map(|held| Self::holding(Arc::clone(held)))
    }

    pub(super) fn holding(held: Arc<Descriptor>) -> Self {
        held.count(1);
        Self { number: held.file.as_raw_fd(), identity: held.identity, held: Some(held) }
    }

    /// The region behind it, in this process.
    pub(super) fn attach(&self, layout: &Layout, terms: &Terms) -> Result<Mapping, Error> {
        Mapping::attach(self.open()?, self.place(), layout, terms)
    }

    /// Whether nobody, whoever has it, can cut the region off any more, which would raise `SIGBUS` in all who use it: true of
    /// [anonymous](crate::Shared::anonymous) ones. To be asked of what a peer sends who is not trusted. False also if
    /// it cannot be told.
    #[must_use]
    pub fn is_sealed(&self) -> bool {
        self.open().is_ok_and(|file| file::is_sealed(&file))
    }

    /// The file behind it, by a descriptor of its own.
    pub(super) fn open(&self) -> Result<File, Error> {
        let place = self.place();
        // The number is looked at before it is duplicated, because closing a duplicate of a stranger's file would
        // drop the record locks that this process has on it; and after, because another thread may have reused it.
        self.verify(file::identity_of_number(self.number), &place)?;
        let file = file::duplicate(self.number).map_err(|e| Error::os(format!("cannot open {place}"), e))?;
        self.verify(file::identity(&file), &place)?;
        Ok(file)
    }

    /// The descriptor that it keeps open, unless it was parsed.
    pub(super) fn held(&self) -> Option<&Arc<Descriptor>> {
        self.held.as_ref()
    }

    pub(super) fn identity(&self) -> Identity {
        self.identity
    }

    fn place(&self) -> Place {
        Place::Handle(self.to_string())
    }

    fn verify(&self, found: io::Result<Identity>, place: &Place) -> Result<(), Error> {
        let why = match found {
            Ok(identity) if identity == self.identity => return Ok(()),
            Ok(Identity { device, inode }) => format!("is another file (dev={device}:ino={inode})"),
            // EBADF is what fstat says of such a number, and all that it says of an open one is success.
            Err(e) => format!("is not open ({e})"),
        };
        let message = format!(
            "{place} is not here: descriptor {} {why} in this process; the handle must live until the child is started",
            self.number
        );
        Err(Error::new(ErrorKind::NotFound, message))
    }
}

/// A handle that is not one yet: it keeps the region in being, and nobody inherits it.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    number: RawFd,
    identity: Identity,
    held: Option<Arc<Descriptor>>,
}

impl Handle {
    pub(crate) fn keep(&self) -> Kept {
        Kept { number: self.number, identity: self.identity, held: self.held.clone() }
    }
}

impl Kept {
    pub(crate) fn handle(&self) -> Handle {
        match &self.held {
            Some(held) => Handle::holding(Arc::clone(held)),
            None => Handle { number: self.number, identity: self.identity, held: None },
        }
    }
}

impl Clone for Handle {
    fn clone(&self) -> Self {
        self.keep().handle()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if let Some(held) = &self.held {
            held.count(-1);
        }
    }
}

impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Identity { device, inode } = self.identity;
        write!(f, "shmsync:fd={}:dev={device}:ino={inode}", self.number)
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Handle({self})")
    }
}

impl FromStr for Handle {
    type Err = Error;

    /// Reads what [`Display`](fmt::Display) wrote; whether there is such a region shows when it is attached to.
    ///
    /// # Errors
    /// [`InvalidName`](ErrorKind::InvalidName) for any other text.
    fn from_str(text: &str) -> Result<Self, Error> {
        let parse = || {
            let (number, rest) = text.strip_prefix("shmsync:fd=")?.split_once(":dev=")?;
            let (device, inode) = rest.split_once(":ino=")?;
            let identity = Identity { device: device.parse().ok()?, inode: inode.parse().ok()? };
            Some(Self { number: number.parse().ok().filter(|number| *number >= 0)?, identity, held: None })
        };
        // Written again it must be the same: that refuses "+7" and "007", which `parse` lets pass.
        parse().filter(|handle| handle.to_string() == text).ok_or_else(|| {
            let message = format!("{text:?} is not a handle, which reads \"shmsync:fd=NUMBER:dev=NUMBER:ino=NUMBER\"");
            Error::new(ErrorKind::InvalidName, message)
        })
    }
}
