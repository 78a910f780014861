//! A child under `ptrace`: stepped, or let run to a breakpoint. x86-64.
#![allow(unsafe_code)]

use crate::process::{self, Child};
use std::hint::black_box;
use std::io;
use std::mem;
use std::ptr;
use std::time::{Duration, Instant};

/// The victim calls this in front of its verb. Nothing else does, and no other function has its address.
#[inline(never)]
extern "C" fn begin_verb() {
    black_box(1);
}

/// And this after it.
#[inline(never)]
extern "C" fn end_verb() {
    black_box(2);
}

pub(super) struct Victim {
    child: Child,
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
            // SAFETY: as above.
            unsafe { libc::raise(libc::SIGSTOP) };
            begin_verb();
            verb();
            end_verb();
        });
        let victim = Self { child };
        victim.stopped(Some(Duration::from_secs(10)))?;
        victim.go_on_to(begin_verb as extern "C" fn() as usize)?;
        match victim.await_stop(Duration::from_secs(10))? {
            Stop::At(_) => Ok(victim),
            other => Err(format!("the victim did not come to its verb: {other:?}")),
        }
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.pid()
    }

    fn request(&self, request: libc::c_uint, address: usize, data: usize) -> Result<libc::c_long, String> {
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

    /// One instruction. A sleep in the kernel is part of one: [`Stop::Running`] after `limit` of it.
    pub(super) fn step(&self, limit: Option<Duration>) -> Result<Stop, String> {
        self.request(libc::PTRACE_SINGLESTEP, 0, 0)?;
        self.after_step(limit)
    }

    /// Goes on waiting for a step that took long.
    pub(super) fn after_step(&self, limit: Option<Duration>) -> Result<Stop, String> {
        if !self.stopped(limit)? { Ok(Stop::Running) } else { self.at() }
    }

    fn at(&self) -> Result<Stop, String> {
        let at = self.request(libc::PTRACE_PEEKUSER, mem::offset_of!(libc::user_regs_struct, rip), 0)? as usize;
        Ok(if at == end_verb as extern "C" fn() as usize { Stop::End } else { Stop::At(at) })
    }

    /// Lets it run until it comes to `address`, or to the end of its verb.
    pub(super) fn go_on_to(&self, address: usize) -> Result<(), String> {
        self.plant(end_verb as extern "C" fn() as usize)?;
        self.plant(address)?;
        self.request(libc::PTRACE_CONT, 0, 0).map(drop)
    }

    /// Lets it run until it comes to the end of its verb.
    pub(super) fn go_on_to_the_end(&self) -> Result<(), String> {
        self.go_on_to(end_verb as extern "C" fn() as usize)
    }

    /// An `int3` in the child's own copy of the page.
    fn plant(&self, address: usize) -> Result<(), String> {
        let word = self.request(libc::PTRACE_PEEKTEXT, address, 0)? as usize;
        self.request(libc::PTRACE_POKETEXT, address, word & !0xff | 0xcc).map(drop)
    }

    /// Whether it came to a breakpoint within `limit`. It stands behind the `int3`, in front of all that was there.
    pub(super) fn await_stop(&self, limit: Duration) -> Result<Stop, String> {
        if !self.stopped(Some(limit))? {
            return Ok(Stop::Running);
        }
        match self.at()? {
            Stop::At(behind) if behind == end_verb as extern "C" fn() as usize + 1 => Ok(Stop::End),
            Stop::At(behind) => {
                // Back in front of it, and what was there put back: so that stepping can go on from the beginning.
                let at = behind - 1;
                self.request(libc::PTRACE_POKEUSER, mem::offset_of!(libc::user_regs_struct, rip), at)?;
                let word = self.request(libc::PTRACE_PEEKTEXT, at, 0)? as usize;
                // SAFETY: the child is a fork, so the same code is at the same place here.
                let byte = unsafe { ptr::with_exposed_provenance::<u8>(at).read_volatile() };
                self.request(libc::PTRACE_POKETEXT, at, word & !0xff | usize::from(byte))?;
                if at == begin_verb as extern "C" fn() as usize {
                    self.unplant_end()?;
                }
                Ok(Stop::At(at))
            }
            other => Ok(other),
        }
    }

    fn unplant_end(&self) -> Result<(), String> {
        let at = end_verb as extern "C" fn() as usize;
        let word = self.request(libc::PTRACE_PEEKTEXT, at, 0)? as usize;
        // SAFETY: as above.
        let byte = unsafe { ptr::with_exposed_provenance::<u8>(at).read_volatile() };
        self.request(libc::PTRACE_POKETEXT, at, word & !0xff | usize::from(byte)).map(drop)
    }

    /// Waits until it stands still; an error if it has ended instead.
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
            let pid = unsafe { info.si_pid() };
            if result == 0 && pid != 0 {
                return match info.si_code {
                    libc::CLD_TRAPPED | libc::CLD_STOPPED => Ok(true),
                    _ => Err(String::from("the victim ended before its time")),
                };
            }
            if deadline.is_some_and(|deadline| Instant::now() > deadline) {
                return Ok(false);
            }
            looks += 1;
            if looks > 200 {
                std::thread::sleep(Duration::from_micros(20));
            }
        }
    }

    /// SIGKILL. It is a zombie until this value is dropped.
    pub(super) fn kill(&mut self) {
        self.child.kill();
    }

    /// What it had to say, if it ended by itself.
    pub(super) fn last_words(&mut self) -> String {
        self.child.join(Duration::ZERO).err().unwrap_or_default()
    }
}

/// Whether the instruction at `address` calls the kernel.
pub(super) fn is_syscall(address: usize) -> bool {
    // SAFETY: a forked child has just executed what is there, and the same code is at the same place here.
    unsafe { ptr::with_exposed_provenance::<[u8; 2]>(address).read_unaligned() == [0x0f, 0x05] }
}
