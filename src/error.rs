//! Every error of the crate: plain enums on the hot paths, one opaque [`Error`] for setting a region up.

pub(crate) mod deadlock;

use std::{fmt, io};

use crate::owner::Owner;

/// Why a primitive was not acquired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AcquireError {
    /// It is held, or the count is zero, and the call was not to wait. From `recover`: there is nothing to recover.
    #[error("it would block")]
    WouldBlock,
    /// The deadline passed first.
    #[error("timed out")]
    TimedOut,
    /// The holder died without releasing; what the lock guards may be torn. Take over with `recover`.
    #[error("the owner, {0}, died while holding it")]
    OwnerDied(Owner),
    /// A signal handler ran during an interruptible wait.
    #[error("interrupted by a signal")]
    Interrupted,
    /// Waiting would never end: the caller itself holds what it asks for, or somebody does who waits, be it by way of
    /// others, for what the caller holds. Shown by the thread that got it, it says who waits for whom.
    #[error("it would deadlock: {}", deadlock::words())]
    WouldDeadlock,
    /// An `RLock` is nested 2³² deep.
    #[error("nested too deep")]
    TooDeep,
}

/// Why a primitive was not released. Nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReleaseError {
    /// Nobody holds it.
    #[error("it is not locked")]
    NotLocked,
    /// Somebody else holds it; `None` when it was handed on with `disown` and belongs to nobody in particular.
    #[error("it is held by {}", .0.map_or_else(|| String::from("nobody in particular"), |owner| owner.to_string()))]
    NotOwner(Option<Owner>),
    /// The count would pass its maximum.
    #[error("the count would pass its maximum")]
    Overflow,
}

/// Why a barrier was not passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BarrierError {
    /// Another party gave up, the action failed, or somebody called `abort` or `reset`.
    #[error("the barrier is broken")]
    Broken,
    /// This caller's timeout ran out, which broke the barrier for the others.
    #[error("timed out, which broke the barrier")]
    TimedOut,
}

/// What kind of thing went wrong while a region was made, opened, handed on or removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// There is no such region, or no such object in it.
    NotFound,
    /// A region, another file or an object has that name already.
    AlreadyExists,
    /// The operating system does not let this user in.
    PermissionDenied,
    /// The name is not of the form `/name`, or not one that an object may have.
    InvalidName,
    /// What was found was not made by this crate, or is not a regular file.
    NotARegion,
    /// The region, or the object, was made for another type, version, processor or layout.
    LayoutMismatch,
    /// The file, or the memory, is shorter than the region.
    Truncated,
    /// The region is larger than the caller allows.
    TooLarge,
    /// The file system, the memory or the region is full.
    NoSpace,
    /// This system, file system or type cannot do that.
    Unsupported,
    /// Somebody keeps for himself what is never kept for long.
    Busy,
    /// Anything else; the source is the operating system's error.
    Os,
}

/// An error in setting up a region: a kind to match on and a sentence that says what was found and what was expected.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    source: Option<io::Error>,
}

impl Error {
    /// What kind of thing went wrong.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// The operating system refused: its errno gives the kind, `doing` says what was attempted.
    pub(crate) fn os(doing: impl Into<String>, source: io::Error) -> Self {
        let kind = match source.raw_os_error() {
            // ENOTDIR: a file stands where the path has a directory.
            Some(libc::ENOENT | libc::ENOTDIR) => ErrorKind::NotFound,
            Some(libc::EEXIST) => ErrorKind::AlreadyExists,
            Some(libc::EACCES | libc::EPERM | libc::EROFS) => ErrorKind::PermissionDenied,
            Some(libc::ENOSPC | libc::ENOMEM | libc::EDQUOT | libc::EFBIG) => ErrorKind::NoSpace,
            // O_NOFOLLOW answers ELOOP for a symbolic link, O_RDWR answers EISDIR for a directory.
            Some(libc::ELOOP | libc::EISDIR | libc::ENXIO) => ErrorKind::NotARegion,
            // ENODEV: the file system cannot map files.
            Some(libc::ENOSYS | libc::EOPNOTSUPP | libc::ENODEV) => ErrorKind::Unsupported,
            Some(libc::ENAMETOOLONG) => ErrorKind::InvalidName,
            _ => ErrorKind::Os,
        };
        Self { kind, message: doing.into(), source: Some(source) }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            Some(source) => write!(f, "{}: {source}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| source as _)
    }
}
