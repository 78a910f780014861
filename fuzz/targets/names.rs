//! Any text as the name of a region, a semaphore or an object, as a path, and as a handle.
//!
//! Beyond that nothing crashes: a name is refused if and only if the documentation says so, and without a file being
//! touched; what is made under one is that file in `/dev/shm` and no other; a symbolic link there is never followed; and no
//! text is a handle but those that a handle writes.
#![no_main]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use shmsync::{Error, ErrorKind, Handle, NamedSemaphore, Region, RegionInfo, Shared, unlink, unlink_semaphore};
use shmsync_fuzz::slate::{PREFIX, Slate};
use shmsync_fuzz::watch::soon;

#[derive(Arbitrary, Debug)]
enum Input<'a> {
    /// As it is: only asked for, since it may be anybody's.
    Raw(&'a str),
    /// Behind what all names of the targets begin with: made, opened, unlinked.
    Own {
        name: &'a str,
        link: bool,
    },
    /// Of a file, relative to a directory of our own.
    Path(&'a [u8]),
    Object(&'a str),
    Handle(&'a str),
    /// The text of a real handle, with something else in the place of some of it.
    NearHandle {
        from: u8,
        to: u8,
        text: &'a str,
    },
}

fn kind<T>(outcome: Result<T, Error>) -> Option<ErrorKind> {
    outcome.err().map(|error| {
        assert!(!error.to_string().contains(char::is_control), "it goes to a terminal: {error:?}");
        error.kind()
    })
}

/// "`/name` with 1 to 254 bytes after the only slash", and no directory's.
fn is_name(name: &str) -> bool {
    name.strip_prefix('/').is_some_and(|rest| {
        (1..=254).contains(&rest.len()) && !rest.contains(['/', '\0']) && rest != "." && rest != ".."
    })
}

fn raw(name: &str) {
    let outcomes = [
        kind(Shared::<AtomicU64>::open(name)),
        kind(Region::open(name)),
        kind(RegionInfo::of(name)),
        kind(NamedSemaphore::open(name)),
    ];
    let refused = Some(ErrorKind::InvalidName);
    assert!(outcomes.iter().all(|kind| (*kind == refused) != is_name(name)), "{name:?}: {outcomes:?}");
    if !is_name(name) {
        let makes = [
            kind(Shared::create(name, AtomicU64::new(1))),
            kind(Shared::open_or_create(name, || AtomicU64::new(1))),
            kind(Region::create(name, 64)),
            kind(Region::open_or_create(name, 64)),
            kind(NamedSemaphore::create(name, 1)),
            kind(NamedSemaphore::open_or_create(name, 1)),
            kind(unlink(name)),
            kind(unlink_semaphore(name)),
            kind(shmsync::unlink_unused(name)),
        ];
        assert!(makes.iter().all(|kind| *kind == refused), "{name:?}: {makes:?}");
    }
}

fn count() -> usize {
    let ours = format!("{PREFIX}{}", std::process::id());
    let all = fs::read_dir("/dev/shm").expect("/dev/shm").flatten();
    all.filter(|file| file.file_name().as_encoded_bytes().starts_with(ours.as_bytes())).count()
}

fn own(more: &str, link: bool) {
    let name = format!("/{PREFIX}{}-{more}", std::process::id());
    if !is_name(&name) {
        raw(&name);
        assert_eq!(count(), 0, "a name was refused, and a file made");
        return;
    }
    let path = Path::new("/dev/shm").join(&name[1..]);
    if link {
        return linked(&name, &path);
    }
    let made = Shared::create(&name, AtomicU64::new(7)).expect("the name is free");
    assert!(path.symlink_metadata().expect("it is there").is_file() && count() == 1);
    assert_eq!(kind(Shared::create(&name, AtomicU64::new(8))), Some(ErrorKind::AlreadyExists));
    let same = Shared::<AtomicU64>::open(&name).expect("it was made");
    same.fetch_add(1, Ordering::Relaxed);
    assert_eq!(made.load(Ordering::Relaxed), 8);
    assert_eq!(kind(unlink_semaphore(&name)), Some(ErrorKind::LayoutMismatch));
    assert_eq!(kind(Region::open_or_create(&name, 64)), Some(ErrorKind::LayoutMismatch));
    assert!(!shmsync::unlink_unused(&name).expect("locks"), "it is mapped");
    unlink(&name).expect("it is there");
    assert_eq!((kind(unlink(&name)), count()), (Some(ErrorKind::NotFound), 0));
    let semaphore = NamedSemaphore::open_or_create(&name, 2).expect("the name is free");
    assert_eq!((semaphore.name(), semaphore.value()), (&*name, 2));
    semaphore.unlink().expect("it is there");
    assert_eq!(count(), 0);
}

/// The name is a link to a region that could be opened.
fn linked(name: &str, path: &Path) {
    let target = Slate::new("");
    let real = Shared::create(&target.name, AtomicU64::new(7)).expect("the name is free");
    symlink(&target.path, path).expect("a link");
    let opens = [
        kind(Shared::<AtomicU64>::open(name)),
        kind(Shared::open_or_create(name, || AtomicU64::new(1))),
        kind(Shared::<AtomicU64>::open_file(path)),
        kind(Region::open(name)),
        kind(RegionInfo::of(name)),
        kind(NamedSemaphore::open(name)),
        kind(NamedSemaphore::open_or_create(name, 1)),
        kind(unlink_semaphore(name)),
    ];
    let creates = [kind(Shared::create(name, AtomicU64::new(1))), kind(NamedSemaphore::create(name, 1))];
    let unused = kind(shmsync::unlink_unused(name));
    let unlinked = kind(unlink(name));
    let _ = fs::remove_file(path);
    assert!(opens.iter().all(|kind| *kind == Some(ErrorKind::NotARegion)), "{opens:?}");
    assert!(creates.iter().all(|kind| *kind == Some(ErrorKind::AlreadyExists)), "{creates:?}");
    assert_eq!((unused, unlinked), (Some(ErrorKind::NotARegion), None));
    assert_eq!(real.load(Ordering::Relaxed), 7);
    assert!(target.path.exists(), "what the link led to was removed");
}

fn path(bytes: &[u8]) {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let rest = Path::new(OsStr::from_bytes(bytes));
    // Only what stays within the directory.
    if rest.components().any(|part| !matches!(part, std::path::Component::Normal(_) | std::path::Component::CurDir)) {
        return;
    }
    let slate = Slate::new("");
    fs::create_dir(&slate.path).expect("a directory");
    let path = slate.path.join(rest);
    let is_file = !bytes.is_empty() && !bytes.contains(&0) && !bytes.ends_with(b"/") && path.file_name().is_some();
    let made = kind(Shared::create_file(&path, AtomicU64::new(7)));
    let opened = kind(Shared::<AtomicU64>::open_file(&path));
    let looked = kind(RegionInfo::read(&path));
    let there = fs::read_dir(&slate.path).expect("the directory").count();
    fs::remove_dir_all(&slate.path).expect("the directory");
    if !is_file && !bytes.ends_with(b".") {
        assert_eq!((made, opened, looked, there), (Some(ErrorKind::InvalidName), made, made, 0), "{path:?}");
    }
    assert_eq!(made.is_none(), there == 1, "{path:?}: {made:?}");
    assert!((opened, looked) == (None, None) || made.is_some(), "{path:?}: {opened:?} {looked:?}");
}

static REGION: Mutex<Option<Region>> = Mutex::new(None);

/// "1 to 64 bytes, none of them a control character".
fn object(name: &str) {
    let mut region = REGION.lock().expect("one execution at a time");
    let region = region.get_or_insert_with(|| Region::options().objects(8).anonymous(4096).expect("a region"));
    let good = (1..=64).contains(&name.len()) && !name.chars().any(char::is_control);
    let made = kind(region.get_or_init::<AtomicU64>(name));
    assert_eq!(made, (!good).then_some(ErrorKind::InvalidName), "{name:?}");
    assert_eq!(kind(region.list(name, [1, 2])).is_some_and(|kind| kind == ErrorKind::InvalidName), !good);
    assert_eq!((region.contains(name), kind(region.get::<AtomicU64>(name)).is_none()), (good, good));
    assert_eq!(region.objects().iter().map(|object| object.name()).collect::<Vec<_>>(), [name][..good.into()]);
    assert_eq!(kind(region.remove(name)), (!good).then_some(ErrorKind::NotFound));
    region.renew().expect("descriptors");
}

fn handle(text: &str) {
    match text.parse::<Handle>() {
        Ok(handle) => {
            assert_eq!((handle.to_string(), format!("{handle:?}")), (text.to_owned(), format!("Handle({text})")));
            // Whatever this process has open there, it is no region of that identity.
            assert_eq!(kind(Shared::<AtomicU64>::from_handle(&handle)), Some(ErrorKind::NotFound));
            assert_eq!(kind(Region::from_handle(&handle)), Some(ErrorKind::NotFound));
        }
        Err(error) => assert_eq!(kind(Err::<(), _>(error)), Some(ErrorKind::InvalidName)),
    }
}

fn near_handle(from: u8, to: u8, new: &str) {
    let shared = Shared::anonymous(AtomicU64::new(7)).expect("a region");
    let real = shared.handle();
    let sound = real.to_string();
    let [from, to] = [from, to].map(|at| usize::from(at) % (sound.len() + 1)); // It is ASCII.
    let text = format!("{}{new}{}", &sound[..from.min(to)], &sound[from.max(to)..]);
    if text == sound {
        let same = Shared::<AtomicU64>::from_handle(&text.parse().expect("it is one")).expect("it is that one");
        assert_eq!(same.load(Ordering::Relaxed), 7);
        assert_eq!(kind(Region::from_handle(&real)), Some(ErrorKind::LayoutMismatch));
    } else {
        handle(&text);
    }
}

fuzz_target!(|input: Input<'_>| soon(|| match input {
    Input::Raw(name) => raw(name),
    Input::Own { name, link } => own(name, link),
    Input::Path(bytes) => path(bytes),
    Input::Object(name) => object(name),
    Input::Handle(text) => handle(text),
    Input::NearHandle { from, to, text } => near_handle(from, to, text),
}));
