//! `shmsync doctor`: a verdict on this machine, and honest ones where something is missing.
#![cfg(target_os = "linux")]
#![allow(missing_docs)]

mod support;

use serde_json::Value;
use shmsync_harness::process::watchdog;
use support::*;

fn verdicts(json: &str) -> Vec<(String, String)> {
    let all: Value = serde_json::from_str(json).expect("JSON");
    let text = |finding: &Value, key: &str| finding[key].as_str().expect("a text").to_owned();
    let findings = all["findings"].as_array().expect("findings").iter();
    findings.map(|finding| (text(finding, "what"), text(finding, "verdict"))).collect()
}

#[test]
fn what_the_other_tests_rely_on_works() {
    let _watchdog = watchdog(LIMIT, "the doctor");
    let all = verdicts(&succeeds(&["doctor", "--json"]));
    for essential in ["shared futex", "deaths", "memfd seals"] {
        assert!(all.contains(&(essential.to_owned(), String::from("works"))), "{essential}: {all:?}");
    }
    let text = succeeds(&["doctor"]);
    assert!(text.contains("a sleeping process woken") && text.contains("/dev/shm") && !text.contains('\x1b'), "{text}");
}

/// In a PID namespace of its own, with a /proc that is not its own: what is limited then is told.
#[test]
fn a_foreign_proc_is_told() {
    let _watchdog = watchdog(LIMIT, "the doctor in a namespace");
    let unshared = |doctor: &[&str]| {
        let unshare = ["--user", "--map-root-user", "--pid", "--fork", env!("CARGO_BIN_EXE_shmsync")];
        std::process::Command::new("unshare").args(unshare).args(doctor).output()
    };
    match unshared(&["--version"]) {
        Ok(done) if done.status.success() => {}
        other => return eprintln!("skipped: no namespaces to be had: {other:?}"),
    }
    let done = unshared(&["doctor", "--json"]).unwrap();
    let all = verdicts(&String::from_utf8_lossy(&done.stdout));
    let verdict = |what: &str| all.iter().find(|(name, _)| name == what).map(|(_, verdict)| verdict.as_str());
    assert_eq!((verdict("/proc"), verdict("shared futex")), (Some("limited"), Some("works")), "{all:?}");
}
