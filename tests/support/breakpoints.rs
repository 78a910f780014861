//! A signal handler at a chosen instruction of a verb: the verb is stepped through once, to learn its instructions, and
//! then run once for each, with a breakpoint there. Both are SIGTRAPs that the process handles itself. x86-64.

use std::arch::asm;
use std::collections::BTreeSet;
use std::ffi::c_void;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicUsize, Ordering::SeqCst};
use std::{fs, mem, ptr};

use super::awaited::{Awaited, Desk, desk, opened};
use super::*;

/// Has the processor trap after every instruction.
const TRAP_FLAG: i64 = 0x100;
const BREAKPOINT: u8 = 0xcc;

/// Where the steps are written down, while it is not null: room for `MOST` addresses.
static TRACE: AtomicPtr<usize> = AtomicPtr::new(ptr::null_mut());
static STEPS: AtomicUsize = AtomicUsize::new(0);
const MOST: usize = 1 << 20;

/// The planted breakpoint, what was there before, and by which descriptor the process's memory is written.
static PLANTED: AtomicUsize = AtomicUsize::new(0);
static WAS: AtomicI32 = AtomicI32::new(0);
static MEMORY: AtomicI32 = AtomicI32::new(-1);

/// Whether somebody slept and was roused, and whether an act came at an instruction before that. (No verb stores a bool,
/// so that there is no breakpoint in the midst of it.)
static ROUSED: AtomicBool = AtomicBool::new(false);
static TRAPPED_AWAKE: AtomicBool = AtomicBool::new(false);

/// Runs `verb` again and again, each time with an act on `desk` from a handler before one of its instructions: before
/// each of them, or, to save time, before one of every `stride`. Who sleeps is roused by an act from another handler.
/// How many there were.
pub fn act_at_instructions<A: Awaited>(desk: &Desk<A>, stride: usize, prepare: impl Fn(), verb: impl Fn()) -> u32 {
    opened(desk);
    let memory = fs::OpenOptions::new().read(true).write(true).open("/proc/self/mem").expect("/proc/self/mem");
    MEMORY.store(std::os::fd::IntoRawFd::into_raw_fd(memory), SeqCst);
    handles(libc::SIGTRAP, libc::SA_SIGINFO | libc::SA_RESTART, on_trap::<A> as *const ());
    handles(libc::SIGALRM, libc::SA_SIGINFO | libc::SA_RESTART, on_alarm::<A> as *const ());
    // Twice, for what only the first time does: lazy binding, the making of a `sem_t`.
    for _ in 0..2 {
        prepare();
        alarm_every(300);
        verb();
        alarm_every(0);
    }
    prepare();
    let mut points = Vec::from_iter(traced(&verb));
    let first = Dice::new().below(stride as u64) as usize;
    points = points.into_iter().skip(first).step_by(stride).collect();
    let mut acts = 0;
    for point in points {
        prepare();
        TRAPPED_AWAKE.store(false, SeqCst);
        ROUSED.store(false, SeqCst);
        // The vDSO's pages may refuse.
        if !plant(point) {
            continue;
        }
        alarm_every(300);
        verb();
        alarm_every(0);
        if PLANTED.load(SeqCst) != 0 {
            restore(point); // it went another way this time
            PLANTED.store(0, SeqCst);
            continue;
        }
        acts += 1;
        let slept_on = A::REMEMBERS && TRAPPED_AWAKE.load(SeqCst) && ROUSED.load(SeqCst);
        let kind = std::any::type_name::<A>();
        assert!(!slept_on, "{kind}: an act before the instruction at {point:#x} did not end the wait");
    }
    acts
}

/// The addresses of all instructions of `verb`.
fn traced(verb: &impl Fn()) -> BTreeSet<usize> {
    let mut trace = vec![0_usize; MOST];
    STEPS.store(0, SeqCst);
    TRACE.store(trace.as_mut_ptr(), SeqCst);
    alarm_every(300);
    // SAFETY: sets and clears a flag whose traps are handled.
    unsafe { asm!("pushfq", "or qword ptr [rsp], 0x100", "popfq") };
    verb();
    // SAFETY: as above.
    unsafe { asm!("pushfq", "and qword ptr [rsp], -257", "popfq") };
    alarm_every(0);
    TRACE.store(ptr::null_mut(), SeqCst);
    let steps = STEPS.load(SeqCst);
    assert!((1..MOST).contains(&steps), "{steps} steps");
    trace.truncate(steps);
    BTreeSet::from_iter(trace)
}

extern "C" fn on_trap<A: Awaited>(_: libc::c_int, _: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel hands a ucontext to handlers with SA_SIGINFO, and takes changes of it back.
    let registers = unsafe { &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs };
    let at = registers[libc::REG_RIP as usize] as usize;
    let trace = TRACE.load(SeqCst);
    if !trace.is_null() {
        let step = STEPS.fetch_add(1, SeqCst);
        if step < MOST {
            // SAFETY: room for MOST.
            unsafe { trace.add(step).write(at) };
        }
        return;
    }
    // Behind the breakpoint. Taken out first, since the act may pass there, too.
    let point = PLANTED.swap(0, SeqCst);
    assert!(point != 0 && at == point + 1, "a trap at {at:#x} instead of {point:#x}");
    restore(point);
    registers[libc::REG_RIP as usize] = point as i64;
    if !ROUSED.load(SeqCst) {
        TRAPPED_AWAKE.store(true, SeqCst);
    }
    // SAFETY: opened with this type, before the breakpoint was planted.
    unsafe { desk::<A>() }.act();
}

/// Acts if it interrupts a sleep.
extern "C" fn on_alarm<A: Awaited>(_: libc::c_int, _: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: as in `on_trap`.
    let registers = unsafe { &(*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs };
    let behind = registers[libc::REG_RIP as usize] as usize;
    let interrupted = registers[libc::REG_RAX as usize] == -i64::from(libc::EINTR);
    // SAFETY: what lies before the instruction pointer is code: there was a call before, or a system call.
    if interrupted && unsafe { ptr::with_exposed_provenance::<[u8; 2]>(behind - 2).read_unaligned() } == [0x0f, 0x05] {
        ROUSED.store(true, SeqCst);
        // SAFETY: as in `on_trap`.
        unsafe { desk::<A>() }.act();
    }
}

fn plant(point: usize) -> bool {
    // SAFETY: an instruction of the verb, so it can be read.
    WAS.store(i32::from(unsafe { ptr::with_exposed_provenance::<u8>(point).read_volatile() }), SeqCst);
    PLANTED.store(point, SeqCst);
    let planted = write(point, BREAKPOINT);
    if !planted {
        PLANTED.store(0, SeqCst);
    }
    planted
}

fn restore(point: usize) {
    assert!(write(point, WAS.load(SeqCst) as u8), "cannot take the breakpoint out");
}

/// Writes to this process's own copy of its code. Without libc, where the breakpoint may be.
fn write(point: usize, byte: u8) -> bool {
    let mut result = libc::SYS_pwrite64;
    // SAFETY: reads one byte here, and changes code as `plant` and `restore` mean to.
    unsafe {
        asm!(
            "syscall", inout("rax") result, in("rdi") MEMORY.load(SeqCst), in("rsi") &raw const byte, in("rdx") 1,
            in("r10") point, lateout("rcx") _, lateout("r11") _
        );
    }
    result == 1
}
