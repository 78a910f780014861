//! Programs that are given regions.

mod process_support;

use std::io::{self, Read, Write};
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};

use process_support::{LIMIT, joined, program};
use shmsync::process::{Command, inherited};
use shmsync::{ErrorKind, Handle, Shared};
use shmsync_harness::process::watchdog;

fn add(handle: &Handle) {
    Shared::<AtomicU64>::from_handle(handle).unwrap().fetch_add(1, Ordering::Relaxed);
}

#[test]
#[ignore = "the part of a child"]
fn child_that_inherits_two_and_starts_a_child() {
    for name in ["jobs", "second one, ä"] {
        add(&inherited(name).unwrap());
    }
    for absent in ["", "third", "a=b", "a\0b", "jobs "] {
        assert_eq!(inherited(absent).unwrap_err().kind(), ErrorKind::NotFound, "{absent:?}");
    }
    let child = program("child_that_inherits").spawn().unwrap();
    assert!(child.join(None).unwrap().unwrap().success());
}

#[test]
#[ignore = "the part of a child"]
fn child_that_inherits() {
    add(&inherited("jobs").unwrap());
}

#[test]
#[ignore = "the part of a child"]
fn child_by_argument() {
    add(&std::env::args().next_back().unwrap().parse().unwrap());
}

#[test]
#[ignore = "the part of a child"]
fn child_that_is_told_but_not_given() {
    let handle = inherited("jobs").unwrap();
    assert_eq!(Shared::<AtomicU64>::from_handle(&handle).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn programs_are_given_regions() {
    let _watchdog = watchdog(LIMIT, "programs that are given regions");
    let (one, two) = (Shared::anonymous(AtomicU64::new(0)).unwrap(), Shared::anonymous(AtomicU64::new(0)).unwrap());
    let mut command = program("child_that_inherits_two_and_starts_a_child");
    // The handles are gone before the start, and the second of a name counts.
    command.region("jobs", &two.handle()).region("jobs", &one.handle()).region("second one, ä", &two.handle());
    for round in 1..=2 {
        assert!(joined(&command.spawn().unwrap()).success());
        assert_eq!((one.load(Ordering::Relaxed), two.load(Ordering::Relaxed)), (2 * round, round));
    }
    let mut command = program("child_by_argument");
    command.region_arg(&one.handle());
    assert!(joined(&command.spawn().unwrap()).success());
    assert_eq!(one.load(Ordering::Relaxed), 5);
    // And the command keeps the region in being.
    drop(one);
    assert!(joined(&command.spawn().unwrap()).success());
}

#[test]
fn other_programs_do_not_inherit_what_a_command_keeps() {
    let _watchdog = watchdog(LIMIT, "a program that is given nothing");
    let region = Shared::anonymous(AtomicU64::new(0)).unwrap();
    let text = region.handle().to_string();
    let mut command = program("child_that_inherits");
    command.region("jobs", &region.handle());
    let mut other = program("child_that_is_told_but_not_given");
    other.env("SHMSYNC_REGION_jobs", &text);
    assert!(joined(&command.spawn().unwrap()).success());
    assert!(joined(&other.spawn().unwrap()).success());
}

#[test]
fn names_that_cannot_stand_in_the_environment_are_refused() {
    let region = Shared::anonymous(AtomicU64::new(0)).unwrap();
    for name in ["", "a=b", "a\0b"] {
        let error = program("none").region(name, &region.handle()).spawn().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{name:?}");
        assert!(error.to_string().contains(&format!("{name:?}")), "{error}");
    }
}

#[test]
fn what_is_no_handle_in_the_environment_is_an_invalid_name() {
    let child = program("child_that_was_told_nonsense").env("SHMSYNC_REGION_jobs", "nonsense").spawn().unwrap();
    assert!(joined(&child).success());
}

#[test]
#[ignore = "the part of a child"]
fn child_that_was_told_nonsense() {
    assert_eq!(inherited("jobs").unwrap_err().kind(), ErrorKind::InvalidName);
}

/// Which the program's descriptors are to be of, and which this one has from its own parent.
#[test]
fn a_parsed_handle_is_passed_on() {
    let _watchdog = watchdog(LIMIT, "a region passed on");
    let region = Shared::anonymous(AtomicU64::new(0)).unwrap();
    let handle = region.handle();
    let parsed: Handle = handle.to_string().parse().unwrap();
    let mut worker = program("child_by_argument");
    let child = worker.region_arg(&parsed).spawn().unwrap();
    assert!(joined(&child).success());
    assert_eq!(region.load(Ordering::Relaxed), 1);
}

#[test]
fn pipes_and_std_commands_work_as_they_do() {
    let _watchdog = watchdog(LIMIT, "cat");
    let mut cat = Command::from(std::process::Command::new("cat"));
    let mut child = cat.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"meow").unwrap();
    let mut said = String::new();
    child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(said, "meow");
    assert!(joined(&child).success() && child.stderr.is_none());
    let error = Command::new("/no/such/program").spawn().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);

    let mut shell = Command::new("sh");
    shell.arg("-c").arg(r#"echo "$PWD, $0, $GREETING"; echo complaint >&2"#).arg("a name").current_dir("/");
    shell.as_std_mut().env_clear().env("GREETING", "hello");
    let mut child = shell.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    assert!(joined(&child).success());
    let (mut said, mut complained) = (String::new(), String::new());
    child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    child.stderr.take().unwrap().read_to_string(&mut complained).unwrap();
    assert_eq!((&*said, &*complained), ("/, a name, hello\n", "complaint\n"));
}
