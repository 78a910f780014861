//! A process is killed at the instructions of each verb, and the others go on.
//!
//! Of all kill points a sample: each before and after which something outside the process differs, and some others; on
//! `Futex` all verbs, on the other backends those that they do differently. All of them, a quarter of an hour:
//! `SHMSYNC_SWEEP=all cargo test --release --test kill_points`, or `shmsync storm --sweep`.
#![cfg(all(target_os = "linux", target_arch = "x86_64", not(loom)))]
#![allow(missing_docs)]

use std::env;
use std::time::Duration;

use shmsync_harness::process::watchdog;
use shmsync_harness::storm::sweep::{self, Sweep};

fn sweep_on(backend: &str, in_a_sample: impl Fn(&str) -> bool) {
    let all = env::var("SHMSYNC_SWEEP").is_ok_and(|which| which == "all");
    let (sweep, limit) = match all {
        true => (Sweep::Everything, Duration::from_secs(7200)),
        false => (Sweep::Sample(6), Duration::from_secs(900)),
    };
    let _watchdog = watchdog(limit, "the sweep");
    let names = sweep::names().into_iter().filter(|name| name.ends_with(backend));
    // The first verb of a process makes its token, a hundred thousand steps in a debug build.
    let chosen = |name: &String| all || in_a_sample(name) && !name.contains("first of the process");
    let mut failures = Vec::new();
    for name in names.filter(chosen) {
        let swept = sweep::run(&name, sweep);
        println!("{swept}");
        if !swept.failures.is_empty() {
            failures.push(swept.to_string());
        } else if swept.kills == 0 {
            failures.push(format!("{name}: no kills"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn futex() {
    sweep_on("(Futex)", |_| true);
}

#[test]
fn posix_sem() {
    // What sleeps on the `sem_t`, and what posts it.
    sweep_on("(PosixSem)", |name| name.contains("waits"));
}

#[test]
fn kernel_robust() {
    // What links and unlinks the lock, and what finds the kernel's mark.
    sweep_on("(KernelRobust)", |name| name.contains("free") || name.contains("release") || name.contains("dead"));
}
