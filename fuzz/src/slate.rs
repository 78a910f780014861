//! A file in `/dev/shm`, under a name of this process, that is gone afterwards.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Once;

/// What all names begin with that the targets make.
pub const PREFIX: &str = "shmsync-fuzz-";

/// A name that nobody else uses.
pub struct Slate {
    pub name: String,
    pub path: PathBuf,
}

impl Slate {
    /// The name of this process, with something behind it.
    #[must_use]
    pub fn new(more: &str) -> Self {
        static FIRST: Once = Once::new();
        FIRST.call_once(sweep);
        let name = format!("/{PREFIX}{}{more}", std::process::id());
        Self { path: Path::new("/dev/shm").join(&name[1..]), name }
    }

    /// Makes a file of these bytes, zeros behind them, so long in all.
    ///
    /// # Panics
    /// If the file system is full.
    #[must_use]
    pub fn write(&self, bytes: &[u8], length: u64) -> File {
        let file = File::options().read(true).write(true).create(true).truncate(true).open(&self.path).expect("a file");
        file.set_len(length).expect("a length");
        let whole = bytes.len().min(usize::try_from(length).unwrap_or(usize::MAX));
        file.write_all_at(&bytes[..whole], 0).expect("room");
        file
    }
}

impl Drop for Slate {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path); // There may be none.
    }
}

/// Removes what processes have left that ended in a finding.
fn sweep() {
    for left in fs::read_dir("/dev/shm").into_iter().flatten().flatten() {
        let name = left.file_name();
        let pid = name
            .to_str()
            .and_then(|name| name.strip_prefix(PREFIX))
            .map(|rest| rest.chars().take_while(char::is_ascii_digit).collect::<String>());
        if pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            let _ = fs::remove_file(left.path()).or_else(|_| fs::remove_dir_all(left.path()));
        }
    }
}
