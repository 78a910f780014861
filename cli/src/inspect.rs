//! `shmsync inspect` and `shmsync recover`: what is in a region, who holds it, and taking it over from the dead.

use crate::Failure;
use crate::output::{self, BAD, PLAIN, bytes, harmless, styled};
use crate::place::Place;
use crate::regions::Found;
use crate::things::{self, Recovered, Thing};
use crate::users::Users;
use crate::who::{Who, is_unknown};
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

const AFTER_RECOVER: &str = "\
Exit codes:
  0  the dead hold nothing there any more: it is told what was taken over from them
  1  something could not be taken over, or is held by one of whom nobody here can tell whether it lives
  2  there is no such region or object, or nothing that a dead one could hold; or a wrong option

Taking over says that what a lock guards is in order, or that you have put it in order: the next one who acquires it is
not told of the death. (A Mutex and an RwLock stay poisoned, so their users are told.) Only what is proven to be a dead
one's is taken over, and never from the living. A permit of a dead one is given back.

Examples:
  shmsync recover jobs:cache
  shmsync recover jobs            all objects of the region";

/// Takes locks and permits over from dead holders, and releases them.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_RECOVER)]
pub(crate) struct RecoverArgs {
    /// Which region, or which object in it
    #[arg(value_name = "NAME[:OBJECT]")]
    name: String,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

fn interval(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| String::from("not a number of seconds"))?;
    let interval = Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())?;
    if interval < Duration::from_millis(10) { Err(String::from("at least 0.01")) } else { Ok(interval) }
}

pub(crate) fn inspect(args: &InspectArgs) -> Result<(), Failure> {
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
                return Err(no_object(place, object));
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

fn no_object(place: &Place, object: &str) -> Failure {
    Failure::Refused(format!("there is no object {object:?} in {place}"))
}

/// By whom something is still held after what could be taken over was.
struct Still {
    dead: usize,
    unknown: usize,
}

pub(crate) fn recover(args: &RecoverArgs) -> Result<(), Failure> {
    let (place, object) = Place::parse_with_object(&args.name);
    let found = Found::at(place.clone())?;
    if object.is_some() && !found.info.holds_objects() {
        return Err(Failure::Refused(format!("{place} is a region of one value, and has no objects")));
    }
    let all = things::recover(&place, &found.info, object.as_deref())?;
    match (&all[..], object) {
        ([], Some(object)) => return Err(no_object(&place, &object)),
        ([(_, Recovered::Nothing(why))], _) => return Err(Failure::Refused(why.clone())),
        _ => {}
    }
    let left = things::of(&place, &found.info)?;
    let count = |name: &Option<String>, which: fn(&Owner) -> bool| {
        let of_that_name = left.iter().filter(|thing| thing.name == *name);
        of_that_name.flat_map(|thing| &thing.holders).filter(|owner| which(owner)).count()
    };
    let still = |name: &Option<String>| Still {
        dead: count(name, |owner| !owner.is_alive()),
        unknown: count(name, is_unknown),
    };
    let rows: Vec<_> = all
        .iter()
        .filter_map(|(name, recovered)| match recovered {
            Recovered::Holders(n) => Some((name, *n, still(name))),
            Recovered::Nothing(_) => None,
        })
        .collect();
    if args.json {
        let object = |(name, n, left): &(&Option<String>, usize, Still)| json!({ "name": name, "recovered": n, "dead_holders_left": left.dead, "holders_of_unknown_life": left.unknown });
        output::print_json(
            &json!({ "region": place.to_string(), "objects": rows.iter().map(object).collect::<Vec<_>>() }),
        )?;
    } else {
        let mut text = String::new();
        for (name, n, left) in &rows {
            let name = name.as_deref().map_or_else(|| place.to_string(), |name| format!("{place}:{name}"));
            let did = match n {
                0 => String::from("nothing to take over"),
                1 => String::from("taken over from a dead holder, and released"),
                n => format!("{n} taken over from dead holders, and released"),
            };
            text += &format!("{}  {did}\n", harmless(&name));
            if left.dead > 0 {
                text += &styled(BAD, format!("  {} still held by the dead\n", left.dead));
            }
            if left.unknown > 0 {
                let n = left.unknown;
                text += &styled(BAD, format!("  {n} held by one of whom nobody here can tell whether it lives\n"));
            }
        }
        output::print(&text)?;
    }
    if rows.iter().all(|(_, _, left)| left.dead + left.unknown == 0) { Ok(()) } else { Err(Failure::Wrong) }
}
