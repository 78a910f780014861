//! What the tool's users call a region: `/name` or `name` in shared memory, or a path; and an object in it.

use crate::Failure;
use crate::output::harmless;
use shmsync::{Error, Options, Region, RegionInfo, RegionOptions, Shared};
use std::fmt;
use std::path::{Path, PathBuf};
use zerocopy::FromBytes;

/// Where shared memory's names are files.
pub(crate) const DIRECTORY: &str = "/dev/shm";

/// A region by its name or by its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    Named(String),
    File(PathBuf),
}

impl Place {
    /// With a slash anywhere but at its beginning it is a path; what that says of `/dev/shm` is a name after all.
    pub(crate) fn parse(text: &str) -> Self {
        let path = Path::new(text);
        let in_shm = path.parent() == Some(Path::new(DIRECTORY)) && !text.ends_with('/');
        match path.file_name().and_then(|name| name.to_str()) {
            Some(name) if in_shm => Self::Named(format!("/{name}")),
            _ if text.get(1..).is_some_and(|rest| rest.contains('/')) => Self::File(path.to_owned()),
            _ if text.starts_with('/') => Self::Named(text.to_owned()),
            _ => Self::Named(format!("/{text}")),
        }
    }

    /// `NAME:OBJECT`, parted at the last colon.
    pub(crate) fn parse_with_object(text: &str) -> (Self, Option<String>) {
        match text.rsplit_once(':') {
            Some((name, object)) => (Self::parse(name), Some(object.to_owned())),
            None => (Self::parse(text), None),
        }
    }

    /// The file behind it.
    pub(crate) fn path(&self) -> PathBuf {
        match self {
            Self::Named(name) => Path::new(DIRECTORY).join(name.trim_start_matches('/')),
            Self::File(path) => path.clone(),
        }
    }

    pub(crate) fn open<T: FromBytes + Sync>(&self, options: Options<T>) -> Result<Shared<T>, Error> {
        match self {
            Self::Named(name) => options.open(name),
            Self::File(path) => options.open_file(path),
        }
    }

    pub(crate) fn open_region(&self, options: RegionOptions) -> Result<Region, Error> {
        match self {
            Self::Named(name) => options.open(name),
            Self::File(path) => options.open_file(path),
        }
    }

    pub(crate) fn info(&self) -> Result<RegionInfo, Error> {
        match self {
            Self::Named(name) => RegionInfo::of(name),
            Self::File(path) => RegionInfo::read(path),
        }
    }

    /// It has no such object.
    pub(crate) fn has_no(&self, object: &str) -> Failure {
        Failure::Refused(format!("there is no object {object:?} in {self}"))
    }

    /// The region of one value of that type, which is made if there is none.
    ///
    /// The library compares size and alignment, which say little of so small a type, and people mistype names: so what its
    /// maker called it counts here as well.
    pub(crate) fn open_or_create_as<T: FromBytes + Sync>(
        &self,
        type_name: &str,
        options: Options<T>,
        value: impl FnOnce() -> T,
    ) -> Result<Shared<T>, Refusal> {
        let shared = match self {
            Self::Named(name) => options.open_or_create(name, value),
            Self::File(path) => options.open_or_create_file(path, value),
        }?;
        match self.info()?.contents().map(plain_type) {
            Some(found) if found != type_name => {
                Err(Refusal(format!("region {self} holds {}, not {type_name}", harmless(&found))))
            }
            _ => Ok(shared),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(name) => f.write_str(name),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

/// Why a region cannot be used.
#[derive(Debug)]
pub(crate) struct Refusal(pub(crate) String);

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self(error.to_string())
    }
}

/// `Lock` for `Lock<Futex>`, `PermitPool<4>` for `PermitPool<4, Futex>`: Futex is what everybody has, and some compilers
/// leave out what is the default.
pub(crate) fn plain_type(name: &str) -> String {
    name.replace("<Futex>", "").replace(", Futex>", ">")
}

/// Permissions in octal, as chmod takes them.
pub(crate) fn mode(text: &str) -> Result<u32, String> {
    match u32::from_str_radix(text, 8) {
        Ok(mode) if mode <= 0o777 => Ok(mode),
        _ => Err(String::from("permissions are up to three octal digits, such as 660")),
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Refused(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_paths_are_told_apart() {
        let named = |name: &str| Place::Named(name.to_owned());
        for (text, place) in [
            ("jobs", named("/jobs")),
            ("/jobs", named("/jobs")),
            ("/dev/shm/jobs", named("/jobs")),
            ("./jobs", Place::File("./jobs".into())),
            ("/var/lib/jobs", Place::File("/var/lib/jobs".into())),
            ("", named("/")),
        ] {
            assert_eq!(Place::parse(text), place, "{text:?}");
        }
        assert_eq!(Place::parse_with_object("a:b:c"), (named("/a:b"), Some(String::from("c"))));
        assert_eq!(Place::parse_with_object("a"), (named("/a"), None));
    }

    #[test]
    fn types_are_shown_as_they_are_written() {
        let all = ["Lock<Futex>", "PermitPool<4, Futex>", "Lock<PosixSem>", "Board"].map(plain_type);
        assert_eq!(all, ["Lock", "PermitPool<4>", "Lock<PosixSem>", "Board"]);
    }
}
