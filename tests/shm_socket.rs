//! Handles over Unix sockets, to programs that are no children.

mod shm_support;

use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use std::{mem, thread};

use shm_support::{Directory, LIMIT, Name, descriptors, in_child, reason};
use shmsync::{ErrorKind, Handle, Shared};
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
        assert!(error.to_string().contains(&format!("(os error {})", libc::EMFILE)), "{error}");
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
