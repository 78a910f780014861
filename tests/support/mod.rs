//! What every test file needs: a watchdog around each test, handshakes, sleepers and clocks.
#![allow(dead_code, unused_imports, unused_macros, unreachable_pub)] // No test file needs all of it.

pub mod awaited;
#[cfg(target_arch = "x86_64")]
pub mod breakpoints;
pub mod holder;
mod kill;
mod memory;
pub mod namespaces;
pub mod once;
pub mod permit_pool;
pub mod rwlock;
mod signals;

use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::{Duration, Instant};
use std::{fs, thread};

pub use kill::*;
pub use memory::*;

pub use shmsync_harness::process::{Child, fork, online_cpus, pin_to};
pub use signals::*;

/// The bound on everything that ought to happen at once, on a machine that is busy with something else.
pub const SOON: Duration = Duration::from_secs(20);

/// Longer than any single sleep of a waiter (D4): two slices and a bit.
pub const SLICES: Duration = Duration::from_millis(250);

pub const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Makes a `#[test]` of each generic function `fn name<W: Wait>()`, for each backend: `futex::name`,
/// `posix_sem::name`. A function left out of the list is a dead-code warning.
macro_rules! every_backend {
    ($($test:ident),+ $(,)?) => {
        $crate::support::for_backend!(futex, shmsync::wait::Futex, $($test),+);
        $crate::support::for_backend!(posix_sem, shmsync::wait::PosixSem, $($test),+);
    };
}

/// Makes a module of watched tests out of functions that are generic over one type.
macro_rules! for_backend {
    ($module:ident, $type:ty, $($test:ident),+) => {
        mod $module {
            #[allow(unused_imports)] // The type may be named by a path.
            use super::*;
            $(
                #[test]
                fn $test() {
                    $crate::support::watched(concat!(module_path!(), "::", stringify!($test)), super::$test::<$type>);
                }
            )+
        }
    };
}
pub(crate) use {every_backend, for_backend};

/// Runs a test under a watchdog: a hang becomes a message and an abort.
pub fn watched(name: &str, test: impl FnOnce()) {
    let _watchdog = shmsync_harness::process::watchdog(Duration::from_secs(60), name);
    test();
}

/// A handshake: one side counts up, the other sees it.
#[derive(Debug, Default)]
pub struct Tally(AtomicU32);

impl Tally {
    pub const fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    /// Counts one, and gives the new count.
    pub fn up(&self) -> u32 {
        self.0.fetch_add(1, SeqCst) + 1
    }

    pub fn down(&self) {
        self.0.fetch_sub(1, SeqCst);
    }

    pub fn get(&self) -> u32 {
        self.0.load(SeqCst)
    }

    pub fn set(&self, n: u32) {
        self.0.store(n, SeqCst);
    }

    /// Waits until the count is at least `n`.
    #[track_caller]
    pub fn reaches(&self, n: u32) {
        eventually("the count", || (self.get() >= n).then_some(()).ok_or_else(|| format!("{} of {n}", self.get())));
    }

    /// Asserts that the count is `n` and stays so for a while.
    #[track_caller]
    pub fn stays(&self, n: u32, span: Duration) {
        let end = Instant::now() + span;
        while Instant::now() < end {
            assert_eq!(self.get(), n, "the count should have stayed");
            thread::sleep(ms(5));
        }
    }
}

/// Polls until `ready` gives a value, or panics with what it said last.
#[track_caller]
pub fn eventually<T>(what: &str, mut ready: impl FnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + SOON;
    loop {
        match ready() {
            Ok(value) => return value,
            Err(now) => assert!(Instant::now() < deadline, "{what}: after {SOON:?} still {now}"),
        }
        thread::sleep(Duration::from_micros(200));
    }
}

/// Forks `n` children that run `f` with their number.
pub fn team(n: u32, f: impl Fn(u32)) -> Vec<Child> {
    (0..n).map(|i| fork(|| f(i))).collect()
}

/// Waits for children, all of which must end well.
#[track_caller]
pub fn join(children: impl IntoIterator<Item = Child>) {
    let results: Vec<_> = children.into_iter().map(|mut child| child.join(SOON)).collect();
    let failed: Vec<_> = results.into_iter().filter_map(Result::err).collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// Children that keep the first `cpus` CPUs busy until they are dropped.
pub fn busy(cpus: usize) -> Vec<Child> {
    let began = Shm::new(Tally::new());
    let busy = team(cpus as u32, |cpu| {
        pin_to(cpu as usize);
        began.up();
        loop {
            std::hint::spin_loop();
        }
    });
    began.reaches(cpus as u32);
    busy
}

pub fn gettid() -> u32 {
    // SAFETY: no arguments, no memory.
    unsafe { libc::gettid() }.unsigned_abs()
}

/// Waits until a thread sleeps in the kernel. It must have said that the next thing it does is to wait.
#[track_caller]
pub fn asleep(tid: u32) {
    eventually("sleeping", || match state(tid) {
        'S' => Ok(()),
        state => Err(format!("thread {tid} is in state {state}")),
    });
}

/// The state letter of a thread or process in `/proc`; `'-'` if there is none.
pub fn state(tid: u32) -> char {
    let stat = fs::read_to_string(format!("/proc/{tid}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().and_then(|rest| rest.chars().next()).unwrap_or('-')
}

/// Runs `f` and says how long it took.
pub fn timed<T>(f: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let value = f();
    (value, start.elapsed())
}

/// Asserts that `wait(timeout)` never returns early, and that the best of a few tries is hardly late.
#[track_caller]
pub fn keeps_time(timeout: Duration, mut wait: impl FnMut(Duration)) {
    let mut best = Duration::MAX;
    for _ in 0..5 {
        let ((), took) = timed(|| wait(timeout));
        assert!(took >= timeout, "{timeout:?} was over after {took:?}");
        best = best.min(took - timeout);
        if best < ms(50) {
            return;
        }
    }
    panic!("{timeout:?} was always late, at best by {best:?}");
}
