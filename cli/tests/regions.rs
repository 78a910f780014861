//! `shmsync ls`, `rm` and `gc`: what is there, who uses it, and that nothing is removed that anybody uses.
#![cfg(target_os = "linux")]
#![allow(missing_docs)]

mod support;

use rustix::process::Signal;
use serde_json::Value;
use shmsync::{Lock, NamedSemaphore, Region, Shared};
use shmsync_harness::process::{Child, watchdog};
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use support::*;

fn json(args: &[&str]) -> Value {
    serde_json::from_str(&succeeds(args)).expect("JSON")
}

/// What `ls --json` says of one region; null if it does not list it.
fn listed(name: &Name, options: &[&str]) -> Value {
    let all = json(&[&["ls", "--json"], options].concat());
    let mut regions = all["regions"].as_array().expect("a list").iter();
    regions.find(|region| region["name"] == *name.slashed()).cloned().unwrap_or(Value::Null)
}

fn ids(of: &Value) -> Vec<u64> {
    of.as_array().expect("a list").iter().map(|process| process["id"].as_u64().expect("a number")).collect()
}

/// A child that has the region open until it is killed.
fn user(name: &Name) -> Child {
    holding(|| std::mem::forget(Region::open(&name.slashed()).unwrap()))
}

#[test]
fn regions_are_listed_with_what_they_are() {
    let _watchdog = watchdog(LIMIT, "listing");
    let (many, one, sem, text) = (Name::new("many"), Name::new("one"), Name::new("sem"), Name::new("text"));
    let _many = Region::create(&many.slashed(), 1 << 20).unwrap();
    let _one = Shared::options().mode(0o640).create(&one.slashed(), Lock::new()).unwrap();
    let _sem = NamedSemaphore::create(&sem.slashed(), 1).unwrap();
    std::fs::write(text.path(), "no region").unwrap();

    let found = listed(&many, &[]);
    assert_eq!((&found["kind"], &found["stale"], &found["mapped"]), (&"Region".into(), &false.into(), &true.into()));
    assert!(found["size"].as_u64() > Some(1 << 20));
    assert!(ids(&found["processes"]).contains(&std::process::id().into()), "{found}");
    let found = listed(&one, &[]);
    assert_eq!((&found["kind"], &found["mode"]), (&"Lock".into(), &"0640".into()));
    assert_eq!(listed(&sem, &[])["kind"], "NamedSemaphore");
    assert_eq!(listed(&text, &[]), Value::Null);
    assert_eq!(listed(&many, &["--stale"]), Value::Null);

    let table = succeeds(&["ls"]);
    let line = table.lines().find(|line| line.starts_with(&one.slashed())).expect("listed");
    assert!(line.contains("Lock") && line.contains("0640") && !line.contains("stale"), "{line}");
}

/// By a name that draws in the terminal of who lists it.
#[test]
fn names_are_harmless() {
    let name = Name::new("evil\x1b[31m\nname");
    let _region = Shared::create(&name.slashed(), Lock::new()).unwrap();
    let table = succeeds(&["ls"]);
    assert!(table.contains("evil\\u{1b}[31m\\nname") && !table.contains('\x1b'), "{table}");
}

#[test]
fn what_the_dead_leave_is_stale_and_only_that_goes() {
    let _watchdog = watchdog(LIMIT, "garbage");
    let (left, used) = (Name::new("left"), Name::new("used"));
    for name in [&left, &used] {
        drop(Region::create(&name.slashed(), 4096).unwrap());
    }
    let (mut dead, mut alive) = (user(&left), user(&used));
    assert_eq!(listed(&left, &["--stale"]), Value::Null);
    assert_eq!(ids(&listed(&left, &[])["processes"]), [u64::from(dead.pid())]);
    dead.kill();
    assert_eq!(listed(&left, &["--stale"])["stale"], true);
    assert_eq!(listed(&used, &["--stale"]), Value::Null);

    // Other tests' regions may be stale as well, so what it would do is looked at, and done to one alone.
    let plan = |options: &[&str]| {
        let plan = json(&[&["gc", "--dry-run", "--json"], options].concat());
        let names = |region: &Value| region["name"].as_str().expect("a name").to_owned();
        plan["stale"].as_array().unwrap().iter().map(names).collect::<Vec<_>>()
    };
    let names = plan(&[]);
    assert!(names.contains(&left.slashed()) && !names.contains(&used.slashed()), "{names:?}");
    assert!(!plan(&["--older-than", "1day"]).contains(&left.slashed()));
    assert!(left.path().exists(), "those were dry runs");
    let unasked = run(&["gc"]);
    assert_eq!(unasked.status.code(), Some(2), "nobody to ask: {unasked:?}");
    assert!(left.path().exists());

    let refused = run(&["rm", &left, &used]);
    assert_eq!(refused.status.code(), Some(1));
    let why = String::from_utf8_lossy(&refused.stderr);
    assert!(why.contains(&format!("{} not removed: it is used by {}", used.slashed(), alive.pid())), "{why}");
    assert!(!left.path().exists() && used.path().exists());
    alive.kill();
    succeeds(&["rm", &used]);
    assert!(!used.path().exists());
    assert_eq!(code(&["rm", &used]), 1, "there is none any more");
}

/// In a /dev/shm of its own, where nobody else's regions are.
#[test]
fn gc_removes_what_is_stale() {
    let _watchdog = watchdog(LIMIT, "collecting garbage");
    let script = "mount -t tmpfs none /dev/shm && \"$0\" lock a -- true && \"$0\" sem b -j 2 -- true && echo text > /dev/shm/c \
                  && \"$0\" lock d -- sh -c '\"$0\" gc --yes --json' \"$0\"; ls /dev/shm";
    let done = std::process::Command::new("unshare")
        .args(["--mount", "--user", "--map-root-user", "sh", "-c", script, env!("CARGO_BIN_EXE_shmsync")])
        .output();
    let done = match done {
        Ok(done) if !done.stdout.starts_with(b"{") => return eprintln!("skipped: no mounts to be had: {done:?}"),
        Err(error) => return eprintln!("skipped: {error}"),
        Ok(done) => String::from_utf8_lossy(&done.stdout).into_owned(),
    };
    let (report, left) = done.split_once("\n}\n").expect("a report and a list");
    let report: Value = serde_json::from_str(&format!("{report}\n}}")).unwrap();
    let of = |i: usize| (report["regions"][i]["name"].clone(), report["regions"][i]["removed"].clone());
    assert_eq!((of(0), of(1)), (("/a".into(), true.into()), ("/b".into(), true.into())), "{report}");
    assert_eq!(left, "c\nd\n", "the lock that is held, and what is no region");
}

/// The command under `shmsync lock` has mapped nothing, and its tool is dead. It holds the lock all the same.
#[test]
fn a_lock_that_somebody_holds_is_no_garbage() {
    let _watchdog = watchdog(LIMIT, "a held lock");
    let name = Name::new("held");
    let mut tool = Running::start(&["lock", &name, "--", "sh", "-c", "echo $$; exec sleep 1000"]);
    let command = tool.command();
    tool.kill();
    assert_eq!(listed(&name, &["--stale"]), Value::Null);
    assert_eq!(ids(&listed(&name, &[])["processes"]), [u64::from(command.0)], "it inherited the descriptor");
    assert_eq!(code(&["rm", &name]), 1);
    assert!(name.path().exists());
    drop(tool);

    // One that closed it, as daemons do, is known by the lock alone.
    let daemon = "exec 0<&- 3<&- 4<&- 5<&- 6<&- 7<&- 8<&- 9<&-; echo $$; exec sleep 1000";
    let name = Name::new("daemon");
    let mut tool = Running::start(&["lock", &name, "--no-fork", "--", "sh", "-c", daemon]);
    let command = tool.command();
    assert!(ids(&listed(&name, &[])["processes"]).is_empty(), "nothing of it is open");
    assert_eq!(listed(&name, &["--stale"]), Value::Null);
    let refused = run(&["rm", &name]);
    let why = String::from_utf8_lossy(&refused.stderr);
    assert!(why.contains(&format!("{} (sleep 1000", command.0)) && why.contains("holds something"), "{why}");
    command.signal(Signal::KILL);
    tool.end();
    assert_eq!(listed(&name, &["--stale"])["stale"], true);
    succeeds(&["rm", &name]);
}

#[test]
fn force_removes_what_is_used_and_what_is_no_region_never_goes() {
    let (used, text) = (Name::new("forced"), Name::new("no-region"));
    let region = Shared::create(&used.slashed(), Lock::new()).unwrap();
    assert_eq!(code(&["rm", &used]), 1);
    succeeds(&["rm", "--force", &used]);
    assert!(!used.path().exists());
    region.acquire().unwrap();

    std::fs::write(text.path(), "no region, though in /dev/shm").unwrap();
    assert_eq!((code(&["rm", &text]), code(&["rm", "--force", &text])), (1, 1));
    assert!(text.path().exists());
    let directory = Directory::new("rm");
    let file = directory.join("region");
    drop(Shared::create_file(&file, Lock::new()).unwrap());
    assert_eq!((code(&["rm", file.to_str().unwrap()]), file.exists()), (1, true), "a file of one's own");
}

/// A stranger could cut his region off while root's tool looks into it: so `ls` and `gc` do not.
#[test]
fn what_is_in_a_strangers_region_is_not_looked_at() {
    let _watchdog = watchdog(LIMIT, "a stranger's region");
    let name = Name::new("strangers");
    drop(Shared::create(&name.slashed(), Lock::new()).unwrap());
    let is_stale = || listed(&name, &[])["stale"].clone();
    // As soon as no child has it that another test forked meanwhile.
    eventually("it is stale", || (is_stale() == true).then_some(()));
    if let Err(error) = std::os::unix::fs::chown(name.path(), Some(65534), None) {
        return skip(&format!("cannot give a file to another user: {error}"));
    }
    assert_eq!(is_stale(), false);
    let kept = run(&["rm", &name]);
    assert_eq!(kept.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&kept.stderr).contains("--force"), "{kept:?}");
    assert!(name.path().exists());
    assert_eq!(code(&["rm", "--force", &name]), 0);
    assert!(!name.path().exists());
}

/// As another user, for whom most of /proc is closed.
#[test]
fn what_may_be_missing_is_said() {
    let _watchdog = watchdog(LIMIT, "listing as nobody");
    let name = Name::new("open-to-all");
    let _region = Shared::options().mode(0o666).create(&name.slashed(), Lock::new()).unwrap();
    let closed = Name::new("closed");
    let _closed = Shared::create(&closed.slashed(), Lock::new()).unwrap();
    // The build's own directory may be closed to others.
    let (directory, program) = (Directory::new("nobody"), env!("CARGO_BIN_EXE_shmsync"));
    let copy = directory.join("shmsync");
    std::fs::copy(program, &copy).unwrap();
    std::fs::set_permissions(&*directory, PermissionsExt::from_mode(0o755)).unwrap();
    let nobody = |args: &[&str]| {
        let user = ["--reuid=65534", "--regid=65534", "--clear-groups"];
        std::process::Command::new("setpriv").args(user).arg(&copy).args(args).stdin(Stdio::null()).output()
    };
    match nobody(&["--version"]) {
        Ok(done) if done.status.success() => {}
        other => return eprintln!("skipped: cannot become nobody: {other:?}"),
    }
    let done = nobody(&["ls", "--json"]).unwrap();
    let all: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert!(all["unreadable_files"].as_u64() >= Some(1) && all["hidden_processes"].as_u64() >= Some(1), "{all}");
    let regions = all["regions"].as_array().unwrap();
    let found = regions.iter().find(|region| region["name"] == *name.slashed()).expect("readable");
    assert_eq!((&found["mapped"], &found["stale"]), (&true.into(), &false.into()), "the kernel tells all the same");
    let text = String::from_utf8_lossy(&nobody(&["ls"]).unwrap().stdout).into_owned();
    assert!(text.contains("used by processes that are not shown") && text.contains("for want of permission"), "{text}");
    assert!(name.path().exists());
    assert_eq!(nobody(&["rm", &name]).unwrap().status.code(), Some(1));
}
