//! A semaphore as a pool: 4 permits, 8 processes, each holds one for a microsecond.
//!
//! Latency is the wait for a permit, of every 4th, with the cost of a timestamp in it.
//!
//! Check: an atomic count of those inside never passes the permits, and in the end every permit is there again and not
//! one more.

use super::{Case, Column, Extent, Group, Pace, Workload};
use crate::crew::{self, Context, Placement, Team};
use crate::params::{Params, Value};
use crate::peers::{PoolPeer, Sem, ShmPermitPool, ShmSemaphore};
use crate::sample::{Measure, Sample};
use crate::work;
use shmsync::wait::{Futex, PosixSem};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use zerocopy::FromZeros;

/// See the head of the file.
pub const WORKLOAD: Workload = Workload {
    name: "pool",
    about: "a semaphore with 4 permits, 8 processes, each holds one for 1 µs",
    latency: "one wait for a permit",
    operations: "permits taken",
    measure: Measure::Throughput,
    sem_t: Some("sem_t"),
    pthread: None,
    columns: &[Column::P999, Column::CpuPerOp, Column::Shares],
    on_request: false,
    groups,
};

fn groups(extent: Extent) -> Vec<Group> {
    let pace = Pace::millis(extent.pick(20, 75));
    let (permits, processes, hold_ns) = (4, 8, 1000);
    let number = |n| Value::Number(n as u64);
    let params = Params(vec![
        ("permits", number(permits as usize)),
        ("processes", number(processes)),
        ("hold_ns", number(hold_ns as usize)),
    ]);
    let cases = vec![
        case::<ShmSemaphore<Futex>>(permits, processes, hold_ns),
        case::<ShmSemaphore<PosixSem>>(permits, processes, hold_ns),
        case::<ShmPermitPool<4, Futex>>(permits, processes, hold_ns),
        case::<ShmPermitPool<4, PosixSem>>(permits, processes, hold_ns),
        case::<Sem>(permits, processes, hold_ns),
    ];
    vec![Group { params, cpus: 1, members: processes, pace, cases }]
}

fn case<P: PoolPeer + 'static>(permits: u32, processes: usize, hold_ns: u64) -> Case {
    Case::new::<P>(move |context| sample::<P>(context, permits, processes, hold_ns))
}

#[repr(C)]
#[derive(Debug, FromZeros)]
struct Data {
    inside: AtomicU64,
}

/// One sample.
///
/// # Errors
/// The peer hung, failed, let too many in, or lost or made a permit.
pub fn sample<P: PoolPeer>(context: &Context, permits: u32, processes: usize, hold_ns: u64) -> Result<Sample, String> {
    let Context { clock, work, .. } = *context;
    let steps = work.steps(hold_ns);
    let team = Team { members: processes, size: permits, placement: Placement::Free };
    let done = crew::run::<P, Data>(context, team, |seat| {
        let inside = &seat.data.inside;
        seat.begin();
        let hold = || {
            let before = inside.fetch_add(1, Relaxed);
            assert!(before < u64::from(permits), "{} are inside, of {permits} permits", before + 1);
            work::run(steps);
            inside.fetch_sub(1, Relaxed);
        };
        let mut taken = 0_u64;
        while !seat.stopped() {
            if taken % 4 == 0 {
                let start = clock.now();
                let waited = seat.peer.with(|| {
                    let waited = clock.elapsed(start);
                    hold();
                    waited
                });
                if seat.measuring() {
                    seat.record(waited);
                }
            } else {
                seat.peer.with(hold);
            }
            taken += 1;
            seat.publish(taken);
        }
    })?;
    let left = (0..=permits).take_while(|_| done.peer().try_take()).count();
    if left != permits as usize {
        let or_more = if left > permits as usize { " or more" } else { "" };
        return Err(format!("permits are not conserved: {left}{or_more} of {permits} in the end"));
    }
    Ok(done.sample(processes, clock.ns_per_tick()).with_shares(&done.ops).with_cpu_per_op(done.cpu_per_op()))
}
