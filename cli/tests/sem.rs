//! `shmsync sem`: so many at a time and no more, and permits that come back.
#![cfg(target_os = "linux")]
#![allow(missing_docs)]

mod support;

use rustix::process::Signal;
use shmsync::{PermitPool, Shared};
use shmsync_harness::process::watchdog;
use support::*;

const STAY: &str = "echo $$; exec sleep 1000";

fn held(name: &Name) -> (Running, Victim) {
    let mut tool = Running::start(&["sem", name, "-j", "2", "--", "sh", "-c", STAY]);
    let command = tool.command();
    (tool, command)
}

#[test]
fn no_more_than_n_at_a_time() {
    let _watchdog = watchdog(LIMIT, "no more than N");
    let (name, directory) = (Name::new("sem-most"), Directory::new("sem-most"));
    let path = directory.to_str().unwrap();
    let step = "echo > \"$0/$$\"; ls \"$0\" | wc -l; sleep 0.01; rm \"$0/$$\"";
    let sem = ["sem", &name, "-j", "3", "--", "sh", "-c", step, path];
    let mut all: Vec<_> = (0..24).map(|_| Running::start(&sem)).collect();
    let beside: Vec<u32> = all.iter_mut().map(|tool| tool.line().parse().unwrap()).collect();
    assert!(beside.iter().all(|n| (1..=3).contains(n)), "{beside:?}");
    all.iter_mut().for_each(|tool| assert!(tool.end().success()));
    let pool = Shared::<PermitPool<3>>::open(&name.slashed()).unwrap();
    assert_eq!(pool.available(), 3);
}

#[test]
fn permits_belong_to_commands_and_come_back() {
    let _watchdog = watchdog(LIMIT, "permits coming back");
    let name = Name::new("sem-back");
    let ((mut first_tool, first), (mut second_tool, second)) = (held(&name), held(&name));
    let pool = Shared::<PermitPool<2>>::open(&name.slashed()).unwrap();
    let mut holders: Vec<_> = pool.holders().map(|(_, owner)| owner.tid()).collect();
    holders.sort_unstable();
    let mut commands = [first.0, second.0];
    commands.sort_unstable();
    assert_eq!(holders, commands);
    assert_eq!(code(&["sem", &name, "-j", "2", "-n", "--", "true"]), 124);

    // The command is killed: its tool gives the permit back.
    first.signal(Signal::KILL);
    assert_eq!(first_tool.end().code(), Some(137));
    assert_eq!(pool.available(), 1);
    let (_third_tool, third) = held(&name);

    // The tool is killed: the command keeps it, and when that is killed, too, it comes back all the same.
    second_tool.kill();
    assert!(second.runs());
    assert_eq!(code(&["sem", &name, "-j", "2", "-w", "0.2", "--", "true"]), 124);
    let mut next = Running::start(&["sem", &name, "-j", "2", "--verbose", "--", "sh", "-c", "echo $$"]);
    second.signal(Signal::KILL);
    next.line();
    assert!(next.end().success());
    assert!(third.runs());
    assert_eq!(pool.available(), 1);
}

#[test]
fn exit_codes_are_as_documented() {
    let _watchdog = watchdog(LIMIT, "exit codes");
    let name = Name::new("sem-codes");
    let sem = |rest: &[&str]| code(&[&["sem", &name][..], rest].concat());
    assert_eq!(sem(&["-j", "2", "--", "sh", "-c", "exit 9"]), 9);
    assert_eq!(sem(&["-j", "2", "--", "shmsync-no-such-command"]), 127);
    assert_eq!(sem(&["-j", "2", "-F", "--", "sh", "-c", "exit 9"]), 9);
    assert_eq!(sem(&["-j", "3", "--", "true"]), 125, "another N");
    for wrong in ["0", "65", "300", "-1", "many"] {
        assert_eq!(sem(&["-j", wrong, "--", "true"]), 2, "{wrong}");
    }
    assert_eq!(code(&["sem", &Name::new("sem-256"), "-j", "256", "--", "true"]), 0);
}
