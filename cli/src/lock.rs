//! `shmsync lock`: what flock(1) does, with a lock that knows its holder.

mod home;

use crate::Failure;
use crate::held::{Run, Until};
use crate::place::{Place, Refusal};
use home::Home;
use shmsync::{AcquireError, Error, Handle, Lock, Owner};
use std::convert::Infallible;
use std::os::unix::process::ExitStatusExt;

const AFTER: &str = "\
Exit codes:
  the command's own, or 128 + N if signal N ended it
  124  the lock was not to be had in time (-E makes it another)
  125  the tool failed: a region that is something else, no permission, no memory
  126  the command cannot be run
  127  there is no such command
  2    a wrong option

The lock is a Lock in a region of its own, which is made if there is none: programs open it with
Shared::<Lock>::open(\"/NAME\"). Its holder is the command, which `shmsync inspect` shows. A command that has ended
gave it back, whatever its exit code. A command that was killed did not: the next `shmsync lock` takes it over without
a word, within a tenth of a second; a program that asks for the lock is told OwnerDied. Killing the tool does not end
the command, nor its holding the lock. Other than with flock(1), what the command leaves running in the background does
not hold the lock.

NAME is a name in /dev/shm, or, with a slash in it, the path of a file. What stands after its last colon is an object in
a Region, which must be there: a Lock that a program made, or makes, with region.get_or_init::<Lock>(\"OBJECT\").

Examples:
  shmsync lock nightly -- make all                    wait for whoever else does
  shmsync lock -n nightly -- make all || echo busy    or do not
  shmsync lock --timeout 5 nightly -E 75 -- make all  or not for long
  shmsync lock ./cache.lock -- sh -c 'cat a >> b'     a file of your own; for redirections a shell";

/// Runs a command while holding a lock, released when the command dies.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER)]
pub(crate) struct Args {
    /// Which lock, or which one in a Region of many objects; made if there is none
    #[arg(value_name = "NAME[:OBJECT]")]
    name: String,

    #[command(flatten)]
    run: Run,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let (place, object) = Place::parse_with_object(&args.name);
    let open = || Home::open(&place, object.as_deref(), &args.run);
    let find = || Home::find(&place, object.as_deref(), &args.run);
    if !args.run.supervises() {
        return become_holder(&args.run, open, find).map(|never| match never {});
    }
    // Kept open, so that who looks for regions that nobody uses finds it used.
    let home = open()?;
    let lock = home.lock().map_err(Refusal::from)?;
    args.run.supervise(|worker, status| {
        let end = if status.signal().is_some() { tell_of_death } else { give_back };
        end(lock, worker);
        // Where the name was given to another meanwhile, the worker took the lock in that one.
        if let Ok(lock) = find().as_ref().map_err(|_| ()).and_then(|home| home.lock().map_err(|_| ())) {
            end(lock, worker);
        }
    })
}

fn is_held_by(lock: &Lock, worker: u32) -> bool {
    lock.holder().is_some_and(|owner| owner.tid() == worker)
}

/// Frees the lock of a command that has ended by itself.
fn give_back(lock: &Lock, worker: u32) {
    if is_held_by(lock, worker) && lock.recover().is_ok() {
        // Nobody can have released it in between but one who does not hold it.
        let _ = lock.release();
    }
}

/// Marks the lock of a command that was killed. Who waits in another PID namespace could not prove that it is dead.
fn tell_of_death(lock: &Lock, worker: u32) {
    // Whoever tries marks it. It may also have been taken over and released in this moment, and then it is taken now.
    if is_held_by(lock, worker) && lock.try_acquire().is_ok() {
        let _ = lock.release();
    }
}

/// A lock that this thread, and so the command, has taken.
struct Held<'a> {
    lock: &'a Lock,
    me: Owner,
    /// The command inherits the descriptor: it uses the region, though it has not mapped it.
    _use: Handle,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        // Anybody may have released it meanwhile, and another have taken it.
        if self.lock.holder() == Some(self.me) {
            let _ = self.lock.release();
        }
    }
}

fn become_holder(
    run: &Run,
    open: impl Fn() -> Result<Home, Refusal>,
    find: impl Fn() -> Result<Home, Error>,
) -> Result<Infallible, Failure> {
    let (until, me) = run.prepare()?;
    loop {
        let home = open()?;
        let lock = home.lock().map_err(Refusal::from)?;
        take(lock, run, until).map_err(|error| run.refused(error))?;
        let held = Held { lock, me, _use: home.handle() };
        // Somebody may have removed it while this one waited; then others lock another one by this name. So what has the
        // name now must be held by this very thread.
        if find().is_ok_and(|now| now.lock().is_ok_and(|lock| lock.holder() == Some(me))) {
            return Err(run.become_command(held));
        }
    }
}

fn take(lock: &Lock, run: &Run, until: Until) -> Result<(), AcquireError> {
    loop {
        let taken = match until {
            Some(until) => lock.acquire_until(until),
            None => lock.acquire(),
        };
        match taken {
            Err(AcquireError::OwnerDied(owner)) => {
                // If that fails another was faster.
                if lock.recover().is_ok() {
                    if run.verbose {
                        eprintln!("shmsync: taken over from {owner}, which died");
                    }
                    return Ok(());
                }
            }
            taken => return taken,
        }
    }
}
