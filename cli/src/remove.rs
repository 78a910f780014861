//! `shmsync rm` and `shmsync gc`: regions go when nobody uses them.

use crate::Failure;
use crate::output::{self, bytes};
use crate::place::Place;
use crate::regions::{self, Found};
use crate::users::Users;
use crate::who::Who;
use serde_json::{Value, json};
use shmsync::unlink_unused;
use std::io::{self, BufRead, IsTerminal, Write};
use std::time::Duration;

const AFTER_RM: &str = "\
Exit codes:
  0  all are removed
  1  some are not, because somebody uses them, or for want of permission: it is told
  2  a wrong option

Who has a removed region keeps it, and does not meet those who make another by its name; so a region that any process
has mapped, or in which somebody who lives holds something, is removed only by --force. A region that is a file of your
own is removed with rm.

Examples:
  shmsync rm jobs
  shmsync rm --force jobs cache";

/// Removes regions that nobody uses.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_RM)]
pub(crate) struct RmArgs {
    /// Which regions
    #[arg(required = true)]
    names: Vec<String>,

    /// Remove them though they are used
    #[arg(short, long)]
    force: bool,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

const AFTER_GC: &str = "\
Exit codes:
  0  what was stale is removed, or there was nothing, or the answer was no
  1  some could not be removed: it is told
  2  a wrong option, or there is nobody to ask and no --yes

What is stale, `shmsync ls --help` says. That is looked at once more when a region is removed, in one step with removing
it: who opens it at that moment either keeps it from being removed or finds none. Data that is meant to wait in a region
for a program that comes later is stale, too: look at the list.

Examples:
  shmsync gc
  shmsync gc --dry-run
  shmsync gc --yes --older-than 1h";

/// Removes all regions that were left behind, after asking.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_GC)]
pub(crate) struct GcArgs {
    /// Do not ask
    #[arg(short, long)]
    yes: bool,

    /// Only say what would be removed
    #[arg(short = 'n', long, conflicts_with = "yes")]
    dry_run: bool,

    /// Only those that were made so long ago, such as 30min or 2days
    #[arg(long, value_name = "AGE", value_parser = humantime::parse_duration, default_value = "0s", hide_default_value = true)]
    older_than: Duration,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What became of a region.
struct Outcome {
    name: String,
    size: u64,
    /// Why it was not removed.
    kept: Option<String>,
}

pub(crate) fn rm(args: &RmArgs) -> Result<(), Failure> {
    let outcomes = args.names.iter().map(|name| {
        let place = Place::parse(name);
        let (size, removed) = match Found::at(place.clone()) {
            Ok(found) => (found.info.size(), if args.force { force(&found) } else { unless_used(&found) }),
            Err(unseen) => (0, Err(unseen.why)),
        };
        Outcome { name: output::harmless(&place.to_string()), size, kept: removed.err() }
    });
    tell(&outcomes.collect::<Vec<_>>(), args.json)
}

pub(crate) fn gc(args: &GcArgs) -> Result<(), Failure> {
    // A name that is no text is none that this crate gives.
    let wanted = |found: &Found| found.age() >= args.older_than && matches!(found.place, Place::Named(_));
    let stale: Vec<_> = regions::all()?.regions.into_iter().filter(|found| wanted(found) && found.is_stale()).collect();
    if args.dry_run || stale.is_empty() {
        return list(&stale, args.json);
    }
    if !args.yes {
        // Where nobody answers, what was meant to be is not done, and that is a failure.
        if !io::stdin().is_terminal() || args.json {
            return Err(Failure::Refused(format!(
                "{} stale regions: remove them with --yes, or list them with --dry-run",
                stale.len()
            )));
        }
        list(&stale, false)?;
        if !ask(&format!("Remove these {} regions? [y/N] ", stale.len()))? {
            return Ok(());
        }
    }
    let outcomes = stale.iter().map(|found| Outcome {
        name: found.name(),
        size: found.info.size(),
        kept: unless_used(found).err(),
    });
    tell(&outcomes.collect::<Vec<_>>(), args.json)
}

/// Removes a region unless somebody uses it, or holds something in it, at this very moment.
fn unless_used(found: &Found) -> Result<(), String> {
    let Place::Named(name) = &found.place else {
        return Err(String::from("it is a file of your own: remove it with rm"));
    };
    if found.info.problem().is_none() {
        match found.living_holder() {
            None => {
                return Err(String::from("what is held in it cannot be looked at; --force removes it nevertheless"));
            }
            Some(holders) => {
                if let Some(holder) = holders.first() {
                    return Err(format!("{} holds something in it", holder.text()));
                }
            }
        }
    }
    if !found.has_its_name() {
        return Err(String::from("another region has its name by now"));
    }
    match unlink_unused(name) {
        Ok(true) => Ok(()),
        Ok(false) => Err(used_by(found)),
        Err(error) => Err(error.to_string()),
    }
}

fn used_by(found: &Found) -> String {
    let users: Vec<_> = Users::look().of(&found.about).into_iter().map(|id| Who::of_process(id).text()).collect();
    match users.is_empty() {
        true => String::from("it is used, by processes that are not shown here"),
        false => format!("it is used by {}", users.join(", ")),
    }
}

fn force(found: &Found) -> Result<(), String> {
    match &found.place {
        Place::Named(name) => shmsync::unlink(name).map_err(|error| error.to_string()),
        Place::File(_) => Err(String::from("it is a file of your own: remove it with rm")),
    }
}

fn ask(question: &str) -> Result<bool, Failure> {
    let mut answer = String::new();
    let asked = write!(io::stderr(), "{question}").and_then(|()| io::stdin().lock().read_line(&mut answer));
    asked.map_err(|error| Failure::Refused(error.to_string()))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn list(stale: &[Found], json: bool) -> Result<(), Failure> {
    if json {
        let regions: Vec<_> = stale.iter().map(Found::json).collect();
        return output::print_json(&json!({ "stale": regions }));
    }
    let lines: String = stale.iter().map(|found| format!("{}  {}\n", found.name(), found.text())).collect();
    output::print(if stale.is_empty() { "no region is stale\n" } else { &lines })
}

fn tell(outcomes: &[Outcome], json: bool) -> Result<(), Failure> {
    if json {
        let line = |outcome: &Outcome| -> Value {
            json!({ "name": outcome.name, "size": outcome.size, "removed": outcome.kept.is_none(), "why_not": outcome.kept })
        };
        output::print_json(&json!({ "regions": outcomes.iter().map(line).collect::<Vec<_>>() }))?;
    }
    for Outcome { name, size, kept } in outcomes {
        match kept {
            None if !json => output::print(&format!("{name} removed, {}\n", bytes(*size)))?,
            None => {}
            Some(why) => eprintln!("error: {name} not removed: {why}"),
        }
    }
    if outcomes.iter().all(|outcome| outcome.kept.is_none()) { Ok(()) } else { Err(Failure::Wrong) }
}
