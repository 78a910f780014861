//! 2, 4, 8 or 16 processes cross a barrier again and again with nothing in between.
//!
//! Latency is from one crossing to the next, as the first party sees it. Check: every 16 generations each party looks
//! whether all the others have arrived at this one and nobody is more than one ahead; in the end all made the same
//! number of crossings, and each had exactly one leader.

use super::laps::Laps;
use super::{Case, Column, Extent, Group, Pace, Workload};
use crate::crew::{self, Context, Padded, Placement, Team};
use crate::params::{Params, Value};
use crate::peers::{BarrierPeer, PthreadBarrier, ShmBarrier, StdBarrier};
use crate::sample::{Measure, Sample};
use shmsync::wait::{Futex, PosixSem};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use zerocopy::FromZeros;

const MOST: usize = 64;

/// See the head of the file.
pub const WORKLOAD: Workload = Workload {
    name: "barrier",
    about: "N processes cross a barrier again and again; 2 are pinned to two CPUs, more run where they may",
    latency: "from one crossing to the next",
    operations: "crossings",
    measure: Measure::Throughput,
    sem_t: None,
    pthread: Some("pthread barrier"),
    columns: &[Column::CpuPerOp],
    on_request: false,
    groups,
};

fn groups(extent: Extent) -> Vec<Group> {
    let pace = Pace::millis(extent.pick(12, 45));
    [2, 4, 8, 16].into_iter().map(|parties| group(pace, parties)).collect()
}

fn group(pace: Pace, parties: usize) -> Group {
    let params = Params(vec![("processes", Value::Number(parties as u64))]);
    let cases = vec![
        case::<ShmBarrier<Futex>>(parties),
        case::<ShmBarrier<PosixSem>>(parties),
        case::<PthreadBarrier>(parties),
        case::<StdBarrier>(parties),
    ];
    Group { params, cpus: if parties == 2 { 2 } else { 1 }, members: parties, pace, cases }
}

fn case<P: BarrierPeer + 'static>(parties: usize) -> Case {
    Case::new::<P>(move |context| sample::<P>(context, parties))
}

#[repr(C)]
#[derive(Debug, FromZeros)]
struct Data {
    /// The generation after which all end; 0 while nobody knows.
    last: Padded<AtomicU64>,
    /// How often each party has arrived.
    arrived: [Padded<AtomicU64>; MOST],
    /// How often each party was the leader.
    led: [AtomicU64; MOST],
}

/// One sample.
///
/// # Errors
/// The peer hung, failed or let somebody through too early.
pub fn sample<P: BarrierPeer>(context: &Context, parties: usize) -> Result<Sample, String> {
    let Context { clock, .. } = *context;
    assert!(parties <= MOST, "at most {MOST} parties");
    let placement = if parties == 2 { Placement::Apart } else { Placement::Free };
    let team = Team { members: parties, size: parties as u32, placement };
    let done = crew::run::<P, Data>(context, team, |seat| {
        let (me, data) = (seat.index, seat.data);
        seat.begin();
        let (mut crossed, mut led, mut laps) = (0_u64, 0_u64, Laps::new(clock));
        loop {
            if me == 0 && seat.stopped() {
                data.last.0.store(crossed + 1, Relaxed); // Before arriving, so whoever crosses has seen it.
            }
            data.arrived[me].0.store(crossed + 1, Relaxed);
            led += u64::from(seat.peer.wait());
            crossed += 1;
            if crossed % 16 == 0 {
                for (i, arrived) in data.arrived[..parties].iter().enumerate() {
                    let arrived = arrived.0.load(Relaxed);
                    let fine = (crossed..=crossed + 1).contains(&arrived);
                    assert!(fine, "party {me} crossed {crossed} times, party {i} has arrived {arrived} times");
                }
            }
            if data.last.0.load(Relaxed) == crossed {
                break;
            }
            if me == 0 {
                seat.publish(crossed);
                if let Some(ticks) = laps.lap(seat.measuring()) {
                    seat.record(ticks);
                }
            }
        }
        data.led[me].store(led, Relaxed);
    })?;
    let data = done.data();
    let last = data.last.0.load(Relaxed);
    let led: u64 = data.led.iter().map(|led| led.load(Relaxed)).sum();
    let crossed: Vec<u64> = data.arrived[..parties].iter().map(|arrived| arrived.0.load(Relaxed)).collect();
    if led != last || crossed.iter().any(|&crossed| crossed != last) {
        return Err(format!("{last} generations had {led} leaders and were crossed {crossed:?} times by the parties"));
    }
    Ok(done.sample(1, clock.ns_per_tick()).with_fine_median(clock.cost_ns()).with_cpu_per_op(done.cpu_per_op()))
}
