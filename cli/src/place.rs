//! What the tool's users call a region: `/name` or `name` in shared memory, or a path; and an object in it.

use crate::Failure;
use shmsync::{Error, Options};
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

    pub(crate) fn open<T: FromBytes + Sync>(&self, options: Options<T>) -> Result<shmsync::Shared<T>, Error> {
        match self {
            Self::Named(name) => options.open(name),
            Self::File(path) => options.open_file(path),
        }
    }

    pub(crate) fn open_or_create<T: FromBytes + Sync>(
        &self,
        options: Options<T>,
        value: impl FnOnce() -> T,
    ) -> Result<shmsync::Shared<T>, Error> {
        match self {
            Self::Named(name) => options.open_or_create(name, value),
            Self::File(path) => options.open_or_create_file(path, value),
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
}
