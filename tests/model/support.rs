//! How a model is explored, how it is made to fail, and what its threads share.

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Once};
use std::time::{Duration, Instant};

use loom::cell::UnsafeCell;
use loom::thread::{self, JoinHandle};
pub use shmsync::model::mortal;
use shmsync::model::{self, Plan, Rewrite, Site, sites};

/// A model: makes what its threads share, starts them, and says what must hold at the end.
pub type Model = fn();

/// A timeout that is over within a slice: in a model such a wait ends by a wake or by time, as it comes.
pub const SOON: Duration = Duration::from_micros(1);

/// Some 20 seconds. A model that grows beyond it wants a smaller bound, or fewer threads.
const MOST_EXECUTIONS: usize = 400_000;

/// Runs every execution of `model` with at most `preemptions`, or `LOOM_MAX_PREEMPTIONS` where that is set; how many.
pub fn explore(preemptions: usize, model: Model) -> usize {
    let began = Instant::now();
    let executions = Arc::new(AtomicUsize::new(0));
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(preemptions));
    builder.max_branches = 3_000;
    let count = Arc::clone(&executions);
    builder.check(move || {
        assert!(count.fetch_add(1, Ordering::Relaxed) < MOST_EXECUTIONS, "the model is too large for its bound");
        model();
    });
    let executions = executions.load(Ordering::Relaxed);
    if !FAILURE_EXPECTED.get() {
        let thread = std::thread::current();
        println!("{}: {executions} executions, {:.1?}", thread.name().unwrap_or("?"), began.elapsed());
    }
    executions
}

/// Runs `model` once for each operation of its mortal thread: which is killed there, for all to bear.
pub fn explore_kills(preemptions: usize, model: Model) {
    for stop in 0.. {
        let plan = Plan { stop: Some(stop), ..Plan::default() };
        let (_, stopped) = model::under(plan, || explore(preemptions, model));
        if !stopped {
            assert!(stop > 0, "nobody is mortal here");
            return;
        }
    }
}

/// Whether some execution of `model` under `plan` fails.
///
/// # Panics
/// If the plan changes nothing in any of them.
fn fails(plan: Plan, preemptions: usize, model: Model) -> Option<bool> {
    silence_panics();
    FAILURE_EXPECTED.set(true);
    let (failed, used) =
        model::under(plan, || panic::catch_unwind(AssertUnwindSafe(|| explore(preemptions, model))).is_err());
    FAILURE_EXPECTED.set(false);
    used.then_some(failed)
}

std::thread_local! {
    static FAILURE_EXPECTED: Cell<bool> = const { Cell::new(false) };
}

/// Failures that are asked for need no backtrace.
fn silence_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let show = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !FAILURE_EXPECTED.get() {
                show(info);
            }
        }));
    });
}

/// Asserts that every operation at which `text` is written in `file` is needed: weakened, it fails one of the models.
pub fn assert_needed(file: &str, text: &str, models: &[Model]) {
    assert_all_needed(2, &sites(file, text), models);
}

/// The same for some `operations`, and for what shows only with more `preemptions`.
pub fn assert_all_needed(preemptions: usize, operations: &[Site], models: &[Model]) {
    let unneeded: Vec<String> = operations
        .iter()
        .filter(|site| {
            let plan = Plan { weakened: Some((*site).clone()), ..Plan::default() };
            !models.iter().any(|&model| fails(plan.clone(), preemptions, model) == Some(true)) || {
                println!("needed: {site}");
                false
            }
        })
        .map(|site| site.to_string())
        .collect();
    assert!(unneeded.is_empty(), "no model notices that these are weakened: {unneeded:#?}");
}

/// The same for what only a death shows: weakened, it fails `model` for one of the operations at which somebody dies.
pub fn assert_needed_by_kills(file: &str, text: &str, model: Model) {
    for site in sites(file, text) {
        let at = |stop| Plan { weakened: Some(site.clone()), stop: Some(stop), ..Plan::default() };
        let mut deaths = (0..).map_while(|stop| fails(at(stop), 2, model));
        assert!(deaths.any(|failed| failed), "no death makes {model:?} notice that {site} is weakened");
        println!("needed: {site}");
    }
}

/// Asserts that `model` fails when the operation at `text` in `file` writes what `rewrite` says.
pub fn assert_caught(file: &str, text: &str, rewrite: Rewrite, model: Model) {
    let [site] = &sites(file, text)[..] else { panic!("{text:?} names more than one operation") };
    let plan = Plan { rewritten: Some((site.clone(), rewrite)), ..Plan::default() };
    assert_eq!(fails(plan, 2, model), Some(true), "no execution fails, or none passes {site}");
    println!("caught: {site}");
}

/// Something that only one thread at a time may touch: loom fails the model where two touches are not ordered.
pub struct Guarded(UnsafeCell<u32>);

// SAFETY: loom reports every access that races with another, which is what the models are for.
unsafe impl Sync for Guarded {}

impl Guarded {
    pub fn new() -> Self {
        Self(UnsafeCell::new(0))
    }

    /// Adds one; what it was.
    pub fn bump(&self) -> u32 {
        // SAFETY: loom has checked that nobody else accesses it.
        self.0.with_mut(|value| unsafe {
            *value += 1;
            *value - 1
        })
    }

    pub fn get(&self) -> u32 {
        // SAFETY: loom has checked that nobody writes it.
        self.0.with(|value| unsafe { *value })
    }
}

/// What all `threads` return.
pub fn join<R, const N: usize>(threads: [JoinHandle<R>; N]) -> [R; N] {
    threads.map(|thread| thread.join().unwrap())
}

/// Starts a thread that shares `what`.
pub fn start<S: 'static, R: 'static>(what: &Arc<S>, life: fn(&S) -> R) -> JoinHandle<R> {
    let what = Arc::clone(what);
    thread::spawn(move || life(&what))
}
