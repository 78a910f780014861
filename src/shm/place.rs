//! What regions are called: `/name` is the file `name` in `/dev/shm`, as it is for `shm_open`; any other file has its
//! path; a region without a name has none.

use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind};
use crate::sys::file;

/// One byte less than a file name may have, for `shm_open` stops there as well.
const LONGEST: usize = 254;

/// Where a region is, and how its errors call it.
#[derive(Debug, Clone)]
pub(super) enum Place {
    Named(String),
    File(PathBuf),
    Anonymous,
    Handle(String),
    /// At this address, where somebody else has mapped it.
    Memory(usize),
}

impl Place {
    /// Checks a name of the form `/name`.
    pub(super) fn named(name: &str) -> Result<Self, Error> {
        let Some(rest) = name.strip_prefix('/') else {
            return Err(invalid(name, "it does not begin with a slash"));
        };
        match rest {
            "" => Err(invalid(name, "nothing follows the slash")),
            "." | ".." => Err(invalid(name, "it is a directory's")),
            _ if rest.contains('/') => Err(invalid(name, "it has a second slash")),
            _ if rest.contains('\0') => Err(invalid(name, "it contains a NUL")),
            _ if rest.len() > LONGEST => {
                Err(invalid(name, &format!("{} bytes follow the slash, {LONGEST} are allowed", rest.len())))
            }
            _ => Ok(Self::Named(name.to_owned())),
        }
    }

    /// Any path, as long as it can be a file's.
    pub(super) fn file(path: &Path) -> Result<Self, Error> {
        let bytes = path.as_os_str().as_bytes();
        if path.file_name().is_none() || bytes.ends_with(b"/") || bytes.contains(&0) {
            return Err(Error::new(ErrorKind::InvalidName, format!("{path:?} is not the path of a file")));
        }
        Ok(Self::File(path.to_owned()))
    }

    /// The file, where there is one with a name.
    pub(super) fn path(&self) -> Option<PathBuf> {
        match self {
            Self::Named(name) => Some(Path::new(file::DIRECTORY).join(&name[1..])),
            Self::File(path) => Some(path.clone()),
            Self::Anonymous | Self::Handle(_) | Self::Memory(_) => None,
        }
    }
}

fn invalid(name: &str, why: &str) -> Error {
    Error::new(ErrorKind::InvalidName, format!("the name {name:?} is not of the form \"/name\": {why}"))
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(name) => write!(f, "region {name:?}"),
            Self::File(path) => write!(f, "region file {path:?}"),
            Self::Anonymous => f.write_str("an anonymous region"),
            Self::Memory(address) => write!(f, "the region at {address:#x}"),
            Self::Handle(handle) => write!(f, "the region of handle {handle}"),
        }
    }
}

/// Removes the name of a region. Whoever has it open keeps it; its memory is freed with the last of them.
///
/// The name is free at once: a region created under it afterwards is another one. For a region in a file of your own,
/// use [`std::fs::remove_file`].
///
/// # Errors
/// [`InvalidName`](ErrorKind::InvalidName), [`NotFound`](ErrorKind::NotFound),
/// [`PermissionDenied`](ErrorKind::PermissionDenied) when it belongs to another user,
/// [`NotARegion`](ErrorKind::NotARegion) for a directory. It does not look inside the file.
///
/// ```
/// use shmsync::{ErrorKind, Shared};
/// use std::sync::atomic::{AtomicU32, Ordering};
///
/// # let name = &format!("/shmsync-doc-unlink-{}", std::process::id());
/// let number = Shared::create(name, AtomicU32::new(1))?;
/// shmsync::unlink(name)?;
/// assert_eq!(Shared::<AtomicU32>::open(name).unwrap_err().kind(), ErrorKind::NotFound);
/// assert_eq!(number.load(Ordering::Relaxed), 1);
/// # Ok::<(), shmsync::Error>(())
/// ```
pub fn unlink(name: &str) -> Result<(), Error> {
    let place = Place::named(name)?;
    // A named place has a path; were it otherwise there would be nothing to remove.
    place.path().map_or(Ok(()), |path| file::unlink(&path)).map_err(|e| Error::os(format!("cannot unlink {place}"), e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_one_component_after_a_slash() {
        for good in ["/a", "/.hidden", "/...", "/with space", "/ä", &format!("/{}", "x".repeat(254))] {
            assert!(Place::named(good).is_ok(), "{good}");
        }
        let long = format!("/{}", "x".repeat(255));
        for (bad, why) in [
            ("", "slash"),
            ("a", "does not begin"),
            ("/", "nothing follows"),
            ("//", "second slash"),
            ("/a/b", "second slash"),
            ("/a/", "second slash"),
            ("/.", "directory"),
            ("/..", "directory"),
            ("/a\0b", "NUL"),
            (&long, "255 bytes"),
        ] {
            let error = Place::named(bad).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidName, "{bad}");
            assert!(error.to_string().contains(why) && error.to_string().contains(&format!("{bad:?}")), "{error}");
        }
    }

    #[test]
    fn paths_lead_to_files() {
        for bad in ["", "/", "..", "a/..", "a/", "a\0b"] {
            assert_eq!(Place::file(Path::new(bad)).unwrap_err().kind(), ErrorKind::InvalidName, "{bad}");
        }
        assert!(Place::file(Path::new("relative")).is_ok());
    }
}
