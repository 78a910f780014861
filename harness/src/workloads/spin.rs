//! How to spin for a lock: prototypes that differ in nothing else.
//!
//! The work, the latencies and the check are those of [`super::contended`]. What each teaches is in DESIGN.md.

use super::contended::{self, Load};
use super::{Column, Extent, Group, Pace, Workload};
use crate::peers::{AnEighth, AwayFirst, EachPause, Library, NoSpin, Prototype, Sem, ShmLock, Short, UpToFour};
use shmsync::wait::Futex;

/// See the head of the file.
pub const WORKLOAD: Workload = Workload {
    name: "spin",
    about: "N processes fight for one lock: prototypes that spin in different ways",
    pthread: None,
    columns: &[Column::CpuPerOp, Column::Shares],
    on_request: true,
    groups,
    ..contended::WORKLOAD
};

fn groups(extent: Extent) -> Vec<Group> {
    let pace = Pace::millis(extent.pick(8, 34));
    let loads = [2, 8].into_iter().flat_map(|processes| {
        let times = [(0, 0), (100, 0), (100, 100), (300, 300), (1000, 0), (1000, 1000)];
        times.map(|(section_ns, outside_ns)| Load { processes, section_ns, outside_ns })
    });
    let cases = |load| {
        vec![
            contended::case::<ShmLock<Futex>>(load),
            contended::case::<Prototype<Library>>(load),
            contended::case::<Prototype<EachPause>>(load),
            contended::case::<Prototype<UpToFour>>(load),
            contended::case::<Prototype<AnEighth>>(load),
            contended::case::<Prototype<AwayFirst>>(load),
            contended::case::<Prototype<Short>>(load),
            contended::case::<Prototype<NoSpin>>(load),
            contended::case::<Sem>(load),
        ]
    };
    loads.map(|load| load.group(pace, cases(load))).collect()
}
