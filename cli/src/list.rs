//! `shmsync ls`: the regions, and who uses them.

use crate::Failure;
use crate::output::{self, PLAIN, WARNING, age, bytes, styled};
use crate::regions::{self, Found, Listing};
use crate::users::Users;
use crate::who::Who;
use serde_json::json;

const AFTER: &str = "\
Exit codes:
  0  they are listed, be there any or not
  2  a wrong option, or there is no /dev/shm

A region is stale when no process has it mapped or open, in whatever namespace or container, which the kernel's locks
tell, and nobody who lives holds anything in it. In any doubt it is not. PROCESSES are those that /proc shows; if some
may be missing there, that is said, and makes no region stale.

Examples:
  shmsync ls
  shmsync ls --stale
  shmsync ls --json | jq -r '.regions[] | select(.size > 1048576).name'";

/// Lists the regions in shared memory: what they are, whose, and who uses them.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER)]
pub(crate) struct Args {
    /// Only those that nobody uses any more
    #[arg(long)]
    stale: bool,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let Listing { regions, unreadable } = regions::all()?;
    let users = Users::look();
    let rows = regions.iter().map(|found| Row::of(found, &users)).filter(|row| row.stale || !args.stale);
    let rows: Vec<_> = rows.collect();
    if args.json {
        let regions: Vec<_> = rows.iter().map(Row::json).collect();
        return output::print_json(&json!({
            "regions": regions, "unreadable_files": unreadable, "hidden_processes": users.hidden,
            "may_have_processes_elsewhere": users.others,
        }));
    }
    output::print(&table(&rows))?;
    output::print(&styled(WARNING, notes(unreadable, &users)))
}

struct Row<'a> {
    found: &'a Found,
    users: Vec<u32>,
    stale: bool,
    /// Who holds something without using the region.
    holders: Vec<Who>,
}

impl<'a> Row<'a> {
    fn of(found: &'a Found, users: &Users) -> Self {
        let unused = found.info.is_mapped() == Some(false);
        let holders = if unused { found.living_holder() } else { Some(Vec::new()) };
        let stale = unused && holders.as_ref().is_some_and(Vec::is_empty);
        Self { found, users: users.of(&found.about), stale, holders: holders.unwrap_or_default() }
    }

    fn use_in_words(&self) -> String {
        match (self.users.len(), self.found.info.is_mapped()) {
            _ if self.stale => String::from("stale"),
            (0, Some(true)) => String::from("used by processes that are not shown"),
            (0, None) => String::from("unknown"),
            (0, Some(false)) => match self.holders.first() {
                Some(holder) => format!("not mapped, but held by {}", holder.text()),
                None => String::from("not mapped; what is held in it is unknown"),
            },
            (1, _) => Who::of_process(self.users[0]).text(),
            (n, _) => {
                let most = 6;
                let ids: Vec<_> = self.users.iter().take(most).map(u32::to_string).collect();
                format!("{n}: {}{}", ids.join(" "), if n > most { " .." } else { "" })
            }
        }
    }

    fn json(&self) -> serde_json::Value {
        let mut all = self.found.json();
        all["stale"] = self.stale.into();
        all["processes"] = self.users.iter().map(|&id| Who::of_process(id).json()).collect();
        all
    }
}

fn table(rows: &[Row<'_>]) -> String {
    let header = ["NAME", "KIND", "SIZE", "OWNER", "MODE", "AGE", "PROCESSES"];
    let mut all = vec![header.map(|text| (PLAIN, text.to_owned())).to_vec()];
    for row in rows {
        let Row { found, stale, .. } = row;
        let kind = found.info.problem().map_or_else(|| found.kind(), |problem| output::harmless(&problem));
        let plain = [found.name(), kind, bytes(found.info.size()), found.owner(), found.mode(), age(found.age())];
        let mut cells: Vec<_> = plain.into_iter().map(|text| (PLAIN, text)).collect();
        cells.push((if *stale { WARNING } else { PLAIN }, row.use_in_words()));
        all.push(cells);
    }
    output::columns(&all)
}

/// What may be missing from the list.
fn notes(unreadable: usize, users: &Users) -> String {
    let mut notes = String::new();
    if unreadable > 0 {
        notes += &format!("not looked at for want of permission: {unreadable} files\n");
    }
    if users.hidden > 0 {
        notes +=
            &format!("processes that do not show what they have mapped, for want of permission: {}\n", users.hidden);
    }
    if users.others {
        notes += "processes of other PID namespaces are not shown\n";
    }
    notes
}
