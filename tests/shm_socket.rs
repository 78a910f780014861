//! Handles over Unix sockets: to programs that are no children, and from peers who mean harm.

mod shm_support;

use std::error::Error as _;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use std::{mem, thread};

use shm_support::{Directory, LIMIT, Name, in_child};
use shmsync::{Error, ErrorKind, Handle, Shared};
use shmsync_harness::process;

const VARIABLE: &str = "SHMSYNC_TEST_SOCKET";

// ---- To programs ------------------------------------------------------------------------------------------------

/// This very program, started anew to do one of its ignored tests.
fn program(part: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--ignored", "--exact", "--nocapture", part]).stdout(Stdio::null());
    command
}

#[test]
#[ignore = "the part of a child"]
fn child_that_receives_and_sends_on() {
    let stream = UnixStream::connect(std::env::var(VARIABLE).unwrap()).unwrap();
    let handle = Handle::receive(&stream).unwrap();
    let region = Shared::<AtomicU64>::from_handle(&handle).unwrap();
    region.fetch_add(1, Ordering::Relaxed);
    // As any other handle it can be inherited, though it came close-on-exec.
    let status = program("child_by_environment").env(VARIABLE, handle.to_string()).status().unwrap();
    assert!(status.success());
    handle.send(&stream).unwrap();
}

#[test]
#[ignore = "the part of a child"]
fn child_by_environment() {
    let handle: Handle = std::env::var(VARIABLE).unwrap().parse().unwrap();
    Shared::<AtomicU64>::from_handle(&handle).unwrap().fetch_add(1, Ordering::Relaxed);
}

#[test]
fn a_program_receives_attaches_hands_on_and_sends_back() {
    let _watchdog = process::watchdog(LIMIT, "a program that receives a handle");
    let directory = Directory::new("socket");
    let path = directory.join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let region = Shared::anonymous(AtomicU64::new(0)).unwrap();
    let mut child = program("child_that_receives_and_sends_on").env(VARIABLE, &path).spawn().unwrap();
    let (stream, _) = listener.accept().unwrap();
    region.handle().send(&stream).unwrap();
    let back = Handle::receive(&stream).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(region.load(Ordering::Relaxed), 2);
    let same = Shared::<AtomicU64>::from_handle(&back).unwrap();
    same.fetch_add(1, Ordering::Relaxed);
    assert_eq!(region.load(Ordering::Relaxed), 3);
}

#[test]
fn it_is_on_its_way_whatever_becomes_of_the_sender() {
    let _watchdog = process::watchdog(LIMIT, "receiving from a sender that has ended");
    let (here, there) = UnixStream::pair().unwrap();
    in_child(|| Shared::anonymous(AtomicU64::new(5)).unwrap().handle().send(&there).unwrap());
    drop(there);
    let handle = Handle::receive(&here).unwrap();
    assert_eq!(Shared::<AtomicU64>::from_handle(&handle).unwrap().load(Ordering::Relaxed), 5);
    assert_eq!(reason(Handle::receive(&here)), io::ErrorKind::UnexpectedEof);
}

#[test]
fn it_goes_between_other_bytes_and_other_handles() {
    let _watchdog = process::watchdog(LIMIT, "receiving handles between other bytes");
    let (mut here, mut there) = UnixStream::pair().unwrap();
    let regions: Vec<_> = (0..3).map(|n| Shared::anonymous(AtomicU64::new(n)).unwrap()).collect();
    here.write_all(b"before").unwrap();
    regions.iter().for_each(|region| region.handle().send(&here).unwrap());
    here.write_all(b"after").unwrap();

    let mut text = [0; 6];
    there.read_exact(&mut text).unwrap();
    assert_eq!(&text, b"before");
    for n in 0..3 {
        let handle = Handle::receive(&there).unwrap();
        assert_eq!(Shared::<AtomicU64>::from_handle(&handle).unwrap().load(Ordering::Relaxed), n);
    }
    there.read_exact(&mut text[..5]).unwrap();
    assert_eq!(&text[..5], b"after");
}

#[test]
fn named_regions_and_parsed_handles_are_sent_too() {
    let _watchdog = process::watchdog(LIMIT, "receiving named regions");
    let (here, there) = UnixStream::pair().unwrap();
    let name = Name::new("socket");
    let region = Shared::create(&name, AtomicU64::new(5)).unwrap();
    let handle = region.handle();
    let parsed: Handle = handle.to_string().parse().unwrap();
    parsed.send(&here).unwrap();
    let received = Handle::receive(&there).unwrap();
    assert_eq!(Shared::<AtomicU64>::from_handle(&received).unwrap().load(Ordering::Relaxed), 5);
    assert!(!received.is_sealed(), "whoever may write the file may cut it off");
    Shared::anonymous(AtomicU64::new(5)).unwrap().handle().send(&here).unwrap();
    assert!(Handle::receive(&there).unwrap().is_sealed());

    let nowhere: Handle = "shmsync:fd=987:dev=1:ino=2".parse().unwrap();
    assert_eq!(nowhere.send(&here).unwrap_err().kind(), ErrorKind::NotFound);
    assert!(!nowhere.is_sealed());
}

#[test]
fn the_received_descriptor_is_closed_with_the_last_of_its_owners() {
    in_child(|| {
        let (here, there) = UnixStream::pair().unwrap();
        let region = Shared::anonymous(AtomicU64::new(5)).unwrap();
        let before = descriptors();
        region.handle().send(&here).unwrap();
        let handle = Handle::receive(&there).unwrap();
        let same = Shared::<AtomicU64>::from_handle(&handle.clone()).unwrap();
        assert_eq!(descriptors(), before + 2, "the handle's and the mapping's");
        drop(handle);
        assert_eq!(descriptors(), before + 1);
        drop(same);
        assert_eq!(descriptors(), before);
    });
}

// ---- What the stream may do -------------------------------------------------------------------------------------

#[test]
fn a_stream_that_does_not_block_or_has_a_timeout_says_so() {
    let _watchdog = process::watchdog(LIMIT, "a stream that does not block");
    let (here, there) = UnixStream::pair().unwrap();
    there.set_nonblocking(true).unwrap();
    assert_eq!(reason(Handle::receive(&there)), io::ErrorKind::WouldBlock);
    there.set_nonblocking(false).unwrap();
    there.set_read_timeout(Some(Duration::from_millis(10))).unwrap();
    assert_eq!(reason(Handle::receive(&there)), io::ErrorKind::WouldBlock);
    // And nothing is lost by it.
    let handle = Shared::anonymous(AtomicU64::new(5)).unwrap().handle();
    handle.send(&here).unwrap();
    Handle::receive(&there).unwrap();

    here.set_nonblocking(true).unwrap();
    let sent = (0..100_000).find_map(|_| handle.send(&here).err()).expect("every buffer is full some day");
    assert_eq!(reason::<()>(Err(sent)), io::ErrorKind::WouldBlock);
    there.set_nonblocking(true).unwrap();
    while let Ok(handle) = Handle::receive(&there) {
        Shared::<AtomicU64>::from_handle(&handle).unwrap();
    }
    handle.send(&here).unwrap();
}

#[test]
fn a_peer_that_is_gone_is_an_error_and_no_signal() {
    in_child(|| {
        // SAFETY: in this child alone.
        unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
        let (here, there) = UnixStream::pair().unwrap();
        drop(there);
        let handle = Shared::anonymous(AtomicU64::new(5)).unwrap().handle();
        assert_eq!(reason(handle.send(&here)), io::ErrorKind::BrokenPipe);
    });
}

#[test]
fn signals_do_not_end_the_wait() {
    extern "C" fn nothing(_: i32) {}
    in_child(|| {
        let period = libc::timeval { tv_sec: 0, tv_usec: 500 };
        let timer = libc::itimerval { it_interval: period, it_value: period };
        let (here, there) = UnixStream::pair().unwrap();
        let region = Shared::anonymous(AtomicU64::new(5)).unwrap();
        let sender = thread::spawn(move || {
            thread::sleep(Duration::from_millis(100));
            region.handle().send(&here).unwrap();
        });
        // SAFETY: the handler does nothing, in this child alone, and system calls are not restarted after it.
        unsafe {
            let mut action: libc::sigaction = mem::zeroed();
            action.sa_sigaction = nothing as extern "C" fn(i32) as libc::sighandler_t;
            libc::sigaction(libc::SIGALRM, &action, std::ptr::null_mut());
            libc::setitimer(libc::ITIMER_REAL, &timer, std::ptr::null_mut());
        }
        Handle::receive(&there).unwrap();
        sender.join().unwrap();
    });
}

// ---- Peers who mean harm ----------------------------------------------------------------------------------------

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

/// How many descriptors this process has.
fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
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

/// The kind of the error of the system that is behind it.
#[track_caller]
fn reason<T: std::fmt::Debug>(result: Result<T, Error>) -> io::ErrorKind {
    let error = result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Os, "{error}");
    error.source().and_then(|source| source.downcast_ref::<io::Error>()).unwrap().kind()
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

#[test]
fn a_process_without_room_for_a_descriptor_says_so() {
    in_child(|| {
        let (here, there) = UnixStream::pair().unwrap();
        let region = Shared::anonymous(AtomicU64::new(5)).unwrap();
        region.handle().send(&here).unwrap();
        let limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: reads that local; the limit is this child's own.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) }, 0);
        let error = Handle::receive(&there).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Os);
        assert!(error.to_string().contains("Too many open files"), "{error}");
        // A handle that is held needs no further descriptor to be sent.
        region.handle().send(&here).unwrap();
    });
}

/// Sockets may be asked to tell more with each message, which is not for us.
#[test]
fn what_the_sockets_options_add_does_no_harm() {
    const SO_PASSPIDFD: i32 = 76;
    in_child(|| {
        let (here, there) = UnixStream::pair().unwrap();
        let region = Shared::anonymous(AtomicU64::new(5)).unwrap();
        for option in [libc::SO_PASSCRED, SO_PASSPIDFD] {
            let on = 1_i32;
            // SAFETY: reads one integer. Before Linux 6.5 there is no SO_PASSPIDFD, which is no matter here.
            unsafe { libc::setsockopt(there.as_raw_fd(), libc::SOL_SOCKET, option, (&raw const on).cast(), 4) };
        }
        let before = descriptors();
        for _ in 0..3 {
            region.handle().send(&here).unwrap();
            let handle = Handle::receive(&there).unwrap();
            assert_eq!(Shared::<AtomicU64>::from_handle(&handle).unwrap().load(Ordering::Relaxed), 5);
        }
        assert_eq!(descriptors(), before);
    });
}
