//! That an execution comes to an end soon. What waits for ever, libFuzzer's own `-timeout` finds; this finds what waits for a
//! second where it was asked to wait for microseconds.

use std::fs;
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(1);

/// Does what must be done within a second, not counting the time in which the machine did something else.
#[track_caller]
pub fn soon<R>(act: impl FnOnce() -> R) -> R {
    let (start, before) = (Instant::now(), not_running());
    let result = act();
    let took = start.elapsed();
    if took > LIMIT {
        let took = took.saturating_sub(not_running().saturating_sub(before));
        assert!(took < LIMIT, "it took {took:?}");
    }
    result
}

/// How long this thread could have run, but did not: the second number there. (Zero where the kernel does not count.)
fn not_running() -> Duration {
    let counted = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(counted.split(' ').nth(1).and_then(|nanos| nanos.parse().ok()).unwrap_or(0))
}
