//! The first 128 bytes of a region, and the questions they must answer before anybody maps the rest.
//!
//! | bytes   | field            | a region of this crate has |
//! |---------|------------------|----------------------------|
//! | 0–7     | `magic`          | `shmsync` and a NUL |
//! | 8–11    | `byte_order`     | `0x01020304`, in the order of the machine that made it |
//! | 12–15   | `version`        | 2: the version of this table |
//! | 16–19   | `header_size`    | 4096: with what stands between it and the payload |
//! | 20–23   | `pointer_width`  | 32 or 64: `usize` may be part of the payload; `0x0032_0064` if the maker said that it is for both |
//! | 24–31   | `total_size`     | header, gap and payload; the file is never shorter |
//! | 32–39   | `payload_offset` | 4096, rounded up to the payload's alignment |
//! | 40–47   | `payload_size`   | `size_of::<T>()` |
//! | 48–55   | `payload_align`  | `align_of::<T>()` |
//! | 56–63   | `stamp`          | see `layout` |
//! | 64–79   | `boot_id`        | in which boot of which machine it was made; zeros if unknown |
//! | 80–126  | `what`           | what is in it, in words: the name of `T`; zeros after it. Compared with nothing |
//! | 127     | `lent`           | 1 if it was ever used in memory that somebody else had mapped, whose users lock nothing |
//!
//! It is written before the region is published and never changes, but for `lent`, which may become 1. Yet whoever may write the file may scribble over
//! it at any time, so it is read once, into a copy, by `read` and not through the
//! mapping (or where there is only memory, by atomics). And it is believed in nothing:
//! each field is compared with what `T` asks for, and the addresses come from `T` alone.

use std::fs::{File, FileType};
use std::io;
use std::os::unix::fs::{FileExt, FileTypeExt};
use std::sync::atomic::{AtomicU64, Ordering};

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::layout::{HEAD, Layout, offset_of_payload};
use super::place::Place;
use super::what::What;
use crate::error::{Error, ErrorKind};
use crate::sys::{file, proc};

const MAGIC: [u8; 8] = *b"shmsync\0";
const BYTE_ORDER: u32 = 0x0102_0304;
const VERSION: u32 = 2;
/// For programs of either width.
const ANY_WIDTH: u32 = 0x0032_0064;

#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct Header {
    magic: [u8; 8],
    byte_order: u32,
    pub(super) version: u32,
    header_size: u32,
    pointer_width: u32,
    pub(super) total_size: u64,
    payload_offset: u64,
    pub(super) payload_size: u64,
    payload_align: u64,
    pub(super) stamp: u64,
    boot_id: [u8; 16],
    pub(super) what: What,
    lent: u8,
}

const LENT: u8 = 1;
const SIZE: usize = size_of::<Header>();
const _: () = assert!(SIZE == 128);
const WORDS: usize = SIZE / 8;

/// A header in memory, where others may write as well.
pub(super) type Words = [AtomicU64; WORDS];

impl Header {
    pub(super) const VERSION: u32 = VERSION;

    fn expected(layout: &Layout) -> Self {
        Self {
            magic: MAGIC,
            byte_order: BYTE_ORDER,
            version: VERSION,
            header_size: HEAD as u32,
            pointer_width: if layout.any_width { ANY_WIDTH } else { usize::BITS },
            total_size: layout.total as u64,
            payload_offset: layout.offset as u64,
            payload_size: layout.size as u64,
            payload_align: layout.align as u64,
            stamp: layout.stamp,
            boot_id: [0; 16],
            what: layout.what,
            lent: 0,
        }
    }

    /// Writes the header of a new region, whose other bytes are all in place. Its magic comes last, so that a region
    /// which others can see already becomes one at that moment.
    pub(super) fn write(place: &Words, layout: &Layout) {
        let header = Self { boot_id: proc::boot_id().unwrap_or_default(), ..Self::expected(layout) };
        let words: [u64; WORDS] = zerocopy::transmute!(header);
        for (at, word) in place.iter().zip(words).skip(1) {
            at.store(word, Ordering::Relaxed); // published by the next
        }
        // edge: region written -> header read (Release end)
        place[0].store(words[0], Ordering::Release);
    }

    /// Says that it is used by somebody of whom the kernel's locks do not tell.
    pub(super) fn lend(place: &Words) {
        // Relaxed: a word to tools, which may come too early anyhow.
        place[WORDS - 1].fetch_or(u64::from_ne_bytes([0, 0, 0, 0, 0, 0, 0, LENT]), Ordering::Relaxed);
    }

    pub(super) fn is_lent(&self) -> bool {
        self.lent == LENT
    }

    /// Makes it the header of no region.
    pub(super) fn erase(place: &Words) {
        place[0].store(0, Ordering::Relaxed); // who sees the magic of before has come before
    }

    /// Whether this is a region for this layout, in memory of so many bytes.
    pub(super) fn check_memory(words: &Words, length: usize, layout: &Layout, place: &Place) -> Result<Layout, Error> {
        // edge: region written -> header read (Acquire end), the magic first
        let words: [u64; WORDS] = std::array::from_fn(|n| words[n].load(Ordering::Acquire));
        Self::parse(zerocopy::transmute!(words), SIZE, length as u64, place)?.judge(length as u64, layout, place)
    }

    /// Whether the file is a region for this layout, and long enough to be mapped as one. The layout to map it with: the
    /// same, or with the region's own size if that may be any.
    pub(super) fn check(file: &File, layout: &Layout, place: &Place) -> Result<Layout, Error> {
        let (header, length) = Self::read(file, place)?;
        header.judge(length, layout, place)
    }

    /// The header of a file that has one, be it of whatever version and machine, and the length of the file.
    pub(super) fn read(file: &File, place: &Place) -> Result<(Self, u64), Error> {
        let cannot_read = |e| Error::os(format!("cannot read {place}"), e);
        let about = file.metadata().map_err(cannot_read)?;
        if !about.is_file() {
            return not_a_region(place, &format!("it is {}", kind_of(about.file_type())));
        }
        let length = about.len();
        if length == 0 {
            return not_a_region(place, "the file is empty");
        }
        let mut bytes = [0; SIZE];
        let read = read_up_to(file, &mut bytes).map_err(cannot_read)?;
        Ok((Self::parse(bytes, read, length, place)?, length))
    }

    /// The first bytes, of which `read` could be read, of something that is so long.
    fn parse(bytes: [u8; SIZE], read: usize, length: u64, place: &Place) -> Result<Self, Error> {
        if bytes[..read.min(MAGIC.len())] != MAGIC[..read.min(MAGIC.len())] {
            return not_a_region(place, "it does not begin with the mark of one");
        }
        if read < SIZE {
            let message = format!("{place} is cut off: the header is {SIZE} bytes long, the whole {length}");
            return Err(Error::new(ErrorKind::Truncated, message));
        }
        Ok(zerocopy::transmute!(bytes))
    }

    /// Whether something so long that begins so is a region for this layout.
    fn judge(&self, length: u64, layout: &Layout, place: &Place) -> Result<Layout, Error> {
        // A size that no region has differs from the one that was expected, if nothing before it does.
        let of_its_size = || Layout::of_region(self.payload_size).unwrap_or(*layout);
        let layout = if layout.any_size { of_its_size() } else { *layout };
        let expected = Self::expected(&layout);
        // Whether it is for both is for the maker to say, whoever opens it.
        let pointer_width = if self.pointer_width == ANY_WIDTH { ANY_WIDTH } else { usize::BITS };
        self.compare(&Self { pointer_width, ..expected }, place)?;
        if length < self.total_size {
            let message = format!("{place} is cut off: its header says {} bytes, there are {length}", self.total_size);
            return Err(Error::new(ErrorKind::Truncated, message));
        }
        Ok(layout)
    }

    /// Whether it is that of a region of named objects.
    pub(super) fn holds_objects(&self) -> bool {
        Layout::of_region(self.payload_size).is_some_and(|layout| layout.stamp == self.stamp)
    }

    /// `None` if either boot is unknown.
    pub(super) fn is_of_this_boot(&self) -> Option<bool> {
        let known = |id: &[u8; 16]| *id != [0; 16];
        Some(self.boot_id).filter(known).and_then(|then| Some(then == proc::boot_id().filter(known)?))
    }

    /// What keeps everybody here from opening it, if it is in a file of that length.
    pub(super) fn problem(&self, length: u64) -> Option<String> {
        // Of all that is compared, what does not depend on a type.
        let machine = [
            (self.byte_order == BYTE_ORDER, "it was made on a machine of another byte order"),
            (self.version == VERSION, "its format is of another version"),
            (self.header_size == HEAD as u32, "its head has another size"),
            ([ANY_WIDTH, usize::BITS].contains(&self.pointer_width), "it was made for a processor of another width"),
        ];
        if let Some((_, problem)) = machine.iter().find(|(agrees, _)| !agrees) {
            return Some((*problem).to_owned());
        }
        let (align, end) = (self.payload_align, self.payload_offset.checked_add(self.payload_size));
        let can_be = align.is_power_of_two() && align <= file::page_size() as u64;
        if !can_be || self.payload_offset != offset_of_payload(align as usize) as u64 || end != Some(self.total_size) {
            return Some(String::from("what its header says of sizes is wrong"));
        }
        (length < self.total_size)
            .then(|| format!("it is cut off: its header says {} bytes, the file has {length}", self.total_size))
    }

    /// Compares field by field, in an order in which each is meaningful only if those before it agree.
    fn compare(&self, expected: &Self, place: &Place) -> Result<(), Error> {
        let hex = |n: u64| format!("{n:#x}");
        let decimal = |n: u64| n.to_string();
        type Row<'a> = (&'a str, u64, u64, &'a dyn Fn(u64) -> String);
        let rows: [Row<'_>; 9] = [
            ("byte order", self.byte_order.into(), expected.byte_order.into(), &hex),
            ("format version", self.version.into(), expected.version.into(), &decimal),
            ("header size", self.header_size.into(), expected.header_size.into(), &decimal),
            ("pointer width", self.pointer_width.into(), expected.pointer_width.into(), &decimal),
            ("payload size", self.payload_size, expected.payload_size, &decimal),
            ("payload alignment", self.payload_align, expected.payload_align, &decimal),
            ("payload offset", self.payload_offset, expected.payload_offset, &decimal),
            ("total size", self.total_size, expected.total_size, &decimal),
            ("layout stamp", self.stamp, expected.stamp, &hex),
        ];
        match rows.iter().find(|(_, found, expected, _)| found != expected) {
            None => Ok(()),
            Some((what, found, expected, show)) => {
                let (found, expected) = (show(*found), show(*expected));
                let holds = match (self.what.text(), self.magic == MAGIC && self.byte_order == BYTE_ORDER) {
                    (Some(holds), true) => format!(" (it holds {holds:?})"),
                    _ => String::new(),
                };
                let message =
                    format!("{place} was made for another layout: its {what} is {found}, expected {expected}{holds}");
                Err(Error::new(ErrorKind::LayoutMismatch, message))
            }
        }
    }
}

fn not_a_region<T>(place: &Place, why: &str) -> Result<T, Error> {
    Err(Error::new(ErrorKind::NotARegion, format!("{place} is not a region of shmsync: {why}")))
}

/// What a file is that is not a regular one.
pub(super) fn kind_of(kind: FileType) -> &'static str {
    match kind {
        _ if kind.is_symlink() => "a symbolic link",
        _ if kind.is_dir() => "a directory",
        _ if kind.is_fifo() => "a fifo",
        _ if kind.is_socket() => "a socket",
        _ if kind.is_block_device() || kind.is_char_device() => "a device",
        _ => "no regular file",
    }
}

/// Reads until the buffer is full or the file ends.
fn read_up_to(file: &File, bytes: &mut [u8]) -> io::Result<usize> {
    let mut read = 0;
    while read < bytes.len() {
        match file.read_at(&mut bytes[read..], read as u64) {
            Ok(0) => break,
            Ok(n) => read += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::mem::offset_of;

    /// The table at the head of this file.
    #[test]
    fn the_bytes_are_where_they_are_promised() {
        let found = [
            offset_of!(Header, byte_order),
            offset_of!(Header, version),
            offset_of!(Header, header_size),
            offset_of!(Header, pointer_width),
            offset_of!(Header, total_size),
            offset_of!(Header, payload_offset),
            offset_of!(Header, payload_size),
            offset_of!(Header, payload_align),
            offset_of!(Header, stamp),
            offset_of!(Header, boot_id),
            offset_of!(Header, what),
            offset_of!(Header, lent),
        ];
        assert_eq!(found, [8, 12, 16, 20, 24, 32, 40, 48, 56, 64, 80, 127]);
    }

    /// Whatever a file holds, the check ends with a verdict; and only the right bytes pass.
    #[test]
    fn every_single_wrong_byte_before_the_boot_id_is_refused() {
        let layout = Layout::of::<u64>(0).unwrap();
        let file = file::anonymous(false).unwrap();
        file.set_len(layout.total as u64).unwrap();
        file.write_all_at(Header::expected(&layout).as_bytes(), 0).unwrap();
        Header::check(&file, &layout, &Place::Anonymous).unwrap();
        let mut bytes = [0; SIZE];
        file.read_exact_at(&mut bytes, 0).unwrap();
        for at in 0..64 {
            for bit in 0..8 {
                let wrong = [bytes[at] ^ 1 << bit];
                file.write_all_at(&wrong, at as u64).unwrap();
                let kind = Header::check(&file, &layout, &Place::Anonymous).unwrap_err().kind();
                assert_eq!(kind, if at < 8 { ErrorKind::NotARegion } else { ErrorKind::LayoutMismatch }, "byte {at}");
            }
            file.write_all_at(&bytes[at..=at], at as u64).unwrap();
        }
        Header::check(&file, &layout, &Place::Anonymous).unwrap();
    }
}
