//! Two processes pass a numbered ball back and forth, pinned to two CPUs or both to one.
//!
//! Latency is one way, half of a round trip. Check: each hit finds the number that it must (see
//! [`crate::peers::RallyPeer`]), and both sides made as many.

use super::laps::Laps;
use super::{Case, Column, Extent, Group, Pace, Workload};
use crate::crew::{self, Context, Placement, Team};
use crate::params::{Params, Value};
use crate::peers::{Court, MonitorCourt, PlMonitor, PthreadMonitor, RallyPeer, Sem};
use crate::peers::{ShmEvent, ShmMonitor, ShmSemaphore, StdMonitor};
use crate::sample::{Measure, Sample};
use shmsync::wait::{Futex, PosixSem};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use zerocopy::FromZeros;

/// See the head of the file.
pub const WORKLOAD: Workload = Workload {
    name: "ping-pong",
    about: "two processes pass a ball back and forth, pinned to two CPUs or to one",
    latency: "one way, half of a round trip",
    operations: "round trips",
    measure: Measure::Time,
    sem_t: Some("sem_t"),
    pthread: Some("pthread cond+mutex"),
    columns: &[Column::CpuPerOp],
    on_request: false,
    groups,
};

fn groups(extent: Extent) -> Vec<Group> {
    let pace = Pace::millis(extent.pick(12, 45));
    vec![group(pace, 2, Placement::Apart), group(pace, 1, Placement::Together)]
}

fn group(pace: Pace, cpus: u64, placement: Placement) -> Group {
    let params = Params(vec![("processes", Value::Number(2)), ("cpus", Value::Number(cpus))]);
    let cases = vec![
        case::<Court<ShmEvent<Futex>>>(placement),
        case::<Court<ShmEvent<PosixSem>>>(placement),
        case::<Court<ShmSemaphore<Futex>>>(placement),
        case::<Court<ShmSemaphore<PosixSem>>>(placement),
        case::<MonitorCourt<ShmMonitor<Futex>>>(placement),
        case::<MonitorCourt<ShmMonitor<PosixSem>>>(placement),
        case::<Court<Sem>>(placement),
        case::<MonitorCourt<PthreadMonitor>>(placement),
        case::<MonitorCourt<StdMonitor>>(placement),
        case::<MonitorCourt<PlMonitor>>(placement),
    ];
    Group { params, cpus: cpus as usize, members: 2, pace, cases }
}

fn case<P: RallyPeer + 'static>(placement: Placement) -> Case {
    Case::new::<P>(move |context| sample::<P>(context, placement))
}

#[repr(C, align(128))]
#[derive(Debug, FromZeros)]
struct Data {
    last: AtomicU64, // The number of side 1's last hit; 0 while nobody knows.
    returned: AtomicU64,
}

/// One sample.
///
/// # Errors
/// The peer hung, failed or delivered a signal without its message.
pub fn sample<P: RallyPeer>(context: &Context, placement: Placement) -> Result<Sample, String> {
    let Context { clock, .. } = *context;
    let team = Team { members: 2, size: 0, placement };
    let done = crew::run::<P, Data>(context, team, |seat| {
        let last = &seat.data.last;
        seat.begin();
        if seat.index == 1 {
            let mut number = 1;
            loop {
                seat.peer.hit(1, number);
                if number == last.load(Relaxed) {
                    break;
                }
                number += 2;
            }
            return seat.data.returned.store(number.div_ceil(2), Relaxed);
        }
        let (mut hits, mut laps) = (0_u64, Laps::new(clock));
        loop {
            let end = seat.stopped();
            if end {
                last.store(2 * hits + 1, Relaxed); // Before the hit that it is about, so side 1 sees it in time.
            }
            seat.peer.hit(0, 2 * hits);
            hits += 1;
            seat.publish(hits);
            if end {
                break;
            }
            if let Some(ticks) = laps.lap(seat.measuring()) {
                seat.record(ticks);
            }
        }
    })?;
    let (sent, returned) = (done.total(), done.data().returned.load(Relaxed));
    if sent != returned {
        return Err(format!("a ball was lost: {sent} sent, {returned} returned"));
    }
    Ok(done
        .sample(1, clock.ns_per_tick() / 2.0)
        .with_fine_median(clock.cost_ns() / 2.0)
        .with_cpu_per_op(done.cpu_per_op()))
}
