//! What will be measured: groups and peers after filters and the machine have had their say, rounds, and the time.

use crate::crew::Context;
use crate::workloads::{ALL, Group, Workload};
use std::time::Duration;

/// What the caller asks for.
#[derive(Debug, Clone)]
pub struct Options {
    /// Shorter samples and fewer rounds.
    pub quick: bool,
    /// Names of workloads; empty is all.
    pub workloads: Vec<String>,
    /// Parts of names of peers, in any case of letters; empty is all. What the ratios are to is always measured.
    pub peers: Vec<String>,
    /// Rounds, if not the usual number.
    pub rounds: Option<u32>,
    /// Of the order of peers.
    pub seed: u64,
    /// How many CPUs there are to use.
    pub cpus: usize,
}

/// A workload's groups.
#[derive(Debug)]
pub struct Entry {
    /// The workload.
    pub workload: Workload,
    /// The groups, with the peers that were asked for.
    pub groups: Vec<Group>,
    /// How long a sample is.
    pub sample: Duration,
}

/// What will be measured.
#[derive(Debug)]
pub struct Plan {
    /// The workloads.
    pub entries: Vec<Entry>,
    /// How often.
    pub rounds: u32,
    /// Of the order of peers.
    pub seed: u64,
    /// When to stop after the first round even if some are left, unless the caller has said how many there are to be.
    pub limit: Option<Duration>,
    /// What was left out and why.
    pub skipped: Vec<String>,
}

/// Rounds of a quick run and of a full one. With the samples' lengths in the workloads' descriptions these are the
/// whole budget: about 17 s and 90 s, of the 20 and 120 that the tool promises.
const ROUNDS: [u32; 2] = [5, 11];

/// On a slow or busy machine the promise is kept by fewer rounds.
const LIMIT: [Duration; 2] = [Duration::from_secs(19), Duration::from_secs(115)];

impl Plan {
    /// Makes a plan.
    ///
    /// # Errors
    /// A name that nothing has, or nothing left to measure.
    pub fn new(options: &Options) -> Result<Self, String> {
        for name in &options.workloads {
            if !ALL.iter().any(|workload| workload.name == name) {
                let names: Vec<_> = ALL.iter().map(|workload| workload.name).collect();
                return Err(format!("there is no workload {name:?}; there are: {}", names.join(", ")));
            }
        }
        let kind = usize::from(!options.quick);
        let rounds = options.rounds.unwrap_or(ROUNDS[kind]);
        let limit = options.rounds.is_none().then_some(LIMIT[kind]);
        if rounds == 0 {
            return Err(String::from("at least one round is needed to measure anything"));
        }
        let mut plan = Self { entries: Vec::new(), rounds, seed: options.seed, limit, skipped: Vec::new() };
        let mut names = Vec::new();
        for workload in ALL {
            if !options.workloads.is_empty() && !options.workloads.iter().any(|name| name == workload.name) {
                continue;
            }
            let mut groups = (workload.groups)();
            names.extend(groups.iter().flat_map(|group| group.cases.iter().map(|case| case.peer.clone())));
            groups.retain(|group| plan.possible(&workload, group, options.cpus));
            for group in &mut groups {
                keep_peers(&workload, group, &options.peers);
            }
            groups.retain(|group| !group.cases.is_empty());
            if !groups.is_empty() {
                let sample = Duration::from_millis(workload.sample_ms[kind]);
                plan.entries.push(Entry { workload, groups, sample });
            }
        }
        if let Some(part) = options.peers.iter().find(|part| !names.iter().any(|name| matches(name, part))) {
            names.sort_unstable();
            names.dedup();
            return Err(format!(
                "no peer of these workloads has {part:?} in its name; there are: {}",
                names.join(", ")
            ));
        }
        match plan.entries.is_empty() {
            true => Err(format!("nothing is left to measure. {}", plan.skipped.join("; "))),
            false => Ok(plan),
        }
    }

    /// Whether this machine has the CPUs for it; if not, that is noted.
    fn possible(&mut self, workload: &Workload, group: &Group, cpus: usize) -> bool {
        let possible = group.cpus <= cpus;
        if !possible {
            let (name, params, needs) = (workload.name, &group.params, group.cpus);
            self.skipped.push(format!("{name} ({params}) is left out: it needs {needs} CPUs and there is {cpus}"));
        }
        possible
    }

    /// How many samples will be taken.
    #[must_use]
    pub fn samples(&self) -> u64 {
        let cases = self.entries.iter().flat_map(|entry| &entry.groups).map(|group| group.cases.len() as u64);
        cases.sum::<u64>() * u64::from(self.rounds)
    }

    /// How long it will take, about.
    #[must_use]
    pub fn time(&self) -> Duration {
        let groups = self.entries.iter().flat_map(|entry| entry.groups.iter().map(|group| (entry.sample, group)));
        let round = groups.map(|(sample, group)| (sample + overhead(group.members)) * group.cases.len() as u32);
        round.sum::<Duration>() * self.rounds
    }
}

/// Fork, gather, warm up, end: as measured on two CPUs.
fn overhead(members: usize) -> Duration {
    Duration::from_micros(2_000 + 850 * members as u64)
}

fn matches(name: &str, part: &str) -> bool {
    name.to_lowercase().contains(&part.to_lowercase())
}

/// Keeps the peers that were asked for, and with them those that they are compared to.
fn keep_peers(workload: &Workload, group: &mut Group, parts: &[String]) {
    let wanted = |peer: &str| parts.is_empty() || parts.iter().any(|part| matches(peer, part));
    let base = |peer: &str| [workload.sem_t, workload.pthread].contains(&Some(peer));
    if !group.cases.iter().any(|case| wanted(&case.peer)) {
        group.cases.clear();
    }
    group.cases.retain(|case| wanted(&case.peer) || base(&case.peer));
}

impl Entry {
    /// `context` with this workload's length of sample.
    #[must_use]
    pub fn context(&self, context: &Context) -> Context {
        Context { sample: self.sample, ..*context }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> Options {
        Options { quick: true, workloads: vec![], peers: vec![], rounds: None, seed: 1, cpus: 2 }
    }

    #[test]
    fn keeps_its_promises_of_time() {
        let quick = Plan::new(&options()).unwrap();
        assert!(quick.time() < Duration::from_secs(18), "quick: {:?}", quick.time());
        let full = Plan::new(&Options { quick: false, ..options() }).unwrap();
        assert!(full.time() < Duration::from_secs(110), "full: {:?}", full.time());
        assert!(full.samples() > quick.samples());
    }

    #[test]
    fn leaves_out_what_one_cpu_cannot_do_and_says_so() {
        let plan = Plan::new(&Options { cpus: 1, ..options() }).unwrap();
        assert_eq!(plan.skipped.len(), 3 + 1 + 1, "{:?}", plan.skipped);
        assert!(plan.skipped.iter().any(|line| line.contains("ping-pong (processes 2, cpus 2)")), "{:?}", plan.skipped);
    }

    #[test]
    fn a_filtered_peer_keeps_what_it_is_compared_to() {
        let peers = vec![String::from("robust")];
        let plan = Plan::new(&Options { peers, ..options() }).unwrap();
        let names: Vec<_> = plan.entries[0].groups[0].cases.iter().map(|case| case.peer.as_str()).collect();
        assert_eq!(names, ["sem_t", "pthread mutex", "pthread robust mutex"]);
        assert!(plan.entries.iter().all(|entry| entry.workload.name != "barrier"));
    }

    #[test]
    fn wrong_names_are_answered_with_the_right_ones() {
        let wrong = |options: Options| Plan::new(&options).unwrap_err();
        let unknown = wrong(Options { workloads: vec!["bogus".into()], ..options() });
        assert!(unknown.contains("bogus") && unknown.contains("notify-all"), "{unknown}");
        let unknown = wrong(Options { peers: vec!["bogus".into()], ..options() });
        assert!(unknown.contains("bogus") && unknown.contains("pthread barrier"), "{unknown}");
        assert!(wrong(Options { rounds: Some(0), ..options() }).contains("one round"));
        let one_cpu = Options { workloads: vec!["ping-pong".into()], cpus: 0, ..options() };
        assert!(wrong(one_cpu).contains("needs 2 CPUs"));
    }

    #[test]
    fn every_base_is_among_the_peers() {
        for workload in ALL {
            for group in (workload.groups)() {
                for base in [workload.sem_t, workload.pthread].into_iter().flatten() {
                    assert!(group.cases.iter().any(|case| case.peer == base), "{}: {base}", workload.name);
                }
            }
        }
    }
}
