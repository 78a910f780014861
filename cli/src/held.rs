//! Running a command that holds something: what `lock` and `sem` have in common.
//!
//! The command itself is the holder. A *worker* acquires in its only thread and becomes the command by `exec`, which keeps
//! thread id and start time, and with them what the thread holds. So who asks for the holder finds the command, and when
//! that dies, by whatever means, the next who waits finds that out; nobody has to be alive for it.
//!
//! A *supervisor* started the worker, waits for it, and gives back at once what a command held that has ended. It is a
//! convenience, and a witness: what is not given back belonged to one that was killed.
//!
//! | killed with SIGKILL | then |
//! |---|---|
//! | the command | the supervisor ends with 137. A lock stays marked with its dead holder, and the next takes it over; a permit is given back |
//! | the supervisor, the command running | the command runs on and holds it; when it ends the next one takes it over |
//! | the supervisor, the worker still waiting | the worker dies with it, and no command is run |
//! | the worker, waiting | the supervisor ends with 137 |
//!
//! Without a supervisor (`--no-fork`) every end of the command looks like a death.

mod signals;

use crate::Failure;
use crate::place::{self, Refusal};
use rustix::process::{Signal, set_parent_process_death_signal};
use shmsync::{AcquireError, Lock, Options, Owner, Region, RegionOptions, Shared};
use signals::Signals;
use std::ffi::OsString;
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt, parent_id};
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};
use zerocopy::FromBytes;

/// What `env`, `timeout` and the shells return when they themselves fail, when a command cannot be run, is not there.
const OWN_FAILURE: u8 = 125;
const NOT_RUNNABLE: u8 = 126;
const NOT_FOUND: u8 = 127;

#[derive(Debug, clap::Args)]
pub(crate) struct Run {
    /// Wait for at most so many seconds (a fraction is fine); 0 tries once
    #[arg(short = 'w', long, visible_alias = "wait", value_name = "S", value_parser = seconds)]
    timeout: Option<Duration>,

    /// Do not wait at all
    #[arg(short = 'n', long, visible_aliases = ["nonblock", "nb"], conflicts_with = "timeout")]
    no_wait: bool,

    /// The exit code when it was not to be had in time
    #[arg(short = 'E', long, value_name = "CODE", default_value_t = 124)]
    conflict_exit_code: u8,

    /// Become the command instead of waiting for it: one process less. Then every end of the command looks like a
    /// death, and the next one learns of it a tenth of a second late
    #[arg(short = 'F', long)]
    no_fork: bool,

    /// The permissions of a new region, in octal
    #[arg(long, value_name = "MODE", default_value = "600", value_parser = place::mode)]
    mode: u32,

    /// Also use a region that belongs to another user than you and root
    #[arg(long)]
    any_owner: bool,

    /// Say on standard error what was waited for and taken over
    #[arg(short, long)]
    pub(crate) verbose: bool,

    /// The supervisor, in a worker that it started
    #[arg(long, hide = true, value_name = "PID")]
    supervisor: Option<u32>,

    /// The command to run while holding it, with its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| String::from("not a number of seconds"))?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

/// The moment until which to wait: `None` for ever.
pub(crate) type Until = Option<Instant>;

impl Run {
    /// How the region is made or opened.
    pub(crate) fn options<T: FromBytes + Sync>(&self) -> Options<T> {
        let options = Shared::options().mode(self.mode);
        if self.any_owner { options.allow_any_owner() } else { options }
    }

    /// The same of a region of many objects.
    pub(crate) fn region_options(&self) -> RegionOptions {
        if self.any_owner { Region::options().allow_any_owner() } else { Region::options() }
    }

    /// Whether this process supervises a worker, which acquires.
    pub(crate) fn supervises(&self) -> bool {
        !self.no_fork && self.supervisor.is_none()
    }

    /// As the worker, or as the only process, before it acquires: binds it to its supervisor, and says until when to wait
    /// and who it is. A [`become_command`](Self::become_command) follows.
    pub(crate) fn prepare(&self) -> Result<(Until, Owner), Failure> {
        if let Some(supervisor) = self.supervisor {
            // Nobody would want a command that begins long after its supervisor was killed. Who was killed before this
            // call is not told of by a signal.
            if let Err(error) = set_parent_process_death_signal(Some(Signal::KILL)) {
                return Err(Failure::Exit(OWN_FAILURE, Some(format!("cannot bind to the supervisor: {error}"))));
            }
            if parent_id() != supervisor {
                return Err(Failure::Exit(OWN_FAILURE, None));
            }
        }
        let Some(me) = me().filter(Owner::is_of_this_namespace) else {
            // Nobody could prove the command's death, not even by having waited for it, and what it held would stay held.
            let why =
                "this process's start time is not to be read in /proc, so nobody could tell that the command has died";
            return Err(Failure::Exit(OWN_FAILURE, Some(String::from(why))));
        };
        let timeout = if self.no_wait { Some(Duration::ZERO) } else { self.timeout };
        Ok((timeout.and_then(|timeout| Instant::now().checked_add(timeout)), me))
    }

    /// How it ends if what was to be held could not be acquired.
    pub(crate) fn refused(&self, obstacle: AcquireError) -> Failure {
        match obstacle {
            AcquireError::WouldBlock | AcquireError::TimedOut => Failure::Exit(self.conflict_exit_code, None),
            error => Failure::Exit(OWN_FAILURE, Some(error.to_string())),
        }
    }

    /// Becomes the command. Returns only if that fails; `held` is dropped then, which must release it.
    pub(crate) fn become_command<H>(&self, held: H) -> Failure {
        // From here on the command runs whatever becomes of the supervisor; nothing to be done if this fails.
        let _ = set_parent_process_death_signal(None);
        let error = Command::new(&self.command[0]).args(&self.command[1..]).exec();
        drop(held);
        let code = if error.kind() == io::ErrorKind::NotFound { NOT_FOUND } else { NOT_RUNNABLE };
        Failure::Exit(code, Some(format!("{}: {error}", self.command[0].to_string_lossy())))
    }

    /// As the supervisor: starts a worker, passes signals on to it and waits for its end. `given_back` is told its id and
    /// how it ended, before the same end is made this process's own.
    pub(crate) fn supervise(&self, give_back: impl FnOnce(u32, ExitStatus)) -> Result<(), Failure> {
        let failed = |error: io::Error| {
            Failure::Exit(OWN_FAILURE, Some(format!("cannot start the worker, by /proc/self/exe: {error}")))
        };
        // Before the worker is started: a handler is in place when a signal comes for it.
        let mut signals = Signals::handle().map_err(failed)?;
        let mut worker = self.start_worker().map_err(failed)?;
        // The worker has inherited what is blocked here, as the command shall.
        let status = signals.wait(&mut worker).map_err(failed)?;
        give_back(worker.id(), status);
        match (status.code(), status.signal()) {
            (Some(0), _) => Ok(()),
            (Some(code), _) => Err(Failure::Exit(u8::try_from(code).unwrap_or(u8::MAX), None)),
            // As the shells have it: they cannot tell a death either, but by this number.
            (None, signal) => Err(Failure::Exit(128 | u8::try_from(signal.unwrap_or(0)).unwrap_or(0), None)),
        }
    }

    /// The same program with the same arguments, and the one more that says what it is. `/proc/self/exe` is this very
    /// program even when another has been installed in its place.
    fn start_worker(&self) -> io::Result<Child> {
        let mut arguments = std::env::args_os();
        let own_name = arguments.next().unwrap_or_else(|| OsString::from("shmsync"));
        let subcommand = arguments.next();
        let mut worker = Command::new("/proc/self/exe");
        worker.arg0(own_name).args(subcommand).arg("--supervisor").arg(std::process::id().to_string());
        worker.args(arguments).spawn()
    }
}

/// The calling thread, as whoever finds it holding something will see it.
fn me() -> Option<Owner> {
    let mine = Lock::new();
    mine.acquire().ok()?;
    mine.holder()
}

/// Beside a command it is told from the command's own failures.
impl From<Refusal> for Failure {
    fn from(Refusal(why): Refusal) -> Self {
        Self::Exit(OWN_FAILURE, Some(why))
    }
}
