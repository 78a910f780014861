//! Who waits sleeps: a wait takes time, but hardly any of a processor's.

mod support;

use std::mem::MaybeUninit;
use std::sync::Barrier as Meeting;
use std::thread;
use std::time::Duration;

use shmsync::wait::Wait;
use shmsync::{
    AcquireError, Barrier, BarrierError, BoundedSemaphore, Condition, Event, Lock, Mutex, Once, PermitPool, RLock,
    RwLock, Semaphore,
};
use support::*;

for_backend!(futex, shmsync::wait::Futex, locks_and_semaphores, conditions_events_and_barriers, what_another_holds);
// Without sem_clockwait, which musl has not, who waits naps for 50 µs at a time.
#[cfg(target_env = "gnu")]
for_backend!(
    posix_sem,
    shmsync::wait::PosixSem,
    locks_and_semaphores,
    conditions_events_and_barriers,
    what_another_holds
);

/// Long enough for a score of slices, which begin at 3 ms.
const WAIT: Duration = ms(250);

/// What a spin (24 µs), the slices' looks and two threads' worth of bad luck come to. A thread that does not sleep has as
/// much after 30 ms, or where ten others want the processor, after 300.
const ENOUGH: Duration = ms(12);

/// The processor time that the calling thread has taken.
fn processor_time() -> Duration {
    let mut usage = MaybeUninit::<libc::rusage>::uninit();
    // SAFETY: room for what is written.
    assert_eq!(unsafe { libc::getrusage(libc::RUSAGE_THREAD, usage.as_mut_ptr()) }, 0);
    // SAFETY: written, since the call succeeded.
    let usage = unsafe { usage.assume_init() };
    let of = |time: libc::timeval| Duration::new(time.tv_sec as u64, time.tv_usec as u32 * 1000);
    of(usage.ru_utime) + of(usage.ru_stime)
}

/// Runs `wait`, which must take `WAIT` of time and next to nothing of a processor's.
#[track_caller]
fn sleeps(what: &str, wait: impl FnOnce()) {
    let before = processor_time();
    let ((), took) = timed(wait);
    let taken = processor_time() - before;
    assert!(took >= WAIT, "{what}: over after {took:?}");
    assert!(taken < ENOUGH, "{what}: took {taken:?} of a processor's time in {took:?}");
}

fn locks_and_semaphores<W: Wait>() {
    let lock = Lock::<W>::new_in();
    lock.acquire().unwrap();
    sleeps("Lock", || assert_eq!(lock.acquire_for(WAIT), Err(AcquireError::TimedOut)));
    let semaphore = Semaphore::<W>::new_in(0);
    sleeps("Semaphore", || assert_eq!(semaphore.acquire_for(WAIT), Err(AcquireError::TimedOut)));
    let bounded = BoundedSemaphore::<W>::new_in(1);
    bounded.acquire().unwrap();
    sleeps("BoundedSemaphore", || assert_eq!(bounded.acquire_for(WAIT), Err(AcquireError::TimedOut)));
    let pool = PermitPool::<1, W>::new_in();
    let permit = pool.acquire().unwrap();
    sleeps("PermitPool", || assert_eq!(pool.acquire_for(WAIT).map(drop), Err(AcquireError::TimedOut)));
    drop(permit);
}

fn conditions_events_and_barriers<W: Wait>() {
    let (lock, condition) = (Lock::<W>::new_in(), Condition::<W>::new_in());
    let mut guard = lock.lock().unwrap();
    sleeps("Condition", || assert_eq!(condition.wait_timeout(&mut guard, WAIT), Ok(false)));
    let event = Event::<W>::new_in();
    sleeps("Event", || assert!(!event.wait_timeout(WAIT)));
    let barrier = Barrier::<W>::new_in(2);
    sleeps("Barrier", || assert_eq!(barrier.wait_timeout(WAIT).map(drop), Err(BarrierError::TimedOut)));
}

/// Has another thread do `hold`, which is to end when it is told so, and the calling one `wait` meanwhile.
fn while_held(hold: impl FnOnce(&dyn Fn()) + Send, wait: impl FnOnce()) {
    let (held, done) = (Meeting::new(2), Meeting::new(2));
    thread::scope(|scope| {
        scope.spawn(|| {
            hold(&|| {
                held.wait();
                done.wait();
            });
        });
        held.wait();
        wait();
        done.wait();
    });
}

fn what_another_holds<W: Wait>() {
    let rlock = RLock::<W>::new_in();
    let hold = |held: &dyn Fn()| {
        let _guard = rlock.lock().unwrap();
        held();
    };
    while_held(hold, || sleeps("RLock", || assert_eq!(rlock.acquire_for(WAIT), Err(AcquireError::TimedOut))));
    let mutex = Mutex::<_, W>::new_in(0);
    let hold = |held: &dyn Fn()| {
        let _guard = mutex.lock().unwrap();
        held();
    };
    while_held(hold, || sleeps("Mutex", || assert!(mutex.try_lock_for(WAIT).is_err())));
    let rwlock = RwLock::<_, 4, W>::new_in(0);
    let write = |held: &dyn Fn()| {
        let _guard = rwlock.write().unwrap();
        held();
    };
    // Twice, for what is slept on changes when a writer leaves sleepers behind.
    for _ in 0..2 {
        while_held(write, || sleeps("RwLock, to read", || assert!(rwlock.try_read_for(WAIT).is_err())));
    }
    while_held(write, || sleeps("RwLock, to write", || assert!(rwlock.try_write_for(WAIT).is_err())));
    let read = |held: &dyn Fn()| {
        let _guard = rwlock.read().unwrap();
        held();
    };
    while_held(read, || sleeps("RwLock, for readers to go", || assert!(rwlock.try_write_for(WAIT).is_err())));
    let (once, begun) = (Once::<W>::new_in(), Meeting::new(2));
    thread::scope(|scope| {
        scope.spawn(|| {
            once.call_once(|| {
                begun.wait();
                thread::sleep(WAIT + ms(50));
            });
        });
        begun.wait();
        sleeps("Once", || once.call_once(|| unreachable!("it is done")));
    });
}
