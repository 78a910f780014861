//! A file for the results: opened before anything is measured, written when all is.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

pub(super) struct Target {
    path: PathBuf,
    file: File,
}

impl Target {
    /// Makes sure that the file can be written. What it holds stays until there is something to write.
    pub(super) fn open(path: &Path) -> Result<Self, String> {
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path);
        let file = file.map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        Ok(Self { path: path.to_owned(), file })
    }

    pub(super) fn write(mut self, text: &str) -> Result<(), String> {
        let is_file = self.file.metadata().is_ok_and(|data| data.is_file()); // And not a pipe or a terminal.
        let truncated = if is_file { self.file.set_len(0) } else { Ok(()) };
        let written = truncated.and_then(|()| self.file.write_all(text.as_bytes()));
        written.map_err(|error| format!("writing {}: {error}", self.path.display()))
    }
}
