//! Where a lock lies: in a region of its own, or in one of many objects.

use crate::held::Run;
use crate::place::{Place, Refusal};
use shmsync::{Error, Handle, Lock, Region, Shared};

pub(super) enum Home {
    Alone(Shared<Lock>),
    /// And what the lock is called in there.
    Among(Region, String),
}

impl Home {
    /// Opens it, and makes the lock if there is none; but no region of many objects, whose size only its programs know.
    pub(super) fn open(place: &Place, object: Option<&str>, run: &Run) -> Result<Self, Refusal> {
        let Some(object) = object else {
            return place.open_or_create_as("Lock", run.options(), Lock::new).map(Self::Alone);
        };
        let region = place.open_region(run.region_options())?;
        region.get_or_init::<Lock>(object)?;
        Ok(Self::Among(region, object.to_owned()))
    }

    /// Opens it if it is there.
    pub(super) fn find(place: &Place, object: Option<&str>, run: &Run) -> Result<Self, Error> {
        match object {
            None => place.open(run.options()).map(Self::Alone),
            Some(object) => Ok(Self::Among(place.open_region(run.region_options())?, object.to_owned())),
        }
    }

    /// The lock that has that name now, if there is one: somebody may remove it from its region and make another. So it is
    /// asked for once, and what was taken is let go by the same reference.
    pub(super) fn lock(&self) -> Result<&Lock, Error> {
        match self {
            Self::Alone(lock) => Ok(lock),
            Self::Among(region, object) => region.get(object),
        }
    }

    pub(super) fn handle(&self) -> Handle {
        match self {
            Self::Alone(lock) => lock.handle(),
            Self::Among(region, _) => region.handle(),
        }
    }
}
