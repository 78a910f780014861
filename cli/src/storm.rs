//! `shmsync storm`: kill, watch, tell.

use crate::Failure;
use serde_json::{Value, json};
use shmsync_harness::process;
use shmsync_harness::storm::peers::{self, Outcome};
use shmsync_harness::storm::sweep::{self, Sweep};
use shmsync_harness::storm::{self, Options, Report};
use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

const AFTER: &str = "\
Exit codes:
  0  nothing hung, tore or was lost; or a peer was measured, whatever became of it
  1  something did: it is told, with the seed and the number of the kill; or the results could not be written
  2  not done: a wrong option, or a FILE that cannot be written

Examples:
  shmsync storm                               10 seconds, some 4,000 kills
  shmsync storm --seconds 3600 --workers 16   an hour
  shmsync storm --sweep                       kill at every single instruction instead
  shmsync storm --peer sem_t                  how many kills until a sem_t hangs, and the same of shmsync";

/// Kills workers of every primitive with SIGKILL, and checks that nothing hangs, tears or is lost.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER, verbatim_doc_comment)]
pub(crate) struct Args {
    /// How long to kill; with --peer, how long each run may take
    #[arg(long, value_name = "N", default_value_t = 10)]
    seconds: u64,

    /// Stop after so many kills, if that is sooner
    #[arg(long, value_name = "N", default_value_t = u64::MAX, hide_default_value = true)]
    kills: u64,

    /// How many workers; a quarter of them is never killed, and must never hang
    #[arg(long, value_name = "N", default_value_t = 8)]
    workers: usize,

    /// Of all dice; what the scheduler does they do not repeat
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,

    /// Whom to storm
    #[arg(long, value_name = "PEER", value_enum, default_value_t = Peer::Shmsync)]
    peer: Peer,

    /// With --peer, how many runs
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u64).range(1..))]
    runs: u64,

    /// Kill a process at each instruction of each verb in turn, instead of at random moments
    #[arg(long, conflicts_with_all = ["peer", "seconds", "kills", "workers", "seed"])]
    sweep: bool,

    /// With --sweep, only verbs with PART in their names
    #[arg(long, value_name = "PART", default_value = "", requires = "sweep", hide_default_value = true)]
    filter: String,

    /// Also write the figures to FILE
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Peer {
    /// All primitives of this library, in one region
    Shmsync,
    /// A bare sem_t, as a lock and as a pool; beside it the same of shmsync
    #[value(name = "sem_t")]
    SemT,
    /// A robust pthread mutex, that with a condition, a barrier; beside each the same of shmsync
    PthreadRobust,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let file =
        args.json.as_deref().map(|path| File::create(path).map_err(|error| format!("{}: {error}", path.display())));
    let file = file.transpose().map_err(Failure::Refused)?;
    let time = Duration::from_secs(args.seconds);
    let (seed, workers, kills) = (args.seed, args.workers, args.kills);
    let options = Options { time, kills, workers, seed, ..Options::default() };
    let (figures, well) = match args.peer {
        _ if args.sweep => swept(&args.filter).map_err(Failure::Refused)?,
        Peer::Shmsync => stormed(&options)?,
        Peer::SemT => against(peers::Peer::SemT, &options, args.runs)?,
        Peer::PthreadRobust => against(peers::Peer::PthreadRobust, &options, args.runs)?,
    };
    if let Some(Err(why)) = file.map(|mut file| writeln!(file, "{figures:#}")) {
        eprintln!("error: writing the figures: {why}");
        return Err(Failure::Wrong);
    }
    if well { Ok(()) } else { Err(Failure::Wrong) }
}

fn stormed(options: &Options) -> Result<(Value, bool), Failure> {
    eprintln!("storming for {:?}, seed {}", options.time, options.seed);
    let _watchdog = process::watchdog(options.time + Duration::from_secs(120), "the storm");
    let report = storm::run(options).map_err(Failure::Refused)?;
    println!("{report}");
    Ok((figures(&report), report.is_well()))
}

fn figures(report: &Report) -> Value {
    let latencies = |name: &str| {
        let (waited, since_death) = (report.waited(name), report.since_death(name));
        let figure = |sorted: &[u64]| json!({ "median_ns": sorted.get(sorted.len() / 2), "slowest_ns": sorted.last() });
        json!({ "count": waited.len(), "waited": figure(&waited), "since_death": figure(&since_death) })
    };
    let stations = report.names.iter().zip(&report.ops);
    let stations: Vec<Value> =
        stations.map(|(name, ops)| json!({ "name": name, "operations": ops, "recoveries": latencies(name) })).collect();
    json!({
        "workers": report.workers, "seed": report.seed, "seconds": report.time.as_secs_f64(), "kills": report.kills,
        "operations": report.ops.iter().sum::<u64>(), "recoveries": latencies(""), "calms": report.calms.len(),
        "stations": stations, "violations": report.violations,
    })
}

fn against(peer: peers::Peer, options: &Options, runs: u64) -> Result<(Value, bool), Failure> {
    let most = options.time + options.bound + Duration::from_secs(10);
    let _watchdog = process::watchdog(most * u32::try_from(runs).unwrap_or(u32::MAX).saturating_mul(6), "the peers");
    let outcomes = peers::run(peer, options, runs, |outcome| println!("{outcome}")).map_err(Failure::Refused)?;
    let figures = |outcome: &Outcome| {
        let (median, hangs) = outcome.median();
        let runs =
            outcome.runs.iter().map(|run| json!({ "kills": run.kills, "operations": run.ops, "hang": run.hang }));
        json!({ "name": outcome.name, "median_kills": median, "hangs": hangs, "runs": runs.collect::<Vec<_>>() })
    };
    Ok((outcomes.iter().map(figures).collect(), true))
}

fn swept(filter: &str) -> Result<(Value, bool), String> {
    let _watchdog = process::watchdog(Duration::from_secs(3600), "the sweep");
    let began = Instant::now();
    let mut figures = Vec::new();
    let mut well = true;
    let (mut addresses, mut kills, mut missed, mut verbs) = (0, 0, 0, 0);
    sweep::run(
        |name| name.contains(filter),
        Sweep::Everything,
        2 * process::online_cpus(),
        |swept| {
            println!("{swept}");
            well &= swept.failures.is_empty();
            verbs += 1;
            addresses += swept.addresses;
            kills += swept.kills;
            missed += swept.missed.len();
            figures.push(json!({
                "verb": swept.name, "steps": swept.steps, "addresses": swept.addresses, "kills": swept.kills,
                "missed": swept.missed, "slowest_ns": swept.slowest, "failures": swept.failures,
            }));
        },
    );
    if verbs == 0 {
        return Err(format!("no verb has {filter:?} in its name; they read like \"Lock::acquire, free (Futex)\""));
    }
    let took = began.elapsed().as_secs_f64();
    println!("{verbs} verbs, {addresses} addresses, {kills} kills, {missed} missed, in {took:.0} s");
    Ok((figures.into(), well))
}
