//! Takes the samples of a plan, round by round, and sums them up.
//!
//! In each round every peer of every group has its turn, in an order that is shuffled per group and round: what drifts
//! in the machine drifts for all. A peer that hangs or fails is told of, not tried again, and its figures are withheld.

use crate::crew::Context;
use crate::plan::{Entry, Plan};
use crate::record::{Record, Series};
use crate::sample::Sample;
use crate::stats;
use crate::workloads::{Case, Group, Workload};
use std::fmt;
use std::time::Instant;

/// Where the run is.
#[derive(Debug)]
pub struct Step<'a> {
    /// Samples taken.
    pub done: u64,
    /// Samples in all, as far as known.
    pub of: u64,
    /// The round, from 1.
    pub round: u32,
    /// The workload at hand.
    pub workload: &'a str,
    /// The peer at hand.
    pub peer: &'a str,
}

/// A peer that did not do what it must.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The workload.
    pub workload: &'static str,
    /// The peer.
    pub peer: String,
    /// The parameters, in words.
    pub params: String,
    /// What it did.
    pub what: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { workload, peer, params, what } = self;
        write!(f, "{workload} ({params}), {peer}: {what}")
    }
}

/// What came of a plan.
#[derive(Debug, Default)]
pub struct Outcome {
    /// A record for each workload, parameters and peer, in the plan's order.
    pub records: Vec<Record>,
    /// The peers that failed.
    pub failures: Vec<Failure>,
    /// The rounds that there was time for, to the end.
    pub rounds: u32,
}

/// Carries the plan out; `watch` is called before each sample.
pub fn run(plan: &Plan, context: &Context, mut watch: impl FnMut(&Step<'_>)) -> Outcome {
    let mut random = fastrand::Rng::with_seed(plan.seed);
    let series = |group: &Group| vec![Series::default(); group.cases.len()];
    let mut all: Vec<Vec<Vec<Series>>> =
        plan.entries.iter().map(|entry| entry.groups.iter().map(series).collect()).collect();
    let (mut done, mut rounds, start) = (0, 0, Instant::now());
    'rounds: for round in 1..=plan.rounds {
        for (entry, all) in plan.entries.iter().zip(&mut all) {
            for (group, all) in entry.groups.iter().zip(all) {
                if round > plan.rounds_of(group) {
                    continue;
                }
                let context = group.context(context);
                if round > 1 && plan.limit.is_some_and(|limit| start.elapsed() > limit) {
                    break 'rounds; // Between groups, so that whoever is compared has been measured as often.
                }
                let mut order: Vec<usize> = (0..group.cases.len()).collect();
                random.shuffle(&mut order);
                for i in order {
                    let (case, series) = (&group.cases[i], &mut all[i]);
                    let (workload, peer) = (entry.workload.name, &case.peer);
                    watch(&Step { done, of: plan.samples(), round, workload, peer });
                    done += 1;
                    if series.error.is_none() {
                        series.push(sample(case, &context));
                    }
                }
            }
        }
        rounds = round;
    }
    let mut outcome = Outcome { rounds, ..Outcome::default() };
    for (entry, all) in plan.entries.iter().zip(&all) {
        for (group, all) in entry.groups.iter().zip(all) {
            sum_up(entry, group, all, &mut outcome);
        }
    }
    outcome
}

/// One sample; a useless one is taken again, twice at most.
fn sample(case: &Case, context: &Context) -> Result<Sample, String> {
    for _ in 0..2 {
        let sample = case.run(context)?;
        if !sample.is_useless() {
            return Ok(sample);
        }
    }
    case.run(context)
}

/// Further peers that others are compared to where they take part.
const ROBUST: &str = "pthread robust mutex";
const LIMIT: &str = "two bare atomics (limit)";

fn sum_up(entry: &Entry, group: &Group, all: &[Series], outcome: &mut Outcome) {
    let Workload { name, measure, sem_t, pthread, .. } = entry.workload;
    let speeds_of = |base: Option<&str>| {
        let place = group.cases.iter().position(|case| Some(case.peer.as_str()) == base)?;
        all[place].error.is_none().then(|| all[place].speeds(measure))
    };
    let (to_sem_t, to_pthread) = (speeds_of(sem_t), speeds_of(pthread));
    let (to_robust, to_limit) = (speeds_of(Some(ROBUST)), speeds_of(Some(LIMIT)));
    for (case, series) in group.cases.iter().zip(all) {
        let (peer, params) = (case.peer.clone(), group.params.clone());
        if let Some(what) = series.error.clone() {
            let failed = Series::failed(what.clone());
            outcome.records.push(Record::new(name, params.clone(), peer.clone(), measure, &failed));
            outcome.failures.push(Failure { workload: name, peer, params: params.to_string(), what });
            continue;
        }
        let mine = series.speeds(measure);
        let ratio = |base: &Option<Vec<Option<f64>>>| stats::ratio(&mine, base.as_ref()?);
        let (sem, pth) = (ratio(&to_sem_t), ratio(&to_pthread));
        let (base, main) = if sem_t.is_some() { (sem_t, sem) } else { (pthread, pth) };
        outcome.records.push(Record {
            ratio: main.map(|[middle, ..]| middle),
            ratio_spread: main.map(|[_, low, high]| [low, high]),
            base: base.map(String::from),
            ratio_sem_t: sem.map(|[middle, ..]| middle),
            ratio_pthread: pth.map(|[middle, ..]| middle),
            ratio_robust: ratio(&to_robust).map(|[middle, ..]| middle),
            ratio_limit: ratio(&to_limit).map(|[middle, ..]| middle),
            ..Record::new(name, params, peer, measure, series)
        });
    }
}

#[cfg(test)]
mod tests;
