//! What came of a storm.

use super::Options;
use crate::process::Child;
use std::fmt;
use std::time::Duration;

/// The figures, station by station, and what was wrong.
#[derive(Debug, Clone)]
pub struct Report {
    /// How many workers there were, and the seed.
    pub workers: usize,
    /// Of the dice.
    pub seed: u64,
    /// How many workers were killed.
    pub kills: u64,
    /// How long that took, the calms included.
    pub time: Duration,
    /// For how long of that the killer slept between two kills.
    pub asleep: Duration,
    /// How long each calm took, until all stood aside and everything was checked.
    pub calms: Vec<Duration>,
    /// The stations.
    pub names: Vec<String>,
    /// How many verbs came to an end at each.
    pub ops: Vec<u64>,
    /// The recoveries at each.
    pub recoveries: Vec<Vec<Latency>>,
    /// Broken promises and hangs, in words. Empty if all is well.
    pub violations: Vec<String>,
}

/// How long a recovery took, in nanoseconds.
#[derive(Debug, Clone, Copy)]
pub struct Latency {
    /// From the death until somebody held what the dead had held; it may have taken a while until somebody wanted it.
    pub since_death: u64,
    /// How long who recovered it had waited for that, the holder being dead.
    pub waited: u64,
}

impl Report {
    pub(super) fn new(options: &Options, names: Vec<String>) -> Self {
        Self {
            workers: options.workers,
            seed: options.seed,
            kills: 0,
            time: Duration::ZERO,
            asleep: Duration::ZERO,
            calms: Vec::new(),
            ops: vec![0; names.len()],
            recoveries: vec![Vec::new(); names.len()],
            names,
            violations: Vec::new(),
        }
    }

    /// Whether nothing was wrong.
    #[must_use]
    pub fn is_well(&self) -> bool {
        self.violations.is_empty()
    }

    /// All recoveries, or those at stations whose name begins so; how long was waited for each, sorted.
    #[must_use]
    pub fn waited(&self, name: &str) -> Vec<u64> {
        self.sorted(name, |latency| latency.waited)
    }

    /// As [`Report::waited`], from the death on.
    #[must_use]
    pub fn since_death(&self, name: &str) -> Vec<u64> {
        self.sorted(name, |latency| latency.since_death)
    }

    fn sorted(&self, name: &str, of: impl Fn(&Latency) -> u64) -> Vec<u64> {
        let stations = self.names.iter().zip(&self.recoveries).filter(|(station, _)| station.starts_with(name));
        let mut all: Vec<u64> = stations.flat_map(|(_, latencies)| latencies.iter().map(&of)).collect();
        all.sort_unstable();
        all
    }

    pub(super) fn recovered(&mut self, station: usize, since_death: u64, waited: u64) {
        self.recoveries[station].push(Latency { since_death, waited });
    }

    /// Takes the last words of a worker that was killed, or that ended by itself.
    pub(super) fn reap(&mut self, child: &mut Child) {
        let words = child.join(Duration::from_secs(10)).err().unwrap_or_default();
        if let Some((_, words)) = words.split_once('\n') {
            self.violations.push(words.to_owned());
        } else if !words.contains("SIGKILL") {
            self.violations.push(format!("a worker ended by itself: {words}"));
        }
    }
}

/// `1.25 ms` of nanoseconds.
pub(super) fn ms(ns: Option<&u64>) -> String {
    ns.map_or_else(|| String::from("-"), |&ns| format!("{:.2} ms", ns as f64 / 1e6))
}

fn middle(sorted: &[u64]) -> Option<&u64> {
    sorted.get(sorted.len() / 2)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.time.as_secs_f64();
        writeln!(f, "{:26} {:>10} {:>10} {:>11} {:>11}", "station", "operations", "recoveries", "median", "slowest")?;
        for (name, ops) in self.names.iter().zip(&self.ops) {
            let waited = self.waited(name);
            let (median, slowest) = (ms(middle(&waited)), ms(waited.last()));
            writeln!(f, "{name:26} {ops:>10} {:>10} {median:>11} {slowest:>11}", waited.len())?;
        }
        let (waited, since) = (self.waited(""), self.since_death(""));
        let calms: Vec<u64> = {
            let mut calms: Vec<u64> = self.calms.iter().map(|calm| calm.as_nanos() as u64).collect();
            calms.sort_unstable();
            calms
        };
        let (ops, rate) = (self.ops.iter().sum::<u64>(), self.kills as f64 / seconds.max(1e-9));
        let asleep = 100.0 * self.asleep.as_secs_f64() / seconds.max(1e-9);
        writeln!(f)?;
        writeln!(
            f,
            "kills       {} in {seconds:.1} s: {rate:.0} a second; {} workers, seed {}",
            self.kills, self.workers, self.seed
        )?;
        writeln!(f, "operations  {ops}")?;
        writeln!(f, "recoveries  {}", waited.len())?;
        writeln!(
            f,
            "  waited    median {}, slowest {}: with the holder dead, until recovered",
            ms(middle(&waited)),
            ms(waited.last())
        )?;
        writeln!(
            f,
            "  held up   median {}, slowest {}: from the death, until somebody wanted it and had it",
            ms(middle(&since)),
            ms(since.last())
        )?;
        writeln!(
            f,
            "calms       {}, median {}, slowest {}; the killer slept {asleep:.0} % of the time",
            calms.len(),
            ms(middle(&calms)),
            ms(calms.last())
        )?;
        write!(f, "violations  {}", self.violations.len())?;
        self.violations.iter().try_for_each(|what| write!(f, "\n{what}"))
    }
}
