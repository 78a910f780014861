//! Older kernels and sandboxes: calls that are refused from here on, by a filter of the kernel's (seccomp).

use std::ffi::{c_long, c_uint};
use std::io;

/// A call, and what the kernel is to answer instead of doing it.
#[derive(Debug, Clone, Copy)]
pub struct Refusal {
    pub call: c_long,
    pub when: When,
    pub errno: i32,
}

/// Which of the calls. Only the lower half of an argument is looked at.
#[derive(Debug, Clone, Copy)]
pub enum When {
    Always,
    /// That argument has all these bits.
    Has(u32, u32),
    /// That argument is this number.
    Is(u32, u32),
    /// That argument is another number.
    IsNot(u32, u32),
}

pub const fn refused(call: c_long, when: When, errno: i32) -> Refusal {
    Refusal { call, when, errno }
}

/// In a child: from here on, for it and whatever it starts.
pub fn refuse(refusals: &[Refusal]) {
    let mut program: Vec<libc::sock_filter> = refusals.iter().flat_map(steps).collect();
    program.push(step(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW, 0, 0));
    let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: changes what this child may do; the kernel reads the program, which outlives the call.
    let done = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const filter) == 0
    };
    assert!(done, "skip: no filter for system calls: {}", io::Error::last_os_error());
}

fn steps(refusal: &Refusal) -> Vec<libc::sock_filter> {
    /// In `struct seccomp_data`.
    const CALL: u32 = 0;
    let argument = |n| 16 + 8 * n;
    let (load, same) = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K);
    // How far to jump where it does not apply: over all that follows.
    let mut steps = match refusal.when {
        When::Always => vec![],
        When::Has(n, bits) => vec![
            step(load, argument(n), 0, 0),
            step(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, bits, 0, 0),
            step(same, bits, 0, 1),
        ],
        When::Is(n, number) => vec![step(load, argument(n), 0, 0), step(same, number, 0, 1)],
        When::IsNot(n, number) => vec![step(load, argument(n), 0, 0), step(same, number, 1, 0)],
    };
    steps.push(step(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ERRNO | refusal.errno as u32, 0, 0));
    let all = steps.len() as u8;
    steps.splice(0..0, [step(load, CALL, 0, 0), step(same, refusal.call as u32, 0, all)]);
    steps
}

fn step(code: c_uint, k: u32, then: u8, otherwise: u8) -> libc::sock_filter {
    libc::sock_filter { code: code as u16, jt: then, jf: otherwise, k }
}
