//! What waiting costs: 20 processes (or 1000) stand before an object whose holder lives and sleeps.
//!
//! Sleeps are slices here, so a waiter wakes now and then to look whether the holder lives. The slices grow to 100 ms
//! while it waits, which takes 0.8 s, and that is let pass first. "Latency" is the CPU time that one waiter uses in a
//! second, of each waiter once: 1 ms is 0.1 % of a core.
//!
//! It is the scheduler's own count of what each process ran, system calls included. What an interrupt costs that wakes
//! an idle CPU is charged to nobody and not in it.
//!
//! Check: nobody is let through before the holder lets go, and then everybody.

use super::{Case, Column, Extent, Group, Pace, Workload};
use crate::crew::{self, Context, Placement, Team};
use crate::histogram::Histogram;
use crate::params::{Params, Value};
use crate::peers::{
    BareSlices, BarrierGate, GatePeer, LockGate, MonitorGate, PthreadBarrier, PthreadMonitor, PthreadMutex,
};
use crate::peers::{PthreadRwLock, Sem, ShmBarrier, ShmEvent, ShmLock, ShmMonitor, ShmMutex};
use crate::peers::{ShmPermitPool, ShmRLock, ShmRwLock, ShmSemaphore};
use crate::sample::{Measure, Sample};
use shmsync::wait::{Futex, KernelRobust, PosixSem};
use std::thread;
use std::time::Duration;
use zerocopy::FromZeros;

/// See the head of the file.
pub const WORKLOAD: Workload = Workload {
    name: "idle",
    about: "N processes wait for an object whose holder lives and sleeps",
    latency: "CPU time of one waiter in a second of waiting",
    operations: "",
    measure: Measure::Time,
    sem_t: None,
    pthread: None,
    columns: &[Column::Max, Column::CpuPercent],
    on_request: false,
    groups,
};

fn groups(extent: Extent) -> Vec<Group> {
    let ms = Duration::from_millis;
    let pace = Pace { warm: ms(extent.pick(850, 900)), sample: ms(extent.pick(300, 1100)), rounds: 1 };
    let few = vec![case::<LockGate<ShmLock<Futex>>>(20), case::<LockGate<Sem>>(20)];
    let all = vec![
        case::<LockGate<ShmLock<Futex>>>(20),
        case::<LockGate<ShmLock<PosixSem>>>(20),
        case::<LockGate<ShmLock<KernelRobust>>>(20),
        case::<LockGate<ShmMutex<Futex>>>(20),
        case::<LockGate<ShmRLock<Futex>>>(20),
        case::<LockGate<ShmSemaphore<Futex>>>(20),
        case::<ShmPermitPool<8, Futex>>(20),
        case::<ShmRwLock<Futex>>(20),
        case::<MonitorGate<ShmMonitor<Futex>>>(20),
        case::<ShmEvent<Futex>>(20),
        case::<BarrierGate<ShmBarrier<Futex>>>(20),
        case::<LockGate<Sem>>(20),
        case::<LockGate<PthreadMutex>>(20),
        case::<PthreadRwLock>(20),
        case::<MonitorGate<PthreadMonitor>>(20),
        case::<BarrierGate<PthreadBarrier>>(20),
    ];
    let many = vec![case::<LockGate<ShmLock<Futex>>>(1000), case::<BareSlices>(1000), case::<LockGate<Sem>>(1000)];
    match extent {
        Extent::Quick => vec![group(pace, 20, few)],
        Extent::Full => vec![group(pace, 20, all), group(pace, 1000, many)],
    }
}

fn group(pace: Pace, waiters: usize, cases: Vec<Case>) -> Group {
    let params = Params(vec![("waiters", Value::Number(waiters as u64))]);
    Group { params, cpus: 1, members: waiters + 1, pace, cases }
}

fn case<P: GatePeer + 'static>(waiters: usize) -> Case {
    Case::new::<P>(move |context| sample::<P>(context, waiters))
}

/// One sample.
///
/// # Errors
/// The peer hung, failed, or let somebody through too early.
pub fn sample<P: GatePeer>(context: &Context, waiters: usize) -> Result<Sample, String> {
    let team = Team { members: waiters + 1, size: P::size(waiters), placement: Placement::Free };
    let done = crew::run::<P, ()>(context, team, |seat| match seat.index {
        0 => seat.peer.shut_while(|| {
            seat.begin();
            while !seat.stopped() {
                thread::sleep(Duration::from_millis(5));
            }
        }),
        _ => {
            seat.begin();
            seat.peer.pass();
            assert!(seat.stopped(), "it let somebody through while it was held");
        }
    })?;
    let used = &done.cpu_ns[1..];
    let histogram = Box::new(Histogram::new_zeroed());
    used.iter().for_each(|&ns| histogram.record((ns as f64 / done.seconds) as u64));
    let percent = used.iter().sum::<u64>() as f64 / done.seconds / 1e9 * 100.0;
    Ok(Sample::new([&*histogram], 1.0, &[], done.seconds).without_rate().with_cpu_percent(percent))
}
