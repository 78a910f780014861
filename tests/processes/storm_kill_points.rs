//! A process is killed at the instructions of each verb, and the others go on.
//!
//! Of all kill points a sample: each before and after which something outside the process differs, and some others; on
//! `Futex` the fast paths and what wakes, on the other backends those that they do differently. All of them:
//! `SHMSYNC_SWEEP=all cargo test --release --test processes`, or `shmsync storm --sweep`; of those with `PART` in their names:
//! `SHMSYNC_SWEEP=PART`.

use std::env;
use std::time::Duration;

use shmsync_harness::process::{online_cpus, watchdog};
use shmsync_harness::storm::sweep::{Sweep, run};

fn sweep_on(backend: &str, in_a_sample: impl Fn(&str) -> bool) {
    crate::alone(|| sweep(backend, in_a_sample));
}

fn sweep(backend: &str, in_a_sample: impl Fn(&str) -> bool) {
    let part = env::var("SHMSYNC_SWEEP").ok();
    let (all, part) = (part.is_some(), part.filter(|part| part != "all").unwrap_or_default());
    let (sweep, limit) = match all {
        true => (Sweep::Everything, Duration::from_secs(7200)),
        false => (Sweep::Sample(4), Duration::from_secs(300)),
    };
    let _watchdog = watchdog(limit, "the sweep");
    // The first verb of a process makes its token, a long way in a debug build.
    let chosen = |name: &str| {
        name.ends_with(backend) && name.contains(&part) && (all || in_a_sample(name) && !name.contains("first of the"))
    };
    let (mut verbs, mut failures) = (0, Vec::new());
    run(chosen, sweep, online_cpus(), |swept| {
        println!("{swept}");
        verbs += 1;
        if !swept.failures.is_empty() || swept.kills == 0 {
            failures.push(swept.to_string());
        }
    });
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(verbs > 0 || !part.is_empty(), "no verbs on {backend}");
}

#[test]
fn whoever_is_killed_in_a_verb_on_futex_holds_nobody_up() {
    // The fast paths, and what wakes a sleeper. Waiting itself is a long way in a debug build.
    let waits = ["held", "none free", "times out", "interrupted", "dead", "inside", "at it", "wait", "come"];
    let wakes = ["release, another waits", "set, another waits", "notify_one", "notify_all, one", "abort, another"];
    let is_any = |parts: &[&str], name: &str| parts.iter().any(|part| name.contains(part));
    sweep_on("(Futex)", |name| is_any(&wakes, name) || !is_any(&waits, name));
}

#[test]
fn whoever_is_killed_in_a_verb_on_posix_sem_holds_nobody_up() {
    // What posts the `sem_t` that another sleeps on.
    sweep_on("(PosixSem)", |name| {
        ["release, another waits", "set, another waits"].iter().any(|what| name.contains(what))
    });
}

#[test]
fn whoever_is_killed_in_a_verb_on_kernel_robust_holds_nobody_up() {
    // What links and unlinks the lock; who comes late finds the kernel's mark.
    let has_holder = |name: &str| ["Lock::", "RLock::", "Mutex::"].iter().any(|kind| name.starts_with(kind));
    let links = |name: &str| ["free", "release"].iter().any(|what| name.contains(what));
    sweep_on("(KernelRobust)", |name| has_holder(name) && links(name) && !name.contains("none"));
}
