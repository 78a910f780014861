//! What a loom model decides: which ordering is weakened, and which thread is killed where.
//!
//! Only built with `--cfg loom`, when the crate's atomics are [`atomic`]'s, its operating system is `sys::model` and its
//! backend is [`Model`](crate::wait::Model). The models themselves are in `tests/model`.
//!
//! What is decided is kept per OS thread: every test has one, and all of its loom threads are coroutines on it.

pub mod atomic;
mod site;
pub mod waits;

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{self, AssertUnwindSafe, Location};

pub use site::{Site, sites};

/// What a changed operation writes, given what the word holds and what it would have written; with `None` the operation
/// is left out, and looks as if it had been done.
pub type Rewrite = fn(u64, u64) -> Option<u64>;

/// One experiment.
#[derive(Clone, Default)]
pub struct Plan {
    /// The orderings there count as `Relaxed`; a fence there is none, and a wake there wakes nobody.
    pub weakened: Option<Site>,
    /// The operation there writes something else.
    pub rewritten: Option<(Site, Rewrite)>,
    /// At which of its operations the [`mortal`] thread is killed, counted from zero. Slices end only once it is: so
    /// what passes without a death has lost no wake-up, and what passes with one has healed the loss.
    pub stop: Option<u32>,
}

std::thread_local! {
    static PLAN: RefCell<Plan> = RefCell::default();
    /// Whether a rewritten or weakened site was passed, or the mortal thread stopped: else the plan was void.
    static USED: Cell<bool> = const { Cell::new(false) };
}

/// Runs `experiment` under `plan`; its result, and whether the plan made any difference to what was executed.
pub fn under<R>(plan: Plan, experiment: impl FnOnce() -> R) -> (R, bool) {
    struct Reset;
    impl Drop for Reset {
        fn drop(&mut self) {
            PLAN.take();
        }
    }
    PLAN.set(plan);
    USED.set(false);
    let _reset = Reset;
    (experiment(), USED.get())
}

/// Every type: nothing lies in shared memory here.
pub trait FromBytes {}
impl<T> FromBytes for T {}

/// Declares a thread-local of loom's threads, in the words of std's.
macro_rules! loom_local {
    ($($(#[$meta:meta])* static $name:ident: $type:ty = const { $init:expr };)+) => {
        loom::thread_local! { $($(#[$meta])* static $name: $type = $init;)+ }
    };
}
pub(crate) use loom_local as thread_local;

loom_local! {
    /// Operations that this thread may do before it stops; `None` for a thread that never does.
    static LEFT: Cell<Option<u32>> = const { Cell::new(None) };
    static STOPPED: Cell<bool> = const { Cell::new(false) };
}

/// The panic that takes a stopped thread off its stack.
struct Stopped;

/// Runs `life`, which ends where the plan says that this thread stops: `None` then.
///
/// A stopped thread is a killed one. It does nothing any more, its destructors included, and everybody can find out.
pub fn mortal<R>(life: impl FnOnce() -> R) -> Option<R> {
    LEFT.with(|left| left.set(PLAN.with_borrow(|plan| plan.stop)));
    let end = panic::catch_unwind(AssertUnwindSafe(life));
    LEFT.with(|left| left.set(None));
    match end {
        Ok(result) => Some(result),
        Err(payload) if payload.is::<Stopped>() => None,
        Err(payload) => panic::resume_unwind(payload as Box<dyn Any + Send>),
    }
}

/// Counts one operation of this thread, which may be where it stops. `false` if it does nothing any more: stopped, or
/// the model has failed and destructors run.
pub(crate) fn step() -> bool {
    if std::thread::panicking() {
        return false;
    }
    if PLAN.with_borrow(|plan| plan.stop.is_none()) {
        return true;
    }
    match LEFT.with(Cell::get) {
        Some(0) => {
            STOPPED.with(|stopped| stopped.set(true));
            USED.set(true);
            crate::sys::thread::die();
            panic::resume_unwind(Box::new(Stopped))
        }
        Some(left) => LEFT.with(|cell| cell.set(Some(left - 1))),
        None => {}
    }
    !STOPPED.with(Cell::get)
}

/// Whether this thread's next operation is the one that never happens: then it never comes back from a sleep.
pub(crate) fn stops_next() -> bool {
    PLAN.with_borrow(|plan| plan.stop.is_some()) && LEFT.with(Cell::get) == Some(0)
}

fn is_weakened(caller: &Location<'_>) -> bool {
    PLAN.with_borrow(|plan| plan.weakened.as_ref().is_some_and(|site| site.is(caller))) && {
        USED.set(true);
        true
    }
}

/// Whether a wake there is left out.
#[track_caller]
pub(crate) fn is_muted() -> bool {
    is_weakened(Location::caller())
}

fn rewrite_at(caller: &Location<'_>) -> Option<Rewrite> {
    PLAN.with_borrow(|plan| plan.rewritten.as_ref().filter(|(site, _)| site.is(caller)).map(|&(_, rewrite)| rewrite))
        .inspect(|_| USED.set(true))
}
