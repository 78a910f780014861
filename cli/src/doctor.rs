//! `shmsync doctor`: what works on this machine, found out by doing it.

mod probes;

use crate::Failure;
use crate::output::{self, BAD, GOOD, PLAIN, WARNING};
use probes::{Finding, Verdict};
use serde_json::{Value, json};
use shmsync_harness::process;
use std::time::Duration;

const AFTER: &str = "\
Exit codes:
  0  what shmsync promises holds here, be it with limits that are told
  1  something essential does not work
  2  a wrong option

Each line is the outcome of a trial in this very environment (user, container, sandbox), so run it where your programs
run. It takes about a second, and leaves nothing behind.

Examples:
  shmsync doctor
  docker run --rm -v $(which shmsync):/shmsync debian /shmsync doctor
  shmsync doctor --json | jq '.findings[] | select(.verdict != \"works\")'";

/// Tries what shmsync needs of the system, and says what follows where something is missing.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER)]
pub(crate) struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let _watchdog = process::watchdog(Duration::from_secs(60), "a trial of shmsync doctor");
    let findings = probes::all();
    if args.json {
        output::print_json(&json!({ "findings": findings.iter().map(figures).collect::<Vec<_>>() }))?;
    } else {
        output::print(&text(&findings))?;
    }
    if findings.iter().any(|finding| finding.verdict == Verdict::Fails) { Err(Failure::Wrong) } else { Ok(()) }
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Told => "",
        Verdict::Works => "works",
        Verdict::Limited => "limited",
        Verdict::Fails => "fails",
    }
}

fn figures(finding: &Finding) -> Value {
    let verdict = if finding.verdict == Verdict::Told { "told" } else { word(finding.verdict) };
    json!({ "what": finding.what, "verdict": verdict, "found": finding.found, "means": finding.means })
}

fn text(findings: &[Finding]) -> String {
    let mut rows = Vec::new();
    for finding in findings {
        let style = match finding.verdict {
            Verdict::Told => PLAIN,
            Verdict::Works => GOOD,
            Verdict::Limited => WARNING,
            Verdict::Fails => BAD,
        };
        let what = (PLAIN, finding.what.to_owned());
        rows.push(vec![what, (style, word(finding.verdict).to_owned()), (PLAIN, finding.found.clone())]);
        if let Some(means) = &finding.means {
            rows.push(vec![(PLAIN, String::new()), (PLAIN, String::new()), (style, means.clone())]);
        }
    }
    output::columns(&rows)
}
