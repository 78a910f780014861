//! The files behind regions on Linux: a draft that nobody can see, its publication; descriptors; in [`memory`] what
//! they take, in [`map`] what becomes of the pages of a mapping, in [`locks`] who has them open, and in [`system`] where they lie.
//!
//! A named region is drafted without a name and published whole by one `linkat` (D10). What a kill leaves behind:
//!
//! | the draft is                           | killed before the link  | between link and unlink        | after         |
//! |----------------------------------------|-------------------------|--------------------------------|---------------|
//! | `O_TMPFILE`, an inode without a name   | nothing                 | (no such instant)              | a whole region|
//! | where the file system has none of that | `.shmsync.PID.RANDOM`,  | a whole region, which the same | a whole region|
//! | (or `/proc` is away): a temporary file | which nobody opens      | litter names a second time     |               |
//!
//! In no row is anything half made ever seen under the region's own name.
//!
//! `EINTR` is retried everywhere: by std inside `File`'s calls, by [`uninterrupted`] around all others.
#![allow(unsafe_code)]

pub(crate) mod locks;
mod map;
mod memory;
mod system;

use std::ffi::{CStr, CString};
use std::fs::{self, File, OpenOptions, Permissions};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

pub(crate) use map::{Aligned, in_whole_pages, lock, lock_limit, make_huge, populate, reserved_page};
pub(crate) use memory::{fill_holes, page_size, reserve};
pub(crate) use system::FileSystem;

use super::{done, uninterrupted};

/// Where `/name` lives: the tmpfs that `shm_open` uses as well.
pub(crate) const DIRECTORY: &str = "/dev/shm";

/// Opens a file that may turn out to be anything: never follows a last symbolic link (`ELOOP`), never blocks on a fifo
/// nor waits for a device.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
    OpenOptions::new().read(true).write(true).custom_flags(flags).open(path)
}

/// Opens a file for reading only, as carefully as [`open`].
pub(crate) fn open_to_look(path: &Path) -> io::Result<File> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
    OpenOptions::new().read(true).custom_flags(flags).open(path)
}

/// Whether this path leads to the file, and not to another.
pub(crate) fn is_at(file: &File, path: &Path) -> bool {
    let there = fs::symlink_metadata(path).map(|about| Identity { device: about.dev(), inode: about.ino() });
    there.is_ok_and(|there| identity(file).is_ok_and(|this| this == there))
}

/// Removes a name; who has mapped the file keeps it.
pub(crate) fn unlink(path: &Path) -> io::Result<()> {
    uninterrupted(|| fs::remove_file(path))
}

// ---- A draft, and its publication -------------------------------------------------------------------------------

/// A file that is not published yet: where its temporary name is, if it needed one. Dropping it removes that name.
pub(crate) struct Draft {
    litter: Option<PathBuf>,
}

impl Draft {
    /// A fresh, empty file on the file system of `directory`, with exactly this mode whatever the umask.
    pub(crate) fn new(directory: &Path, mode: u32) -> io::Result<(File, Self)> {
        let (file, draft) = match private().custom_flags(libc::O_TMPFILE).open(directory) {
            Ok(file) if proc_path(&file).try_exists().unwrap_or(false) => (file, Self { litter: None }),
            // Without /proc an ordinary user cannot link an unnamed file.
            Ok(_) => Self::named(directory)?,
            // EOPNOTSUPP: the file system has no unnamed files (NFS, FAT, 9p). EISDIR and EINVAL: the kernel or the
            // file system does not know the flag and saw an attempt to write a directory.
            Err(e) if matches!(e.raw_os_error(), Some(libc::EOPNOTSUPP | libc::EISDIR | libc::EINVAL)) => {
                Self::named(directory)?
            }
            Err(e) => return Err(e),
        };
        file.set_permissions(Permissions::from_mode(mode))?;
        Ok((file, draft))
    }

    /// The second best: a file that has a name, though one that nobody looks for.
    fn named(directory: &Path) -> io::Result<(File, Self)> {
        loop {
            let random = RandomState::new().hash_one(std::process::id());
            let path = directory.join(format!(".shmsync.{}.{random:016x}", std::process::id()));
            match private().create_new(true).open(&path) {
                Ok(file) => return Ok((file, Self { litter: Some(path) })),
                // Somebody's litter has the very same name: draw again.
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(e),
            }
        }
    }

    /// Gives the file its name, in one step that fails with `EEXIST` when the name is taken.
    pub(crate) fn publish(&self, file: &File, path: &Path) -> io::Result<()> {
        if let Some(litter) = &self.litter {
            return uninterrupted(|| fs::hard_link(litter, path));
        }
        let name = CString::new(path.as_os_str().as_bytes())?;
        match link(file.as_raw_fd(), c"", &name, libc::AT_EMPTY_PATH) {
            Err(e) if e.raw_os_error() != Some(libc::EEXIST) => {
                // ENOENT is how the kernel says that AT_EMPTY_PATH wants CAP_DAC_READ_SEARCH (before 6.10 always),
                // sandboxes say EPERM or EINVAL. The way through /proc needs nothing; its errno is the one to tell.
                link_through_proc(file, &name)
            }
            done => done,
        }
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if let Some(litter) = &self.litter {
            // Nobody can be told here; the name is litter, which nobody opens.
            let _ = unlink(litter);
        }
    }
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    options
}

/// Where /proc shows the file: `thread-self`, because a thread may have unshared its descriptors.
fn proc_path(file: &File) -> PathBuf {
    PathBuf::from(format!("/proc/thread-self/fd/{}", file.as_raw_fd()))
}

fn link_through_proc(file: &File, name: &CStr) -> io::Result<()> {
    let from = CString::new(proc_path(file).as_os_str().as_bytes())?;
    link(libc::AT_FDCWD, &from, name, libc::AT_SYMLINK_FOLLOW)
}

fn link(directory: RawFd, from: &CStr, to: &CStr, flags: i32) -> io::Result<()> {
    // SAFETY: both strings end in NUL and outlive the call, which keeps no pointer.
    uninterrupted(|| done(unsafe { libc::linkat(directory, from.as_ptr(), libc::AT_FDCWD, to.as_ptr(), flags) }))
        .map(drop)
}

/// A file without any name that only its descriptor leads to; of huge pages that were set aside if `reserved`.
pub(crate) fn anonymous(reserved: bool) -> io::Result<File> {
    let huge = if reserved { libc::MFD_HUGETLB } else { 0 };
    let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING | huge;
    // SAFETY: the name is a literal that ends in NUL.
    let make = |flags| uninterrupted(|| done(unsafe { libc::memfd_create(c"shmsync".as_ptr(), flags) }));
    let fd = match make(flags | libc::MFD_NOEXEC_SEAL) {
        // Before Linux 6.3 the flag is unknown; since then vm.memfd_noexec=2 demands it.
        Err(e) if e.raw_os_error() == Some(libc::EINVAL) => make(flags)?,
        fd => fd?,
    };
    // SAFETY: memfd_create has just returned this descriptor, so nobody else owns it.
    Ok(unsafe { File::from_raw_fd(fd) })
}

/// Nobody can change the size of this anonymous file any more, so no mapping of it ever meets SIGBUS.
pub(crate) fn seal_size(file: &File) -> io::Result<()> {
    let seals = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;
    // SAFETY: F_ADD_SEALS takes an integer; the borrowed file keeps the descriptor open.
    uninterrupted(|| done(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, seals) })).map(drop)
}

/// The user whose files this process makes.
pub(crate) fn effective_user() -> u32 {
    // SAFETY: takes nothing and cannot fail.
    unsafe { libc::geteuid() }
}

// ---- Descriptors ------------------------------------------------------------------------------------------------

/// Which file it is, for as long as anybody has it open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) device: u64,
    pub(crate) inode: u64,
}

/// The identity of an open file.
pub(crate) fn identity(file: &File) -> io::Result<Identity> {
    file.metadata().map(|about| Identity { device: about.dev(), inode: about.ino() })
}

/// The identity of whatever this number stands for in this process: `EBADF` when it stands for nothing.
pub(crate) fn identity_of_number(number: RawFd) -> io::Result<Identity> {
    let mut about = MaybeUninit::<libc::stat64>::zeroed();
    // SAFETY: `about` is writable and of the type that fstat64 fills; a number that is not open is EBADF.
    uninterrupted(|| done(unsafe { libc::fstat64(number, about.as_mut_ptr()) }))?;
    // SAFETY: plain integers, zeroed at first and filled by now.
    let about = unsafe { about.assume_init() };
    #[allow(clippy::unnecessary_cast)] // Both are 32 bits wide on some targets.
    Ok(Identity { device: about.st_dev as u64, inode: about.st_ino as u64 })
}

/// Whether nobody can make this file shorter any more.
pub(crate) fn is_sealed(file: &File) -> bool {
    // SAFETY: F_GET_SEALS takes nothing; the borrowed file keeps the descriptor open. Files that know no seals are EINVAL.
    let seals = uninterrupted(|| done(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GET_SEALS) }));
    seals.is_ok_and(|seals| seals & libc::F_SEAL_SHRINK != 0)
}

/// A descriptor of our own for whatever this number stands for. The number itself is not taken over.
pub(crate) fn duplicate(number: RawFd) -> io::Result<File> {
    // SAFETY: F_DUPFD_CLOEXEC takes an integer and leaves `number` alone; one that is not open is EBADF.
    let fd = uninterrupted(|| done(unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 3) }))?;
    // SAFETY: fcntl has just returned this descriptor, so nobody else owns it.
    Ok(unsafe { File::from_raw_fd(fd) })
}

/// Whether the programs that this process starts from now on get the descriptor too.
///
/// # Panics
/// On any errno: `EBADF`, the only one, means that somebody closed a descriptor that he does not own.
pub(crate) fn set_inherited(file: &File, inherited: bool) {
    let flags = if inherited { 0 } else { libc::FD_CLOEXEC };
    // SAFETY: F_SETFD takes an integer; the borrowed file keeps the descriptor open.
    let set = uninterrupted(|| done(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETFD, flags) }));
    set.expect("F_SETFD on an open descriptor has no error");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The way without `O_TMPFILE`, which the file systems at hand never take by themselves.
    #[test]
    fn a_named_draft_is_published_once_and_cleans_up() {
        let directory = std::env::temp_dir().join(format!("shmsync-draft-{}", std::process::id()));
        fs::create_dir(&directory).unwrap();
        let names = || fs::read_dir(&directory).unwrap().count();

        let (file, draft) = Draft::named(&directory).unwrap();
        reserve(&file, 100_000).unwrap();
        assert_eq!(names(), 1);
        let path = directory.join("region");
        draft.publish(&file, &path).unwrap();
        assert_eq!(draft.publish(&file, &path).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        drop(draft);
        assert_eq!(names(), 1, "only the region is left");
        assert_eq!(fs::metadata(&path).unwrap().len(), 100_000);

        fs::remove_dir_all(&directory).unwrap();
    }

    /// The way without `AT_EMPTY_PATH`, which newer kernels allow to everybody.
    #[test]
    fn an_unnamed_draft_is_published_through_proc() {
        let directory = std::env::temp_dir();
        let path = directory.join(format!("shmsync-draft-proc-{}", std::process::id()));
        let (file, draft) = Draft::new(&directory, 0o640).unwrap();
        let name = CString::new(path.as_os_str().as_bytes()).unwrap();
        link_through_proc(&file, &name).unwrap();
        assert_eq!(draft.publish(&file, &path).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(identity(&file).unwrap().inode, fs::metadata(&path).unwrap().ino());
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o640);
        fs::remove_file(&path).unwrap();
    }
}
