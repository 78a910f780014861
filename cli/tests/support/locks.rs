//! Commands under `shmsync lock`, as several tests start them.

use super::*;
use shmsync::Lock;

/// Says who it is, and stays until it is killed.
pub const STAY: &str = "echo $$; exec sleep 1000";

pub fn open(name: &Name) -> Shared<Lock> {
    eventually("made", || Shared::<Lock>::open(&name.slashed()).ok())
}

/// A tool whose command holds the lock, that command, and the lock.
pub fn held(name: &Name) -> (Running, Victim, Shared<Lock>) {
    let mut tool = Running::start(&["lock", name, "--", "sh", "-c", STAY]);
    let command = tool.command();
    (tool, command, open(name))
}

/// A tool that waits for a lock that is held, to run a shell's command.
pub fn waiting(name: &str, command: &str) -> (Running, u32) {
    waiting_to_run(name, &["sh", "-c", command])
}

/// The same, to run any command. And the process that would become it.
pub fn waiting_to_run(name: &str, command: &[&str]) -> (Running, u32) {
    let tool = Running::start(&[&["lock", name, "--"], command].concat());
    let children = format!("/proc/{0}/task/{0}/children", tool.id());
    let worker = eventually("waiting", || {
        let worker = std::fs::read_to_string(&children).ok()?.trim().parse().ok()?;
        let asleep = std::fs::read_to_string(format!("/proc/{worker}/wchan")).is_ok_and(|at| at.contains("futex"));
        asleep.then_some(worker)
    });
    (tool, worker)
}
