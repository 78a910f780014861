//! What will be measured: groups and peers after filters and the machine have had their say, rounds, and the time.

use crate::crew::Context;
use crate::workloads::{ALL, Extent, Group, Workload};
use std::time::Duration;

/// What the caller asks for.
#[derive(Debug, Clone)]
pub struct Options {
    /// How long it may take.
    pub extent: Extent,
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
    /// How many processes there may be.
    pub processes: usize,
}

/// A workload's groups.
#[derive(Debug)]
pub struct Entry {
    /// The workload.
    pub workload: Workload,
    /// The groups, with the peers that were asked for.
    pub groups: Vec<Group>,
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

/// Rounds of a quick run and of a full one. With the lengths of the samples in the workloads these are the whole budget:
/// about 17 s of the 20, and 210 s of the 240, that the tool promises.
fn rounds(extent: Extent) -> u32 {
    extent.pick(4, 8)
}

/// On a slow or busy machine the promise is kept by fewer rounds.
fn limit(extent: Extent) -> Duration {
    Duration::from_secs(extent.pick(19, 290))
}

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
        let rounds = options.rounds.unwrap_or(rounds(options.extent));
        let limit = options.rounds.is_none().then_some(limit(options.extent));
        if rounds == 0 {
            return Err(String::from("at least one round is needed to measure anything"));
        }
        let mut plan = Self { entries: Vec::new(), rounds, seed: options.seed, limit, skipped: Vec::new() };
        let mut names = Vec::new();
        for workload in ALL {
            if !options.workloads.is_empty() && !options.workloads.iter().any(|name| name == workload.name) {
                continue;
            }
            if options.workloads.is_empty() && workload.on_request {
                plan.skipped
                    .push(format!("{0} takes long and is left out, unless asked for: --filter {0}", workload.name));
                continue;
            }
            let mut groups = (workload.groups)(options.extent);
            names.extend(groups.iter().flat_map(|group| group.cases.iter().map(|case| case.peer.clone())));
            groups.retain(|group| plan.possible(&workload, group, options));
            for group in &mut groups {
                keep_peers(&workload, group, &options.peers);
            }
            groups.retain(|group| !group.cases.is_empty());
            if !groups.is_empty() {
                plan.entries.push(Entry { workload, groups });
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

    /// Whether this machine has the CPUs for it, and lets us have so many processes; if not, that is noted.
    fn possible(&mut self, workload: &Workload, group: &Group, options: &Options) -> bool {
        let (name, params) = (workload.name, &group.params);
        let lacks = if group.cpus > options.cpus {
            format!("{} CPUs and there is {}", group.cpus, options.cpus)
        } else if group.members + OTHERS > options.processes {
            format!("{} processes and there may be {}, others included", group.members, options.processes)
        } else {
            return true;
        };
        self.skipped.push(format!("{name} ({params}) is left out: it needs {lacks}"));
        false
    }

    /// How many rounds a group has.
    #[must_use]
    pub fn rounds_of(&self, group: &Group) -> u32 {
        if self.limit.is_some() { self.rounds.min(group.pace.rounds) } else { self.rounds }
    }

    /// How many samples will be taken.
    #[must_use]
    pub fn samples(&self) -> u64 {
        let groups = self.entries.iter().flat_map(|entry| &entry.groups);
        groups.map(|group| group.cases.len() as u64 * u64::from(self.rounds_of(group))).sum()
    }

    /// How long it will take, about.
    #[must_use]
    pub fn time(&self) -> Duration {
        let groups = self.entries.iter().flat_map(|entry| &entry.groups);
        let time = |group: &Group| {
            let one = group.pace.warm + group.pace.sample + overhead(group.members);
            one * group.cases.len() as u32 * self.rounds_of(group)
        };
        groups.map(time).sum()
    }
}

/// The processes of others that count towards the same limit: a guess, where no more than a few hundred are allowed.
const OTHERS: usize = 100;

/// Fork, gather, end: as measured on two CPUs.
fn overhead(members: usize) -> Duration {
    Duration::from_micros(1_000 + 850 * members as u64)
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

impl Group {
    /// `context` with this group's pace.
    #[must_use]
    pub fn context(&self, context: &Context) -> Context {
        Context { warm: self.pace.warm, sample: self.pace.sample, ..*context }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> Options {
        Options {
            extent: Extent::Quick,
            workloads: vec![],
            peers: vec![],
            rounds: None,
            seed: 1,
            cpus: 2,
            processes: 5000,
        }
    }

    #[test]
    fn keeps_its_promises_of_time() {
        let quick = Plan::new(&options()).unwrap();
        assert!(quick.time() < Duration::from_secs(18), "quick: {:?}", quick.time());
        let full = Plan::new(&Options { extent: Extent::Full, ..options() }).unwrap();
        assert!(full.time() < Duration::from_secs(270), "full: {:?}", full.time());
        assert!(full.samples() > quick.samples());
    }

    #[test]
    fn leaves_out_what_one_cpu_cannot_do_and_says_so() {
        let plan = Plan::new(&Options { cpus: 1, ..options() }).unwrap();
        assert_eq!(plan.skipped.len(), 4 + 1 + 1 + 1 + 2, "{:?}", plan.skipped);
        assert!(plan.skipped.iter().any(|line| line.contains("ping-pong (processes 2, cpus 2)")), "{:?}", plan.skipped);
    }

    #[test]
    fn leaves_out_what_needs_more_processes_than_there_may_be() {
        let few = Options { extent: Extent::Full, processes: 500, ..options() };
        let plan = Plan::new(&few).unwrap();
        assert!(plan.skipped.iter().any(|line| line.contains("idle (waiters 1000)")), "{:?}", plan.skipped);
        assert_eq!(plan.skipped.len(), 1 + 2, "{:?}", plan.skipped);
    }

    #[test]
    fn what_takes_long_is_left_out_unless_asked_for() {
        let plan = Plan::new(&options()).unwrap();
        assert!(plan.entries.iter().all(|entry| entry.workload.name != "starvation"));
        assert!(plan.skipped[0].contains("--filter starvation"), "{:?}", plan.skipped);
        let asked = Plan::new(&Options { workloads: vec!["starvation".into()], ..options() }).unwrap();
        assert_eq!((asked.entries.len(), asked.skipped.len()), (1, 0));
    }

    #[test]
    fn long_samples_have_fewer_rounds_unless_all_are_asked_for() {
        let idle = |rounds| Plan::new(&Options { workloads: vec!["idle".into()], rounds, ..options() }).unwrap();
        let rounds = |plan: Plan| plan.rounds_of(&plan.entries[0].groups[0]);
        assert_eq!((rounds(idle(None)), rounds(idle(Some(3)))), (1, 3));
    }

    #[test]
    fn a_filtered_peer_keeps_what_it_is_compared_to() {
        let peers = vec![String::from("ROBUST MUTEX")];
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
            for group in [Extent::Quick, Extent::Full].into_iter().flat_map(workload.groups) {
                for base in [workload.sem_t, workload.pthread].into_iter().flatten() {
                    assert!(group.cases.iter().any(|case| case.peer == base), "{}: {base}", workload.name);
                }
            }
        }
    }
}
