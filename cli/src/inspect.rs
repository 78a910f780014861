//! `shmsync inspect`: what is in a region, who holds it and who waits.

use crate::Failure;
use crate::cut_off;
use crate::output::{self, BAD, PLAIN, bytes, harmless};
use crate::place::Place;
use crate::regions::Found;
use crate::things::{self, Thing};
use crate::users::Users;
use crate::who::Who;
use serde_json::{Value, json};
use shmsync::Owner;
use std::io::{IsTerminal, Write};
use std::time::Duration;

const AFTER_INSPECT: &str = "\
Exit codes:
  0  it is shown
  1  it is shown, and something in it is held by the dead
  2  there is no such region or object, or it cannot be opened; or a wrong option

Each object is shown with its state in words, its holders with command line and age, dead ones in red, and who has been
waiting for it for more than some milliseconds (for a Lock, RLock, Mutex, Once, or to write to an RwLock). Of the region
of one value the type is known that its maker gave; if that is a primitive of the library, it is shown as well.
To look, the tool maps the region, but changes no object.

NAME is a name in /dev/shm, or, with a slash in it, the path of a file. What stands after its last colon is an object.

Examples:
  shmsync inspect jobs
  shmsync inspect jobs:cache --watch
  shmsync inspect jobs --json | jq '.objects[] | select(.holders[].alive | not).name'";

/// Shows what is in a region, who holds it and who waits.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_INSPECT)]
pub(crate) struct InspectArgs {
    /// Which region, or which object in it
    #[arg(value_name = "NAME[:OBJECT]")]
    name: String,

    /// Show it again every S seconds, until interrupted
    #[arg(long, value_name = "S", num_args = 0..=1, default_missing_value = "1", value_parser = interval)]
    watch: Option<Duration>,

    /// Print JSON; with --watch a line each time
    #[arg(long)]
    json: bool,
}

fn interval(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| String::from("not a number of seconds"))?;
    let interval = Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())?;
    if interval < Duration::from_millis(10) { Err(String::from("at least 0.01")) } else { Ok(interval) }
}

pub(crate) fn inspect(args: &InspectArgs) -> Result<(), Failure> {
    cut_off::explained();
    let (place, object) = Place::parse_with_object(&args.name);
    let Some(interval) = args.watch else {
        let view = View::of(&place, object.as_deref())?;
        if args.json {
            output::print_json(&view.json())?
        } else {
            output::print(&view.text())?
        }
        return if view.has_dead() { Err(Failure::Wrong) } else { Ok(()) };
    };
    let clear = if std::io::stdout().is_terminal() { "\x1b[H\x1b[2J" } else { "" };
    loop {
        let view = View::of(&place, object.as_deref())?;
        // A reader that has gone away ends the watch.
        let shown = match args.json {
            true => writeln!(std::io::stdout(), "{}", view.json()),
            false => writeln!(anstream::stdout(), "{clear}{}", view.text()),
        };
        if shown.and_then(|()| std::io::stdout().flush()).is_err() {
            return Ok(());
        }
        std::thread::sleep(interval);
    }
}

/// A region and what is in it, at one moment.
struct View {
    found: Found,
    things: Vec<Thing>,
    processes: Vec<Who>,
    users: Users,
}

impl View {
    fn of(place: &Place, object: Option<&str>) -> Result<Self, Failure> {
        let found = Found::at(place.clone())?;
        if let Some(problem) = found.info.problem() {
            return Err(Failure::Refused(format!("{place}: {problem}")));
        }
        let users = Users::look();
        let processes = users.of(&found.about).into_iter().map(Who::of_process).collect();
        let mut things = things::of(place, &found.info)?;
        if let Some(object) = object {
            things.retain(|thing| thing.name.as_deref() == Some(object));
            if things.is_empty() {
                return Err(place.has_no(object));
            }
        }
        Ok(Self { found, things, processes, users })
    }

    fn has_dead(&self) -> bool {
        self.things.iter().flat_map(|thing| &thing.holders).any(|owner| !owner.is_alive())
    }

    fn text(&self) -> String {
        let mut text = format!("{}  {}\n", self.found.name(), self.found.text());
        for who in &self.processes {
            text += &format!("  used by {}\n", who.text());
        }
        match (self.found.info.is_mapped(), self.processes.is_empty()) {
            (Some(false), true) => text += "  used by nobody\n",
            (Some(true), true) => text += "  used by processes that are not shown\n",
            _ => {}
        }
        if self.found.info.is_mapped() != Some(false) && (self.users.hidden > 0 || self.users.others) {
            text += "  (perhaps by others as well: not all processes can be looked at)\n";
        }
        let mut rows = Vec::new();
        for thing in &self.things {
            let name = thing.name.as_deref().map_or_else(|| String::from("(value)"), harmless);
            let state = match &thing.state {
                Some(state) => harmless(state),
                None => format!("{}, of a type that is not known here", bytes(thing.size)),
            };
            rows.push([name, harmless(&thing.kind), state].map(|text| (PLAIN, text)).to_vec());
            for holder in thing.holders.iter().map(Who::of) {
                let (style, what) = if holder.alive { (PLAIN, "  holder") } else { (BAD, "  dead holder") };
                rows.push(vec![(PLAIN, String::new()), (style, what.to_owned()), (style, holder.text())]);
            }
            for waiter in living(thing) {
                rows.push(["", "  waiting", &waiter.text()].map(|text| (PLAIN, text.to_owned())).to_vec());
            }
        }
        text + &output::columns(&rows)
    }

    fn json(&self) -> Value {
        let all = |owners: &[Owner]| owners.iter().map(|owner| Who::of(owner).json()).collect::<Vec<_>>();
        let object = |thing: &Thing| {
            json!({
                "name": thing.name, "kind": thing.kind, "offset": thing.offset, "size": thing.size, "state": thing.state,
                "holders": all(&thing.holders), "waiters": living(thing).iter().map(Who::json).collect::<Vec<_>>(),
            })
        };
        let mut value = self.found.json();
        value["processes"] = self.processes.iter().map(Who::json).collect();
        value["hidden_processes"] = self.users.hidden.into();
        value["may_have_processes_elsewhere"] = self.users.others.into();
        value["objects"] = self.things.iter().map(object).collect();
        value
    }
}

/// Who waits for it. Whoever was killed while waiting does not.
fn living(thing: &Thing) -> Vec<Who> {
    thing.waiters.iter().map(Who::of).filter(|who| who.alive).collect()
}
