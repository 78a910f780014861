//! `shmsync recover`: what the dead hold is taken over from them, and a region's own locks on an operator's word.
#![allow(unsafe_code)]

use crate::Failure;
use crate::cut_off;
use crate::output::{self, BAD, harmless, styled};
use crate::place::Place;
use crate::regions::Found;
use crate::things::{self, Recovered};
use crate::who::is_unknown;
use serde_json::json;
use shmsync::{Owner, Region};

const AFTER_RECOVER: &str = "\
Exit codes:
  0  the dead hold nothing there any more: it is told what was taken over from them
  1  something could not be taken over, or is held by one of whom nobody here can tell whether it lives
  2  there is no such region or object, or nothing that a dead one could hold; or a wrong option

Taking over says that what a lock guards is in order, or that you have put it in order: the next one who acquires it is
not told of the death. (A Mutex and an RwLock stay poisoned, so their users are told.) Only what is proven to be a dead
one's is taken over, and never from the living. A permit of a dead one is given back.

--directory is for a region whose objects can be neither made nor removed any more, because whoever was about to do so
has died where nobody here can see it: in another PID namespace, or without /proc. It frees the region's own locks,
whoever holds them, and so wants to be sure that nobody is making or removing at this moment: it refuses while any other
process has the region open (exit code 1), and you start none meanwhile. With --force it takes your word for all of it.

Examples:
  shmsync recover jobs:cache
  shmsync recover jobs            all objects of the region
  shmsync recover jobs --directory";

/// Takes locks and permits over from dead holders, and releases them.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_RECOVER)]
pub(crate) struct RecoverArgs {
    /// Which region, or which object in it
    #[arg(value_name = "NAME[:OBJECT]")]
    name: String,

    /// Free the region's own locks, by which objects are made and removed
    #[arg(long)]
    directory: bool,

    /// Though others have the region open: they make and remove nothing now
    #[arg(long, requires = "directory")]
    force: bool,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// By whom something is still held after what could be taken over was.
struct Still {
    dead: usize,
    unknown: usize,
}

pub(crate) fn recover(args: &RecoverArgs) -> Result<(), Failure> {
    cut_off::explained();
    if args.directory {
        return directory(args);
    }
    let (place, object) = Place::parse_with_object(&args.name);
    let found = Found::at(place.clone())?;
    if object.is_some() && !found.info.holds_objects() {
        return Err(Failure::Refused(format!("{place} is a region of one value, and has no objects")));
    }
    let all = things::recover(&place, &found.info, object.as_deref())?;
    match (&all[..], object) {
        ([], Some(object)) => return Err(place.has_no(&object)),
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

/// Frees the region's own locks, on the operator's word.
fn directory(args: &RecoverArgs) -> Result<(), Failure> {
    let place = Place::parse(&args.name);
    let found = Found::at(place.clone())?;
    if !found.info.holds_objects() {
        return Err(Failure::Refused(format!("{place} is a region of one value, and has no directory")));
    }
    // Asked before this process has it open itself: then the kernel tells of everybody, in whatever namespace, also where
    // those who have it open cannot be told apart.
    if found.info.is_mapped() != Some(false) && !args.force {
        let why = format!("others have {place} open, and may be making or removing objects; --force if they are not");
        return Err(Failure::Exit(1, Some(why)));
    }
    let region = place.open_region(Region::options().allow_any_owner())?;
    // SAFETY: nobody else has had the region open, so nobody is in the middle of a change; or the operator says so. That
    // nobody opens it and begins one in between is the operator's word, too.
    let freed = unsafe { region.recover_directory() };
    if args.json {
        return output::print_json(&json!({ "region": place.to_string(), "own_locks_freed": freed }));
    }
    let did = match freed {
        0 => String::from("no lock of the region's own was held"),
        1 => String::from("a lock of the region's own was held, and is free"),
        n => format!("{n} locks of the region's own were held, and are free"),
    };
    output::print(&format!("{}  {did}\n", harmless(&place.to_string())))
}
