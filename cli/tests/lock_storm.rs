//! Commands under `shmsync lock`, of which some are killed, and their tools, at random moments. A lock of another make, the
//! kernel's, watches that never two run at once.
#![cfg(target_os = "linux")]
#![allow(missing_docs)]

mod support;

use rustix::process::{Pid, Signal, kill_process};
use shmsync::{Lock, Shared};
use shmsync_harness::process::watchdog;
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};
use support::*;

/// Ends with 99 if the witness is locked, and it so runs beside another. It is one process all the time. It has some patience
/// with the witness, for the kernel takes that from who is killed a moment after he counts as dead; for less time than a
/// command takes.
fn command(witness: &str, seconds: &str) -> Vec<String> {
    let rest = format!("echo $$; exec sleep {seconds}");
    ["flock", "--no-fork", "-w", "0.02", "-E", "99", witness, "sh", "-c", &rest].map(String::from).to_vec()
}

#[test]
fn never_two_at_once_whoever_is_killed() {
    let _watchdog = watchdog(LIMIT, "a storm of locks");
    let (name, directory) = (Name::new("storm"), Directory::new("storm"));
    let witness = directory.join("witness");
    let command = command(witness.to_str().unwrap(), "0.05");
    let arguments: Vec<_> = ["lock", &name, "--"].into_iter().chain(command.iter().map(String::as_str)).collect();
    let (began, kills, ran) = (Instant::now(), AtomicU32::new(0), AtomicU32::new(0));
    std::thread::scope(|scope| {
        for worker in 0..5_u64 {
            let (arguments, kills, ran) = (&arguments, &kills, &ran);
            scope.spawn(move || {
                let mut dice = worker.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                while began.elapsed() < Duration::from_secs(4) {
                    let child = tool(arguments).stdout(Stdio::piped()).spawn().unwrap();
                    dice ^= dice << 13;
                    dice ^= dice >> 7;
                    dice ^= dice << 17;
                    // Of three tools one is killed, of another the command or who waits to become it.
                    let (whom, after) = (dice % 3, Duration::from_micros(dice >> 20 & 0xffff));
                    std::thread::sleep(after);
                    let of_tool = Pid::from_child(&child);
                    let worker =
                        std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", of_tool.as_raw_nonzero()));
                    let worker = worker.ok().and_then(|id| Pid::from_raw(id.trim().parse().ok()?));
                    if let Some(victim) = [Some(of_tool), worker, None][whom as usize] {
                        // Its parent has not waited for it, or if the tool has, then the id is not given again so soon.
                        kills.fetch_add(u32::from(kill_process(victim, Signal::KILL).is_ok()), Relaxed);
                    }
                    // Until the command ends as well, which may outlive the tool.
                    let done = child.wait_with_output().unwrap();
                    assert_ne!(done.status.code(), Some(99), "two ran at once");
                    ran.fetch_add(u32::from(!done.stdout.is_empty()), Relaxed);
                }
            });
        }
    });
    let (kills, ran) = (kills.into_inner(), ran.into_inner());
    assert!(kills > 20 && ran > 20, "{kills} kills and {ran} commands prove little");
    assert!(run(&["lock", &name, "-w", "20", "--", "true"]).status.success());
    assert!(!Shared::<Lock>::open(&name.slashed()).unwrap().is_locked());
}

/// Without the lock the witness sees that they run beside each other.
#[test]
fn the_witness_does_not_sleep() {
    let directory = Directory::new("witness");
    let witness = directory.join("witness");
    let command = command(witness.to_str().unwrap(), "10");
    let start = || {
        let mut first = std::process::Command::new(&command[0]);
        first.args(&command[1..]);
        Running::of(first)
    };
    let mut first = start();
    first.line();
    assert_eq!(start().end().code(), Some(99));
}
