//! What is in a region: the objects of a `Region`, or the one value of a `Shared` if it is a primitive of the library.

mod value;
mod words;

use crate::place::Place;
use shmsync::{Error, ErrorKind, Owner, Region, RegionInfo};
use value::{Value, Way, with_value};
use words::in_words;

/// An object, as it was when it was looked at.
#[derive(Debug)]
pub(crate) struct Thing {
    /// `None` for the one value of a region.
    pub(crate) name: Option<String>,
    pub(crate) kind: String,
    pub(crate) offset: Option<u64>,
    pub(crate) size: u64,
    /// In words; `None` if the kind is not known here.
    pub(crate) state: Option<String>,
    pub(crate) holders: Vec<Owner>,
    pub(crate) waiters: Vec<Owner>,
}

/// What came of taking an object over from the dead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Recovered {
    /// So many holders were dead, and hold nothing any more.
    Holders(usize),
    /// It is of a kind of which a dead holder leaves nothing behind, or that is not known here.
    Nothing(String),
}

/// All that is in there.
pub(crate) fn of(place: &Place, info: &RegionInfo) -> Result<Vec<Thing>, Error> {
    if !info.holds_objects() {
        let thing = |value: &dyn Value, waiters| Thing {
            state: Some(in_words(&value.state())),
            holders: value.holders(),
            waiters,
            ..unknown(info)
        };
        return Ok(vec![with_value(place, info, Way::Looks, thing)?.unwrap_or_else(|| unknown(info))]);
    }
    let region = place.open_region(Region::options().allow_any_owner().observing())?;
    let mut things: Vec<_> = region
        .objects()
        .iter()
        .map(|object| Thing {
            name: Some(object.name()),
            kind: object.kind(),
            offset: Some(object.offset()),
            size: object.size(),
            state: object.state().map(|state| in_words(&state)),
            holders: object.holders(),
            waiters: object.long_waiters(),
        })
        .collect();
    things.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(things)
}

/// Takes what the dead hold over from them and lets it go: all, or what `object` has. Each by its name.
pub(crate) fn recover(
    place: &Place,
    info: &RegionInfo,
    object: Option<&str>,
) -> Result<Vec<(Option<String>, Recovered)>, Error> {
    if !info.holds_objects() {
        let recovered = match object {
            Some(_) => None,
            None => with_value(place, info, Way::Changes, |value, _| value.recover())?,
        };
        let nothing = || Recovered::Nothing(format!("it holds {}", info.contents().unwrap_or("nothing that is known")));
        return Ok(vec![(None, recovered.unwrap_or_else(nothing))]);
    }
    let region = place.open_region(Region::options().allow_any_owner())?;
    let wanted = |name: &str| object.is_none_or(|object| object == name);
    let objects = region.objects();
    let all = objects.iter().filter(|found| wanted(&found.name())).map(|found| {
        let recovered = match found.recover() {
            Ok(recovered) => Recovered::Holders(recovered.into()),
            Err(error) if error.kind() == ErrorKind::Unsupported => Recovered::Nothing(error.to_string()),
            Err(error) => return Err(error),
        };
        Ok((Some(found.name()), recovered))
    });
    all.collect()
}

fn unknown(info: &RegionInfo) -> Thing {
    let kind = info.contents().unwrap_or("unknown").to_owned();
    let size = info.payload_size();
    Thing { name: None, kind, offset: None, size, state: None, holders: Vec::new(), waiters: Vec::new() }
}
