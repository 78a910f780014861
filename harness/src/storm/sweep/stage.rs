//! The stage of a round: the primitive, made fresh each time, and three survivors that last for all rounds of a verb.
#![allow(unsafe_code)]

use super::cases::Script;
use crate::process::{self, Child};
use crate::region::Region;
use std::cell::{Cell, UnsafeCell};
use std::fmt::Debug;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
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

/// What the stage says to a survivor, and hears from it. Bytes in a socket, so that nobody looks again and again, which
/// on few CPUs would be at the cost of those who are watched.
mod word {
    pub(super) const GO: u8 = b'g';
    pub(super) const RELENT: u8 = b'r';
    /// It has begun; of the holder: it holds.
    pub(super) const BEGUN: u8 = b'b';
    pub(super) const DONE: u8 = b'd';
}

/// In shared memory, on a page of its own.
#[repr(C, align(4096))]
struct Shared<T>(UnsafeCell<T>);

// SAFETY: the thing is Sync, and is written only when all survivors are idle and there is no victim.
unsafe impl<T: Sync> Sync for Shared<T> {}

struct Survivor {
    child: Child,
    line: UnixStream,
}

pub(super) struct Stage<T> {
    shared: Region<Shared<T>>,
    script: Script<T>,
    crew: Vec<Survivor>,
    relented: Cell<bool>,
    pub(super) round: u64,
}

impl<T: Sync + Debug> Stage<T> {
    pub(super) fn new(script: Script<T>) -> Self {
        let shared = Region::new(Shared(UnsafeCell::new((script.fresh)()))).expect("shared memory");
        let mut stage = Self { shared, script, crew: Vec::new(), relented: Cell::new(false), round: 0 };
        stage.crew = [Role::Holder, Role::Sleeper, Role::Late].map(|role| stage.hire(role)).into();
        stage
    }

    pub(super) fn thing(&self) -> &T {
        // SAFETY: the thing is written by `set` only, between two rounds.
        unsafe { &*self.shared.0.get() }
    }

    pub(super) fn script(&self) -> &Script<T> {
        &self.script
    }

    /// The bytes of the thing, as they are at this moment.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let at = self.shared.0.get().cast::<u8>();
        // SAFETY: the thing's own bytes, all initialised (FromBytes types). Volatile, since others may write them.
        (0..size_of::<T>()).map(|i| unsafe { at.add(i).read_volatile() }).collect()
    }

    fn hire(&self, role: Role) -> Survivor {
        let (line, theirs) = UnixStream::pair().expect("a line to a survivor");
        line.set_read_timeout(Some(BOUND)).expect("a timeout");
        let child = process::fork(|| {
            let say = |word| (&theirs).write_all(&[word]).expect("somebody listens");
            let hear = |word| {
                let mut heard = [0];
                (&theirs).read_exact(&mut heard).expect("somebody speaks");
                assert_eq!(heard, [word]);
            };
            loop {
                hear(word::GO);
                match role {
                    Role::Holder => (self.script.hold)(self.thing(), &|| {
                        say(word::BEGUN);
                        hear(word::RELENT);
                    }),
                    Role::Sleeper => {
                        say(word::BEGUN);
                        self.script.sleeper.unwrap_or(self.script.late)(self.thing());
                    }
                    Role::Late => (self.script.late)(self.thing()),
                }
                say(word::DONE);
            }
        });
        Survivor { child, line }
    }

    /// A new round, up to where the victim comes: everything fresh, the holder holds.
    pub(super) fn set(&mut self) -> Result<(), String> {
        self.round += 1;
        self.relented.set(false);
        // SAFETY: all survivors are idle, and the last victim is dead.
        unsafe { self.shared.0.get().write((self.script.fresh)()) };
        self.tell(Role::Holder, word::GO);
        self.hear(Role::Holder, word::BEGUN)
    }

    /// Has the sleeper fall asleep, if the script has one.
    pub(super) fn put_to_sleep(&mut self) -> Result<(), String> {
        if self.script.sleeper.is_none() {
            return Ok(());
        }
        self.tell(Role::Sleeper, word::GO);
        self.hear(Role::Sleeper, word::BEGUN)?;
        let pid = self.crew[Role::Sleeper as usize].child.pid();
        let deadline = Instant::now() + BOUND;
        while !is_asleep(pid) {
            if Instant::now() > deadline {
                return Err(self.obituary(Role::Sleeper, "does not fall asleep"));
            }
            thread::sleep(Duration::from_micros(20));
        }
        Ok(())
    }

    /// The holder lets go, whatever that means.
    pub(super) fn relent(&self) {
        if !self.relented.replace(true) {
            self.tell(Role::Holder, word::RELENT);
        }
    }

    pub(super) fn has_relented(&self) -> bool {
        self.relented.get()
    }

    /// After the kill: all must come to an end. How long that took.
    pub(super) fn play_to_the_end(&mut self) -> Result<Duration, String> {
        let start = Instant::now();
        self.relent();
        self.hear(Role::Holder, word::DONE)?;
        self.tell(Role::Late, word::GO);
        let one_more_late_one = self.script.sleeper.is_none();
        if one_more_late_one {
            self.tell(Role::Sleeper, word::GO);
        }
        self.hear(Role::Late, word::DONE)?;
        if one_more_late_one {
            self.hear(Role::Sleeper, word::BEGUN)?;
        }
        self.hear(Role::Sleeper, word::DONE)?;
        let took = start.elapsed();
        (self.script.check)(self.thing())?;
        Ok(took)
    }

    fn tell(&self, role: Role, word: u8) {
        // Who is dead does not listen, and will be missed by `hear`.
        let _ = (&self.crew[role as usize].line).write_all(&[word]);
    }

    fn hear(&mut self, role: Role, word: u8) -> Result<(), String> {
        let mut heard = [0];
        match (&self.crew[role as usize].line).read_exact(&mut heard) {
            Ok(()) if heard == [word] => Ok(()),
            Ok(()) => Err(self.obituary(role, "lost its place")),
            Err(_) => Err(self.obituary(role, "HANGS")),
        }
    }

    /// What became of a survivor.
    fn obituary(&mut self, role: Role, otherwise: &str) -> String {
        let child = &mut self.crew[role as usize].child;
        let ended = child.wait_exit(Duration::from_millis(10)).is_some();
        let what = if ended { child.join(Duration::ZERO).err() } else { None };
        format!("{role:?}: {}; {:?}", what.as_deref().unwrap_or(otherwise), self.thing())
    }
}

/// Whether a process's first thread sleeps in the kernel.
pub(super) fn is_asleep(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('S'))
}
