//! A critical section of a given length: a loop of dependent arithmetic, calibrated once and checked with the clock.
//!
//! Not a loop of `pause`: one costs 24 ns on one processor, 4 or 60 on the next, hands the core's other half to its
//! sibling, and may trap to a hypervisor, so the section would be something else on every machine. Not a loop that asks
//! the clock either: 10 to 25 ns a question is too coarse for a section of 100. Here each step needs the one before, so
//! the length is that of a chain of registers, the same whatever the memory is doing.

use crate::clock::Clock;
use std::hint::black_box;

/// Knows how many steps make a nanosecond.
#[derive(Debug, Clone, Copy)]
pub struct Work {
    steps_per_ns: f64,
    check_ns: f64,
}

impl Work {
    /// Measures the loop, then a section of 100 ns, and corrects the former by the latter (a call and a mispredicted
    /// end of the loop are part of a section). Takes a few milliseconds.
    #[must_use]
    pub fn calibrate(clock: &Clock) -> Self {
        const STEPS: u64 = 10_000;
        let ns = fastest(|| clock_ns(clock, 1, || run(STEPS)));
        let mut work = Self { steps_per_ns: STEPS as f64 / ns, check_ns: 0.0 };
        for _ in 0..3 {
            work.check_ns = work.measure(clock, 100);
            if (95.0..105.0).contains(&work.check_ns) {
                break;
            }
            work.steps_per_ns *= 100.0 / work.check_ns;
        }
        work
    }

    /// The steps of a section that lasts `ns`.
    #[must_use]
    pub fn steps(&self, ns: u64) -> u64 {
        (ns as f64 * self.steps_per_ns).round() as u64
    }

    /// How long a section that should last `ns` does last.
    #[must_use]
    pub fn measure(&self, clock: &Clock, ns: u64) -> f64 {
        let steps = self.steps(ns);
        fastest(|| clock_ns(clock, 200, || run(steps)))
    }

    /// What 100 ns came to at the calibration.
    #[must_use]
    pub fn check_ns(&self) -> f64 {
        self.check_ns
    }
}

/// Does the work. Not inlined, so that what was calibrated is what runs.
#[inline(never)]
pub fn run(steps: u64) {
    let mut x = black_box(0x9E37_79B9_7F4A_7C15_u64);
    for _ in 0..steps {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
    }
    black_box(x);
}

fn clock_ns(clock: &Clock, times: u32, mut f: impl FnMut()) -> f64 {
    let start = clock.now();
    (0..times).for_each(|_| f());
    clock.since(start) as f64 * clock.ns_per_tick() / f64::from(times)
}

/// Whoever else uses the machine can only make it slower.
fn fastest(mut f: impl FnMut() -> f64) -> f64 {
    (0..50).map(|_| f()).fold(f64::INFINITY, f64::min)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each calibration is compared with what follows it at once, and the median of several counts: the machine itself
    /// may change its speed between the two (a virtual CPU was seen to get 1.6 times as fast, for good), which spoils
    /// the pair that it falls into, while a wrong calibration spoils them all.
    #[test]
    fn sections_last_as_long_as_asked() {
        let clock = Clock::calibrate();
        for ns in [100, 1000, 10_000] {
            let mut ratios = [0.0; 7].map(|_: f64| Work::calibrate(&clock).measure(&clock, ns) / ns as f64);
            ratios.sort_by(f64::total_cmp);
            assert!((0.7..1.4).contains(&ratios[3]), "{ns} ns came to {ratios:?} of it");
        }
        assert_eq!(Work::calibrate(&clock).steps(0), 0);
    }
}
