//! The one value of a region, opened as what the region's header says it is.

use super::Recovered;
use crate::permits::for_permits;
use crate::place::{Place, plain_type};
use shmsync::wait::{Futex, KernelRobust, PosixSem, Wait};
use shmsync::{
    BoundedSemaphore, Condition, Error, ErrorKind, Event, Lock, NamedSemaphore, Once, Owner, PermitPool, RLock,
    RegionInfo, Semaphore, Shared,
};
use zerocopy::FromBytes;

/// The one value of a region, if it is a primitive.
pub(super) trait Value {
    fn state(&self) -> String;
    fn holders(&self) -> Vec<Owner> {
        Vec::new()
    }
    fn recover(&self) -> Recovered {
        Recovered::Nothing(String::from("the dead leave nothing behind in it"))
    }
}

macro_rules! values {
    ($($type:ident)+) => {$(
        impl<W: Wait> Value for $type<W> {
            fn state(&self) -> String {
                format!("{self:?}")
            }
        }
    )+};
}
values!(Semaphore BoundedSemaphore Event Condition Once);

macro_rules! held {
    ($($type:ident)+) => {$(
        impl<W: Wait> Value for $type<W> {
            fn state(&self) -> String {
                format!("{self:?}")
            }
            fn holders(&self) -> Vec<Owner> {
                self.holder().into_iter().collect()
            }
            fn recover(&self) -> Recovered {
                let recovered = $type::recover(self).is_ok();
                if recovered {
                    // It is this thread's; an error would mean that scribbled bytes took it away.
                    let _ = self.release();
                }
                Recovered::Holders(recovered.into())
            }
        }
    )+};
}
held!(Lock RLock);

impl<const N: usize, W: Wait> Value for PermitPool<N, W> {
    fn state(&self) -> String {
        format!("{self:?}")
    }
    fn holders(&self) -> Vec<Owner> {
        PermitPool::holders(self).map(|(_, owner)| owner).collect()
    }
    fn recover(&self) -> Recovered {
        // Each permit is dropped as it is found, which frees it.
        Recovered::Holders(std::iter::from_fn(|| PermitPool::recover(self).ok()).take(N).count())
    }
}

/// What a region is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// Without being counted among those who use it.
    Looks,
    Changes,
}

/// Shows the value, with those who wait, if it is of a type that is known here.
pub(super) fn with_value<R>(
    place: &Place,
    info: &RegionInfo,
    way: Way,
    see: impl FnOnce(&dyn Value, Vec<Owner>) -> R,
) -> Result<Option<R>, Error> {
    let (mut see, mut seen) = (Some(see), None);
    let mut show = |value: &dyn Value, waiters| seen = see.take().map(|see| see(value, waiters));
    let contents = plain_type(info.contents().unwrap_or_default());
    let shown = match (&*contents, place) {
        ("NamedSemaphore", Place::Named(name)) => {
            let options = NamedSemaphore::options().allow_any_owner().observing();
            options.open(name).map(|sem| show(&*sem, Vec::new()))
        }
        _ => on::<Futex>(place, way, &contents, "Futex", &mut show)
            .or_else(|| on::<PosixSem>(place, way, &contents, "PosixSem", &mut show))
            .or_else(|| on::<KernelRobust>(place, way, &contents, "KernelRobust", &mut show))
            .unwrap_or(Ok(())),
    };
    match shown {
        // With a stamp of the user's own it is more than its type says.
        Err(error) if error.kind() != ErrorKind::LayoutMismatch => Err(error),
        _ => Ok(seen),
    }
}

type Show<'a> = &'a mut dyn FnMut(&dyn Value, Vec<Owner>);

/// As a primitive on that backend; `None` if the header calls it something else.
fn on<W: Wait + Sync + FromBytes>(
    place: &Place,
    way: Way,
    contents: &str,
    backend: &str,
    show: Show<'_>,
) -> Option<Result<(), Error>> {
    let (name, parameter) = match contents.strip_suffix('>') {
        Some(contents) => contents.split_once('<')?,
        None => (contents, "Futex"),
    };
    if name == "PermitPool" {
        return for_permits!(parameter.parse::<u32>().ok()?, pool(place, way, show), None);
    }
    (parameter == backend).then_some(())?;
    Some(match name {
        "Lock" => value::<Lock<W>>(place, way, show),
        "RLock" => value::<RLock<W>>(place, way, show),
        "Semaphore" => value::<Semaphore<W>>(place, way, show),
        "BoundedSemaphore" => value::<BoundedSemaphore<W>>(place, way, show),
        "Event" => value::<Event<W>>(place, way, show),
        "Condition" => value::<Condition<W>>(place, way, show),
        "Once" => value::<Once<W>>(place, way, show),
        _ => return None,
    })
}

fn pool<const N: usize>(place: &Place, way: Way, show: Show<'_>) -> Option<Result<(), Error>> {
    Some(value::<PermitPool<N>>(place, way, show))
}

fn value<T: Value + FromBytes + Sync>(place: &Place, way: Way, show: Show<'_>) -> Result<(), Error> {
    let options = Shared::<T>::options().allow_any_owner();
    let options = if way == Way::Looks { options.observing() } else { options };
    place.open(options).map(|shared| show(&*shared, shared.long_waiters()))
}
