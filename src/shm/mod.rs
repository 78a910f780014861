//! Regions: memory that several processes map, made and opened so that nobody ever sees half of one.
//!
//! | file      | its one idea |
//! |-----------|--------------|
//! | `region`  | [`Region`]: many objects in one region, each under a name; a folder with floors of its own |
//! | `named_semaphore` | [`NamedSemaphore`]: a semaphore that is a region of its own, as POSIX has them |
//! | `shared`  | [`Shared<T>`]: a `T` in a region, and every way to come by one |
//! | `options` | [`Options`]: the same ways where the defaults do not fit |
//! | `lent`    | regions in memory that somebody else has mapped |
//! | `shmem`   | regions in a `shared_memory::Shmem`, with the feature of that name |
//! | `socket`  | a handle on its way to another process, which need be no child |
//! | `handle`  | [`Handle`]: a region without a name, given to a child process |
//! | `mapping` | the bytes without their type: made whole, published, opened, mapped |
//! | `memory`  | mapped bytes, and who unmaps them |
//! | `terms`   | whose a region may be, how large, and on which pages |
//! | `info`    | [`RegionInfo`]: a region seen from outside, and who has it mapped |
//! | `header`  | the first 128 bytes, and the questions they must answer before anybody maps the rest |
//! | `layout`  | where a `T` lies in its region, and the stamp that says so |
//! | `place`   | what regions are called, and which names are none |
//! | `what`    | what is in a region, in words |
//!
//! Each names only those below it. The calls to the operating system are in `sys::file`.

mod handle;
mod header;
mod info;
mod layout;
mod lent;
mod mapping;
mod memory;
mod named_semaphore;
mod options;
mod place;
mod region;
mod shared;
#[cfg(feature = "shared_memory")]
mod shmem;
mod socket;
mod terms;
mod what;

pub use handle::Handle;
pub(crate) use handle::Kept;
pub use info::{RegionInfo, unlink_unused};
pub use named_semaphore::{NamedSemaphore, NamedSemaphoreOptions, unlink_semaphore};
pub use options::Options;
pub use place::unlink;
pub use region::{Attached, Item, Kind, List, Object, ObjectInfo, Region, RegionOptions};
pub use shared::Shared;
pub use terms::HugePages;
