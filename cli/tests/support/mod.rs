//! The tool as a child, and names, directories and processes that vanish with the test.
#![allow(dead_code, unreachable_pub)] // Every test uses its part.
#![allow(unsafe_code)]

pub mod locks;

#[allow(unused_imports)] // As above.
pub use locks::*;
use nix::sys::signal;
use rustix::process::{Pid, Signal, kill_process};
use shmsync::{Semaphore, Shared};
use shmsync_harness::process;
use std::io::{BufRead, BufReader, Write};
use std::ops::Deref;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Far more than any of the tests takes on a machine that does something else as well.
pub const LIMIT: Duration = Duration::from_secs(60);

fn unique(what: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("shmsync-tool-{what}-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// The name of a region, without its slash; unlinked when the test ends, however it does.
pub struct Name(String);

impl Name {
    pub fn new(what: &str) -> Self {
        Self(unique(what))
    }

    /// As programs call it.
    pub fn slashed(&self) -> String {
        format!("/{}", self.0)
    }

    /// The file behind it.
    pub fn path(&self) -> PathBuf {
        Path::new("/dev/shm").join(&self.0)
    }
}

impl Deref for Name {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(self.path());
    }
}

/// A directory that is removed when the test ends.
pub struct Directory(PathBuf);

impl Directory {
    pub fn new(what: &str) -> Self {
        let path = std::env::temp_dir().join(unique(what));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Deref for Directory {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The tool as from a prompt, whoever runs the tests: what a script starts in the background ignores interrupts, and so does all
/// that this starts.
pub fn tool(args: &[&str]) -> Command {
    let mut tool = Command::new(env!("CARGO_BIN_EXE_shmsync"));
    tool.args(args).stdin(Stdio::null());
    let heed_interrupts = || {
        for which in [signal::Signal::SIGINT, signal::Signal::SIGQUIT] {
            // SAFETY: it was this or nothing, and no handler is put in.
            unsafe { signal::signal(which, signal::SigHandler::SigDfl) }?;
        }
        Ok(())
    };
    // SAFETY: sigaction(2) is all that it calls.
    unsafe { tool.pre_exec(heed_interrupts) };
    tool
}

/// Runs the tool to its end.
pub fn run(args: &[&str]) -> Output {
    tool(args).output().expect("the tool runs")
}

/// The exit code of the tool, which must have one.
#[track_caller]
pub fn code(args: &[&str]) -> i32 {
    let done = run(args);
    done.status.code().unwrap_or_else(|| panic!("{args:?}: {}", done.status))
}

#[track_caller]
pub fn succeeds(args: &[&str]) -> String {
    let done = run(args);
    let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{args:?}: {}\n{out}{err}", done.status);
    out.into_owned()
}

/// The tool in the background; killed and waited for when dropped.
pub struct Running {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Running {
    pub fn start(args: &[&str]) -> Self {
        Self::of(tool(args))
    }

    pub fn of(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("it starts");
        let lines = BufReader::new(child.stdout.take().expect("piped"));
        Self { child, lines }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The next line that it, or the command that it runs, prints.
    #[track_caller]
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        assert_ne!(self.lines.read_line(&mut line).unwrap(), 0, "it has ended instead");
        line.trim_end().to_owned()
    }

    /// The process id that the command printed; that process dies with the returned value.
    #[track_caller]
    pub fn command(&mut self) -> Victim {
        let line = self.line();
        Victim(line.parse().unwrap_or_else(|_| panic!("{line:?} is no process id")))
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Kills the tool alone, and waits for its end.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// How it ended, of itself.
    #[track_caller]
    pub fn end(&mut self) -> ExitStatus {
        eventually("ended", || self.child.try_wait().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Says, past what the test runner keeps for itself, that a test could not be done here.
pub fn skip(why: &str) {
    let _ = writeln!(std::io::stderr(), "skipped: {why}");
}

/// The tool in a PID namespace of its own, with a /proc that is not its own.
pub fn in_other_pids(args: &[&str]) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--pid", "--fork", env!("CARGO_BIN_EXE_shmsync")]).args(args);
    command.stdin(Stdio::null());
    command
}

pub fn has_pid_namespaces() -> bool {
    in_other_pids(&["--version"]).output().is_ok_and(|done| done.status.success())
}

/// A child that does `take` and stays until it is killed.
pub fn holding(take: impl FnOnce()) -> process::Child {
    let ready = Shared::anonymous(Semaphore::new(0)).unwrap();
    let child = process::fork(|| {
        take();
        ready.release().unwrap();
        std::thread::sleep(LIMIT);
    });
    ready.acquire_for(LIMIT).unwrap();
    child
}

/// A process that is not the test's child, and is killed when this is dropped.
pub struct Victim(pub u32);

impl Victim {
    fn pid(&self) -> Pid {
        Pid::from_raw(self.0.try_into().unwrap()).unwrap()
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    pub fn runs(&self) -> bool {
        state(self.0).is_some_and(|state| state != 'Z')
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = kill_process(self.pid(), Signal::KILL);
    }
}

/// The state letter of a process.
pub fn state(pid: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit(") ").next()?.chars().next()
}

/// Asks until there is an answer.
#[track_caller]
pub fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(began.elapsed() < LIMIT, "not {what} after {LIMIT:?}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
