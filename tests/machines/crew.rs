//! Those who do what the program says: threads of this process, or processes. Each has a line of its own on which it is
//! told what to do, and says what came of it.

use std::cell::RefCell;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::thread;

use shmsync::Shared;
use shmsync::wait::Wait;
use shmsync_harness::process::{Child, fork};

use crate::faults::Fault;
use crate::support::{Shm, gettid, state};
use crate::verb::*;
use crate::wire::{from_wire, to_wire, verb_at, wire_of};
use crate::world::{Hand, Line, World};

pub struct Member {
    pub tid: u32,
    line: UnixStream,
    /// Orders that it has begun, and that were given.
    begun: Arc<Shm<AtomicU32>>,
    given: u32,
    child: Option<Child>,
}

/// The other end.
struct Ends {
    line: RefCell<UnixStream>,
    begun: Arc<Shm<AtomicU32>>,
}

impl Line for Ends {
    fn order(&self) -> Option<Verb> {
        let mut index = [0];
        self.line.borrow_mut().read_exact(&mut index).ok()?;
        self.begun.fetch_add(1, SeqCst);
        Some(verb_at(index[0]))
    }

    fn say(&self, said: Said) {
        // An error: nobody listens any more.
        let _ = self.line.borrow_mut().write_all(&to_wire(&said));
    }
}

fn live<W: Wait, const R: usize>(world: &World<W, R>, fault: Fault, line: &Ends) {
    let mut hand = Hand::new(world, fault);
    while let Some(verb) = line.order() {
        if verb == Verb::Die {
            hand.forget();
            return line.say(Said::Gone);
        }
        let said = catch_unwind(AssertUnwindSafe(|| hand.perform(verb, line)));
        line.say(said.unwrap_or(Said::Odd));
    }
}

impl Member {
    pub fn hire<W: Wait, const R: usize>(world: &Arc<Shared<World<W, R>>>, fault: Fault, process: bool) -> Self {
        wire_of(Verb::Rest); // So that no child is forked in the middle of its first initialisation.
        let (line, theirs) = UnixStream::pair().expect("a line");
        let begun = Arc::new(Shm::new(AtomicU32::new(0)));
        let ends = Ends { line: RefCell::new(theirs), begun: Arc::clone(&begun) };
        let (tid, child) = if process {
            let child = fork(|| live(world, fault, &ends));
            (child.pid(), Some(child))
        } else {
            let world = Arc::clone(world);
            let life = move || {
                ends.line.borrow_mut().write_all(&gettid().to_ne_bytes()).expect("heard");
                live(&world, fault, &ends);
            };
            // Not joined: some end in a way that nobody can join.
            thread::Builder::new().stack_size(256 << 10).spawn(life).expect("a thread");
            let mut tid = [0; 4];
            (&line).read_exact(&mut tid).expect("born");
            (u32::from_ne_bytes(tid), None)
        };
        line.set_nonblocking(true).expect("a line");
        Self { tid, line, begun, given: 0, child }
    }

    pub fn told(&mut self, verb: Verb) {
        self.given += 1;
        self.line.write_all(&[wire_of(verb)]).expect("alive");
    }

    pub fn heard(&mut self) -> Option<Said> {
        let mut said = [0; 16];
        match self.line.read(&mut said) {
            // Written in one piece, and so read in one.
            Ok(16) => Some(from_wire(said)),
            Ok(_) => None,
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            Err(error) => panic!("{}: {error}", self.tid),
        }
    }

    /// Whether it has begun what it was told to do, and sleeps in it.
    pub fn is_asleep(&self) -> bool {
        self.begun.load(SeqCst) == self.given && state(self.tid) == 'S'
    }

    /// Whether the kernel knows that it is no more.
    pub fn is_over(&self) -> bool {
        matches!(state(self.tid), '-' | 'Z')
    }

    /// Of a process.
    pub fn kill(&mut self) {
        self.child.as_mut().expect("a process").kill();
    }
}
