//! What comes of measuring a peer: its samples over the rounds, and the record that sums them up.

use crate::params::Params;
use crate::sample::{Measure, PS, Sample};
use crate::stats;
use hdrhistogram::Histogram as Merged;

/// Where a distribution is written down: close together where the tail is.
const QUANTILES: [f64; 20] =
    [0.0, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9999, 1.0];

/// One peer's samples over the rounds; `None` where a round had none.
#[derive(Debug, Clone, Default)]
pub struct Series {
    samples: Vec<Option<Sample>>,
    /// Why it was given up.
    pub error: Option<String>,
}

impl Series {
    /// One that was given up.
    #[must_use]
    pub fn failed(error: String) -> Self {
        Self { samples: Vec::new(), error: Some(error) }
    }

    /// Adds the next round's.
    pub fn push(&mut self, sample: Result<Sample, String>) {
        match sample {
            Ok(sample) if sample.is_useless() => self.samples.push(None),
            Ok(sample) => self.samples.push(Some(sample)),
            Err(error) => {
                self.samples.push(None);
                self.error = Some(error);
            }
        }
    }

    /// The round's speed, for each round.
    #[must_use]
    pub fn speeds(&self, measure: Measure) -> Vec<Option<f64>> {
        self.samples.iter().map(|sample| measure.speed(sample.as_ref()?)).collect()
    }

    fn over_rounds(&self, figure: impl Fn(&Sample) -> Option<f64>) -> Option<f64> {
        let figures: Vec<f64> = self.samples.iter().flatten().filter_map(figure).collect();
        stats::median(&figures)
    }

    fn merged(&self) -> Option<Merged<u64>> {
        let mut samples = self.samples.iter().flatten().map(|sample| &sample.latency);
        let first = samples.next()?.clone();
        Some(samples.fold(first, |mut all, more| {
            all.add(more).expect("it grows as needed");
            all
        }))
    }
}

/// A peer's figures over all rounds. What could not be measured is `None`.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Record {
    /// The workload.
    pub workload: &'static str,
    /// The peer.
    pub peer: String,
    /// The workload's parameters.
    pub params: Params,
    /// The median over rounds of each round's median latency.
    pub median_ns: Option<f64>,
    /// The 99th percentile of the latencies of all rounds.
    pub p99_ns: Option<f64>,
    /// The 99.9th.
    pub p999_ns: Option<f64>,
    /// The longest.
    pub max_ns: Option<f64>,
    /// The distribution of the latencies of all rounds: quantiles and nanoseconds, ascending.
    pub percentiles: Vec<[f64; 2]>,
    /// The median over rounds of the throughput.
    pub ops_per_s: Option<f64>,
    /// How many times faster than `base`: the median over rounds of each round's ratio.
    pub ratio: Option<f64>,
    /// The 10th and 90th percentile of those ratios.
    pub ratio_spread: Option<[f64; 2]>,
    /// What `ratio` is to: the `sem_t` peer, or the pthread one where `sem_t` has no such form.
    pub base: Option<String>,
    /// The ratio to `sem_t`.
    pub ratio_sem_t: Option<f64>,
    /// The ratio to pthread.
    pub ratio_pthread: Option<f64>,
    /// The ratio to the robust pthread mutex.
    pub ratio_robust: Option<f64>,
    /// The ratio to the limit, two bare atomic operations.
    pub ratio_limit: Option<f64>,
    /// The 10th and 90th percentile over rounds of this peer's speed, as factors of its median.
    pub spread: Option<[f64; 2]>,
    /// The least and the largest member's share of the operations (medians over rounds); 1 is fair.
    pub shares: Option<[f64; 2]>,
    /// CPU time of all members for one operation (median over rounds).
    pub cpu_ns_per_op: Option<f64>,
    /// CPU time of all members together, in percent of one core (median over rounds).
    pub cpu_percent: Option<f64>,
    /// How many rounds gave a figure.
    pub rounds: usize,
    /// How many latencies there are.
    pub samples: u64,
    /// Whether its users were threads of one process.
    pub threads: bool,
    /// Why it was given up, if it was.
    pub error: Option<String>,
}

impl Record {
    /// Sums up `series`, without ratios.
    #[must_use]
    pub fn new(workload: &'static str, params: Params, peer: String, measure: Measure, series: &Series) -> Self {
        let merged = series.merged();
        let at = |q| merged.as_ref().map(|all| all.value_at_quantile(q) as f64 / PS);
        let speeds: Vec<f64> = series.speeds(measure).into_iter().flatten().collect();
        let spread = || {
            let middle = stats::median(&speeds)?;
            Some([stats::quantile(&speeds, 0.1)? / middle, stats::quantile(&speeds, 0.9)? / middle])
        };
        let share = |i: usize| series.over_rounds(|sample| sample.shares.map(|shares| shares[i]));
        Self {
            workload,
            params,
            threads: peer.ends_with("(threads)"),
            peer,
            median_ns: series.over_rounds(|sample| Some(sample.median_ns())),
            p99_ns: at(0.99),
            p999_ns: at(0.999),
            max_ns: at(1.0),
            percentiles: merged.iter().flat_map(|_| QUANTILES).filter_map(|q| Some([q, at(q)?])).collect(),
            ops_per_s: series.over_rounds(Sample::ops_per_s),
            ratio: None,
            ratio_spread: None,
            base: None,
            ratio_sem_t: None,
            ratio_pthread: None,
            ratio_robust: None,
            ratio_limit: None,
            spread: spread(),
            shares: share(0).zip(share(1)).map(|(least, most)| [least, most]),
            cpu_ns_per_op: series.over_rounds(|sample| sample.cpu_ns_per_op),
            cpu_percent: series.over_rounds(|sample| sample.cpu_percent),
            rounds: series.samples.iter().flatten().count(),
            samples: merged.as_ref().map_or(0, Merged::len),
            error: series.error.clone(),
        }
    }

    /// Whether it is one of shmsync's own.
    #[must_use]
    pub fn is_shmsync(&self) -> bool {
        self.peer.starts_with("shmsync")
    }
}
