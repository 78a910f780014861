//! What shmsync promises in figures, held against records.

use crate::params::Value;
use crate::record::Record;
use std::fmt;

/// A promise and the record in which it was kept worst.
#[derive(Debug, Clone, PartialEq)]
pub struct Promise {
    /// What is promised.
    pub what: &'static str,
    /// The figure that is not to be passed.
    pub limit: f64,
    /// Its unit.
    pub unit: &'static str,
    /// The worst figure.
    pub worst: f64,
    /// Of which peer.
    pub peer: String,
}

impl Promise {
    /// Whether it was kept.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        self.worst <= self.limit
    }
}

impl fmt::Display for Promise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, limit, unit, worst, peer } = self;
        let verdict = if self.is_kept() { "kept" } else { "NOT KEPT" };
        write!(f, "{verdict}: {what} within {limit} {unit}; at worst {worst:.3} {unit} ({peer})")
    }
}

type Applies = fn(&Record) -> bool;
type Figure = fn(&Record) -> Option<f64>;

const MS: f64 = 1e-6;

const ALL: [(&str, f64, &str, Applies, Figure); 4] = [
    ("a waiter that has waited less than 10 ms learns of a death, at the median,", 2.0, "ms", just_waiting, |record| {
        Some(record.median_ns? * MS)
    }),
    (
        "every waiter learns of a death",
        100.0,
        "ms",
        |record| record.workload == "recovery",
        |record| Some(record.max_ns? * MS),
    ),
    (
        "each of twenty idle waiters stays",
        0.1,
        "% of a core",
        |record| waiters(record) == Some(20),
        |record| Some(record.max_ns? / 1e9 * 100.0),
    ),
    (
        "a thousand idle waiters stay",
        1.0,
        "% of a core",
        |record| waiters(record) == Some(1000),
        |record| record.cpu_percent,
    ),
];

fn just_waiting(record: &Record) -> bool {
    record.workload == "recovery" && parameter(record, "waited") == Some(&Value::Word("0_to_10_ms"))
}

fn waiters(record: &Record) -> Option<u64> {
    match parameter(record, "waiters") {
        Some(Value::Number(waiters)) if record.workload == "idle" => Some(*waiters),
        _ => None,
    }
}

fn parameter<'a>(record: &'a Record, name: &str) -> Option<&'a Value> {
    record.params.0.iter().find(|(found, _)| *found == name).map(|(_, value)| value)
}

/// The promises that these records have something to say about.
#[must_use]
pub fn check(records: &[Record]) -> Vec<Promise> {
    let held = ALL.iter().filter_map(|&(what, limit, unit, applies, figure)| {
        let ours = records.iter().filter(|record| record.is_shmsync() && applies(record));
        let figures = ours.filter_map(|record| Some((figure(record)?, record)));
        let (worst, record) = figures.max_by(|(one, _), (other, _)| one.total_cmp(other))?;
        Some(Promise { what, limit, unit, worst, peer: record.peer.clone() })
    });
    held.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::Params;
    use crate::record::Series;
    use crate::sample::Measure;

    fn record(peer: &str, waited: &'static str, median_ms: f64, max_ms: f64) -> Record {
        let params = Params(vec![("waited", Value::Word(waited))]);
        let record = Record::new("recovery", params, peer.into(), Measure::Time, &Series::default());
        Record { median_ns: Some(median_ms / MS), max_ns: Some(max_ms / MS), ..record }
    }

    #[test]
    fn the_worst_of_ours_decides() {
        let records = [
            record("shmsync Lock (Futex)", "0_to_10_ms", 1.5, 3.0),
            record("shmsync Lock (PosixSem)", "0_to_10_ms", 2.5, 4.0),
            record("shmsync Lock (Futex)", "500_to_1000_ms", 40.0, 75.0),
            record("somebody else", "0_to_10_ms", 900.0, 900.0),
        ];
        let [median, all] = check(&records).try_into().unwrap();
        assert!(!median.is_kept() && median.to_string().starts_with("NOT KEPT"), "{median}");
        assert!(median.peer.contains("PosixSem") && (median.worst - 2.5).abs() < 1e-9, "{median}");
        assert!(all.is_kept() && (all.worst - 75.0).abs() < 1e-9, "{all}");
        assert!(check(&records[3..]).is_empty());
    }
}
