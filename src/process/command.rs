//! Programs that are given regions.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;
use std::process::{self, Stdio};

use super::child::Child;
use crate::error::{Error, ErrorKind};
use crate::shm::{Handle, Kept};

/// What comes before a region's name in the environment.
const PREFIX: &str = "SHMSYNC_REGION_";

/// A program to be started, and the regions that it is to have: [`std::process::Command`] and a little more.
///
/// ```
/// use shmsync::{Shared, process::Command};
/// use std::sync::atomic::AtomicU32;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let jobs = Shared::anonymous(AtomicU32::new(3))?;
/// let mut worker = Command::new("true"); // your worker
/// let child = worker.arg("--fast").region("jobs", &jobs.handle()).spawn()?;
/// assert!(child.join(None)?.is_some_and(|status| status.success()));
/// # Ok(())
/// # }
/// ```
///
/// The worker finds it by [`inherited`]. Every program that this process starts at the very same time, in another thread,
/// inherits the descriptors too, though it is not told of them; no other does.
#[derive(Debug)]
pub struct Command {
    command: process::Command,
    /// Those in the environment, by their variables, and those among the arguments.
    regions: Vec<(Option<OsString>, Kept)>,
}

impl Command {
    /// The program, with the arguments and all else as in [`std::process::Command::new`].
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        process::Command::new(program).into()
    }

    /// Gives it a region, under a name that [`inherited`] asks for there.
    ///
    /// The name is not the region's own, which need not have one. It stands in the environment, as the variable
    /// `SHMSYNC_REGION_name`, so it may have any characters but `=` and NUL. A second region of the same name takes the
    /// first one's place. The region stays in being until this `Command` is dropped; the [`Handle`] may be dropped at once.
    pub fn region(&mut self, name: &str, handle: &Handle) -> &mut Self {
        self.regions.push((Some(variable(name)), handle.keep()));
        self
    }

    /// Gives it a region as its next argument: the handle's text, which the program parses.
    pub fn region_arg(&mut self, handle: &Handle) -> &mut Self {
        self.command.arg(handle.to_string());
        self.regions.push((None, handle.keep()));
        self
    }

    /// One argument more.
    pub fn arg(&mut self, argument: impl AsRef<OsStr>) -> &mut Self {
        self.command.arg(argument);
        self
    }

    /// Some arguments more.
    pub fn args(&mut self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> &mut Self {
        self.command.args(arguments);
        self
    }

    /// A variable of its environment.
    pub fn env(&mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> &mut Self {
        self.command.env(key, value);
        self
    }

    /// Where it runs.
    pub fn current_dir(&mut self, directory: impl AsRef<Path>) -> &mut Self {
        self.command.current_dir(directory);
        self
    }

    /// What it reads; inherited unless asked.
    pub fn stdin(&mut self, from: impl Into<Stdio>) -> &mut Self {
        self.command.stdin(from);
        self
    }

    /// Where it writes; inherited unless asked.
    pub fn stdout(&mut self, to: impl Into<Stdio>) -> &mut Self {
        self.command.stdout(to);
        self
    }

    /// Where it complains; inherited unless asked.
    pub fn stderr(&mut self, to: impl Into<Stdio>) -> &mut Self {
        self.command.stderr(to);
        self
    }

    /// Everything else that can be asked for. Regions are put into the environment when the program is started, so
    /// `env_clear` does not take them away.
    pub fn as_std_mut(&mut self) -> &mut process::Command {
        &mut self.command
    }

    /// Starts it. May be called more than once.
    ///
    /// # Errors
    /// Those of [`std::process::Command::spawn`]; [`InvalidInput`](io::ErrorKind::InvalidInput) for a region's name that
    /// cannot stand in the environment; no descriptor for the child (`EMFILE`), which may be found out only when it runs, and
    /// then it is killed.
    pub fn spawn(&mut self) -> io::Result<Child> {
        Child::prepare()?;
        let handles: Vec<Handle> = self.regions.iter().map(|(_, kept)| kept.handle()).collect();
        for ((variable, _), handle) in self.regions.iter().zip(&handles) {
            let Some(variable) = variable else { continue };
            let name = &variable.as_encoded_bytes()[PREFIX.len()..];
            if name.is_empty() || name.contains(&b'=') || name.contains(&0) {
                let message = format!("a region cannot be given under the name {:?}", String::from_utf8_lossy(name));
                return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
            }
            self.command.env(variable, handle.to_string());
        }
        let started = self.command.spawn()?;
        drop(handles); // From here on nobody inherits them any more.
        let mut child = Child::adopt(started.id())?;
        (child.stdin, child.stdout, child.stderr) = (started.stdin, started.stdout, started.stderr);
        Ok(child)
    }
}

/// A command that was made with std's means, to be given regions.
impl From<process::Command> for Command {
    fn from(command: process::Command) -> Self {
        Self { command, regions: Vec::new() }
    }
}

/// The region that this program was given under that name, by [`Command::region`].
///
/// ```no_run
/// use shmsync::{Shared, process};
/// use std::sync::atomic::AtomicU32;
///
/// let jobs = Shared::<AtomicU32>::from_handle(&process::inherited("jobs")?)?;
/// # Ok::<(), shmsync::Error>(())
/// ```
///
/// The descriptor stays open, and is inherited by this program's own children together with the environment: they find
/// the region as well.
///
/// # Errors
/// [`NotFound`](ErrorKind::NotFound) if there is none; [`InvalidName`](ErrorKind::InvalidName) if what stands in the
/// environment is no handle. Whether the descriptor really came shows when it is attached to.
pub fn inherited(name: &str) -> Result<Handle, Error> {
    let variable = variable(name);
    // `var_os` takes no such key, and nobody can have given it.
    let text = (!name.is_empty() && !name.contains(['=', '\0'])).then(|| std::env::var_os(&variable)).flatten();
    let Some(text) = text else {
        let message =
            format!("no region was inherited under the name {name:?}: {variable:?} is not in the environment");
        return Err(Error::new(ErrorKind::NotFound, message));
    };
    text.to_string_lossy().parse()
}

fn variable(name: &str) -> OsString {
    format!("{PREFIX}{name}").into()
}
