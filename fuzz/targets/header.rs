//! A file of any bytes and any length, through every way to open one; and the same bytes as lent memory.
//!
//! Beyond that nothing crashes: all ways agree on whether it is a region; if it is one, all of its payload can be read, and
//! is what the file has there; and `RegionInfo` sees no problem with it, and no other size.
#![no_main]

use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use memmap2::MmapMut;
use shmsync::{Error, ErrorKind, Handle, Mutex, NamedSemaphore, Region, RegionInfo, Shared, unlink, unlink_unused};
use shmsync_fuzz::slate::Slate;
use shmsync_fuzz::using::{Step, walk};
use shmsync_fuzz::watch::soon;
use shmsync_fuzz::words::Scribble;
use zerocopy::FromBytes;

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    what: What,
    /// Words of the first 256 bytes, and of the payload's head.
    changes: Vec<(u8, Scribble)>,
    /// Whether sizes and stamp are made to agree with the payload's size after that, as somebody would who means it.
    consistent: bool,
    length: Length,
    raw: &'a [u8],
}

/// What the file was before.
#[derive(Arbitrary, Debug, Clone, Copy)]
enum What {
    /// Nothing but the raw bytes.
    Raw,
    Number,
    Guarded,
    Page,
    Objects,
    Semaphore,
}

#[derive(Arbitrary, Debug, Clone, Copy)]
enum Length {
    Whole,
    /// Of a sound region, cut off or with more behind it.
    Cut(u16),
    More(u16),
    /// What the header says, as far as that is not much; and around it.
    Said(i8),
}

/// A payload that begins a page after the head, and fills one.
#[derive(FromBytes)]
#[repr(C, align(4096))]
struct Page([AtomicU64; 512]);

const HEAD: usize = 4096;
/// No file here is longer.
const MOST: u64 = 1 << 18;

/// A number from the header.
fn field(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).map_or(0, |field| u64::from_ne_bytes(field.try_into().expect("eight bytes")))
}

fn put(bytes: &mut [u8], at: usize, word: u64) {
    if let Some(place) = bytes.get_mut(at..at + 8) {
        place.copy_from_slice(&word.to_ne_bytes());
    }
}

/// The stamp of a region of named objects: FNV-1a, as `src/shm/layout.rs` promises.
fn stamp_of_objects(size: u64) -> u64 {
    let numbers = [2, size, 4096, u64::from_be_bytes(*b"Region\0\x01")].map(u64::to_le_bytes);
    let bytes = numbers.as_flattened().iter();
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The files of sound regions.
fn sound(what: What) -> &'static [u8] {
    static SOUND: OnceLock<[Vec<u8>; 6]> = OnceLock::new();
    let all = SOUND.get_or_init(|| {
        let slate = Slate::new(".sound");
        let read = |made: Result<(), Error>| {
            made.expect("a region");
            let bytes = std::fs::read(&slate.path).expect("its file");
            std::fs::remove_file(&slate.path).expect("its name");
            bytes
        };
        let objects = || {
            let region = Region::options().objects(4).create(&slate.name, 1024)?;
            region.get_or_init::<shmsync::Lock>("lock").map(drop)
        };
        [
            Vec::new(),
            read(Shared::create(&slate.name, AtomicU64::new(7)).map(drop)),
            read(Shared::create(&slate.name, Mutex::new([1_u64, 2])).map(drop)),
            read(Shared::<Page>::create_zeroed(&slate.name).map(drop)),
            read(objects()),
            read(NamedSemaphore::create(&slate.name, 3).map(drop)),
        ]
    });
    &all[what as usize]
}

fn file_of(input: &Input<'_>) -> (Vec<u8>, u64) {
    let mut bytes = sound(input.what).to_vec();
    if bytes.is_empty() {
        bytes.extend_from_slice(input.raw);
    } else {
        bytes[HEAD..].iter_mut().zip(input.raw).for_each(|(place, byte)| *place ^= byte);
    }
    for &(at, word) in input.changes.iter().take(16) {
        // The first half is the header, the second the beginning of the payload.
        let at = if at < 128 { usize::from(at) } else { HEAD + usize::from(at - 128) } & !7;
        put(&mut bytes, at, word.word());
    }
    if input.consistent {
        let size = field(&bytes, 40);
        put(&mut bytes, 24, size.wrapping_add(HEAD as u64));
        if matches!(input.what, What::Objects) {
            put(&mut bytes, 56, stamp_of_objects(size));
        }
    }
    let whole = bytes.len() as u64;
    let length = match input.length {
        Length::Whole => whole,
        Length::Cut(by) => whole.saturating_sub(by.into()),
        Length::More(by) => whole + u64::from(by),
        Length::Said(by) => field(&bytes, 24).saturating_add_signed(by.into()),
    };
    (bytes, length.min(MOST))
}

/// The outcomes of all ways for one type: whether they agree, and what the outcome is.
fn agree<T>(outcomes: &[Result<T, Error>]) -> Option<ErrorKind> {
    let kinds: Vec<_> = outcomes.iter().map(|outcome| outcome.as_ref().err().map(Error::kind)).collect();
    for error in outcomes.iter().filter_map(|outcome| outcome.as_ref().err()) {
        let (text, kind) = (error.to_string(), error.kind());
        let expected = [ErrorKind::NotARegion, ErrorKind::Truncated, ErrorKind::LayoutMismatch];
        assert!(expected.contains(&kind) && !text.is_empty() && !text.contains('\0'), "{kind:?}: {text:?}");
    }
    assert!(kinds.iter().all(|kind| kind == &kinds[0]), "{kinds:?}");
    kinds[0]
}

fn handle_of(file: &File) -> Handle {
    let about = file.metadata().expect("fstat");
    let text = format!("shmsync:fd={}:dev={}:ino={}", file.as_raw_fd(), about.dev(), about.ino());
    text.parse().expect("it reads like a handle")
}

/// All ways to a `Shared<T>`; whether it is one. `bytes` tells of a value what the file has in its place.
fn shared<T: FromBytes + Sync>(slate: &Slate, file: &File, offset: u64, words: impl Fn(&T) -> Vec<u64>) -> bool {
    let mut ways = vec![
        Shared::<T>::open(&slate.name),
        Shared::open_file(&slate.path),
        Shared::from_handle(&handle_of(file)),
        Shared::options().max_size(1 << 30).open(&slate.name),
    ];
    let length = file.metadata().expect("fstat").len();
    if length >= HEAD as u64 {
        // SAFETY: nobody changes the file's length, and it is used as a region only.
        #[allow(unsafe_code)]
        let map = unsafe { MmapMut::map_mut(file) }.expect("a mapping");
        ways.push(Shared::from_mmap(map));
    }
    let outcome = agree(&ways);
    for way in ways.into_iter().flatten() {
        let found = words(&way);
        let mut bytes = vec![0; found.len() * 8];
        file.read_exact_at(&mut bytes, offset).expect("no region is longer than its file");
        let expected: Vec<u64> =
            bytes.chunks_exact(8).map(|word| u64::from_ne_bytes(word.try_into().expect("eight bytes"))).collect();
        assert_eq!(found, expected);
    }
    outcome.is_none()
}

fn load(word: &AtomicU64) -> u64 {
    word.load(Ordering::Relaxed)
}

fn run(input: &Input<'_>) {
    let (bytes, length) = file_of(input);
    let slate = Slate::new("");
    let file = slate.write(&bytes, length);

    let info = RegionInfo::of(&slate.name);
    assert_eq!(RegionInfo::read(&slate.path).is_ok(), info.is_ok());
    if let Ok(info) = &info {
        let mut head = bytes.clone();
        head.resize(HEAD, 0); // The file has zeros behind what was written.
        _ = format!("{info:?} {:?} {:?} {}", info.contents(), info.is_of_this_boot(), info.version());
        assert_eq!(
            (info.size(), info.payload_size(), info.stamp()),
            (field(&head, 24), field(&head, 40), field(&head, 56))
        );
        assert!(info.contents().is_none_or(|text| !text.contains(char::is_control)));
        // Of one that is said to be lent nobody can tell.
        assert_eq!(info.is_mapped(), (head[127] != 1).then_some(false));
    }

    let number = shared::<AtomicU64>(&slate, &file, 4096, |number| vec![load(number)]);
    let guarded = shared::<Mutex<[u64; 2]>>(&slate, &file, 4096, |_| Vec::new());
    let page = shared::<Page>(&slate, &file, 4096, |page| page.0.iter().map(load).collect());
    let semaphore = NamedSemaphore::open(&slate.name).map(|semaphore| format!("{semaphore:?}")).is_ok();

    let objects = [Region::open(&slate.name), Region::open_file(&slate.path), Region::from_handle(&handle_of(&file))];
    let region = agree(&objects).is_none();
    for mut region in objects.into_iter().flatten() {
        walk(&mut region, &[Step::Look, Step::Attached, Step::GetList(0), Step::GetArray(5)], None);
    }

    let kinds = [number, guarded, page, semaphore, region];
    assert!(kinds.iter().filter(|is| **is).count() <= 1, "it is several things at once: {kinds:?}");
    if kinds.contains(&true) {
        let info = info.expect("it is a region");
        assert_eq!((info.problem(), info.holds_objects()), (None, region));
        assert!(info.size() <= length);
    }
    // Attaching by a handle was marked at this opening of the file, as if a parent had handed it on.
    drop(file);
    match unlink_unused(&slate.name) {
        Ok(removed) => assert!(removed, "nobody has it any more"),
        Err(error) => {
            let refused = [ErrorKind::NotARegion, ErrorKind::Truncated, ErrorKind::Unsupported];
            assert!(refused.contains(&error.kind()), "{error:?}");
            unlink(&slate.name).expect("anything has a name that can be taken away");
        }
    }
}

fuzz_target!(|input: Input<'_>| soon(|| run(&input)));
