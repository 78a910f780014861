//! The bytes are public API: their number, their places, zero is fresh, and any bytes are a value that does no harm.
#![cfg(target_os = "linux")]

mod support;

use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

use shmsync::wait::{Futex, KernelRobust, PosixSem, Wait};
use shmsync::{AcquireError, BarrierError, ReleaseError, TryLockError};
use shmsync::{Barrier, BoundedSemaphore, Condition, Event, Lock, Mutex, RLock, SEM_VALUE_MAX, Semaphore};
use support::*;
use zerocopy::{FromBytes, FromZeros};

/// A 64-bit word, and a `sem_t` of four longs, in glibc as in musl.
const POSIX_SEM: usize = if cfg!(target_pointer_width = "64") { 40 } else { 24 };

#[test]
fn sizes_and_alignments() {
    macro_rules! pin {
        ($($type:ty: $bytes:expr, aligned $align:expr;)+) => {$(
            assert_eq!((size_of::<$type>(), align_of::<$type>()), ($bytes, $align), stringify!($type));
        )+};
    }
    pin! {
        Futex: 0, aligned 1;
        Lock<Futex>: 8, aligned 8;
        RLock<Futex>: 16, aligned 8;
        Mutex<(), Futex>: 16, aligned 8;
        Mutex<u8, Futex>: 24, aligned 8;
        Mutex<[u64; 3], Futex>: 40, aligned 8;
        Semaphore<Futex>: 8, aligned 8;
        BoundedSemaphore<Futex>: 16, aligned 8;
        Condition<Futex>: 8, aligned 8;
        Event<Futex>: 4, aligned 4;
        Barrier<Futex>: 16, aligned 8;

        KernelRobust: 32, aligned 8;
        Lock<KernelRobust>: 40, aligned 8;
        RLock<KernelRobust>: 48, aligned 8;
        Mutex<(), KernelRobust>: 48, aligned 8;

        PosixSem: POSIX_SEM, aligned 8;
        Lock<PosixSem>: 8 + POSIX_SEM, aligned 8;
        RLock<PosixSem>: 16 + POSIX_SEM, aligned 8;
        Mutex<(), PosixSem>: 16 + POSIX_SEM, aligned 8;
        Semaphore<PosixSem>: 8 + POSIX_SEM, aligned 8;
        BoundedSemaphore<PosixSem>: 16 + POSIX_SEM, aligned 8;
        Condition<PosixSem>: 8 + POSIX_SEM, aligned 8;
        Event<PosixSem>: 8 + POSIX_SEM, aligned 8;
        Barrier<PosixSem>: 16 + POSIX_SEM, aligned 8;
    }
}

#[test]
fn the_platforms_backend_is_the_default() {
    fn same<T>(_: &T, _: &T) {}
    same(&Lock::new(), &Lock::<Futex>::new_in());
    same(&RLock::new(), &RLock::<Futex>::new_in());
    same(&Mutex::new(1), &Mutex::<_, Futex>::new_in(1));
    same(&Semaphore::new(1), &Semaphore::<Futex>::new_in(1));
    same(&BoundedSemaphore::new(1), &BoundedSemaphore::<Futex>::new_in(1));
    same(&Condition::new(), &Condition::<Futex>::new_in());
    same(&Event::new(), &Event::<Futex>::new_in());
    same(&Barrier::new(1), &Barrier::<Futex>::new_in(1));
}

/// Made at compile time, in statics.
#[test]
fn constructors_are_const() {
    static ALL: (Lock, RLock, Mutex<u8>, Semaphore, BoundedSemaphore, Condition, Event, Barrier) = (
        Lock::new(),
        RLock::new(),
        Mutex::new(5),
        Semaphore::new(3),
        BoundedSemaphore::new(2),
        Condition::new(),
        Event::new(),
        Barrier::new(4),
    );
    static OTHER: (Lock<PosixSem>, Mutex<u8, PosixSem>) = (Lock::new_in(), Mutex::new_in(5));
    assert_eq!((ALL.3.value(), ALL.4.value(), ALL.7.parties(), *ALL.2.lock().unwrap()), (3, 2, 4, 5));
    drop((OTHER.0.lock().unwrap(), OTHER.1.lock().unwrap()));
}

/// The `n`-th 32 bits of a primitive.
fn word<T>(of: &T, n: usize) -> u32 {
    assert!(n * 4 < size_of::<T>());
    // SAFETY: inside the primitive, which is made of atomics; aligned as they are.
    unsafe { &*ptr::from_ref(of).cast::<AtomicU32>().add(n) }.load(Relaxed)
}

/// Where 64-bit words keep their low half.
const LOW: usize = cfg!(target_endian = "big") as usize;

#[test]
fn places() {
    let lock = Lock::new();
    lock.acquire().unwrap();
    assert_eq!(word(&lock, LOW), gettid(), "the low half is a futex word with the thread id");

    let rlock = RLock::new();
    (0..3).for_each(|_| rlock.acquire().unwrap());
    assert_eq!((word(&rlock, LOW), word(&rlock, 2)), (gettid(), 2), "then, how often it was re-entered");

    let mutex = Mutex::new([1_u32, 2]);
    let guard = mutex.lock().unwrap();
    assert_eq!(word(&mutex, LOW), gettid());
    assert_eq!(ptr::from_ref(&*guard).addr() - ptr::from_ref(&mutex).addr(), 16, "the word, the poison, the data");

    let sem = Semaphore::new(4711);
    assert_eq!(word(&sem, LOW), 4711 << 1, "bit 0 says whether somebody may sleep");
    let bounded = BoundedSemaphore::new(4711);
    bounded.acquire().unwrap();
    assert_eq!((word(&bounded, LOW) >> 1, word(&bounded, 2)), (4710, 4711), "the count, then the bound");

    let event = Event::new();
    event.set();
    assert_eq!(word(&event, 0) & 1, 1);

    let barrier = Barrier::new(4711);
    assert_eq!(word(&barrier, 2), 4711, "the state, then the parties");
    barrier.abort();
    assert_eq!(word(&barrier, LOW) & 2, 2);
}

/// Those without padding, whose every byte can be looked at.
#[test]
fn fresh_ones_are_zero_bytes() {
    fn assert_zero<T>(fresh: T) {
        assert!((0..size_of::<T>() / 4).all(|n| word(&fresh, n) == 0), "{}", std::any::type_name::<T>());
    }
    fn all<W: Wait>() {
        assert_zero(Lock::<W>::new_in());
        assert_zero(Mutex::<u64, W>::new_in(0));
        assert_zero(Semaphore::<W>::new_in(0));
        assert_zero(Condition::<W>::new_in());
        assert_zero((Lock::<W>::default(), Mutex::<u64, W>::default(), Condition::<W>::default()));
    }
    all::<Futex>();
    all::<PosixSem>();
    assert_zero(Event::<Futex>::new_in());
}

every_backend!(zero_bytes_are_fresh, any_bytes_are_a_value);

fn zero_bytes_are_fresh<W: Wait>() {
    let lock: Lock<W> = FromZeros::new_zeroed();
    assert!(!lock.is_locked());
    lock.acquire().unwrap();
    assert_eq!(lock.acquire_for(ms(2)), Err(AcquireError::TimedOut));
    lock.release().unwrap();

    let rlock: RLock<W> = FromZeros::new_zeroed();
    assert_eq!((rlock.depth(), rlock.release()), (0, Err(ReleaseError::NotLocked)));
    rlock.acquire().unwrap();
    assert_eq!(rlock.depth(), 1);

    let mutex: Mutex<[u64; 2], W> = FromZeros::new_zeroed();
    assert_eq!(*mutex.lock().unwrap(), [0, 0]);

    let sem: Semaphore<W> = FromZeros::new_zeroed();
    assert_eq!((sem.value(), sem.acquire_for(ms(2))), (0, Err(AcquireError::TimedOut)));
    sem.release_many(SEM_VALUE_MAX).unwrap();

    let bounded: BoundedSemaphore<W> = FromZeros::new_zeroed();
    assert_eq!((bounded.value(), bounded.release()), (0, Err(ReleaseError::Overflow)));

    let condition: Condition<W> = FromZeros::new_zeroed();
    condition.notify_all();
    assert_eq!(condition.wait_timeout(&mut lock.lock().unwrap(), ms(2)), Ok(false));

    let event: Event<W> = FromZeros::new_zeroed();
    assert!(!event.is_set() && !event.wait_timeout(ms(2)));

    let barrier: Barrier<W> = FromZeros::new_zeroed();
    assert_eq!((barrier.parties(), barrier.n_waiting(), barrier.is_broken()), (1, 0, false));
    assert!(barrier.wait().unwrap().is_leader());
}

/// Bytes as a scribbler might leave them: words that mean something, or nothing.
fn scribbled<T: FromBytes>(dice: &mut Dice) -> T {
    let mut bytes = Vec::new();
    while bytes.len() < size_of::<T>() {
        let random = dice.below(1 << 53) << 11 ^ dice.below(1 << 32);
        let low = [0, u32::MAX, gettid(), 1 << 31, 1 << 30 | 4711, 1, 3, random as u32][dice.below(8) as usize];
        let high = [0, u32::MAX, 1, (random >> 32) as u32][dice.below(4) as usize];
        bytes.extend_from_slice(&(u64::from(high) << 32 | u64::from(low)).to_ne_bytes());
    }
    T::read_from_bytes(&bytes[..size_of::<T>()]).unwrap()
}

/// Whatever the bytes, every verb that is bounded ends in time, and without a panic.
fn any_bytes_are_a_value<W: Wait>() {
    const SHORT: Duration = Duration::from_micros(300);
    // In a child, so that a fault ends the child alone.
    join(team(2, |_| {
        let mut dice = Dice::new();
        for _ in 0..150 {
            let start = Instant::now();
            let lock: Lock<W> = scribbled(&mut dice);
            _ = (format!("{lock:?}"), lock.is_locked(), lock.holder().map(|owner| owner.is_alive()));
            _ = (lock.try_acquire(), lock.acquire_for(SHORT), lock.recover(), lock.disown());
            _ = (lock.release(), lock.release());
            assert_eq!(lock.try_acquire(), Ok(()), "after two releases it is free");

            let rlock: RLock<W> = scribbled(&mut dice);
            _ = (format!("{rlock:?}"), rlock.depth(), rlock.is_mine(), rlock.holder());
            _ = (rlock.try_acquire(), rlock.acquire_for(SHORT), rlock.recover(), rlock.release(), rlock.release());

            let mutex: Mutex<u64, W> = scribbled(&mut dice);
            _ = (format!("{mutex:?}"), mutex.is_poisoned());
            _ = mutex.try_lock().map(drop).map_err(|error| error.to_string());
            match mutex.try_lock_for(SHORT) {
                Ok(mut data) => *data += 0,
                Err(TryLockError::Poisoned(error)) => _ = (error.to_string(), *error.into_inner()),
                Err(_) => {}
            }
            mutex.clear_poison();

            let sem: Semaphore<W> = scribbled(&mut dice);
            _ = (format!("{sem:?}"), sem.try_acquire(), sem.acquire_for(SHORT));
            _ = (sem.release(), sem.release_many(2), sem.release_many(u32::MAX), sem.acquire_for(SHORT));
            assert!(sem.value() <= SEM_VALUE_MAX);

            let bounded: BoundedSemaphore<W> = scribbled(&mut dice);
            _ = (format!("{bounded:?}"), bounded.try_acquire(), bounded.acquire_for(SHORT), bounded.release());

            let (fresh, condition): (Lock<W>, Condition<W>) = (Lock::new_in(), scribbled(&mut dice));
            let mut guard = fresh.lock().unwrap();
            for n in [0, 1, 3, u32::MAX] {
                condition.notify(n);
                assert!(condition.wait_timeout(&mut guard, SHORT).is_ok());
            }
            _ = format!("{condition:?}");

            let event: Event<W> = scribbled(&mut dice);
            _ = (format!("{event:?}"), event.is_set(), event.wait_timeout(SHORT));
            event.clear();
            assert!(!event.wait_timeout(SHORT), "it is clear");
            event.set();
            assert!(event.wait_timeout(Duration::ZERO), "it is set");

            let barrier: Barrier<W> = scribbled(&mut dice);
            _ = (format!("{barrier:?}"), barrier.n_waiting(), barrier.is_broken());
            assert!(barrier.parties() >= 1);
            _ = (barrier.wait_timeout(SHORT), barrier.wait_timeout(SHORT));
            barrier.abort();
            assert_eq!(barrier.wait_with(|| ()), Err(BarrierError::Broken));
            barrier.reset();
            assert_eq!(barrier.wait_timeout(SHORT).is_ok(), barrier.parties() == 1);
            assert!(start.elapsed() < Duration::from_secs(5), "some verb did not keep its time");
        }
    }));
}
