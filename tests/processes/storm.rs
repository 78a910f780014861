//! A short storm: workers of every primitive are killed at random moments, and nothing hangs, tears or is lost.
//!
//! The long one is `shmsync storm`. `SHMSYNC_STORM_SECONDS` and `SHMSYNC_STORM_SEED` make this one longer, or another.

use std::env;
use std::time::Duration;

use shmsync_harness::process::watchdog;
use shmsync_harness::storm::{Options, run};

fn setting(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |value| value.parse().expect(name))
}

#[test]
fn nothing_is_lost_when_processes_die() {
    let time = Duration::from_secs(setting("SHMSYNC_STORM_SECONDS", 4));
    let seed = setting("SHMSYNC_STORM_SEED", 1);
    // A bound for a busy machine: a hang lasts for ever.
    let options = Options { time, seed, bound: Duration::from_secs(10), ..Options::default() };
    let report = crate::alone(|| {
        let _watchdog = watchdog(time + Duration::from_secs(60), "the storm");
        run(&options).expect("a storm")
    });
    println!("{report}");
    assert!(report.is_well(), "{report}");
    assert!(report.kills > 20 && report.ops.iter().all(|&ops| ops > 0), "hardly a storm:\n{report}");
}
