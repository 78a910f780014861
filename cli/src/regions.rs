//! The regions in shared memory, found by their headers, and what can be said of one without knowing its type.

use crate::Failure;
use crate::output::{bytes, harmless};
use crate::place::{DIRECTORY, Place, plain_type};
use crate::things::{self, Thing};
use crate::who::{Who, user_name};
use serde_json::{Value, json};
use shmsync::{ErrorKind, RegionInfo};
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

/// A region, as it was when it was looked at.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) place: Place,
    pub(crate) about: Metadata,
    pub(crate) info: RegionInfo,
}

/// Why a region was not looked at.
#[derive(Debug)]
pub(crate) struct Unseen {
    denied: bool,
    pub(crate) why: String,
}

impl From<Unseen> for Failure {
    fn from(unseen: Unseen) -> Self {
        Self::Refused(unseen.why)
    }
}

/// All regions that have names, in the order of these.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    pub(crate) regions: Vec<Found>,
    /// How many files could not be looked at.
    pub(crate) unreadable: usize,
}

pub(crate) fn all() -> Result<Listing, Failure> {
    let entries = fs::read_dir(DIRECTORY).map_err(|error| Failure::Refused(format!("{DIRECTORY}: {error}")))?;
    let mut listing = Listing::default();
    for entry in entries.flatten() {
        match Found::at(place_of(&entry.path())) {
            Ok(found) => listing.regions.push(found),
            Err(unseen) if unseen.denied => listing.unreadable += 1,
            Err(_) => {} // No region, or gone since.
        }
    }
    listing.regions.sort_by_key(|found| found.name());
    Ok(listing)
}

fn place_of(path: &Path) -> Place {
    // No region has a name that is not text; a file may.
    match path.file_name().and_then(|name| name.to_str()) {
        Some(name) => Place::Named(format!("/{name}")),
        None => Place::File(path.to_owned()),
    }
}

impl Found {
    pub(crate) fn at(place: Place) -> Result<Self, Unseen> {
        let unseen = |error: shmsync::Error| Unseen {
            denied: error.kind() == ErrorKind::PermissionDenied,
            why: error.to_string(),
        };
        let info = place.info().map_err(unseen)?;
        // If it is another file by now, what is told of it is as old as the rest.
        let about = fs::metadata(place.path());
        let about = about.map_err(|error| Unseen { denied: false, why: format!("{place}: {error}") })?;
        Ok(Self { place, about, info })
    }

    pub(crate) fn name(&self) -> String {
        harmless(&self.place.to_string())
    }

    pub(crate) fn kind(&self) -> String {
        match self.info.contents() {
            _ if self.info.holds_objects() => String::from("Region"),
            Some(contents) => harmless(&plain_type(contents)),
            None => String::from("unknown"),
        }
    }

    pub(crate) fn mode(&self) -> String {
        format!("{:04o}", self.about.mode() & 0o7777)
    }

    pub(crate) fn owner(&self) -> String {
        user_name(self.about.uid())
    }

    /// How long ago it was made, or its file was written to by other means than mapping it.
    pub(crate) fn age(&self) -> Duration {
        self.about.modified().ok().and_then(|then| then.elapsed().ok()).unwrap_or_default()
    }

    /// `Region, 1 MiB, 0600, root`.
    pub(crate) fn text(&self) -> String {
        format!("{}, {}, {}, {}", self.kind(), bytes(self.info.size()), self.mode(), self.owner())
    }

    pub(crate) fn json(&self) -> Value {
        json!({
            "name": self.place.to_string(), "kind": self.kind(), "contents": self.info.contents(),
            "size": self.info.size(), "format_version": self.info.version(), "owner": self.owner(),
            "uid": self.about.uid(), "mode": self.mode(), "age_seconds": self.age().as_secs(),
            "of_this_boot": self.info.is_of_this_boot(), "problem": self.info.problem(),
            "mapped": self.info.is_mapped(),
        })
    }

    /// Whether it is the caller's own, or root's. A stranger could cut a region off while it is looked into, which ends who
    /// looks: not a thing for commands that look into all that there are.
    fn is_trusted(&self) -> bool {
        [0, uzers::get_effective_uid()].contains(&self.about.uid())
    }

    /// Who lives and holds something in it; `None` if that cannot be told, or it is a stranger's.
    pub(crate) fn living_holder(&self) -> Option<Vec<Who>> {
        if !self.is_trusted() {
            return None;
        }
        let holders = |things: Vec<Thing>| things.into_iter().flat_map(|thing| thing.holders);
        let all = things::of(&self.place, &self.info).ok()?;
        Some(holders(all).filter(|owner| owner.is_alive()).map(|owner| Who::of(&owner)).collect())
    }

    /// Whether its name still is the name of the file that was looked at.
    pub(crate) fn has_its_name(&self) -> bool {
        let identity = |about: &Metadata| (about.dev(), about.ino());
        self.place.path().symlink_metadata().is_ok_and(|now| identity(&now) == identity(&self.about))
    }

    /// Whether no process uses it, and nobody who lives holds anything in it: `false` in any doubt.
    pub(crate) fn is_stale(&self) -> bool {
        self.info.is_mapped() == Some(false) && self.living_holder().is_some_and(|holders| holders.is_empty())
    }
}
