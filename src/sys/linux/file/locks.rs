//! Locks on bytes of a file: the kernel's own record of who still has it open.
//!
//! Such a lock ("open file description lock") belongs neither to a thread nor to a process but to what `open` made. It
//! ends when the last descriptor of that is closed: those of forked children count, a kill closes them like anything else,
//! and no PID namespace comes into it. So it tells who is attached where nothing that is written in a file could.
//!
//! The bytes are numbered from 2^62 on, where no file has any: nobody's locks on parts of the file meet them.
#![allow(unsafe_code)]

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;

use super::{done, proc_path, uninterrupted};

const FIRST: i64 = 1 << 62;

/// One alone, or any number together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Claim {
    Alone,
    Together,
}

/// The same file, opened once more, so that locks taken through it are nobody else's. Not inherited by `exec`.
pub(crate) fn reopen(file: &File) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(proc_path(file))
}

/// Locks that byte, if nobody else's claim is in the way; whether it did.
pub(crate) fn lock(file: &File, byte: u32, claim: Claim) -> io::Result<bool> {
    match command(file, libc::F_OFD_SETLK, byte, 1, claim) {
        Ok(_) => Ok(true),
        Err(e) if matches!(e.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) => Ok(false),
        Err(e) => Err(e),
    }
}

/// Some byte of these `count` that is locked through another `open` than `file`'s.
fn locked_one(file: &File, first: u32, count: u32) -> io::Result<Option<u32>> {
    let found = command(file, libc::F_OFD_GETLK, first, count, Claim::Alone)?;
    let is_free = found.l_type == libc::F_UNLCK as libc::c_short;
    // A lock on more than ours, which is somebody's own business but in our way, begins before.
    Ok((!is_free).then(|| (found.l_start.saturating_sub(FIRST)).clamp(first.into(), (first + count - 1).into()) as u32))
}

/// Which of the bytes from 0 to `count` are locked through another `open` than `file`'s: `seen` is called for each. At
/// most two questions for each that is, and one more.
pub(crate) fn locked(file: &File, count: u32, seen: &mut impl FnMut(u32)) -> io::Result<()> {
    // The kernel tells of any one in a range, so what it leaves on both sides is asked about again.
    let mut ranges = vec![(0, count)];
    while let Some((first, count)) = ranges.pop() {
        if count == 0 {
            continue;
        }
        if let Some(byte) = locked_one(file, first, count)? {
            seen(byte);
            ranges.push((first, byte - first));
            ranges.push((byte + 1, first + count - byte - 1));
        }
    }
    Ok(())
}

fn command(file: &File, command: libc::c_int, byte: u32, count: u32, claim: Claim) -> io::Result<libc::flock64> {
    let kind = match claim {
        Claim::Alone => libc::F_WRLCK,
        Claim::Together => libc::F_RDLCK,
    };
    // SAFETY: plain integers.
    let mut lock: libc::flock64 = unsafe { std::mem::zeroed() };
    (lock.l_type, lock.l_whence) = (kind as libc::c_short, libc::SEEK_SET as libc::c_short);
    (lock.l_start, lock.l_len) = (FIRST + i64::from(byte), count.into());
    ask(file, command, &mut lock)?;
    Ok(lock)
}

/// Not by libc's `fcntl`: in 32-bit programs glibc's takes another struct for these commands, in which no byte has a
/// number from 2^31 on.
fn ask(file: &File, command: libc::c_int, lock: &mut libc::flock64) -> io::Result<()> {
    #[cfg(target_pointer_width = "64")]
    const FCNTL: libc::c_long = libc::SYS_fcntl;
    #[cfg(target_pointer_width = "32")]
    const FCNTL: libc::c_long = libc::SYS_fcntl64;
    let lock = &raw mut *lock;
    // SAFETY: the commands of this file read and write one flock64; the borrowed file keeps the descriptor open.
    uninterrupted(|| done(unsafe { libc::syscall(FCNTL, file.as_raw_fd(), command, lock) })).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_is_locked_until_all_its_descriptors_are_closed() {
        let file = super::super::anonymous(false).unwrap();
        let (one, two) = (reopen(&file).unwrap(), reopen(&file).unwrap());
        assert!(lock(&one, 3, Claim::Alone).unwrap());
        assert!(!lock(&two, 3, Claim::Alone).unwrap());
        assert!(lock(&two, 200, Claim::Together).unwrap() && lock(&one, 200, Claim::Together).unwrap());
        let seen_by = |file: &File| {
            let mut seen = Vec::new();
            locked(file, 256, &mut |byte| seen.push(byte)).unwrap();
            seen.sort_unstable();
            seen
        };
        assert_eq!((seen_by(&file), seen_by(&one), seen_by(&two)), (vec![3, 200], vec![200], vec![3, 200]));
        let copy = one.try_clone().unwrap();
        drop(one);
        assert_eq!(seen_by(&two), [3, 200]);
        drop((copy, two));
        assert_eq!(seen_by(&file), []);
    }

    #[test]
    fn locks_of_others_are_in_the_way_and_no_more() {
        let file = super::super::anonymous(false).unwrap();
        let (one, two) = (reopen(&file).unwrap(), reopen(&file).unwrap());
        // SAFETY: plain integers.
        let mut whole: libc::flock64 = unsafe { std::mem::zeroed() };
        whole.l_type = libc::F_WRLCK as libc::c_short; // from 0 to the end of all files
        ask(&one, libc::F_OFD_SETLK, &mut whole).unwrap();
        assert!(!lock(&two, 0, Claim::Alone).unwrap());
        let mut seen = 0;
        locked(&two, 256, &mut |_| seen += 1).unwrap();
        assert_eq!(seen, 256);
    }
}
