//! Two threads, and what one has the other wait for: ping-pong over each signal, and a lock that both want.
//!
//! Threads of one process, unpinned: enough to compare a change with what was there before. What the library costs
//! between processes, and beside its peers, says `shmsync bench`.
#![allow(missing_docs, reason = "criterion_group! makes a public function")]

use criterion::{Criterion, criterion_group, criterion_main};
use shmsync::wait::{Futex, PosixSem};
use shmsync_harness::peers::{Court, LockPeer, MonitorCourt, Peer, PthreadMonitor, PthreadMutex, RallyPeer, Sem};
use shmsync_harness::peers::{ShmEvent, ShmLock, ShmMonitor, ShmMutex, ShmSemaphore, StdMonitor, StdMutex};
use shmsync_harness::region::Region;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

/// Round trips.
fn ping_pong(criterion: &mut Criterion) {
    fn rally<P: RallyPeer>(criterion: &mut Criterion) {
        two_threads::<P>(criterion, "ping-pong", 0, |peer, side, times| {
            for number in 0..times {
                peer.hit(side, 2 * number + side as u64);
            }
        });
    }
    rally::<Court<ShmEvent<Futex>>>(criterion);
    rally::<Court<ShmEvent<PosixSem>>>(criterion);
    rally::<Court<ShmSemaphore<Futex>>>(criterion);
    rally::<Court<ShmSemaphore<PosixSem>>>(criterion);
    rally::<MonitorCourt<ShmMonitor<Futex>>>(criterion);
    rally::<MonitorCourt<ShmMonitor<PosixSem>>>(criterion);
    rally::<Court<Sem>>(criterion);
    rally::<MonitorCourt<PthreadMonitor>>(criterion);
    rally::<MonitorCourt<StdMonitor>>(criterion);
}

/// Sections by each of the two.
fn contended(criterion: &mut Criterion) {
    fn lock<P: LockPeer>(criterion: &mut Criterion) {
        two_threads::<P>(criterion, "contended", 1, |peer, _, times| (0..times).for_each(|_| peer.with(|| ())));
    }
    lock::<ShmLock<Futex>>(criterion);
    lock::<ShmLock<PosixSem>>(criterion);
    lock::<ShmMutex<Futex>>(criterion);
    lock::<Sem>(criterion);
    lock::<PthreadMutex>(criterion);
    lock::<StdMutex>(criterion);
}

/// Has both threads do `work` that many times, on a fresh peer; times it from when both are there until both are done.
fn two_threads<P: Peer>(criterion: &mut Criterion, what: &str, size: u32, work: fn(&P, usize, u64)) {
    criterion.bench_function(&format!("{what}: {}", P::name()), |bencher| {
        bencher.iter_custom(|times| {
            let peer = Region::new(P::new(size)).expect("memory");
            // SAFETY: it stays where it is, and nobody else uses it yet.
            unsafe { peer.init(size) };
            let (peer, together): (&P, _) = (&peer, Barrier::new(2));
            thread::scope(|scope| {
                scope.spawn(|| {
                    together.wait();
                    work(peer, 1, times);
                    together.wait();
                });
                together.wait();
                let start = Instant::now();
                work(peer, 0, times);
                together.wait();
                start.elapsed()
            })
        });
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(2))
        .without_plots();
    targets = ping_pong, contended
}
criterion_main!(benches);
