//! The memory of a region's file: all of it reserved before anybody touches it.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt};

use super::super::done;
use super::{FileSystem, in_whole_pages};

/// Makes the fresh file `size` zero bytes long (or a page's rest longer, on hugetlbfs), all of them really there: a full file system is an error now and not a
/// SIGBUS later.
pub(crate) fn reserve(file: &File, size: u64) -> io::Result<()> {
    let size = in_whole_pages(file, size)?;
    file.set_len(size)?;
    if is_in_memory(file)? && size > memory_and_swap()? {
        // A tmpfs without a limit, as is under every memfd, would not refuse but eat memory until the OOM killer comes.
        return Err(io::Error::from_raw_os_error(libc::ENOSPC));
    }
    let reserved = in_pieces(size, |start, length| allocate(file, 0, start, length));
    reserved.or_else(|(start, e)| match e.raw_os_error() {
        // EOPNOTSUPP: the file system cannot reserve. ENOSYS: nor can the kernel (sandboxes).
        Some(libc::EOPNOTSUPP | libc::ENOSYS) => fill_with_zeros(file, start, size),
        _ => Err(e),
    })
}

/// Makes sure that the first `size` bytes of a file that has as many are really there, if it has holes and the file system
/// can fill them. No byte changes.
pub(crate) fn fill_holes(file: &File, size: u64) -> io::Result<()> {
    const BLOCK: u64 = 512; // in which `stat` counts, whatever the file system's are
    let about = file.metadata()?;
    if about.blocks().saturating_mul(BLOCK) >= about.len() {
        return Ok(());
    }
    let size = in_whole_pages(file, size)?;
    if is_in_memory(file)? && size > memory_and_swap()? {
        return Err(io::Error::from_raw_os_error(libc::ENOSPC)); // as in `reserve`
    }
    match in_pieces(size, |start, length| allocate(file, libc::FALLOC_FL_KEEP_SIZE, start, length)) {
        // As in `reserve`; to write zeros by hand would be to write over what others write.
        Err((_, e)) if matches!(e.raw_os_error(), Some(libc::EOPNOTSUPP | libc::ENOSYS)) => Ok(()),
        done => done.map_err(|(_, e)| e),
    }
}

/// Reserves the whole at once, and if signals come in between, in smaller and smaller pieces.
///
/// tmpfs used to undo the whole call on any signal (Linux 6.18 was seen to go on); under a profiler's timer a large one
/// would never end. What earlier pieces have reserved stays. An error comes with the start of the piece that failed.
fn in_pieces(size: u64, mut allocate: impl FnMut(u64, u64) -> io::Result<()>) -> Result<(), (u64, io::Error)> {
    const SMALLEST: u64 = 1 << 20;
    let (mut start, mut piece) = (0, size);
    while start < size {
        let length = piece.min(size - start);
        match allocate(start, length) {
            Ok(()) => start += length,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => piece = (piece / 2).max(SMALLEST),
            Err(e) => return Err((start, e)),
        }
    }
    Ok(())
}

fn allocate(file: &File, mode: i32, start: u64, length: u64) -> io::Result<()> {
    let too_large = |_| io::Error::from_raw_os_error(libc::EFBIG);
    let (start, length) = (start.try_into().map_err(too_large)?, length.try_into().map_err(too_large)?);
    // SAFETY: only integers are passed; the borrowed file keeps the descriptor open.
    done(unsafe { libc::fallocate64(file.as_raw_fd(), mode, start, length) }).map(drop)
}

/// Reserving by hand. Nobody else has the file yet, so no byte of anybody is overwritten.
fn fill_with_zeros(file: &File, mut start: u64, end: u64) -> io::Result<()> {
    let zeros = [0; 1 << 15];
    while start < end {
        let length = zeros.len().min(usize::try_from(end - start).unwrap_or(usize::MAX));
        file.write_all_at(&zeros[..length], start)?;
        start += length as u64;
    }
    Ok(())
}

fn is_in_memory(file: &File) -> io::Result<bool> {
    Ok(FileSystem::of(file)?.is_tmpfs())
}

fn memory_and_swap() -> io::Result<u64> {
    let mut about = MaybeUninit::<libc::sysinfo>::zeroed();
    // SAFETY: `about` is writable and of the type that sysinfo fills.
    done(unsafe { libc::sysinfo(about.as_mut_ptr()) })?;
    // SAFETY: plain integers, zeroed at first and filled by now.
    let about = unsafe { about.assume_init() };
    #[allow(clippy::unnecessary_cast)] // `c_ulong` is 32 bits wide on some targets.
    let pages = (about.totalram as u64).saturating_add(about.totalswap as u64);
    Ok(pages.saturating_mul(u64::from(about.mem_unit)))
}

/// The size of a page, which bounds the alignment that a mapping can promise.
pub(crate) fn page_size() -> usize {
    // SAFETY: sysconf takes an integer and touches no memory of ours.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(size).expect("sysconf(_SC_PAGESIZE) has no error")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filling_by_hand_reaches_the_end() {
        let file = super::super::anonymous(false).unwrap();
        file.set_len(100_001).unwrap();
        fill_with_zeros(&file, 5, 100_001).unwrap();
        assert_eq!(file.metadata().unwrap().len(), 100_001);
    }

    /// A kernel that is interrupted by a signal in every call that takes long.
    #[test]
    fn under_a_storm_of_signals_the_pieces_get_small_enough_and_join() {
        let (size, mut end, mut calls) = ((1 << 30) + 5, 0, 0);
        let allocate = |start: u64, length: u64| {
            calls += 1;
            if length > 3 << 20 {
                return Err(io::ErrorKind::Interrupted.into());
            }
            assert_eq!(start, end);
            end += length;
            Ok(())
        };
        in_pieces(size, allocate).unwrap();
        assert_eq!(end, size);
        assert!(calls < 1000, "{calls}");
    }

    #[test]
    fn an_error_says_how_far_it_came() {
        let full = |start, _| if start < 10 { Ok(()) } else { Err(io::Error::from_raw_os_error(libc::ENOSPC)) };
        in_pieces(10, full).unwrap();
        let none = |_, _| Err(io::Error::from_raw_os_error(libc::ENOSPC));
        assert_eq!(in_pieces(10, none).unwrap_err().0, 0);
    }
}
