//! Whatever is found under a region's name, opening it ends in a region or in the error that says why not.

mod shm_support;

use std::fs::{self, File, OpenOptions, Permissions};
#[cfg(target_pointer_width = "64")]
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use shm_support::{Directory, Name, become_nobody, in_child, is_root, refusal};
use shmsync::{ErrorKind, Shared};

/// Opens it by every way that opens; all must say the same.
#[track_caller]
fn verdict(name: &Name) -> ErrorKind {
    let kind = refusal(Shared::<AtomicU64>::open(name), name);
    let path = name.path();
    assert_eq!(refusal(Shared::open_or_create(name, || AtomicU64::new(0)), name), kind);
    assert_eq!(refusal(Shared::<AtomicU64>::open_file(&path), path.to_str().unwrap()), kind);
    assert_eq!(refusal(Shared::<AtomicU64>::create_zeroed(name), name), ErrorKind::AlreadyExists);
    kind
}

/// A good region, whose file the caller spoils.
fn region(what: &str) -> (Name, File) {
    let name = Name::new(what);
    Shared::create(&name, AtomicU64::new(1)).unwrap();
    let file = OpenOptions::new().read(true).write(true).open(name.path()).unwrap();
    (name, file)
}

#[test]
fn other_files_are_not_regions() {
    for content in [&b""[..], b"hello", &[0; 100], &[0; 10_000], b"shmsynC\0 and so on"] {
        let name = Name::new("foreign");
        fs::write(name.path(), content).unwrap();
        assert_eq!(verdict(&name), ErrorKind::NotARegion, "{content:?}");
    }
    let (name, file) = region("magic");
    file.write_all_at(b"S", 0).unwrap();
    assert_eq!(verdict(&name), ErrorKind::NotARegion);
}

#[test]
fn what_is_no_regular_file_is_no_region() {
    let directory = Name::new("directory");
    fs::create_dir(directory.path()).unwrap();
    assert_eq!(verdict(&directory), ErrorKind::NotARegion);
    assert_eq!(refusal(Shared::<AtomicU64>::open(&directory), "a directory"), ErrorKind::NotARegion);
    assert_eq!(shmsync::unlink(&directory).unwrap_err().kind(), ErrorKind::NotARegion);

    let fifo = Name::new("fifo");
    let path = std::ffi::CString::new(fifo.path().to_str().unwrap()).unwrap();
    // SAFETY: the path ends in NUL.
    assert_eq!(unsafe { libc::mkfifo(path.as_ptr(), 0o600) }, 0);
    assert_eq!(verdict(&fifo), ErrorKind::NotARegion);
    assert_eq!(refusal(Shared::<AtomicU64>::open(&fifo), "a fifo"), ErrorKind::NotARegion);

    let socket = Name::new("socket");
    let _listener = UnixListener::bind(socket.path()).unwrap();
    assert_eq!(verdict(&socket), ErrorKind::NotARegion);

    assert_eq!(refusal(Shared::<AtomicU64>::open_file("/dev/null"), "a device"), ErrorKind::NotARegion);
}

#[test]
fn symbolic_links_are_not_followed() {
    let (target, _) = region("target");
    let (link, dangling) = (Name::new("link"), Name::new("dangling"));
    symlink(target.path(), link.path()).unwrap();
    symlink("/nowhere", dangling.path()).unwrap();
    for name in [&link, &dangling] {
        assert_eq!(verdict(name), ErrorKind::NotARegion);
        assert_eq!(refusal(Shared::<AtomicU64>::open(name), "a symbolic link"), ErrorKind::NotARegion);
    }
    shmsync::unlink(&link).unwrap();
    assert!(target.path().exists(), "only the link is removed");
}

#[test]
fn files_that_were_cut_off_are_truncated() {
    for length in [4, 8, 100, 127, 128, 135] {
        let (name, file) = region("short");
        file.set_len(length).unwrap();
        assert_eq!(verdict(&name), ErrorKind::Truncated, "{length} bytes");
        assert_eq!(refusal(Shared::<AtomicU64>::open(&name), &length.to_string()), ErrorKind::Truncated);
    }
    let (name, file) = region("long");
    file.set_len(10_000).unwrap();
    Shared::<AtomicU64>::open(&name).expect("a longer file holds the region as well");
}

#[test]
fn another_layout_is_refused_field_by_field() {
    let fields = [(8, "byte order"), (12, "version"), (16, "header size"), (20, "pointer width"), (40, "payload size")];
    let more = [(24, "total size"), (32, "payload offset"), (48, "payload alignment"), (56, "layout stamp")];
    for (at, field) in fields.into_iter().chain(more) {
        let (name, file) = region("field");
        file.write_all_at(&[0xff; 4], at).unwrap();
        assert_eq!(verdict(&name), ErrorKind::LayoutMismatch, "{field}");
        assert_eq!(refusal(Shared::<AtomicU64>::open(&name), field), ErrorKind::LayoutMismatch);
    }
}

#[test]
fn another_type_is_refused_with_both_sizes() {
    let (name, _) = region("type");
    assert_eq!(refusal(Shared::<AtomicU32>::open(&name), "payload size is 8, expected 4"), ErrorKind::LayoutMismatch);
    assert_eq!(refusal(Shared::<[AtomicU32; 2]>::open(&name), "alignment is 8, expected 4"), ErrorKind::LayoutMismatch);
    assert_eq!(refusal(Shared::<[AtomicU64; 1000]>::open(&name), "expected 8000"), ErrorKind::LayoutMismatch);
}

/// Reserved at once, on a tmpfs without a limit, it would call for the out-of-memory killer.
#[test]
#[cfg(target_pointer_width = "64")]
fn a_sparse_file_larger_than_the_memory_is_refused() {
    type Enormous = [AtomicU64; 1 << 43];
    let (name, file) = region("enormous");
    // The header is made to agree, by what the refusals say.
    for (field, at) in [("payload size", 40), ("total size", 24), ("layout stamp", 56)] {
        let refused = Shared::<Enormous>::open(&name).unwrap_err().to_string();
        let (_, expected) =
            refused.split_once(field).and_then(|(_, rest)| rest.split_once("expected ")).expect(&refused);
        let expected = expected.split(' ').next().unwrap();
        let number = match expected.strip_prefix("0x") {
            Some(hex) => u64::from_str_radix(hex, 16),
            None => expected.parse(),
        };
        file.write_all_at(&number.unwrap().to_ne_bytes(), at).unwrap();
    }
    assert_eq!(refusal(Shared::<Enormous>::open(&name), "is cut off"), ErrorKind::Truncated);
    file.set_len(4096 + size_of::<Enormous>() as u64).unwrap();
    assert_eq!(refusal(Shared::<Enormous>::open(&name), "which has holes"), ErrorKind::NoSpace);
    assert!(file.metadata().unwrap().blocks() < 100, "nothing was reserved");
}

#[test]
fn who_may_not_write_it_may_not_have_it() {
    let (name, file) = region("forbidden");
    file.set_permissions(Permissions::from_mode(0o400)).unwrap();
    let mine = Directory::new("forbidden");
    fs::set_permissions(&*mine, Permissions::from_mode(0o500)).unwrap();
    in_child(|| {
        let was_root = is_root();
        if was_root {
            become_nobody();
        }
        assert_eq!(refusal(Shared::<AtomicU64>::open(&name), &name), ErrorKind::PermissionDenied);
        let forbidden = Shared::<AtomicU64>::create_file_zeroed(mine.join("region"));
        assert_eq!(refusal(forbidden, mine.to_str().unwrap()), ErrorKind::PermissionDenied);
        if was_root {
            assert_eq!(shmsync::unlink(&name).unwrap_err().kind(), ErrorKind::PermissionDenied);
        }
        // What is nobody's own, nobody may have: without any capability a name can be given all the same.
        let own = Name::new("own");
        let region = Shared::create(&own, AtomicU64::new(3)).unwrap();
        assert_eq!(Shared::<AtomicU64>::open(&own).unwrap().load(Ordering::Relaxed), 3);
        drop(region);
    });
    assert!(name.path().exists());
}
