//! `shmsync lock` while somebody removes the lock, or its region, and others make another by its name.
#![cfg(target_os = "linux")]
#![allow(missing_docs)]

mod support;

use rustix::process::Signal;
use shmsync::{Lock, Region};
use shmsync_harness::process::watchdog;
use std::time::Duration;
use support::*;

/// Far longer than a worker needs to take a lock that is free and to become its command.
const MOMENT: Duration = Duration::from_millis(300);

/// Somebody removes the file while others wait. Who comes later makes another, and nobody runs beside him.
#[test]
fn a_lock_that_lost_its_name_is_none() {
    let _watchdog = watchdog(LIMIT, "a lost name");
    let name = Name::new("lost");
    let (_tool, command, _lock) = held(&name);
    let (mut old, _) = waiting(&name, STAY);
    std::fs::remove_file(name.path()).unwrap();
    let (_new_tool, new, lock) = held(&name);
    command.signal(Signal::KILL);
    std::thread::sleep(MOMENT);
    assert!(!old.has_ended());
    assert_eq!(lock.holder().unwrap().tid(), new.0);
    new.signal(Signal::KILL);
    let heir = old.command();
    assert_eq!(lock.holder().unwrap().tid(), heir.0);
}

/// The same of an object. The one who waited for the old lock neither runs beside the holder of the new one nor frees it.
#[test]
fn an_object_that_lost_its_name_is_none() {
    let _watchdog = watchdog(LIMIT, "a removed object");
    let name = Name::new("removed");
    let jobs = format!("{}:jobs", &*name);
    let region = Region::create(&name.slashed(), 1 << 16).unwrap();
    for (command, code) in [(&["true"][..], 0), (&["shmsync-no-such-command"], 127)] {
        let old = region.get_or_init::<Lock>("jobs").unwrap();
        old.acquire().unwrap();
        let (mut tool, _) = waiting_to_run(&jobs, command);
        region.remove("jobs").unwrap();
        let mut new_tool = Running::start(&["lock", &jobs, "--", "sh", "-c", STAY]);
        let holder = new_tool.command();
        let new = region.get::<Lock>("jobs").unwrap();
        old.release().unwrap();
        std::thread::sleep(MOMENT);
        assert!(!tool.has_ended(), "{command:?} was run beside another");
        assert_eq!(new.holder().map(|owner| owner.tid()), Some(holder.0), "{command:?}");
        assert!(!old.is_locked(), "it was let go");
        holder.signal(Signal::KILL);
        assert_eq!(tool.end().code(), Some(code));
        assert_eq!(new.try_acquire(), Ok(()));
        region.remove("jobs").unwrap();
    }
}

#[test]
fn what_was_removed_is_not_made_again() {
    let _watchdog = watchdog(LIMIT, "removed for good");
    let (name, many) = (Name::new("gone"), Name::new("gone-object"));
    let region = Region::create(&many.slashed(), 1 << 16).unwrap();
    let jobs = format!("{}:jobs", &*many);
    for (command, code) in [("trap 'exit 3' TERM; echo $$; while :; do sleep 0.01; done", 3), (STAY, 143)] {
        let mut alone = Running::start(&["lock", &name, "--", "sh", "-c", command]);
        let mut among = Running::start(&["lock", &jobs, "--", "sh", "-c", command]);
        let commands = [alone.command(), among.command()];
        std::fs::remove_file(name.path()).unwrap();
        region.remove("jobs").unwrap();
        commands.iter().for_each(|command| command.signal(Signal::TERM));
        assert_eq!((alone.end().code(), among.end().code()), (Some(code), Some(code)));
        assert!(!name.path().exists() && !region.contains("jobs"), "{command}");
    }
}
