//! The example that users copy: two programs, in either order, and what each says when the other is gone.

mod shm_support;

use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use shm_support::{LIMIT, Name};
use shmsync_harness::process;

/// `cargo test` builds the examples beside the tests; `cargo test --test shm_ring` alone does not.
fn program() -> Option<PathBuf> {
    let program = std::env::current_exe().unwrap().parent()?.parent()?.join("examples/ring");
    if !program.exists() {
        eprintln!("skipped: {} is not built", program.display());
    }
    program.exists().then_some(program)
}

fn start(part: &str, name: &Name, more: &[&str]) -> Option<Child> {
    let mut command = Command::new(program()?);
    command.args([part, "--name", name]).args(more).stdout(Stdio::piped()).stderr(Stdio::piped());
    Some(command.spawn().unwrap())
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn every_message_arrives_whoever_comes_first() {
    let _watchdog = process::watchdog(LIMIT, "the ring");
    for (first, second) in [("produce", "consume"), ("consume", "produce")] {
        let name = Name::new("ring");
        let Some(first) = start(first, &name, &["--count", "20000"]) else { return };
        thread::sleep(Duration::from_millis(50));
        let second = start(second, &name, &["--count", "20000"]).unwrap();
        for end in [first, second] {
            let output = end.wait_with_output().unwrap();
            assert!(output.status.success() && text(&output).contains("20000 messages"), "{}", text(&output));
        }
        assert!(!name.path().exists());
    }
}

#[test]
fn who_is_left_alone_says_so() {
    let _watchdog = process::watchdog(LIMIT, "the ring, left alone");
    let name = Name::new("ring");
    for part in ["produce", "consume"] {
        let Some(alone) = start(part, &name, &["--timeout", "0"]) else { return };
        let output = alone.wait_with_output().unwrap();
        assert!(!output.status.success() && text(&output).contains("came within"), "{}", text(&output));
        assert!(!name.path().exists());
    }
    for (killed, left) in [("produce", "consume"), ("consume", "produce")] {
        let mut killed = start(killed, &name, &["--count", "1000000000"]).unwrap();
        while !name.path().exists() {
            thread::yield_now();
        }
        let left = start(left, &name, &["--count", "1000000000"]).unwrap();
        // When both are there, the name goes.
        while name.path().exists() {
            thread::yield_now();
        }
        killed.kill().unwrap(); // Not waited for: a zombie is dead as well.
        let output = left.wait_with_output().unwrap();
        assert!(!output.status.success() && text(&output).contains(") died"), "{}", text(&output));
        killed.wait().unwrap();
    }
}
