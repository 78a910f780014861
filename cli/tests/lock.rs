//! `shmsync lock`: exclusion, exit codes, and what is left when the command, the tool or both are killed.
#![cfg(target_os = "linux")]
#![allow(missing_docs)]

mod support;

use rustix::process::Signal;
use shmsync::{AcquireError, Lock, Region, Semaphore, Shared};
use shmsync_harness::process::watchdog;
use std::os::unix::fs::PermissionsExt;
use support::*;

#[test]
fn exit_codes_are_as_documented() {
    let _watchdog = watchdog(LIMIT, "exit codes");
    let name = Name::new("codes");
    for (command, expected) in [
        (&["true"][..], 0),
        (&["sh", "-c", "exit 7"], 7),
        (&["sh", "-c", "kill -9 $$"], 137),
        (&["sh", "-c", "kill -15 $$"], 143),
        (&["/dev/null"], 126),
        (&["shmsync-no-such-command"], 127),
    ] {
        for fork in [&[][..], &["--no-fork"]] {
            if expected > 128 && !fork.is_empty() {
                continue; // Then it is the test's shell that has to say 128 + N.
            }
            let all = [&["lock", &name][..], fork, &["--"], command].concat();
            assert_eq!(code(&all), expected, "{all:?}");
        }
    }
    for wrong in [&["lock", &name][..], &["lock", "--", "true"], &["lock", &name, "-w", "-1", "--", "true"]] {
        assert_eq!(code(wrong), 2, "{wrong:?}");
    }
    let other = Name::new("other");
    let _region = Shared::create(&other.slashed(), [const { Lock::new() }; 2]).unwrap();
    let done = run(&["lock", &other, "--", "true"]);
    assert_eq!(done.status.code(), Some(125));
    assert!(String::from_utf8_lossy(&done.stderr).contains("payload size is 16, expected 8"), "{done:?}");
    // As large as a lock, and something else.
    let other = Name::new("semaphore");
    let sem = Shared::create(&other.slashed(), Semaphore::new(4)).unwrap();
    let done = run(&["lock", &other, "--", "true"]);
    assert_eq!((done.status.code(), sem.value()), (Some(125), 4));
    assert!(String::from_utf8_lossy(&done.stderr).contains("holds Semaphore, not Lock"), "{done:?}");
}

#[test]
fn who_does_not_wait_is_told_by_an_exit_code() {
    let _watchdog = watchdog(LIMIT, "not waiting");
    let name = Name::new("conflict");
    let (_tool, _command, _lock) = held(&name);
    for (options, expected) in
        [(&["-n"][..], 124), (&["--timeout", "0.05"], 124), (&["-w", "0"], 124), (&["-n", "-E", "75"], 75)]
    {
        let all = [&["lock", &name][..], options, &["--", "true"]].concat();
        assert_eq!(code(&all), expected, "{all:?}");
    }
}

#[test]
fn one_command_at_a_time() {
    let _watchdog = watchdog(LIMIT, "one at a time");
    let (name, directory) = (Name::new("exclusion"), Directory::new("exclusion"));
    let count = directory.join("count");
    std::fs::write(&count, "0\n").unwrap();
    let step = "read n < \"$0\"; sleep 0.002; echo $((n + 1)) > \"$0\"";
    let lock = ["lock", &name, "--", "sh", "-c", step, count.to_str().unwrap()];
    let mut all: Vec<_> = (0..40).map(|_| Running::start(&lock)).collect();
    all.iter_mut().for_each(|tool| assert!(tool.end().success()));
    assert_eq!(std::fs::read_to_string(&count).unwrap(), "40\n");
}

#[test]
fn the_command_is_the_holder_and_gives_it_back() {
    let _watchdog = watchdog(LIMIT, "giving back");
    let name = Name::new("holder");
    let mut tool = Running::start(&["lock", &name, "--", "sh", "-c", "echo $$; sleep 0.2; exit 3"]);
    let command = tool.command();
    let lock = open(&name);
    assert_eq!(lock.holder().unwrap().tid(), command.0);
    assert_eq!(tool.end().code(), Some(3));
    assert_eq!(lock.try_acquire(), Ok(()), "it ended of itself: nobody is told of a death");
    lock.release().unwrap();

    let mut tool = Running::start(&["lock", &name, "--no-fork", "--", "sh", "-c", STAY]);
    let command = tool.command();
    assert_eq!((command.0, lock.holder().unwrap().tid()), (tool.id(), tool.id()));
}

#[test]
fn a_killed_command_is_told_of_and_taken_over() {
    let _watchdog = watchdog(LIMIT, "taking over");
    let name = Name::new("command-killed");
    let (mut tool, command, lock) = held(&name);
    let (mut next, _) = waiting(&name, STAY);
    command.signal(Signal::KILL);
    assert_eq!(tool.end().code(), Some(137));
    let heir = next.command();
    assert_eq!(lock.holder().unwrap().tid(), heir.0);

    heir.signal(Signal::KILL);
    next.end();
    assert!(matches!(lock.try_acquire(), Err(AcquireError::OwnerDied(owner)) if owner.tid() == heir.0));
    let told = run(&["lock", &name, "-n", "--verbose", "--", "true"]);
    assert!(told.status.success());
    assert!(String::from_utf8_lossy(&told.stderr).contains(&format!("taken over from tid {}", heir.0)), "{told:?}");
    assert!(!lock.is_locked());
}

#[test]
fn without_the_tool_the_command_still_holds_it() {
    let _watchdog = watchdog(LIMIT, "the tool's death");
    let name = Name::new("tool-killed");
    let (mut tool, command, lock) = held(&name);
    tool.kill();
    assert!(command.runs());
    assert_eq!(lock.holder().unwrap().tid(), command.0);
    assert_eq!(code(&["lock", &name, "-w", "0.2", "--", "true"]), 124);
    let (mut next, _) = waiting(&name, "echo $$");
    command.signal(Signal::KILL);
    next.line();
    assert!(next.end().success());
    assert!(!lock.is_locked());
}

#[test]
fn a_waiting_tool_takes_its_worker_along() {
    let _watchdog = watchdog(LIMIT, "a waiting tool's death");
    let name = Name::new("waiting-killed");
    let (_tool, command, lock) = held(&name);
    let (mut next, worker) = waiting(&name, STAY);
    next.kill();
    eventually("gone", || (!Victim(worker).runs()).then_some(()));
    command.signal(Signal::KILL);
    assert!(run(&["lock", &name, "--", "true"]).status.success());
    assert!(!lock.is_locked(), "no command of the killed tool has run");
}

#[test]
fn signals_are_passed_on_unless_they_are_ignored() {
    let _watchdog = watchdog(LIMIT, "signals");
    let name = Name::new("signals");
    let (mut tool, command, _lock) = held(&name);
    tool.signal(Signal::TERM);
    assert_eq!(tool.end().code(), Some(128 + 15));
    assert!(!command.runs());

    let trap = "trap 'echo caught; exit 5' USR1; echo $$; while :; do sleep 0.01; done";
    let mut tool = Running::start(&["lock", &name, "--", "sh", "-c", trap]);
    let _command = tool.command();
    tool.signal(Signal::USR1);
    assert_eq!((tool.line().as_str(), tool.end().code()), ("caught", Some(5)));

    let mut nohup = std::process::Command::new("nohup");
    nohup.arg(env!("CARGO_BIN_EXE_shmsync")).args(["lock", &name, "--", "grep", "SigIgn", "/proc/self/status"]);
    let ignored = Running::of(nohup).line();
    let mask = u64::from_str_radix(ignored.rsplit('\t').next().unwrap(), 16).unwrap();
    assert_eq!(mask & 1, 1, "SIGHUP is ignored by the command of a tool that ignores it: {ignored}");
}

#[test]
fn a_file_can_be_the_lock_and_the_mode_is_kept() {
    let _watchdog = watchdog(LIMIT, "a file");
    let directory = Directory::new("file");
    let path = directory.join("lock");
    let file = path.to_str().unwrap();
    succeeds(&["lock", file, "--mode", "640", "--", "true"]);
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o640);
    assert!(!Shared::<Lock>::open_file(&path).unwrap().is_locked());
    assert_eq!(code(&["lock", file, "--mode", "888", "--", "true"]), 2);
}

#[test]
fn an_object_of_a_region_can_be_the_lock() {
    let _watchdog = watchdog(LIMIT, "an object");
    let name = Name::new("object");
    let jobs = format!("{}:jobs", &*name);
    assert_eq!(code(&["lock", &jobs, "--", "true"]), 125, "nobody knows how large the region is to be");
    let region = Region::create(&name.slashed(), 4096).unwrap();
    let mut tool = Running::start(&["lock", &jobs, "--", "sh", "-c", "echo $$; sleep 0.2"]);
    let command = tool.command();
    let lock = region.get::<Lock>("jobs").unwrap();
    assert_eq!(lock.holder().unwrap().tid(), command.0);
    assert!(tool.end().success());
    assert_eq!(lock.try_acquire(), Ok(()));
    assert_eq!(code(&["lock", &jobs, "-n", "--", "true"]), 124);
    region.get_or_init::<Semaphore>("pool").unwrap();
    assert_eq!(code(&["lock", &format!("{}:pool", &*name), "--", "true"]), 125);
}

#[test]
fn another_users_lock_is_used_by_who_says_so() {
    let name = Name::new("foreign");
    let lock = Shared::create(&name.slashed(), Lock::new()).unwrap();
    if std::os::unix::fs::chown(name.path(), Some(65534), Some(65534)).is_err() {
        return skip("only root can give a file away");
    }
    assert_eq!(code(&["lock", &name, "--", "true"]), 125);
    assert_eq!(code(&["lock", &name, "--any-owner", "--", "true"]), 0);
    lock.acquire().unwrap();
    let seen = succeeds(&["inspect", &name]);
    assert!(seen.contains("held by tid"), "who only looks may look at all: {seen}");
}
