//! A child under `ptrace`: stepped, or let run to a breakpoint. x86-64.
#![cfg(target_arch = "x86_64")]
#![allow(unsafe_code)]

use super::text::{self, Text};
use crate::process::{self, Child};
use std::arch::asm;
use std::cell::Cell;
use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::mem;
use std::os::unix::fs::FileExt;
use std::ptr;
use std::thread;
use std::time::{Duration, Instant};

/// What `ptrace` takes for a request, which differs between libcs.
#[cfg(target_env = "musl")]
type Request = libc::c_int;
#[cfg(not(target_env = "musl"))]
type Request = libc::c_uint;

/// The victim calls this in front of its verb.
#[inline(never)]
extern "C" fn begin_verb() {
    // SAFETY: stops the process, whose tracer lets it go on.
    unsafe { asm!("int3", "nop") };
}

/// And this after it. Nothing else does, and no other function has its address.
#[inline(never)]
extern "C" fn end_verb() {
    // SAFETY: as above.
    unsafe { asm!("int3") };
}

/// Neither function is longer.
const SHORTEST: usize = 16;

pub(super) struct Victim {
    child: Child,
    memory: File,
    /// Where it stood last.
    at: Cell<usize>,
    /// The signal that it gets when it goes on.
    signal: Cell<i32>,
}

/// Where a victim stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// In front of the instruction at this address.
    At(usize),
    /// It has come to the end of its verb.
    End,
    /// It is still on its way.
    Running,
}

impl Victim {
    /// A child that has done `prepare` and stands in front of `verb`.
    pub(super) fn new(prepare: impl FnOnce(), verb: impl FnOnce()) -> Result<Self, String> {
        let child = process::fork(|| {
            // SAFETY: asks to be traced by the parent, which will; no memory is involved.
            unsafe { libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) };
            prepare();
            begin_verb();
            verb();
            end_verb();
        });
        let memory = OpenOptions::new().write(true).open(format!("/proc/{}/mem", child.pid()));
        let memory = memory.map_err(|error| format!("the victim's memory: {error}"))?;
        let victim = Self { child, memory, at: Cell::new(0), signal: Cell::new(0) };
        while victim.stopped(Some(Duration::from_secs(10)))? {
            if victim.signal.get() == 0 {
                victim.look()?;
                return Ok(victim);
            }
            victim.go_on()?;
        }
        Err(String::from("the victim did not come to its verb"))
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.pid()
    }

    fn request(&self, request: Request, address: usize, data: usize) -> Result<libc::c_long, String> {
        // SAFETY: a request on a traced child that stands still; none of those used here writes to this process.
        unsafe {
            *libc::__errno_location() = 0;
            let address = ptr::without_provenance_mut::<libc::c_void>(address);
            let answer = libc::ptrace(request, self.child.pid() as libc::pid_t, address, data);
            match io::Error::last_os_error() {
                error if answer == -1 && error.raw_os_error() != Some(0) => Err(format!("ptrace {request}: {error}")),
                _ => Ok(answer),
            }
        }
    }

    fn resume(&self, how: Request) -> Result<(), String> {
        self.request(how, 0, self.signal.take() as usize).map(drop)
    }

    /// One instruction. One that calls the kernel may sleep there: [`Stop::Running`] after `limit` of it.
    pub(super) fn step(&self, limit: Duration) -> Result<Stop, String> {
        let may_sleep = text::is_syscall(self.at.get());
        self.resume(libc::PTRACE_SINGLESTEP)?;
        self.after_step(may_sleep.then_some(limit))
    }

    /// Goes on waiting for a step that took long.
    pub(super) fn after_step(&self, limit: Option<Duration>) -> Result<Stop, String> {
        while self.stopped(limit)? {
            if self.signal.get() == 0 {
                return self.look();
            }
            self.resume(libc::PTRACE_SINGLESTEP)?;
        }
        Ok(Stop::Running)
    }

    /// Where it stands; at the end of its verb, be it in front of a breakpoint or behind.
    fn look(&self) -> Result<Stop, String> {
        let at = self.request(libc::PTRACE_PEEKUSER, mem::offset_of!(libc::user_regs_struct, rip), 0)? as usize;
        self.at.set(at);
        let end = end_verb as extern "C" fn() as usize;
        Ok(if (end..end + SHORTEST).contains(&at) { Stop::End } else { Stop::At(at) })
    }

    /// Lets it run, until it comes to a breakpoint or to the end of its verb.
    pub(super) fn go_on(&self) -> Result<(), String> {
        self.resume(libc::PTRACE_CONT)
    }

    /// A breakpoint at `address`.
    pub(super) fn plant(&self, address: usize) -> Result<(), String> {
        self.write(&[0xcc], address)
    }

    /// Breakpoints wherever `text` has them.
    pub(super) fn lay(&self, text: &Text, everywhere: bool) -> Result<(), String> {
        text.lay(&self.memory, everywhere).map_err(|error| format!("breakpoints: {error}"))
    }

    /// Where it came to a breakpoint, if it did within `limit`: behind the `int3`, so back in front of what was there.
    pub(super) fn await_breakpoint(&self, limit: Duration) -> Result<Stop, String> {
        while self.stopped(Some(limit))? {
            if self.signal.get() != 0 {
                self.go_on()?;
                continue;
            }
            let stop = self.look()?;
            let Stop::At(behind) = stop else { return Ok(stop) };
            let at = behind - 1;
            self.request(libc::PTRACE_POKEUSER, mem::offset_of!(libc::user_regs_struct, rip), at)?;
            self.at.set(at);
            return Ok(Stop::At(at));
        }
        Ok(Stop::Running)
    }

    /// Puts back the instruction at `address`.
    pub(super) fn restore(&self, address: usize) -> Result<(), String> {
        self.write(&text::instruction(address), address)
    }

    fn write(&self, bytes: &[u8], address: usize) -> Result<(), String> {
        let written = self.memory.write_all_at(bytes, address as u64);
        written.map_err(|error| format!("writing to the victim's code: {error}"))
    }

    /// Waits until it stands still; an error if it has ended instead, or is about to.
    fn stopped(&self, limit: Option<Duration>) -> Result<bool, String> {
        let deadline = limit.map(|limit| Instant::now() + limit);
        let mut looks = 0_u32;
        loop {
            let flags =
                libc::WSTOPPED | libc::WEXITED | libc::WNOWAIT | if limit.is_some() { libc::WNOHANG } else { 0 };
            // SAFETY: an all-zero siginfo_t is valid, and waitid writes into it and nothing else.
            let (result, info) = unsafe {
                let mut info: libc::siginfo_t = mem::zeroed();
                (libc::waitid(libc::P_PID, self.child.pid(), &mut info, flags), info)
            };
            // SAFETY: waitid fills these fields, or leaves them zero.
            let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
            if result == 0 && pid != 0 {
                return match (info.si_code, status) {
                    (libc::CLD_TRAPPED, libc::SIGTRAP) => Ok(true),
                    (libc::CLD_TRAPPED, libc::SIGALRM) => {
                        self.signal.set(status);
                        Ok(true)
                    }
                    (libc::CLD_TRAPPED, signal) => {
                        self.look()?;
                        let at = text::name(self.at.get());
                        Err(format!("the victim got signal {signal} at {at}"))
                    }
                    _ => Err(String::from("the victim ended before its time")),
                };
            }
            if deadline.is_some_and(|deadline| Instant::now() > deadline) {
                return Ok(false);
            }
            looks += 1;
            if looks > 10 {
                thread::sleep(Duration::from_micros(if looks > 30 { 300 } else { 30 }));
            }
        }
    }

    /// SIGKILL. It is a zombie until this value is dropped.
    pub(super) fn kill(&mut self) {
        self.child.kill();
    }
}
