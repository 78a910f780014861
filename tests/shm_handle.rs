//! Handles: what a program that was really started, with `exec`, inherits.

mod shm_support;

use std::fs::File;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

use shm_support::{LIMIT, Name, refusal};
use shmsync::{ErrorKind, Handle, Shared};
use shmsync_harness::process;

const VARIABLE: &str = "SHMSYNC_TEST_HANDLE";

/// This very program, started anew to do one of its ignored tests, with the handle in the environment.
fn program(part: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--ignored", "--exact", "--nocapture", part]).stdout(Stdio::null());
    command
}

fn attach_and_add(handle: &str) {
    let region = Shared::<AtomicU64>::from_handle(&handle.parse().unwrap()).unwrap();
    region.fetch_add(1, Ordering::Relaxed);
}

#[test]
#[ignore = "the part of a child"]
fn child_by_environment() {
    attach_and_add(&std::env::var(VARIABLE).unwrap());
}

#[test]
#[ignore = "the part of a child"]
fn child_by_argument() {
    attach_and_add(&std::env::args().next_back().unwrap());
}

#[test]
#[ignore = "the part of a child"]
fn child_of_a_dropped_handle() {
    let handle: Handle = std::env::var(VARIABLE).unwrap().parse().unwrap();
    let refused = Shared::<AtomicU64>::from_handle(&handle);
    assert_eq!(refusal(refused, &handle.to_string()), ErrorKind::NotFound);
}

#[test]
#[ignore = "the part of a child"]
fn child_that_starts_a_child() {
    let status = program("child_by_environment").status().unwrap();
    assert!(status.success());
}

#[test]
fn a_started_program_attaches() {
    let _watchdog = process::watchdog(LIMIT, "starting programs with a handle");
    let region = Shared::anonymous(AtomicU64::new(0)).unwrap();
    let handle = region.handle();
    let text = handle.to_string();
    assert!(program("child_by_environment").env(VARIABLE, &text).status().unwrap().success());
    assert_eq!(region.load(Ordering::Relaxed), 1);
    // To the test harness the handle is one more name of a test, which none has.
    assert!(program("child_by_argument").arg(&text).status().unwrap().success());
    assert_eq!(region.load(Ordering::Relaxed), 2);
    assert!(program("child_that_starts_a_child").env(VARIABLE, &text).status().unwrap().success());
    assert_eq!(region.load(Ordering::Relaxed), 3);
}

#[test]
fn it_lasts_as_long_as_any_of_its_clones() {
    let _watchdog = process::watchdog(LIMIT, "starting programs with clones of a handle");
    let region = Shared::anonymous(AtomicU64::new(0)).unwrap();
    let (first, second) = (region.handle(), region.handle());
    let third = first.clone();
    let text = first.to_string();
    drop((first, second));
    assert!(program("child_by_environment").env(VARIABLE, &text).status().unwrap().success());
    drop(third);
    assert!(program("child_of_a_dropped_handle").env(VARIABLE, &text).status().unwrap().success());
}

#[test]
fn it_keeps_a_region_that_has_lost_its_name_and_its_maker() {
    let _watchdog = process::watchdog(LIMIT, "starting a program with the handle of an unlinked region");
    let name = Name::new("handle");
    let handle = Shared::create(&name, AtomicU64::new(5)).unwrap().handle();
    shmsync::unlink(&name).unwrap();
    assert!(program("child_by_environment").env(VARIABLE, handle.to_string()).status().unwrap().success());
    assert_eq!(Shared::<AtomicU64>::from_handle(&handle).unwrap().load(Ordering::Relaxed), 6);
}

#[test]
fn parsing_owns_nothing() {
    let region = Shared::anonymous(AtomicU64::new(1)).unwrap();
    let text = region.handle().to_string();
    for _ in 0..3 {
        let handle: Handle = text.parse().unwrap();
        assert_eq!(handle.to_string(), text);
        let same = Shared::<AtomicU64>::from_handle(&handle).unwrap();
        same.fetch_add(1, Ordering::Relaxed);
    }
    assert_eq!(region.load(Ordering::Relaxed), 4);
    drop(region);
    assert_eq!(refusal(Shared::<AtomicU64>::from_handle(&text.parse().unwrap()), &text), ErrorKind::NotFound);
}

#[test]
fn a_clone_of_a_parsed_handle_owns_as_little() {
    let region = Shared::anonymous(AtomicU64::new(1)).unwrap();
    let text = region.handle().to_string();
    let parsed: Handle = text.parse().unwrap();
    let clone = parsed.clone();
    drop(parsed);
    assert_eq!((clone.to_string(), format!("{clone:?}")), (text.clone(), format!("Handle({text})")));
    Shared::<AtomicU64>::from_handle(&clone).unwrap().fetch_add(1, Ordering::Relaxed);
    assert_eq!(region.load(Ordering::Relaxed), 2);
    drop(region);
    assert_eq!(refusal(Shared::<AtomicU64>::from_handle(&clone), &text), ErrorKind::NotFound);
}

/// A descriptor may be of something that lies in no directory.
#[test]
fn a_handle_of_what_is_no_file_at_all_is_no_region() {
    // SAFETY: takes numbers; the descriptor that it returns is nobody else's.
    let event = unsafe { OwnedFd::from_raw_fd(libc::eventfd(0, libc::EFD_CLOEXEC)) };
    let event = File::from(event);
    let about = event.metadata().unwrap();
    let text = format!("shmsync:fd={}:dev={}:ino={}", event.as_raw_fd(), about.dev(), about.ino());
    let opened = Shared::<AtomicU64>::from_handle(&text.parse().unwrap());
    assert_eq!(refusal(opened, "it is no regular file"), ErrorKind::NotARegion);
}

#[test]
fn the_layout_is_checked_too() {
    let region = Shared::anonymous(AtomicU64::new(1)).unwrap();
    let handle = region.handle();
    assert_eq!(refusal(Shared::<[AtomicU64; 2]>::from_handle(&handle), "payload size"), ErrorKind::LayoutMismatch);
    let stamped = Shared::<AtomicU64>::options().stamp(1);
    assert_eq!(refusal(stamped.from_handle(&handle), "layout stamp"), ErrorKind::LayoutMismatch);
}

#[test]
fn a_handle_of_another_file_is_not_found() {
    let (one, two) = (Shared::anonymous(AtomicU64::new(1)).unwrap(), Shared::anonymous(AtomicU64::new(2)).unwrap());
    let (one, two) = (one.handle().to_string(), two.handle().to_string());
    let tail = |text: &str| text[text.find(":dev").unwrap()..].to_owned();
    let mixed = one.replace(&tail(&one), &tail(&two));
    assert_eq!(refusal(Shared::<AtomicU64>::from_handle(&mixed.parse().unwrap()), &mixed), ErrorKind::NotFound);
}

#[test]
fn other_texts_are_no_handles() {
    for bad in [
        "",
        "shmsync",
        "shmsync:fd=3",
        "shmsync:fd=:dev=1:ino=2",
        "shmsync:fd=-1:dev=1:ino=2",
        "shmsync:fd=+3:dev=1:ino=2",
        "shmsync:fd=03:dev=1:ino=2",
        "shmsync:fd=3:dev=1:ino=2 ",
        " shmsync:fd=3:dev=1:ino=2",
        "shmsync:fd=3:dev=1:ino=99999999999999999999999",
        "shmsync:fd=9999999999:dev=1:ino=2",
        "shmsync:ino=2:fd=3:dev=1",
    ] {
        let error = bad.parse::<Handle>().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidName, "{bad:?}");
        assert!(error.to_string().contains(&format!("{bad:?}")), "{error}");
    }
    "shmsync:fd=0:dev=0:ino=0".parse::<Handle>().unwrap();
}
