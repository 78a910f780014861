//! `shmsync bench`: plan, measure, show.

mod html;
mod progress;
mod table;
mod target;

use crate::Failure;
use clap::builder::PossibleValuesParser;
use shmsync_harness::crew::Context;
use shmsync_harness::machine::Machine;
use shmsync_harness::plan::{Options, Plan};
use shmsync_harness::workloads::{self, Extent};
use shmsync_harness::{process, runner};
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use target::Target;

const AFTER: &str = "\
What the columns mean:
  median, p99    of the latency that is named above the table
  x sem_t        how many times faster than the sem_t peer: above 1 is faster. The median over rounds of the ratio in
                 each round, of throughputs (contended, rwlock, pool, barrier) or of median latencies (the others)
  x pthread      likewise, to the process-shared pthread peer
  x robust       likewise, to the robust pthread mutex
  x limit        likewise, to two bare atomic operations
  CPU/op         CPU time of all processes for one operation
  CPU of all     CPU time of all waiters, in percent of one core
  shares         of the operations: the least and the most that a process had, 1 being fair
  spread         10th to 90th percentile over rounds of the peer's own speed, its median being 1

Exit codes:
  0  measured, and every peer did what it must
  1  measured, but a peer hung or gave a wrong result, or the results could not be written
  2  not measured: a wrong option, an unknown workload or peer, or a FILE that cannot be written

Examples:
  shmsync bench                                    everything but starvation and spin, in five minutes
  shmsync bench --quick                            less of everything, in under 20 seconds
  shmsync bench --filter contended --filter pool   two workloads
  shmsync bench --filter starvation                what takes too long for the others' sake: eight minutes
  shmsync bench --filter spin                      how prototypes compare that spin in different ways
  shmsync bench --peers futex,pthread              only peers with one of these in their names (and sem_t to compare)
  shmsync bench --quick --json bench.json          also as an array of records, one for each line of the tables
  shmsync bench --html bench.html                  also as a page with plots";

/// Measures shmsync against sem_t, pthread, std and parking_lot, in real processes on this machine.
///
/// All peers do the same work in interleaved rounds, and each workload checks its own result: a lock that loses an
/// update or a peer that hangs is reported, not averaged.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER, verbatim_doc_comment)]
pub(crate) struct Args {
    /// Shorter samples, fewer rounds and fewer groups: less than 20 seconds instead of five minutes
    #[arg(long)]
    quick: bool,

    /// Also write the results to FILE, as a JSON array of records
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// Also write the results to FILE, as a page with plots that needs nothing but a browser
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,

    /// Only this workload (may be repeated)
    #[arg(long, value_name = "WORKLOAD", value_delimiter = ',', value_parser = workload_names())]
    filter: Vec<String>,

    /// Only peers with PART in their names, upper or lower case, and those that they are compared to (may be repeated)
    #[arg(long, value_name = "PART", value_delimiter = ',')]
    peers: Vec<String>,

    /// How many rounds [default: 9, or 4 with --quick; fewer for long samples]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rounds: Option<u32>,

    /// Of the order in which the peers take turns
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    /// Show what would be measured, and stop
    #[arg(long)]
    list: bool,
}

fn workload_names() -> PossibleValuesParser {
    PossibleValuesParser::new(workloads::ALL.map(|workload| workload.name))
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let options = Options {
        extent: if args.quick { Extent::Quick } else { Extent::Full },
        workloads: args.filter.clone(),
        peers: args.peers.clone(),
        rounds: args.rounds,
        seed: args.seed,
        cpus: process::online_cpus(),
        processes: process::most_processes(),
    };
    let plan = Plan::new(&options).map_err(Failure::Refused)?;
    if args.list {
        return show(&list(&plan));
    }
    let open = |path: &Option<PathBuf>| path.as_deref().map(Target::open).transpose().map_err(Failure::Refused);
    let (json, html) = (open(&args.json)?, open(&args.html)?);

    let machine = Machine::look();
    announce(&plan, &machine);
    let start = Instant::now();
    let context = Context::calibrate(Duration::ZERO);
    let progress = progress::Progress::new(plan.samples());
    let outcome = runner::run(&plan, &context, |step| progress.show(step));
    progress.finish();

    let summary = table::summary(&plan, &outcome, &machine, &context, start.elapsed());
    let text = table::tables(&plan, &outcome) + &summary;
    let shown = show(&text);
    for failure in &outcome.failures {
        eprintln!("FAILED: {failure}");
    }
    let records = || serde_json::to_string_pretty(&outcome.records).expect("records are plain data") + "\n";
    let written = json.map_or(Ok(()), |file| file.write(&records()));
    let written = written.and(html.map_or(Ok(()), |file| file.write(&html::page(&plan, &outcome, &summary))));
    if let Err(why) = written {
        eprintln!("error: {why}");
        return Err(Failure::Wrong);
    }
    if outcome.failures.is_empty() { shown } else { Err(Failure::Wrong) }
}

/// Says on standard error what is about to be done and how long that takes.
fn announce(plan: &Plan, machine: &Machine) {
    for line in &plan.skipped {
        eprintln!("note: {line}");
    }
    // One is ourselves, or what has just built us.
    if let Some(load) = machine.load.filter(|&load| load > 1.2 * machine.cores[1] as f64) {
        eprintln!("note: the machine is busy (load {load}); the ratios will be noisy and the times too long");
    }
    let (rounds, samples, time) = (plan.rounds, plan.samples(), plan.time().as_secs_f64().ceil());
    eprintln!("measuring {samples} samples in {rounds} rounds, about {time} s");
}

fn list(plan: &Plan) -> String {
    let mut text = String::new();
    for entry in &plan.entries {
        let _ = writeln!(text, "{}: {}", entry.workload.name, entry.workload.about);
        for group in &entry.groups {
            let peers: Vec<&str> = group.cases.iter().map(|case| case.peer.as_str()).collect();
            let _ = writeln!(text, "  {}\n    {}", group.params, peers.join(", "));
        }
    }
    text
}

/// To standard output. A reader who has seen enough is no failure.
fn show(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            eprintln!("error: standard output: {error}");
            Err(Failure::Wrong)
        }
        _ => Ok(()),
    }
}
