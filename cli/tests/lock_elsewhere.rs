//! `shmsync lock` where something is other than usual: blocked signals, another PID namespace, no /proc.
#![cfg(target_os = "linux")]
#![allow(missing_docs)]

mod support;

use nix::sys::signal::{SigSet, Signal as Blocked};
use rustix::process::Signal;
use shmsync_harness::process::watchdog;
use support::*;

/// Whoever started the tool had SIGCHLD blocked, and has it so for the command.
#[test]
fn blocked_signals_are_no_trouble() {
    let _watchdog = watchdog(LIMIT, "blocked signals");
    let name = Name::new("blocked");
    let mut blocked = SigSet::empty();
    blocked.add(Blocked::SIGCHLD);
    blocked.thread_block().unwrap();
    let mut tool = Running::start(&["lock", &name, "--", "grep", "SigBlk", "/proc/self/status"]);
    blocked.thread_unblock().unwrap();
    let mask = tool.line();
    assert_eq!(tool.end().code(), Some(0));
    let mask = u64::from_str_radix(mask.rsplit('\t').next().unwrap(), 16).unwrap();
    assert_eq!(
        mask,
        1 << (Blocked::SIGCHLD as u32 - 1),
        "the command has the mask that it would have without the tool"
    );
}

/// From a terminal the command gets them as well; from a process only who is meant.
#[test]
fn an_interrupt_that_a_process_sent_is_passed_on() {
    let _watchdog = watchdog(LIMIT, "an interrupt");
    for (signal, code) in [(Signal::INT, 130), (Signal::QUIT, 131)] {
        let name = Name::new("interrupt");
        let (mut tool, command, _lock) = held(&name);
        tool.signal(signal);
        assert_eq!(tool.end().code(), Some(code));
        assert!(!command.runs());
    }
}

/// There nobody can prove that the command is dead. The tool that waited for it could, and has.
#[test]
fn a_killed_command_is_taken_over_from_another_pid_namespace() {
    let _watchdog = watchdog(LIMIT, "another PID namespace");
    let name = Name::new("namespaces");
    if !has_pid_namespaces() {
        return skip("no PID namespace to be had");
    }
    let (mut tool, command, lock) = held(&name);
    let elsewhere = || in_other_pids(&["lock", &name, "-n", "--", "true"]).output().unwrap();
    assert_eq!(elsewhere().status.code(), Some(124));
    command.signal(Signal::KILL);
    assert_eq!(tool.end().code(), Some(137));
    let done = elsewhere();
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    assert!(!lock.is_locked());
}

/// Nothing was taken over, and nothing is in order either.
#[test]
fn recovering_where_nothing_can_be_proven_is_no_success() {
    let _watchdog = watchdog(LIMIT, "recovering elsewhere");
    let name = Name::new("recovering");
    if !has_pid_namespaces() {
        return skip("no PID namespace to be had");
    }
    let (_tool, _command, _lock) = held(&name);
    succeeds(&["recover", &name]);
    let done = in_other_pids(&["recover", &name]).output().unwrap();
    let text = String::from_utf8_lossy(&done.stdout);
    assert_eq!(done.status.code(), Some(1), "{done:?}");
    assert!(text.contains("1 held by one of whom nobody here can tell whether it lives"), "{text}");
}

/// Without /proc a thread does not know when it started, so nobody could tell that it has died.
#[test]
fn without_proc_no_lock_is_taken_that_nobody_could_take_over() {
    let _watchdog = watchdog(LIMIT, "no /proc");
    let name = Name::new("no-proc");
    let script = "mount -t tmpfs none /proc || exit 99; \"$@\"";
    let mut command = std::process::Command::new("unshare");
    command.args(["--mount", "--user", "--map-root-user", "sh", "-c", script, "sh", env!("CARGO_BIN_EXE_shmsync")]);
    let done = match command.args(["lock", &name, "--no-fork", "--", "true"]).output() {
        Ok(done) if done.status.code() != Some(99) => done,
        other => return skip(&format!("/proc cannot be hidden: {other:?}")),
    };
    let why = String::from_utf8_lossy(&done.stderr);
    assert_eq!(done.status.code(), Some(125), "{done:?}");
    assert!(why.contains("/proc") && why.contains("nobody could tell"), "{why}");
    assert!(!name.path().exists() || !open(&name).is_locked());
}
