//! Whether anybody is left out: 64 or 256 processes fight for one lock for ten seconds.
//!
//! The work, the latencies and the check are those of [`super::contended`]. What it is run for are the shares: of the
//! least process, which is 0 if somebody starved, and of the one that had the most. Beside the peers stand prototypes of the
//! three ways to treat who came long ago, which settle how fair a lock should be.

use super::contended::{self, Load};
use super::{Column, Extent, Group, Pace, Workload};
use crate::peers::{AfterLosses, AfterMillis, Library, Prototype, PthreadMutex, Sem, ShmLock};
use shmsync::wait::{Futex, PosixSem};
use std::time::Duration;

/// See the head of the file.
pub const WORKLOAD: Workload = Workload {
    name: "starvation",
    about: "many processes fight for one lock, for ten seconds (quick: two): does each get its share?",
    columns: &[Column::CpuPerOp, Column::Shares],
    on_request: true,
    groups,
    ..contended::WORKLOAD
};

fn groups(extent: Extent) -> Vec<Group> {
    let sample = Duration::from_secs(extent.pick(2, 10));
    let pace = Pace { warm: Duration::from_millis(100), sample, rounds: 1 };
    let loads = [8, 64, 256].into_iter().flat_map(|processes| {
        [(0, 0), (1000, 1000)].map(|(section_ns, outside_ns)| Load { processes, section_ns, outside_ns })
    });
    let cases = |load| {
        vec![
            contended::case::<ShmLock<Futex>>(load),
            contended::case::<ShmLock<PosixSem>>(load),
            contended::case::<Prototype<Library>>(load),
            contended::case::<Prototype<AfterLosses>>(load),
            contended::case::<Prototype<AfterMillis>>(load),
            contended::case::<Sem>(load),
            contended::case::<PthreadMutex>(load),
        ]
    };
    loads.map(|load| load.group(pace, cases(load))).collect()
}
