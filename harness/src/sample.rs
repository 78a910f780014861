//! A sample: one peer in one round.

use crate::histogram::Histogram;
use hdrhistogram::Histogram as Merged;

pub(crate) const PS: f64 = 1000.0; // Latencies are kept in picoseconds: 4.37 ns is not 4.

/// One peer in one round.
#[derive(Debug, Clone)]
pub struct Sample {
    pub(crate) latency: Merged<u64>,
    median_ps: f64,
    ops_per_s: Option<f64>,
    pub(crate) shares: Option<[f64; 2]>,
    pub(crate) cpu_ns_per_op: Option<f64>,
    pub(crate) cpu_percent: Option<f64>,
}

impl Sample {
    /// Gathers what the members have written.
    pub fn new<'a>(
        histograms: impl IntoIterator<Item = &'a Histogram>,
        ns_per_unit: f64,
        ops: &[u64],
        seconds: f64,
    ) -> Self {
        let mut latency = Merged::new(3).expect("three digits are fine");
        for (value, count) in histograms.into_iter().flat_map(Histogram::values) {
            let ps = (value as f64 * ns_per_unit * PS).round() as u64;
            latency.record_n(ps, u64::from(count)).expect("it grows as needed");
        }
        let median_ps = latency.value_at_quantile(0.5) as f64;
        let ops_per_s = Some(ops.iter().sum::<u64>() as f64 / seconds);
        Self { latency, median_ps, ops_per_s, shares: None, cpu_ns_per_op: None, cpu_percent: None }
    }

    /// Sees through the steps of the clock. A time stamp counter may advance by 10 ns at a time; of latencies that lie
    /// in between some are then measured as one multiple and some as the next, and how many says where they lie.
    #[must_use]
    pub fn with_fine_median(self, step_ns: f64) -> Self {
        let recorded =
            self.latency.iter_recorded().map(|at| (at.value_iterated_to() as f64, at.count_at_value() as f64));
        let median_ps = fine_median(recorded, step_ns * PS).unwrap_or(self.median_ps);
        Self { median_ps, ..self }
    }

    /// The rate instead of the one that the parent saw.
    #[must_use]
    pub fn with_ops_per_s(self, ops_per_s: f64) -> Self {
        Self { ops_per_s: Some(ops_per_s), ..self }
    }

    /// Without a rate: nothing is done in it, or as often as the workload wants.
    #[must_use]
    pub fn without_rate(self) -> Self {
        Self { ops_per_s: None, ..self }
    }

    /// Adds the CPU time that an operation took.
    #[must_use]
    pub fn with_cpu_per_op(self, ns: Option<f64>) -> Self {
        Self { cpu_ns_per_op: ns, ..self }
    }

    /// Adds how much of one core was used.
    #[must_use]
    pub fn with_cpu_percent(self, percent: f64) -> Self {
        Self { cpu_percent: Some(percent), ..self }
    }

    /// Adds the smallest and the largest member's share of the operations; 1 is fair.
    #[must_use]
    pub fn with_shares(self, ops: &[u64]) -> Self {
        let fair = ops.iter().sum::<u64>() as f64 / ops.len() as f64;
        let share = |ops: Option<&u64>| ops.map_or(0.0, |&ops| ops as f64 / fair);
        let shares = (fair > 0.0).then(|| [share(ops.iter().min()), share(ops.iter().max())]);
        Self { shares, ..self }
    }

    /// The median latency in nanoseconds.
    #[must_use]
    pub fn median_ns(&self) -> f64 {
        self.median_ps / PS
    }

    /// The mean latency in nanoseconds.
    #[must_use]
    pub fn mean_ns(&self) -> f64 {
        self.latency.mean() / PS
    }

    /// Whether nothing happened in its time, because the crew got no CPU: no figure, and not the peer's fault.
    #[must_use]
    pub fn is_useless(&self) -> bool {
        self.is_empty() || self.ops_per_s.is_some_and(|rate| rate <= 0.0)
    }

    /// How many latencies there are.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.latency.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.latency.is_empty()
    }

    /// Operations in a second, if there is such a rate.
    #[must_use]
    pub fn ops_per_s(&self) -> Option<f64> {
        self.ops_per_s
    }
}

/// The median of ascending values with counts, those of one step being spread evenly over it.
fn fine_median(recorded: impl IntoIterator<Item = (f64, f64)>, step: f64) -> Option<f64> {
    let mut groups: Vec<(f64, f64)> = Vec::new();
    for (value, count) in recorded {
        let place = (value / step).round();
        match groups.last_mut() {
            Some((same, sum)) if *same == place => *sum += count,
            _ => groups.push((place, count)),
        }
    }
    let half = groups.iter().map(|(_, count)| count).sum::<f64>() / 2.0;
    let mut below = 0.0;
    let reaches_half = |(_, count): &&(f64, f64)| {
        below += count;
        below >= half
    };
    let &(place, count) = groups.iter().find(reaches_half)?;
    Some(step * (place - 0.5 + (half - (below - count)) / count))
}

/// What makes one peer faster than another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// A shorter median latency.
    Time,
    /// More operations in the same time.
    Throughput,
}

impl Measure {
    /// How fast the peer was; `None` if that is not to be said, as of a median of zero.
    #[must_use]
    pub fn speed(self, sample: &Sample) -> Option<f64> {
        match self {
            Self::Time => Some(1e9 / sample.median_ns()).filter(|speed| speed.is_finite()),
            Self::Throughput => sample.ops_per_s,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_between_the_steps_of_the_clock() {
        assert_eq!(fine_median([], 10.0), None);
        assert_eq!(fine_median([(80.0, 5.0)], 10.0), Some(80.0));
        assert_eq!(fine_median([(79.0, 1.0), (80.0, 98.0), (81.0, 1.0)], 10.0), Some(80.0));
        assert_eq!(fine_median([(70.0, 1.0), (80.0, 50.0), (90.0, 50.0), (100.0, 1.0)], 10.0), Some(85.0));
        assert_eq!(fine_median([(80.0, 4.0), (90.0, 1.0), (500.0, 1.0)], 10.0), Some(82.5));
    }

    #[test]
    fn shares_are_relative_to_the_fair_one() {
        let histogram = Box::new(<Histogram as zerocopy::FromZeros>::new_zeroed());
        let sample = Sample::new([&*histogram], 1.0, &[10, 30, 20], 2.0).with_shares(&[10, 30, 20]);
        assert_eq!((sample.shares, sample.ops_per_s(), sample.is_empty()), (Some([0.5, 1.5]), Some(30.0), true));
    }
}
