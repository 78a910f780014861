//! Who holds a thing: the token that an owned word carries, and the [`Owner`] that callers see.
//!
//! | bits of a token | what | why |
//! |---|---|---|
//! | 0–29 | thread id, zero for nobody | the low half is a futex word in the kernel's robust-futex format |
//! | 30 | `OWNER_DIED` | somebody proved that the holder is dead |
//! | 31 | `WAITERS` | somebody may sleep on the word |
//! | 32–37 | CPU it last ran on, plus one; zero if unknown | who spins against a holder on its own CPU waits for itself |
//! | 38–41 | boot of the machine, zero if unknown | nobody outlives one |
//! | 42–51 | start time of the thread, in clock ticks | a thread id that was reused has another |
//! | 52–63 | PID and time namespace, zero if unknown | a thread id says nothing elsewhere |
//!
//! So each is cut down, and what is different may look the same:
//!
//! | what | the same for | what that costs |
//! |---|---|---|
//! | CPUs | one pair in 64 | a yield and a sleep where a spin would have done; two readers of a `RwLock` who begin at the same slot |
//! | boots | one pair in 15 | the dead of that boot are found by the other rules; those of a namespace that is no more are not |
//! | starts | 10.24 s, where a tick is 10 ms | one reused id in 1024 passes for its predecessor, who then counts as alive |
//! | namespaces | inode numbers 4095 apart | the only one that errs towards "dead": an id that does not exist here may exist there |
//!
//! The whole token goes into the word with the compare-and-swap that takes it (D3): there is no instant at which
//! something is held by nobody known.
#![allow(unsafe_code)]

pub(crate) mod liveness;
#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use crate::atomic::thread_local;
use crate::sys;
use liveness::Liveness;

const TID_MASK: u64 = 0x3fff_ffff;
const OWNER_DIED: u64 = 1 << 30;
const WAITERS: u64 = 1 << 31;
const CPU_SHIFT: u32 = 32;
const CPU: u64 = 0x3f;
const CPU_MASK: u64 = CPU << CPU_SHIFT;
const BOOT_SHIFT: u32 = 38;
const BOOT: u64 = 0xf;
const START_SHIFT: u32 = 42;
const START: u64 = 0x3ff;
const NAMESPACE_SHIFT: u32 = 52;
const NAMESPACE: u64 = 0xfff;

/// What an owned word holds: a thread and where it ran, with the two flags that belong to the word.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Token(pub(crate) u64);

impl Token {
    /// The word of something that nobody holds.
    pub(crate) const FREE: Self = Self(0);
    /// Held by nobody in particular, who does not die but with the machine: no kernel hands out thread ids beyond 2²².
    pub(crate) const NOBODY: Self = Self(TID_MASK);

    /// The calling thread's, flags unset.
    #[inline]
    pub(crate) fn mine() -> Self {
        Self::mine_if_known().unwrap_or_else(Self::make_mine)
    }

    /// The calling thread's, flags unset, if it was ever asked for: nobody else holds anything.
    #[inline]
    pub(crate) fn mine_if_known() -> Option<Self> {
        Me::with(|me| match me.id.get() {
            0 => None,
            id => Some(Self(id | u64::from(me.cpu().0) << CPU_SHIFT)),
        })
    }

    #[cold]
    fn make_mine() -> Self {
        static FORGETS_IN_CHILDREN: AtomicBool = AtomicBool::new(false);
        // A child is somebody else. It inherits its parent's cells, so they are emptied before it runs on. (glibc's
        // `_Fork` and a raw clone(2) skip this, as they skip every pthread_atfork handler.) To do so twice is harmless;
        // a `Once` is not: a child forked while another thread is in it would wait for that thread for ever.
        if !FORGETS_IN_CHILDREN.load(Ordering::Acquire) {
            sys::thread::on_fork_in_child(forget_me);
            FORGETS_IN_CHILDREN.store(true, Ordering::Release);
        }
        // The namespace is the right to prove something by the start time, so it counts only together with that: a
        // thread that could not read its own (no /proc, no descriptor left) must not be taken for dead. Nor must it be
        // taken for an earlier thread of its id, so its start is anything.
        let (start, namespace) = match (sys::proc::own_task(), sys::proc::namespace()) {
            (Some(task), Some(inodes)) => (task.start & START, fold_namespace(inodes)),
            _ => (RandomState::new().hash_one(sys::thread::tid()) & START, 0),
        };
        let id = u64::from(sys::thread::tid()) & TID_MASK
            | own_boot() << BOOT_SHIFT
            | start << START_SHIFT
            | namespace << NAMESPACE_SHIFT;
        ME.with(|me| {
            me.cpu.set(sys::thread::cpu_cell());
            me.id.set(id);
        });
        Self::mine()
    }

    #[inline]
    pub(crate) fn is_free(self) -> bool {
        self.0 & (TID_MASK | OWNER_DIED) == 0
    }

    #[inline]
    pub(crate) fn has_waiters(self) -> bool {
        self.0 & WAITERS != 0
    }

    #[inline]
    pub(crate) fn with_waiters(self) -> Self {
        Self(self.0 | WAITERS)
    }

    /// What a holder leaves who goes and means another to release: nobody in particular, of this boot, with its waiters.
    pub(crate) fn disowned(self) -> Self {
        Self(self.0 & (BOOT << BOOT_SHIFT | WAITERS) | Self::NOBODY.0)
    }

    /// This token, with the waiters that `word` had.
    pub(crate) fn with_waiters_of(self, word: Self) -> Self {
        Self(self.0 | word.0 & WAITERS)
    }

    pub(crate) fn is_marked_dead(self) -> bool {
        self.0 & OWNER_DIED != 0
    }

    pub(crate) fn marked_dead(self) -> Self {
        Self(self.0 | OWNER_DIED)
    }

    /// Whether it is the calling thread's: without asking where that runs, nor who it is if nobody has asked before.
    #[inline]
    pub(crate) fn is_mine(self) -> bool {
        let me = Me::with(|me| me.id.get());
        me != 0 && self.0 & !(CPU_MASK | WAITERS | OWNER_DIED) == me
    }

    /// Whether both name the same thread, wherever it ran and whatever the flags say.
    #[inline]
    pub(crate) fn same_thread(self, other: Self) -> bool {
        (self.0 ^ other.0) & !(CPU_MASK | WAITERS | OWNER_DIED) == 0
    }

    /// Whether this is what the kernel leaves of `holder` when it marks it: no thread id, the stamp untouched.
    pub(crate) fn is_without_id_of(self, holder: Self) -> bool {
        self.tid() == 0 && (self.0 ^ holder.0) & !(TID_MASK | CPU_MASK | WAITERS | OWNER_DIED) == 0
    }

    /// The half that the futex compares.
    pub(crate) fn low(self) -> u32 {
        self.0 as u32
    }

    /// The CPU where the holder took it, if known.
    #[inline]
    pub(crate) fn cpu(self) -> Cpu {
        Cpu((self.0 >> CPU_SHIFT & CPU) as u8)
    }

    /// The thread alone, as callers see it; `None` for a free word and for nobody in particular.
    pub(crate) fn owner(self) -> Option<Owner> {
        match self.0 & TID_MASK {
            0 | TID_MASK => None,
            _ => Some(self.dead_owner()),
        }
    }

    /// The thread alone, be its number one that no thread can have: who scribbles `OWNER_DIED` names anybody.
    pub(crate) fn dead_owner(self) -> Owner {
        Owner(Self(self.0 & !(CPU_MASK | WAITERS | OWNER_DIED)))
    }

    fn tid(self) -> u32 {
        (self.0 & TID_MASK) as u32
    }

    /// Held by nobody in particular, be it with flags.
    fn is_nobody(self) -> bool {
        self.0 & TID_MASK == TID_MASK
    }

    /// Whether the numbers that both threads see processes by are the same, as far as both are known.
    pub(crate) fn counts_as(self, mine: Self) -> bool {
        self.namespace() != 0 && self.namespace() == mine.namespace() && !self.is_of_another_boot(mine)
    }

    /// Whether it was made in another boot of the machine than `mine`, as far as both are known.
    fn is_of_another_boot(self, mine: Self) -> bool {
        let (then, now) = (self.boot(), mine.boot());
        then != 0 && now != 0 && then != now
    }

    fn boot(self) -> u64 {
        self.0 >> BOOT_SHIFT & BOOT
    }

    fn start(self) -> u64 {
        self.0 >> START_SHIFT & START
    }

    /// The namespaces, folded; zero if unknown.
    #[inline]
    pub(crate) fn namespace(self) -> u64 {
        self.0 >> NAMESPACE_SHIFT & NAMESPACE
    }
}

/// The number of a CPU plus one, in six bits wherever it is stored, so that any two can be compared; or unknown, which
/// every 64th CPU looks like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Cpu(pub(crate) u8);

impl Cpu {
    pub(crate) const UNKNOWN: Self = Self(0);

    /// Where the caller runs at the moment; unknown to a thread that has neither acquired nor waited for anything yet.
    ///
    /// Async-signal-safe, unlike the making of a token, because `set`, `release` and `notify` are.
    #[inline]
    pub(crate) fn mine() -> Self {
        Me::with(Me::cpu)
    }

    pub(crate) fn is_known(self) -> bool {
        self != Self::UNKNOWN
    }
}

/// Consecutive inode numbers, which is what namespaces made one after another get, never fold to the same value
/// unless they are 4095 apart; zero is kept for "unknown".
fn fold_namespace((pids, time): (u64, u64)) -> u64 {
    // Any odd factor keeps the time namespace's number from cancelling against the PID namespace's beside it.
    1 + pids.wrapping_add(time.wrapping_mul(31)) % NAMESPACE
}

/// This boot, folded; zero if unknown. Asked once, also for the children, who are of the same: it takes some 9 µs. (A process that
/// is stopped, saved and restored in another boot goes on as one of the old boot, and so do its children.)
fn own_boot() -> u64 {
    static KNOWN: AtomicU64 = AtomicU64::new(0);
    // Relaxed: it is all there is to know.
    match KNOWN.load(Ordering::Relaxed) {
        0 => sys::proc::boot_id().map_or(0, |id| {
            let boot = fold_boot(id);
            KNOWN.store(boot, Ordering::Relaxed);
            boot
        }),
        known => known,
    }
}

/// Boots are random numbers; zero is kept for "unknown".
fn fold_boot(id: [u8; 16]) -> u64 {
    1 + (u128::from_be_bytes(id) % u128::from(BOOT)) as u64
}

/// What a thread remembers of itself: reading it anew would cost a system call or ten.
struct Me {
    /// Its token without flags and CPU; zero until asked for, and again in a forked child.
    id: Cell<u64>,
    cpu: Cell<*const AtomicU32>,
}

impl Me {
    /// Runs `look` on the calling thread's own.
    ///
    /// Always inlined, which `LocalKey::with` is with nothing in it, and with more in it by some callers and not by others:
    /// a call between two atomic instructions costs a nanosecond.
    #[inline(always)]
    fn with<R>(look: impl FnOnce(&Self) -> R) -> R {
        let me = ME.with(std::ptr::from_ref);
        // SAFETY: it lives as long as its thread, being constant and without destructor; and that thread is the caller.
        look(unsafe { &*me })
    }

    #[inline]
    fn cpu(&self) -> Cpu {
        // SAFETY: the cell is this thread's rseq area or a static; the first lives as long as the thread.
        let cpu = unsafe { (*self.cpu.get()).load(Ordering::Relaxed) };
        Cpu((u64::from(cpu.wrapping_add(1)) & CPU) as u8)
    }
}

thread_local! {
    // Constant and without destructor: no lazy initialisation on the fast path, and usable while a thread ends.
    static ME: Me = const { Me { id: Cell::new(0), cpu: Cell::new(sys::thread::NO_CPU_CELL) } };
}

extern "C" fn forget_me() {
    ME.with(|me| me.id.set(0));
    sys::robust::forget();
}

/// A thread that holds, or held, something.
///
/// It stays meaningful after the thread ended: a later thread with the same id is somebody else.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Owner(Token);

impl Owner {
    /// The thread id, as its own PID namespace counts. For a process's first thread it is the process id.
    ///
    /// Zero where nobody knows any more: with [`KernelRobust`](crate::wait::KernelRobust) the kernel takes the id out of the
    /// word when it marks it, and who is killed in the very instant of acquiring has not left its name elsewhere.
    #[must_use]
    pub fn tid(&self) -> u32 {
        self.0.tid()
    }

    /// Whether the thread still runs, as far as can be told: `false` is proven, and any doubt counts as alive.
    ///
    /// Dead is a thread of the caller's own PID namespace whose id no longer exists, or is a zombie's, or belongs to a
    /// thread that started at another time; and one of an earlier boot of the machine. In another namespace, or where
    /// `/proc` cannot be read, it is alive.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        liveness::of(self.0) != Liveness::Dead
    }

    /// Whether the id counts here: it was given in the caller's own PID namespace, in this boot of the machine, as far as
    /// is known. So whether, if the thread is alive, `/proc/TID` shows this one, and not just any of that number.
    #[must_use]
    pub fn is_of_this_namespace(&self) -> bool {
        self.0.counts_as(Token::mine())
    }

    pub(crate) fn token(self) -> Token {
        self.0
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.tid() {
            0 => f.write_str("a thread of unknown id"),
            _ if self.0.is_nobody() => f.write_str("nobody in particular"),
            tid => write!(f, "tid {tid}"),
        }
    }
}

impl fmt::Debug for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Owner({self})")
    }
}
