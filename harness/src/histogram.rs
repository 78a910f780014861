//! A histogram that one process writes and another reads: fixed buckets of atomics, nothing to allocate, zero is empty.
//!
//! Values below 512 are exact; above, each power of two has 256 buckets, so a value is off by 0.2 % at most. It
//! is 33 KiB, of which a run touches a few lines. Percentiles are hdrhistogram's business, in [`crate::sample`].

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use zerocopy::FromZeros;

const EXACT: u64 = 512;
const PER_OCTAVE: u64 = 256;
const LARGEST: u64 = (1 << 42) - 1;
const BUCKETS: usize = bucket(LARGEST) + 1;

/// Counts of values, from one writer.
#[repr(C)]
#[derive(Debug, FromZeros)]
pub struct Histogram {
    counts: [AtomicU32; BUCKETS],
}

impl Histogram {
    /// Counts `value`. Only one thread may do so at a time: a load and a store, not an atomic addition.
    #[inline]
    pub fn record(&self, value: u64) {
        let count = &self.counts[bucket(if value < LARGEST { value } else { LARGEST })];
        count.store(count.load(Relaxed).wrapping_add(1), Relaxed);
    }

    /// Each value that was counted (the middle of its bucket), and how often.
    pub fn values(&self) -> impl Iterator<Item = (u64, u32)> + '_ {
        let counts = self.counts.iter().map(|count| count.load(Relaxed));
        counts.enumerate().filter(|&(_, count)| count > 0).map(|(bucket, count)| (middle(bucket), count))
    }
}

const fn bucket(value: u64) -> usize {
    if value < EXACT {
        return value as usize;
    }
    let octave = (value.ilog2() - EXACT.ilog2()) as u64;
    (EXACT + octave * PER_OCTAVE + (value >> (octave + 1)) - PER_OCTAVE) as usize
}

fn middle(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < EXACT {
        return bucket;
    }
    let (octave, within) = ((bucket - EXACT) / PER_OCTAVE, (bucket - EXACT) % PER_OCTAVE);
    ((PER_OCTAVE + within) << (octave + 1)) + (1 << octave)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_comes_back_within_a_fifth_of_a_percent() {
        let mut value = 0u64;
        while value < LARGEST {
            let error = middle(bucket(value)).abs_diff(value);
            assert!(error as f64 <= value as f64 / 500.0, "{value} came back off by {error}");
            value += 1 + value / 97;
        }
    }

    #[test]
    fn counts_and_saturates() {
        let histogram = Box::new(Histogram::new_zeroed());
        [3, 3, 70_000, u64::MAX].into_iter().for_each(|value| histogram.record(value));
        let values: Vec<_> = histogram.values().collect();
        assert_eq!(values[0], (3, 2));
        assert_eq!(values[1].1, 1);
        assert_eq!(values[2], (middle(BUCKETS - 1), 1));
    }
}
