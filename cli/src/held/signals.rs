//! The signals of a supervisor: which it handles, and what it passes on to its worker.

use nix::sys::signal::{SigSet, Signal as Blocked};
use procfs::process::Process;
use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::signal::{SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::exfiltrator::WithRawSiginfo;
use std::io;
use std::process::{Child, ExitStatus};

pub(super) struct Signals {
    numbers: Vec<i32>,
    come: SignalsInfo<WithRawSiginfo>,
}

impl Signals {
    /// Handlers for all that are passed on.
    pub(super) fn handle() -> io::Result<Self> {
        let numbers = to_handle();
        Ok(Self { come: SignalsInfo::new(&numbers)?, numbers })
    }

    /// Waits for the worker's end, and passes on what comes meanwhile.
    ///
    /// Whoever started this process may have blocked signals: with SIGCHLD blocked the worker's end would never be told. What
    /// came until now is delivered by this.
    pub(super) fn wait(&mut self, worker: &mut Child) -> io::Result<ExitStatus> {
        self.unblock()?;
        loop {
            for signal in self.come.wait() {
                match signal.si_signo {
                    SIGCHLD => {
                        if let Some(status) = worker.try_wait()? {
                            return Ok(status);
                        }
                    }
                    // From a terminal these go to the command as well, and how it ends is its affair. What a process sent,
                    // it sent to this one; its codes are not positive.
                    SIGINT | SIGQUIT if signal.si_code > 0 => {}
                    other => pass_on(worker, other),
                }
            }
        }
    }

    fn unblock(&self) -> io::Result<()> {
        let mut all = SigSet::empty();
        for &number in &self.numbers {
            all.add(Blocked::try_from(number)?);
        }
        Ok(all.thread_unblock()?)
    }
}

/// Not those that this process was started to ignore, as `nohup` has it: what is handled here would be the default again
/// in the command.
fn to_handle() -> Vec<i32> {
    let ignored = Process::myself().and_then(|me| me.status()).map_or(0, |status| status.sigign);
    let all = [SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2].into_iter();
    all.filter(|signal| ignored & 1 << (signal - 1) == 0).chain([SIGCHLD]).collect()
}

fn pass_on(worker: &Child, signal: i32) {
    // The worker has not been waited for, so the id is its own; that it has ended just now is no failure.
    if let Some(signal) = Signal::from_named_raw(signal) {
        let _ = kill_process(Pid::from_child(worker), signal);
    }
}
