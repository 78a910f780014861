//! What comes of measuring: a sample (one peer in one round), and the record of a peer over all rounds.

use crate::histogram::Histogram;
use crate::stats;
use hdrhistogram::Histogram as Merged;
use serde::ser::{Serialize, SerializeMap, Serializer};
use std::fmt;

const PS: f64 = 1000.0; // Latencies are kept in picoseconds: 4.37 ns is not 4.

/// One peer in one round.
#[derive(Debug, Clone)]
pub struct Sample {
    latency: Merged<u64>,
    ops_per_s: f64,
    shares: Option<[f64; 2]>,
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
        Self { latency, ops_per_s: ops.iter().sum::<u64>() as f64 / seconds, shares: None }
    }

    /// The rate instead of the one that the parent saw.
    #[must_use]
    pub fn with_ops_per_s(self, ops_per_s: f64) -> Self {
        Self { ops_per_s, ..self }
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
        self.latency.value_at_quantile(0.5) as f64 / PS
    }

    /// The mean latency in nanoseconds.
    #[must_use]
    pub fn mean_ns(&self) -> f64 {
        self.latency.mean() / PS
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

    /// Operations in a second.
    #[must_use]
    pub fn ops_per_s(&self) -> f64 {
        self.ops_per_s
    }
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
    fn speed(self, sample: &Sample) -> f64 {
        match self {
            Self::Time => 1e9 / sample.median_ns(),
            Self::Throughput => sample.ops_per_s,
        }
    }
}

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
        let useless = |sample: &Sample| sample.is_empty() || sample.ops_per_s <= 0.0;
        match sample {
            Ok(sample) if useless(&sample) => self.samples.push(None), // Nothing happened in the time: not a figure.
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
        self.samples.iter().map(|sample| sample.as_ref().map(|sample| measure.speed(sample))).collect()
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

/// A parameter's value.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(untagged)]
pub enum Value {
    /// A number.
    Number(u64),
    /// A choice.
    Word(&'static str),
}

/// A workload's parameters, in the order in which they are shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Params(pub Vec<(&'static str, Value)>);

impl Serialize for Params {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        self.0.iter().try_for_each(|(name, value)| map.serialize_entry(name, value))?;
        map.end()
    }
}

/// "processes 8, section 100 ns".
impl fmt::Display for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (name, value)) in self.0.iter().enumerate() {
            let comma = if i > 0 { ", " } else { "" };
            match (value, name.strip_suffix("_ns")) {
                (Value::Number(n), Some(name)) if *n >= 1000 && n % 1000 == 0 => {
                    write!(f, "{comma}{name} {} µs", n / 1000)?;
                }
                (Value::Number(n), Some(name)) => write!(f, "{comma}{name} {n} ns")?,
                (Value::Number(n), None) => write!(f, "{comma}{name} {n}")?,
                (Value::Word(word), _) => write!(f, "{comma}{name} {}", word.replace('_', " "))?,
            }
        }
        Ok(())
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
    /// The 10th and 90th percentile over rounds of this peer's speed, as factors of its median.
    pub spread: Option<[f64; 2]>,
    /// The least and the largest member's share of the operations (medians over rounds); 1 is fair.
    pub shares: Option<[f64; 2]>,
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
            ops_per_s: series.over_rounds(|sample| Some(sample.ops_per_s)),
            ratio: None,
            ratio_spread: None,
            base: None,
            ratio_sem_t: None,
            ratio_pthread: None,
            spread: spread(),
            shares: share(0).zip(share(1)).map(|(least, most)| [least, most]),
            rounds: speeds.len(),
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
