//! Timestamps: the processor's time stamp counter where it can be trusted, else `CLOCK_MONOTONIC`.
//!
//! A `rdtsc` costs about 10 ns where a `clock_gettime` costs 23, on operations of 5 ns. It is trusted when the
//! processor says that it is invariant (one rate in every power state), and it is then calibrated against
//! `CLOCK_MONOTONIC`. It is not a serialising instruction: a few ns of overlap with what stands around it are accepted,
//! for every peer alike.
#![allow(unsafe_code)]

use std::fmt;
use std::time::Duration;

/// Reads ticks and knows how long one is. Two ticks are comparable within one process only; between processes use
/// [`Clock::monotonic_ns`], which promises it.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    tsc: bool,
    ns_per_tick: f64,
    cost: u64,
}

impl Clock {
    /// Chooses the source and measures its rate and its cost, which takes about 20 ms.
    #[must_use]
    pub fn calibrate() -> Self {
        let mut clock = Self { tsc: tsc_is_invariant(), ns_per_tick: 1.0, cost: 0 };
        if clock.tsc {
            let (ticks, ns) = clock.pair();
            std::thread::sleep(Duration::from_millis(20));
            let (later_ticks, later_ns) = clock.pair();
            clock.ns_per_tick = (later_ns - ns) as f64 / (later_ticks - ticks) as f64;
        }
        let mut gaps: Vec<u64> = (0..1001).map(|_| clock.now().abs_diff(clock.now())).collect();
        gaps.sort_unstable();
        clock.cost = gaps[gaps.len() / 2];
        clock
    }

    /// The time in ticks.
    #[inline(always)]
    #[must_use]
    pub fn now(&self) -> u64 {
        if self.tsc { tsc() } else { Self::monotonic_ns() }
    }

    /// The ticks since `start`, a timestamp's cost included: what is shorter hides behind it.
    #[inline(always)]
    #[must_use]
    pub fn elapsed(&self, start: u64) -> u64 {
        self.now().wrapping_sub(start)
    }

    /// The ticks since `start`, without the cost of the timestamp: for what is certainly longer.
    #[inline(always)]
    #[must_use]
    pub fn since(&self, start: u64) -> u64 {
        self.elapsed(start).saturating_sub(self.cost)
    }

    /// The length of a tick.
    #[must_use]
    pub fn ns_per_tick(&self) -> f64 {
        self.ns_per_tick
    }

    /// What [`now`](Self::now) costs, in nanoseconds; also about the shortest time that it can tell.
    #[must_use]
    pub fn cost_ns(&self) -> f64 {
        self.cost as f64 * self.ns_per_tick
    }

    /// `CLOCK_MONOTONIC` in nanoseconds, the same for every process.
    #[inline]
    #[must_use]
    pub fn monotonic_ns() -> u64 {
        let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: writes one timespec, into `now`. It cannot fail for this clock.
        unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut now) };
        now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
    }

    /// The CPU time that process `pid` (a live or dead child) has used so far, in nanoseconds; 0 if it is not there.
    ///
    /// The scheduler adds up what each thread runs to the nanosecond, and brings it up to date for this call; so it is
    /// exact even where `getrusage` and `/proc/PID/stat` count ticks. What interrupts cost an idle CPU is in nobody's.
    #[must_use]
    pub fn cpu_ns(pid: u32) -> u64 {
        let (mut clock, mut used) = (0, libc::timespec { tv_sec: 0, tv_nsec: 0 });
        // SAFETY: the calls write a clock's id and one timespec, into these locals.
        let known = unsafe {
            libc::clock_getcpuclockid(pid as libc::pid_t, &mut clock) == 0 && libc::clock_gettime(clock, &mut used) == 0
        };
        if known { used.tv_sec as u64 * 1_000_000_000 + used.tv_nsec as u64 } else { 0 }
    }

    /// Both clocks at one moment: of a few tries the one that took the shortest, so was not interrupted.
    fn pair(&self) -> (u64, u64) {
        let tries = (0..32).map(|_| {
            let (before, ns, after) = (self.now(), Self::monotonic_ns(), self.now());
            (after.wrapping_sub(before), before + after.wrapping_sub(before) / 2, ns)
        });
        let (_, ticks, ns) = tries.min().expect("more than none");
        (ticks, ns)
    }
}

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.tsc {
            true => write!(f, "TSC at {:.3} GHz", 1.0 / self.ns_per_tick)?,
            false => write!(f, "CLOCK_MONOTONIC")?,
        }
        write!(f, ", {:.0} ns a timestamp", self.cost_ns())
    }
}

#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn tsc() -> u64 {
    // SAFETY: every x86_64 processor has the instruction.
    unsafe { core::arch::x86_64::_rdtsc() }
}

#[cfg(target_arch = "x86_64")]
#[allow(unused_unsafe)] // Safe to call in later compilers than the oldest supported one.
fn tsc_is_invariant() -> bool {
    use core::arch::x86_64::__cpuid;
    const POWER_MANAGEMENT: u32 = 0x8000_0007;
    // SAFETY: every x86_64 processor has the instruction; the first leaf says whether the second exists.
    unsafe { __cpuid(0x8000_0000).eax >= POWER_MANAGEMENT && __cpuid(POWER_MANAGEMENT).edx & (1 << 8) != 0 }
}

#[cfg(not(target_arch = "x86_64"))]
fn tsc() -> u64 {
    unreachable!("only trusted on x86_64")
}

#[cfg(not(target_arch = "x86_64"))]
fn tsc_is_invariant() -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process;
    use std::time::Instant;

    #[test]
    fn agrees_with_the_standard_clock() {
        let clock = Clock::calibrate();
        let (start, ticks) = (Instant::now(), clock.now());
        std::thread::sleep(Duration::from_millis(50));
        let (ticks, ns) = (clock.now() - ticks, start.elapsed().as_nanos() as f64);
        let ratio = ticks as f64 * clock.ns_per_tick() / ns;
        assert!((0.9..1.1).contains(&ratio), "{clock}: {ratio}"); // A busy machine comes between the two readings.
    }

    #[test]
    fn the_cpu_time_of_a_busy_child_runs_and_of_a_stopped_one_stands_still() {
        let [mut stopped, busy] = [(); 2].map(|()| process::fork(|| while std::hint::black_box(true) {}));
        stopped.stop();
        let before = [&stopped, &busy].map(|child| Clock::cpu_ns(child.pid()));
        std::thread::sleep(Duration::from_millis(200));
        let after = [&stopped, &busy].map(|child| Clock::cpu_ns(child.pid()));
        assert_eq!(after[0], before[0], "it used CPU time while it stood still");
        assert!(after[1] > before[1] + 1_000_000, "{before:?} {after:?}");
    }

    #[test]
    fn its_cost_is_taken_off() {
        let clock = Clock::calibrate();
        let mut gaps: Vec<u64> = (0..1001).map(|_| clock.since(clock.now())).collect();
        gaps.sort_unstable();
        assert!(gaps[500] as f64 * clock.ns_per_tick() < 20.0, "{clock}: {}", gaps[500]);
    }
}
