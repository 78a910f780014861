//! `shmsync storm` as a user meets it: a verdict, figures, and answers to wrong input.
#![cfg(target_os = "linux")]
#![allow(missing_docs)]

use serde_json::Value;
use std::process::{Command, Output};

fn storm(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_shmsync")).arg("storm").args(args).output().expect("the tool runs")
}

#[test]
fn a_short_storm_ends_well_and_tells_its_figures() {
    let json = std::env::temp_dir().join(format!("shmsync-storm-{}.json", std::process::id()));
    let done = storm(&["--seconds", "1", "--seed", "7", "--json", json.to_str().expect("a plain path")]);
    let text = String::from_utf8_lossy(&done.stdout);
    assert_eq!(done.status.code(), Some(0), "{text}{}", String::from_utf8_lossy(&done.stderr));
    assert!(text.contains("seed 7") && text.contains("violations  0"), "{text}");
    let figures: Value = serde_json::from_str(&std::fs::read_to_string(&json).expect("a file")).expect("JSON");
    std::fs::remove_file(&json).expect("the file");
    assert!(figures["kills"].as_u64() > Some(0) && figures["stations"].as_array().is_some_and(|all| all.len() > 20));
}

#[test]
#[cfg(target_arch = "x86_64")]
fn a_sweep_of_one_verb_covers_every_step() {
    let done = storm(&["--sweep", "--filter", "Event::clear (Futex)"]);
    let text = String::from_utf8_lossy(&done.stdout);
    assert_eq!(done.status.code(), Some(0), "{text}");
    assert!(text.contains("0 missed"), "{text}");
}

#[test]
fn wrong_options_are_refused() {
    for args in [
        &["--workers", "1"][..],
        &["--workers", "100"],
        &["--peer", "nobody"],
        &["--json", "/nowhere/file"],
        &["--sweep", "--filter", "nothing"],
    ] {
        assert_eq!(storm(args).status.code(), Some(2), "{args:?}");
    }
}
