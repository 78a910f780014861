//! The stage of a round: the primitive, made fresh each time, and three survivors that last for all rounds of a verb.
#![allow(unsafe_code)]

use super::cases::Script;
use crate::process::{self, Child};
use crate::region::Region;
use std::cell::UnsafeCell;
use std::fs;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::time::{Duration, Instant};

/// What takes a survivor longer is a hang.
pub(super) const BOUND: Duration = Duration::from_secs(5);

/// The survivors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Holder,
    Sleeper,
    Late,
}

/// In shared memory. All numbers are of rounds.
#[repr(C, align(4096))]
struct Shared<T> {
    thing: UnsafeCell<T>,
    go: [AtomicU64; 3],
    /// It has begun; the holder: it holds.
    begun: [AtomicU64; 3],
    done: [AtomicU64; 3],
    relent: AtomicU64,
}

// SAFETY: the thing is Sync, and is written only when all survivors are idle and there is no victim.
unsafe impl<T: Sync> Sync for Shared<T> {}

pub(super) struct Stage<T> {
    shared: Region<Shared<T>>,
    script: Script<T>,
    crew: Vec<Child>,
    pub(super) round: u64,
}

impl<T: Sync + std::fmt::Debug> Stage<T> {
    pub(super) fn new(script: Script<T>) -> Self {
        let zeros = || [const { AtomicU64::new(0) }; 3];
        let thing = UnsafeCell::new((script.fresh)());
        let shared = Shared { thing, go: zeros(), begun: zeros(), done: zeros(), relent: AtomicU64::new(0) };
        let shared = Region::new(shared).expect("shared memory");
        let mut stage = Self { shared, script, crew: Vec::new(), round: 0 };
        stage.crew = [Role::Holder, Role::Sleeper, Role::Late].map(|role| stage.hire(role)).into();
        stage
    }

    pub(super) fn thing(&self) -> &T {
        // SAFETY: the thing is written by `set` only, between two rounds.
        unsafe { &*self.shared.thing.get() }
    }

    pub(super) fn script(&self) -> &Script<T> {
        &self.script
    }

    /// The bytes of the thing, as they are at this moment.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let at = self.shared.thing.get().cast::<u8>();
        // SAFETY: the thing's own bytes, all initialised (FromBytes types). Volatile, since others may write them.
        (0..size_of::<T>()).map(|i| unsafe { at.add(i).read_volatile() }).collect()
    }

    fn hire(&self, role: Role) -> Child {
        process::fork(|| {
            let (shared, script, role) = (&*self.shared, &self.script, role as usize);
            let mut last = shared.done[role].load(SeqCst);
            loop {
                let round = shared.go[role].load(SeqCst);
                if round == last {
                    thread::sleep(Duration::from_micros(30));
                    continue;
                }
                let relented = || {
                    shared.begun[role].store(round, SeqCst);
                    while shared.relent.load(SeqCst) != round {
                        thread::sleep(Duration::from_micros(30));
                    }
                };
                match role {
                    0 => (script.hold)(self.thing(), &relented),
                    1 => {
                        shared.begun[role].store(round, SeqCst);
                        script.sleeper.unwrap_or(script.late)(self.thing());
                    }
                    _ => (script.late)(self.thing()),
                }
                last = round;
                shared.done[role].store(round, SeqCst);
            }
        })
    }

    /// A new round, up to where the victim comes: everything fresh, the holder holds.
    pub(super) fn set(&mut self) -> Result<(), String> {
        self.round += 1;
        // SAFETY: all survivors are idle, and the last victim is dead.
        unsafe { self.shared.thing.get().write((self.script.fresh)()) };
        self.go(Role::Holder);
        self.until(Role::Holder, |shared, round| shared.begun[0].load(SeqCst) == round)
    }

    /// Has the sleeper fall asleep, if the script has one.
    pub(super) fn put_to_sleep(&mut self) -> Result<(), String> {
        if self.script.sleeper.is_none() {
            return Ok(());
        }
        self.go(Role::Sleeper);
        let pid = self.crew[Role::Sleeper as usize].pid();
        self.until(Role::Sleeper, |shared, round| shared.begun[1].load(SeqCst) == round && is_asleep(pid))
    }

    /// The holder lets go, whatever that means.
    pub(super) fn relent(&self) {
        self.shared.relent.store(self.round, SeqCst);
    }

    /// After the kill: all must come to an end. How long that took.
    pub(super) fn play_to_the_end(&mut self) -> Result<Duration, String> {
        let start = Instant::now();
        self.relent();
        self.until(Role::Holder, |shared, round| shared.done[0].load(SeqCst) == round)?;
        self.go(Role::Late);
        if self.script.sleeper.is_none() {
            self.go(Role::Sleeper); // One more late one.
        }
        self.until(Role::Late, |shared, round| shared.done[2].load(SeqCst) == round)?;
        self.until(Role::Sleeper, |shared, round| shared.done[1].load(SeqCst) == round)?;
        let took = start.elapsed();
        (self.script.check)(self.thing())?;
        Ok(took)
    }

    fn go(&self, role: Role) {
        self.shared.go[role as usize].store(self.round, SeqCst);
    }

    fn until(&mut self, role: Role, ready: impl Fn(&Shared<T>, u64) -> bool) -> Result<(), String> {
        let deadline = Instant::now() + BOUND;
        while !ready(&self.shared, self.round) {
            let child = &mut self.crew[role as usize];
            let ended = child.wait_exit(Duration::ZERO).is_some();
            if ended || Instant::now() > deadline {
                let what =
                    if ended { child.join(Duration::ZERO).err().unwrap_or_default() } else { String::from("HANGS") };
                return Err(format!("{role:?}: {what}; {:?}", self.thing()));
            }
            thread::sleep(Duration::from_micros(20));
        }
        Ok(())
    }
}

/// Whether a process's first thread sleeps in the kernel.
pub(super) fn is_asleep(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('S'))
}
