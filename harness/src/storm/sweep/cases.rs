//! The verbs that are swept: each in the states that it may meet, on each backend.

mod alarm;
mod locks;
mod meetings;
mod owned_data;
mod permits;
mod regions;

use super::{Sweep, Swept};
use crate::process;
use crate::storm::stations::Named;
use shmsync::{AcquireError, Owner};
use std::fmt::Debug;
use std::time::Duration;

/// Nobody waits so long in earnest; who runs into it reports a hang.
const LONG: Duration = Duration::from_secs(100);

/// What each does in a round. Plain functions: they are run in forked children.
pub(super) struct Script<T> {
    /// A fresh primitive.
    pub(super) fresh: fn() -> T,
    /// Brings it into the state in which the victim meets it, calls the closure, which returns when it is time to
    /// relent, and relents.
    pub(super) hold: fn(&T, &dyn Fn()),
    /// Waits already when the victim comes; `None` where nobody can.
    pub(super) sleeper: Option<fn(&T)>,
    /// What the victim has done before it comes to its verb.
    pub(super) prepare: fn(&T),
    /// What it is killed in.
    pub(super) verb: fn(&T),
    /// Comes afterwards.
    pub(super) late: fn(&T),
    /// What must be true in the end.
    pub(super) check: fn(&T) -> Result<(), String>,
}

impl<T> Clone for Script<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Script<T> {}

type Sweeper = dyn Fn(&mut Text, Sweep) -> Swept + Send;

/// A script with a name, whatever its type.
pub(super) struct Case {
    pub(super) name: String,
    pub(super) sweep: Box<Sweeper>,
}

#[cfg(target_arch = "x86_64")]
pub(super) use super::text::Text;

/// Where single-stepping has not been written yet.
#[cfg(not(target_arch = "x86_64"))]
pub(super) struct Text;

#[cfg(not(target_arch = "x86_64"))]
impl Text {
    pub(super) fn new() -> Self {
        Self
    }
}

fn case<T: Sync + Debug + 'static>(what: &str, backend: &str, script: Script<T>) -> Case {
    #[cfg(target_arch = "x86_64")]
    let sweep = Box::new(move |text: &mut Text, sweep| super::verb::sweep(script, text, sweep));
    #[cfg(not(target_arch = "x86_64"))]
    let sweep = Box::new(move |_: &mut Text, _| {
        let _ = script; // not stepped through
        Swept::default()
    });
    Case { name: format!("{what} ({backend})"), sweep }
}

/// All of them; none where single-stepping has not been written yet.
pub(super) fn all() -> Vec<Case> {
    use shmsync::wait::{Futex, KernelRobust, PosixSem};
    let mut cases = Vec::new();
    if cfg!(target_arch = "x86_64") {
        every::<Futex>(&mut cases);
        every::<PosixSem>(&mut cases);
        every::<KernelRobust>(&mut cases);
        regions::region(&mut cases);
    }
    cases
}

fn every<W: Named>(cases: &mut Vec<Case>) {
    locks::lock::<W>(cases);
    locks::rlock::<W>(cases);
    owned_data::mutex::<W>(cases);
    owned_data::rwlock::<W>(cases);
    owned_data::once::<W>(cases);
    owned_data::call_once::<W>(cases);
    permits::semaphore::<W>(cases);
    permits::pool::<W>(cases);
    meetings::condition::<W>(cases);
    meetings::event::<W>(cases);
    meetings::barrier::<W>(cases);
}

fn nothing<T>(_: &T) {}

fn fine<T>(_: &T) -> Result<(), String> {
    Ok(())
}

/// Nobody holds anything.
fn idle<T>(_: &T, relented: &dyn Fn()) {
    relented();
}

/// Has a process do something, and end.
fn die_after(what: impl FnOnce()) {
    process::fork(what).join(LONG).expect("it has only ended");
}

/// Acquires, from the dead if need be.
fn acquire(acquire: impl Fn(Duration) -> Result<(), AcquireError>, recover: impl Fn() -> Result<(), AcquireError>) {
    loop {
        match acquire(LONG) {
            Ok(()) => return,
            Err(AcquireError::OwnerDied(owner)) => {
                confirm(owner);
                if recover().is_ok() {
                    return;
                }
            }
            Err(other) => panic!("acquire: {other:?}"),
        }
    }
}

/// That who was called dead is dead. Of zero nothing is known but the kernel's mark: it died between taking the word and
/// putting itself on record.
fn confirm(owner: Owner) {
    assert!(!owner.is_alive(), "{owner} lives, and was called dead");
}

/// Whatever came of it: the victim is about to be killed.
fn ignore<T>(_: T) {}
