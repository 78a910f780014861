//! The calling thread: its id, where it runs, and the moment it finds itself in a forked child.
#![allow(unsafe_code)]

use std::sync::atomic::{AtomicIsize, AtomicU32, Ordering};

/// What the CPU cell of a thread reads whose CPU is not to be had without a call.
static UNKNOWN_CPU: AtomicU32 = AtomicU32::new(u32::MAX);

/// The cell of a thread that has not asked for its own yet.
pub(crate) const NO_CPU_CELL: *const AtomicU32 = &raw const UNKNOWN_CPU;

/// The thread id in the caller's PID namespace.
pub(crate) fn tid() -> u32 {
    // SAFETY: takes nothing and cannot fail.
    unsafe { libc::syscall(libc::SYS_gettid) as u32 }
}

pub(crate) fn pid() -> u32 {
    std::process::id()
}

/// Where the kernel keeps the number of the CPU that this thread runs on: the `cpu_id` of the rseq area which glibc
/// (2.35 and later) registers for every thread. Valid for as long as the thread lives. Elsewhere a cell that says
/// `u32::MAX`.
pub(crate) fn cpu_cell() -> *const AtomicU32 {
    /// struct rseq { cpu_id_start: u32, cpu_id: u32, .. }
    const CPU_ID: usize = 4;
    let Some(offset) = rseq_offset() else { return NO_CPU_CELL };
    let Some(thread) = thread_pointer() else { return NO_CPU_CELL };
    let cell = thread.wrapping_offset(offset).wrapping_add(CPU_ID).cast::<AtomicU32>();
    // SAFETY: glibc says that its rseq area for this thread is there; only the kernel writes it.
    let cpu = unsafe { (*cell).load(Ordering::Relaxed) };
    // Negative: not registered (-1), or the kernel refused (-2).
    if (cpu as i32) < 0 { NO_CPU_CELL } else { cell }
}

/// glibc's promise: the area's distance from the thread pointer. Looked up once a process, and not again in its forked
/// children: there it took 30 µs, a quarter of a first acquire, because a lookup by name touches some page of every library.
fn rseq_offset() -> Option<isize> {
    /// No area lies at either distance: the first is the thread pointer's own word, the second is not aligned.
    const NOT_ASKED: isize = 0;
    const NONE: isize = 1;
    // Not a `OnceLock`, for which a child forked meanwhile would wait for ever. Relaxed: it is all there is to know.
    static OFFSET: AtomicIsize = AtomicIsize::new(NOT_ASKED);
    if OFFSET.load(Ordering::Relaxed) == NOT_ASKED {
        OFFSET.store(rseq_offset_by_name().unwrap_or(NONE), Ordering::Relaxed);
    }
    Some(OFFSET.load(Ordering::Relaxed)).filter(|&offset| offset != NONE)
}

/// By name, because older ones do not have it.
fn rseq_offset_by_name() -> Option<isize> {
    // SAFETY: both names are NUL-terminated.
    let (offset, size) = unsafe {
        (
            libc::dlsym(libc::RTLD_DEFAULT, c"__rseq_offset".as_ptr()).cast::<isize>(),
            libc::dlsym(libc::RTLD_DEFAULT, c"__rseq_size".as_ptr()).cast::<u32>(),
        )
    };
    if offset.is_null() || size.is_null() {
        return None;
    }
    // SAFETY: glibc declares them `const ptrdiff_t` and `const unsigned int`; a size of zero means not registered.
    unsafe { (*size != 0).then_some(*offset) }
}

#[cfg(target_arch = "x86_64")]
fn thread_pointer() -> Option<*const u8> {
    let pointer: *const u8;
    // SAFETY: the x86-64 ABI keeps the thread pointer at fs:0, too.
    unsafe { std::arch::asm!("mov {}, fs:0", out(reg) pointer, options(nostack, preserves_flags, readonly)) };
    Some(pointer)
}

#[cfg(target_arch = "aarch64")]
fn thread_pointer() -> Option<*const u8> {
    let pointer: *const u8;
    // SAFETY: reads a register.
    unsafe { std::arch::asm!("mrs {}, tpidr_el0", out(reg) pointer, options(nostack, nomem, preserves_flags)) };
    Some(pointer)
}

#[cfg(target_arch = "x86")]
fn thread_pointer() -> Option<*const u8> {
    let pointer: *const u8;
    // SAFETY: the x86 ABI keeps the thread pointer at gs:0, too.
    unsafe { std::arch::asm!("mov {}, gs:0", out(reg) pointer, options(nostack, preserves_flags, readonly)) };
    Some(pointer)
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "x86", target_arch = "aarch64")))]
fn thread_pointer() -> Option<*const u8> {
    None
}

pub(crate) fn yield_now() {
    // SAFETY: takes nothing; always succeeds on Linux.
    unsafe { libc::sched_yield() };
}

/// How many CPUs are online. Not how many this thread may use: a partner pinned elsewhere still runs beside it.
pub(crate) fn online_cpus() -> u32 {
    static CPUS: AtomicU32 = AtomicU32::new(0);
    match CPUS.load(Ordering::Relaxed) {
        0 => {
            // SAFETY: takes a number. -1 where unknown, which counts as one: no spinning then.
            let online = unsafe { libc::sysconf(libc::_SC_NPROCESSORS_ONLN) };
            let online = u32::try_from(online).unwrap_or(1).max(1);
            CPUS.store(online, Ordering::Relaxed);
            online
        }
        online => online,
    }
}

/// Has `forget` run in every child that this process forks from now on. It runs in the child's only thread, at a
/// moment when almost nothing may be called: it may store to its own thread's cells.
pub(crate) fn on_fork_in_child(forget: extern "C" fn()) {
    type Handler = Option<unsafe extern "C" fn()>;
    unsafe extern "C" {
        fn pthread_atfork(prepare: Handler, parent: Handler, child: Handler) -> libc::c_int;
    }
    // SAFETY: `forget` keeps the promise above.
    let result = unsafe { pthread_atfork(None, None, Some(forget)) };
    assert_eq!(result, 0, "pthread_atfork failed: out of memory");
}
