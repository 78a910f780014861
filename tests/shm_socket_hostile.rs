//! Handles over Unix sockets, from peers who mean harm: an error, and no descriptor is left.

mod shm_support;

use std::fs::{self, File};
use std::io::{self, Read};
use std::mem;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::sync::atomic::AtomicU64;

use shm_support::{Directory, LIMIT, descriptors, in_child};
use shmsync::{Error, ErrorKind, Handle, Shared};
use shmsync_harness::process;

/// A message as the table in `shm/socket.rs` has it.
fn message(about: &File) -> Vec<u8> {
    let about = about.metadata().unwrap();
    [*b"shmsync\0", 1_u64.to_ne_bytes(), about.dev().to_ne_bytes(), about.ino().to_ne_bytes()].concat()
}

fn send(to: &UnixStream, bytes: &[u8], descriptors: &[RawFd]) {
    let size = size_of_val(descriptors) as u32;
    let mut control = [0_u64; 256];
    // SAFETY: an all-zero message names nothing; then it names buffers that outlive the call, of which the control message
    // fills the part that it says.
    let sent = unsafe {
        let mut part = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
        let mut message: libc::msghdr = mem::zeroed();
        (message.msg_iov, message.msg_iovlen) = (&raw mut part, 1);
        if !descriptors.is_empty() {
            message.msg_control = control.as_mut_ptr().cast();
            message.msg_controllen = libc::CMSG_SPACE(size) as _;
            assert!(libc::CMSG_SPACE(size) as usize <= size_of_val(&control));
            let header = libc::CMSG_FIRSTHDR(&raw const message);
            (*header).cmsg_level = libc::SOL_SOCKET;
            (*header).cmsg_type = libc::SCM_RIGHTS;
            (*header).cmsg_len = libc::CMSG_LEN(size) as _;
            let data = libc::CMSG_DATA(header).cast::<RawFd>();
            descriptors.iter().enumerate().for_each(|(n, number)| data.add(n).write_unaligned(*number));
        }
        libc::sendmsg(to.as_raw_fd(), &raw const message, libc::MSG_NOSIGNAL)
    };
    assert_eq!(sent, bytes.len() as isize, "{}", io::Error::last_os_error());
}

/// What receiving it says, which leaves no descriptor behind.
#[track_caller]
fn refused(bytes: &[u8], sent: &[RawFd]) -> Error {
    let (here, there) = UnixStream::pair().unwrap();
    let before = descriptors();
    send(&here, bytes, sent);
    let error = Handle::receive(&there).unwrap_err();
    assert_eq!(descriptors(), before, "descriptors are left: {error}");
    error
}

#[test]
fn what_is_no_handle_is_refused_and_leaves_no_descriptor() {
    in_child(|| {
        let directory = Directory::new("hostile");
        let region = Shared::create_file(directory.join("region"), AtomicU64::new(5)).unwrap();
        let file = File::open(directory.join("region")).unwrap();
        let good = message(&file);
        let one = file.as_raw_fd();
        let (socket, _) = UnixStream::pair().unwrap();
        let folder = File::open(&*directory).unwrap();
        let device = File::open("/dev/null").unwrap();
        let mut other = good.clone();
        other[31] ^= 1;
        let mut newer = good.clone();
        newer[8..16].copy_from_slice(&2_u64.to_ne_bytes());
        let changed = |at: usize| {
            let mut bytes = good.clone();
            bytes[at] ^= 0x20;
            bytes
        };
        type Case<'a> = (&'a [u8], &'a [RawFd], &'a str);
        let cases: [Case<'_>; 13] = [
            (&good, &[], "no descriptor"),
            (b"hello", &[], "no descriptor"),
            (&[0; 1000], &[], "no descriptor"),
            (&good, &[one, one], "several descriptors"),
            (&good, &[one; 253], "several descriptors"),
            (b"x", &[one; 253], "several descriptors"),
            (&good[..31], &[one], "bytes"),
            (&changed(0), &[one], "bytes"),
            (&newer, &[one], "version is 2, expected 1"),
            (&other, &[one], "another file's"),
            (&message(&folder), &[folder.as_raw_fd()], "no file's"),
            (&message(&device), &[device.as_raw_fd()], "no file's"),
            (&good, &[socket.as_raw_fd()], "no file's"),
        ];
        for (bytes, sent, why) in cases {
            let error = refused(bytes, sent);
            assert_eq!(error.kind(), ErrorKind::NotARegion, "{error}");
            assert!(error.to_string().contains(why), "{error} does not say {why:?}");
        }
        // The table of the message is right.
        let (here, there) = UnixStream::pair().unwrap();
        region.handle().send(&here).unwrap();
        let mut sent = [0; 100];
        assert_eq!((&there).read(&mut sent).unwrap(), 32);
        assert_eq!(sent[..32], good);
    });
}

/// What is received as a handle may still be anything: attaching to it ends in an error.
#[test]
fn a_file_that_is_no_region_is_refused_when_it_is_attached_to() {
    let _watchdog = process::watchdog(LIMIT, "receiving files that are no regions");
    let directory = Directory::new("hostile-file");
    let (here, there) = UnixStream::pair().unwrap();
    let path = directory.join("file");
    let attach = |file: &File| {
        send(&here, &message(file), &[file.as_raw_fd()]);
        Shared::<AtomicU64>::from_handle(&Handle::receive(&there).unwrap()).map(drop).unwrap_err().kind()
    };
    for content in [&b""[..], b"hello", &[0; 10_000]] {
        fs::write(&path, content).unwrap();
        assert_eq!(attach(&File::open(&path).unwrap()), ErrorKind::NotARegion);
    }
    fs::remove_file(&path).unwrap();
    drop(Shared::create_file(&path, AtomicU64::new(5)).unwrap());
    let (reader, writer) = (File::open(&path).unwrap(), File::options().write(true).open(&path).unwrap());
    assert_eq!(attach(&reader), ErrorKind::PermissionDenied, "it must be writable");
    // Open for writing alone it cannot even be read.
    assert_ne!(attach(&writer), ErrorKind::NotARegion);
    writer.set_len(4096).unwrap();
    let both = File::options().read(true).write(true).open(&path).unwrap();
    assert_eq!(attach(&both), ErrorKind::Truncated);
}

#[test]
fn random_messages_end_in_an_error() {
    in_child(|| {
        let file = File::open("/dev/null").unwrap();
        let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = move || {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed
        };
        for _ in 0..3000 {
            let length = 1 + random() as usize % 64;
            let bytes: Vec<u8> = (0..length).map(|_| random() as u8).collect();
            let crowd = vec![file.as_raw_fd(); random() as usize % 4];
            assert_eq!(refused(&bytes, &crowd).kind(), ErrorKind::NotARegion);
        }
    });
}
