//! Any bytes taken as each primitive on each backend, and then any verbs, also from a second thread.
//!
//! Beyond that nothing crashes: no verb takes longer than it was told, nothing is touched in front of the value or behind it,
//! and what one thread can tell for certain is so: a lock that was released is free, an event that was set is set.
#![no_main]

use std::cell::RefCell;
use std::fmt::Debug;
use std::time::{Duration, Instant};

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use shmsync::wait::{Futex, KernelRobust, PosixSem, Wait};
use shmsync::{
    Barrier, BarrierError, BoundedSemaphore, Condition, Event, Lock, Mutex, MutexGuard, Once, OnceCell, PermitPool,
    RLock, RwLock, SEM_VALUE_MAX, Semaphore, TryLockError, TryLockResult,
};
use shmsync_fuzz::guard::Guarded;
use shmsync_fuzz::watch::soon;
use shmsync_fuzz::words::{Scribble, remember_me};
use shmsync_fuzz::worker::Worker;
use zerocopy::FromBytes;

#[derive(Arbitrary, Debug)]
struct Input {
    backend: Backend,
    what: What,
    words: [Scribble; 4],
    /// What comes behind them.
    rest: Vec<u64>,
    steps: Vec<Step>,
    /// What a second thread does meanwhile, if anything.
    others: Vec<Step>,
}

#[derive(Arbitrary, Debug, Clone, Copy)]
enum Backend {
    Futex,
    PosixSem,
    KernelRobust,
}

#[derive(Arbitrary, Debug, Clone, Copy)]
enum What {
    Lock,
    RLock,
    Mutex,
    RwLock,
    Semaphore,
    Bounded,
    Pool,
    Condition,
    Event,
    Barrier,
    Members,
    Once,
    Cell,
}

#[derive(Arbitrary, Debug, Clone, Copy)]
struct Step {
    verb: u8,
    n: u32,
    micros: u8,
}

impl Step {
    fn timeout(self) -> Duration {
        Duration::from_micros(u64::from(self.micros % 32))
    }

    fn deadline(self) -> Instant {
        Instant::now() + self.timeout()
    }
}

/// A primitive, and its verbs.
trait Subject: FromBytes + Sync + Debug + 'static {
    /// `alone`: nobody else does anything to it meanwhile.
    fn step(&self, step: Step, alone: bool);
}

impl<W: Wait + 'static> Subject for Lock<W> {
    fn step(&self, step: Step, alone: bool) {
        match step.verb % 9 {
            0 => _ = self.try_acquire(),
            1 => _ = self.acquire_for(step.timeout()),
            2 => _ = self.acquire_until(step.deadline()),
            3 => _ = self.acquire_interruptible(Some(step.timeout())),
            4 => {
                if self.release().is_ok() && alone {
                    assert!(!self.is_locked(), "it was released");
                }
            }
            5 => {
                if self.recover().is_ok() && alone {
                    assert!(self.holder().is_some_and(|holder| holder.is_alive()), "it was taken over");
                }
            }
            6 => self.disown(),
            7 => _ = self.lock_for(step.timeout()).map(drop),
            _ => _ = (self.is_locked(), self.holder().map(|holder| (holder.to_string(), holder.is_alive()))),
        }
    }
}

impl<W: Wait + 'static> Subject for RLock<W> {
    fn step(&self, step: Step, alone: bool) {
        match step.verb % 8 {
            0 => {
                if self.try_acquire().is_ok() && alone {
                    assert!(self.is_mine());
                }
            }
            1 => _ = self.acquire_for(step.timeout()),
            2 => _ = self.acquire_until(step.deadline()),
            3 => _ = self.acquire_interruptible(Some(step.timeout())),
            4 => _ = self.release(),
            5 => _ = self.recover(),
            6 => _ = self.lock_for(step.timeout()).map(drop),
            _ => _ = (self.depth(), self.is_mine(), self.holder().map(|holder| holder.is_alive())),
        }
    }
}

impl<W: Wait + 'static> Subject for Mutex<u64, W> {
    fn step(&self, step: Step, _alone: bool) {
        let used = |outcome: TryLockResult<MutexGuard<'_, u64, W>>| match outcome {
            Ok(mut data) => *data = data.wrapping_add(1),
            Err(TryLockError::Poisoned(error)) => _ = (error.to_string(), error.cause(), *error.into_inner()),
            Err(other) => _ = other.to_string(),
        };
        match step.verb % 6 {
            0 => used(self.try_lock()),
            1 => used(self.try_lock_for(step.timeout())),
            2 => used(self.try_lock_until(step.deadline())),
            3 => self.clear_poison(),
            // As a thread that ends while it holds one, or never ends.
            4 => _ = self.try_lock().map(std::mem::forget).map_err(|error| error.to_string()),
            _ => _ = (self.is_poisoned(), self.holder().map(|holder| holder.is_alive())),
        }
    }
}

impl<W: Wait + 'static> Subject for RwLock<u64, 4, W> {
    fn step(&self, step: Step, _alone: bool) {
        match step.verb % 9 {
            0 => _ = self.try_read().map(|data| *data).map_err(|error| error.to_string()),
            1 => _ = self.try_read_for(step.timeout()).map(|data| *data).map_err(|error| error.to_string()),
            2 => _ = self.try_write().map(|mut data| *data ^= 1).map_err(|error| error.to_string()),
            3 => _ = self.try_write_for(step.timeout()).map(|mut data| *data ^= 1).map_err(|error| error.to_string()),
            4 => _ = self.try_read_until(step.deadline()).map(std::mem::forget).map_err(drop),
            5 => _ = self.try_write_until(step.deadline()).map(std::mem::forget).map_err(drop),
            6 => self.clear_poison(),
            7 => _ = (self.is_poisoned(), self.writer().map(|writer| writer.is_alive())),
            _ => assert!(self.readers().filter(|reader| !reader.to_string().is_empty()).count() <= 4),
        }
    }
}

impl<W: Wait + 'static> Subject for Semaphore<W> {
    fn step(&self, step: Step, alone: bool) {
        let before = self.value();
        assert!(before <= SEM_VALUE_MAX);
        // A scribbled count may be higher than the value that is shown.
        let alone = alone && before < SEM_VALUE_MAX;
        match step.verb % 7 {
            0 => {
                let taken = self.try_acquire().is_ok();
                assert!(!alone || (taken == (before > 0) && self.value() == before - u32::from(taken)));
            }
            1 => _ = self.acquire_for(step.timeout()),
            2 => _ = self.acquire_until(step.deadline()),
            3 => _ = self.acquire_interruptible(Some(step.timeout())),
            4 => {
                let given = self.release().is_ok();
                assert!(!alone || self.value() == before + u32::from(given));
            }
            5 => {
                let given = self.release_many(step.n).is_ok();
                assert!(!alone || given == before.checked_add(step.n).is_some_and(|sum| sum <= SEM_VALUE_MAX));
                assert!(!alone || self.value() == before + if given { step.n } else { 0 });
            }
            _ => {}
        }
    }
}

impl<W: Wait + 'static> Subject for BoundedSemaphore<W> {
    fn step(&self, step: Step, alone: bool) {
        let before = self.value();
        match step.verb % 6 {
            0 => _ = self.try_acquire(),
            1 => _ = self.acquire_for(step.timeout()),
            2 => _ = self.acquire_interruptible(Some(step.timeout())),
            3 => {
                let given = self.release().is_ok();
                assert!(!alone || !given || self.value() == before + 1);
            }
            4 => {
                let given = self.release_many(step.n).is_ok();
                assert!(!alone || !given || step.n == 0 || self.value() <= self.bound(), "{self:?}");
            }
            _ => _ = self.bound(),
        }
    }
}

impl<W: Wait + 'static> Subject for PermitPool<4, W> {
    fn step(&self, step: Step, _alone: bool) {
        match step.verb % 7 {
            0 => _ = self.try_acquire().map(|permit| (permit.index() < 4, permit.reclaimed())),
            1 => _ = self.acquire_for(step.timeout()).map(|permit| assert!(permit.index() < 4)),
            2 => _ = self.acquire_until(step.deadline()).map(std::mem::forget),
            3 => _ = self.acquire_interruptible(Some(step.timeout())).map(drop),
            4 => _ = self.recover().map(|permit| permit.reclaimed()),
            5 => _ = self.holder(step.n as usize % 4).map(|holder| holder.is_alive()),
            _ => assert!(self.available() <= 4 && self.holders().count() <= 4 && self.capacity() == 4),
        }
    }
}

/// With a lock of the waiter's own, so that to take it back does not depend on anybody.
impl<W: Wait + 'static> Subject for Condition<W> {
    fn step(&self, step: Step, _alone: bool) {
        let lock = Lock::<W>::new_in();
        match step.verb % 6 {
            0 => self.notify_one(),
            1 => self.notify(step.n),
            2 => self.notify_all(),
            3 => _ = self.wait_timeout(&mut lock.lock().expect("it is free"), step.timeout()),
            4 => _ = self.wait_interruptible(&mut lock.lock().expect("it is free"), Some(step.timeout())),
            _ => {
                let mut looks = step.n % 4;
                let more = |_: &mut ()| {
                    looks = looks.saturating_sub(1);
                    looks > 0
                };
                _ = self.wait_timeout_while(&mut lock.lock().expect("it is free"), step.timeout(), more);
            }
        }
    }
}

impl<W: Wait + 'static> Subject for Event<W> {
    fn step(&self, step: Step, alone: bool) {
        match step.verb % 5 {
            0 => {
                self.set();
                assert!(!alone || (self.is_set() && self.wait_timeout(Duration::ZERO)));
            }
            1 => {
                self.clear();
                assert!(!alone || (!self.is_set() && !self.wait_timeout(step.timeout())));
            }
            2 => _ = self.wait_timeout(step.timeout()),
            3 => _ = self.wait_interruptible(Some(step.timeout())),
            _ => _ = self.is_set(),
        }
    }
}

/// What barriers with and without members have in common.
fn barrier<W: Wait, const MEMBERS: usize>(barrier: &Barrier<W, MEMBERS>, step: Step, alone: bool) {
    assert!(barrier.parties() >= 1);
    match step.verb % 5 {
        0 => {
            let arrived = barrier.wait_timeout(step.timeout());
            if let Ok(place) = arrived {
                assert!(!alone || place.index() < barrier.parties());
            }
        }
        1 => {
            barrier.abort();
            assert!(!alone || barrier.wait_with(|| ()) == Err(BarrierError::Broken));
        }
        2 => {
            barrier.reset();
            assert!(!alone || !barrier.is_broken());
        }
        3 => _ = barrier.n_waiting(),
        _ => _ = barrier.is_broken(),
    }
}

impl<W: Wait + 'static> Subject for Barrier<W> {
    fn step(&self, step: Step, alone: bool) {
        barrier(self, step, alone);
    }
}

impl<W: Wait + 'static> Subject for Barrier<W, 4> {
    fn step(&self, step: Step, alone: bool) {
        match step.verb % 4 {
            0 => _ = self.join().map(|member| member.wait_timeout(step.timeout())),
            1 => _ = self.join().map(std::mem::forget),
            _ => barrier(self, Step { verb: step.verb / 4, ..step }, alone),
        }
    }
}

/// Whether who initialises waits for nobody: its verbs have no timeout, and rightly wait for one who lives.
fn may_begin<T>(once: &T) -> bool {
    // The word of a `Once` is that of a `Lock`, and both begin with it.
    let lock = Lock::<Futex>::ref_from_prefix_of(once);
    !lock.is_locked() || lock.holder().is_some_and(|holder| !holder.is_alive())
}

trait Prefix {
    fn ref_from_prefix_of<T>(value: &T) -> &Self;
}

impl Prefix for Lock<Futex> {
    fn ref_from_prefix_of<T>(value: &T) -> &Self {
        assert!(size_of::<T>() >= size_of::<Self>() && align_of::<T>() >= align_of::<Self>());
        // SAFETY: large enough and aligned, as was just checked, in memory where all is atomic or any bytes will do.
        #[allow(unsafe_code)]
        unsafe {
            &*std::ptr::from_ref(value).cast()
        }
    }
}

impl<W: Wait + 'static> Subject for Once<W> {
    fn step(&self, step: Step, alone: bool) {
        match step.verb % 3 {
            0 if alone && may_begin(self) => {
                self.call_once(|| {});
                assert!(self.is_completed());
            }
            1 if alone && may_begin(self) => {
                self.call_once_with(|failed| _ = format!("{failed:?}"));
                self.call_once(|| unreachable!("it was called"));
            }
            _ => _ = self.is_completed(),
        }
    }
}

impl<W: Wait + 'static> Subject for OnceCell<u64, W> {
    fn step(&self, step: Step, alone: bool) {
        match step.verb % 4 {
            0 if alone && may_begin(self) => {
                let value = *self.get_or_init(|| step.n.into());
                assert_eq!(self.get(), Some(&value));
            }
            1 if alone && may_begin(self) => _ = self.get_or_try_init(|| Err::<u64, _>(step.n)),
            2 if alone && may_begin(self) => _ = self.set(step.n.into()),
            _ => _ = self.get().copied(),
        }
    }
}

fn program<T: Subject>(subject: &T, steps: &[Step], alone: bool) {
    _ = format!("{subject:?}");
    soon(|| steps.iter().take(24).for_each(|&step| subject.step(step, alone)));
    _ = format!("{subject:?}");
}

/// Where the programs run, and on what.
struct Stage {
    page: Guarded,
    /// Instead of this thread, for those of which the kernel keeps a list: what is never released would fill the list.
    main: Worker,
    other: Worker,
}

thread_local! {
    static STAGE: RefCell<Stage> =
        RefCell::new(Stage { page: Guarded::new(), main: Worker::new(), other: Worker::new() });
}

fn run<T: Subject>(input: &Input) {
    let words = input.words.iter().map(|word| word.word()).chain(input.rest.iter().copied());
    let bytes: Vec<u8> = words.flat_map(u64::to_ne_bytes).collect();
    let alone = input.others.is_empty();
    STAGE.with_borrow_mut(|Stage { page, main, other }| {
        // SAFETY: no thread is in the midst of an earlier program: all were waited for.
        #[allow(unsafe_code)]
        let subject = unsafe { page.put::<T>(&bytes) };
        if !alone {
            let steps = input.others.clone();
            other.begin(move || program(subject, &steps, false));
        }
        if matches!(input.backend, Backend::KernelRobust) {
            let steps = input.steps.clone();
            main.begin(move || program(subject, &steps, alone));
            main.wait();
        } else {
            program(subject, &input.steps, alone);
        }
        if !alone {
            other.wait();
        }
        assert!(page.is_sound_before::<T>(), "something was written in front of it");
    });
}

/// A thread that ends while it holds something leaves its list to the kernel, on purpose.
#[unsafe(no_mangle)]
#[allow(unsafe_code)]
extern "C" fn __lsan_default_suppressions() -> *const std::ffi::c_char {
    c"leak:robust::set_up".as_ptr()
}

fn choose<W: Wait + 'static>(input: &Input) {
    match input.what {
        What::Lock => run::<Lock<W>>(input),
        What::RLock => run::<RLock<W>>(input),
        What::Mutex => run::<Mutex<u64, W>>(input),
        What::RwLock => run::<RwLock<u64, 4, W>>(input),
        What::Semaphore => run::<Semaphore<W>>(input),
        What::Bounded => run::<BoundedSemaphore<W>>(input),
        What::Pool => run::<PermitPool<4, W>>(input),
        What::Condition => run::<Condition<W>>(input),
        What::Event => run::<Event<W>>(input),
        What::Barrier => run::<Barrier<W>>(input),
        What::Members => run::<Barrier<W, 4>>(input),
        What::Once => run::<Once<W>>(input),
        What::Cell => run::<OnceCell<u64, W>>(input),
    }
}

fuzz_target!(|input: Input| {
    remember_me();
    match input.backend {
        Backend::Futex => choose::<Futex>(&input),
        Backend::PosixSem => choose::<PosixSem>(&input),
        Backend::KernelRobust => choose::<KernelRobust>(&input),
    }
});
