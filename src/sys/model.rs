//! loom as an operating system: its threads, a clock that stands still, and deaths by decree.
//!
//! | of the real thing | here |
//! |---|---|
//! | the clock | each thread's own; only its sleeps that end by time move it |
//! | a sleep until the caller's deadline | may end at any moment: whoever runs in between decides |
//! | a sleep until a slice's end | does not end without a wake, until somebody has died; then it lets others run and ends |
//! | a thread's id | loom's number for it, plus one |
//! | a dead thread | one that [`mortal`](crate::model::mortal) stopped |

pub(crate) mod sem;
pub(crate) mod sleep;

pub(crate) mod thread {
    use std::sync::atomic::AtomicU32;

    use crate::atomic::Ordering;

    static UNKNOWN_CPU: AtomicU32 = AtomicU32::new(u32::MAX);

    pub(crate) const NO_CPU_CELL: *const AtomicU32 = &raw const UNKNOWN_CPU;

    pub(crate) fn cpu_cell() -> *const AtomicU32 {
        NO_CPU_CELL
    }

    pub(crate) fn tid() -> u32 {
        // `ThreadId(3)`: loom shows the number in no other way.
        let shown = format!("{:?}", loom::thread::current().id());
        let number: u32 = shown.trim_matches(|c: char| !c.is_ascii_digit()).parse().expect("a number");
        number + 1
    }

    pub(crate) fn yield_now() {
        loom::thread::yield_now();
    }

    pub(crate) fn online_cpus() -> u32 {
        1
    }

    pub(crate) fn on_fork_in_child(_forget: extern "C" fn()) {}

    /// The kernel orders a thread's last instruction before every proof of its death.
    pub(crate) fn die() {
        super::DEAD.fetch_or(1 << tid(), Ordering::AcqRel);
        super::sleep::alarm_all();
    }
}

pub(crate) mod peek {
    pub(crate) fn word(_address: usize) -> Option<u64> {
        None
    }
}

pub(crate) mod robust {
    pub(crate) fn forget() {}
}

pub(crate) mod proc {
    use crate::atomic::Ordering;

    #[derive(Clone, Copy)]
    pub(crate) struct Task {
        pub(crate) is_over: bool,
        pub(crate) start: u64,
    }

    pub(crate) fn own_task() -> Option<Task> {
        Some(Task { is_over: false, start: 1 })
    }

    /// Tells nothing, so that every question goes on to `tid_exists`.
    pub(crate) fn seeming_task(_tid: u32) -> Option<Task> {
        None
    }

    pub(crate) struct OwnProc;

    impl OwnProc {
        pub(crate) fn open() -> Option<Self> {
            Some(Self)
        }

        pub(crate) fn task(&self, _tid: u32) -> Option<Task> {
            own_task()
        }
    }

    pub(crate) fn namespace() -> Option<(u64, u64)> {
        Some((1, 1))
    }

    pub(crate) fn boot_id() -> Option<[u8; 16]> {
        None
    }

    /// Tells nothing, likewise.
    pub(crate) fn robust_list(_tid: u32) -> Option<std::num::NonZeroUsize> {
        None
    }

    pub(crate) fn is_zombie(_tid: u32) -> bool {
        false
    }

    pub(crate) fn tid_exists(tid: u32) -> bool {
        // A read-modify-write, for it reads the present and not some past.
        super::DEAD.fetch_or(0, Ordering::AcqRel) & 1 << tid == 0
    }
}

loom::lazy_static! {
    /// One bit for each dead thread. loom's bare atomic: asking the kernel is no operation that a plan counts.
    static ref DEAD: loom::sync::atomic::AtomicU64 = loom::sync::atomic::AtomicU64::new(0);
}

crate::model::thread_local! {
    static NOW: std::cell::Cell<u64> = const { std::cell::Cell::new(1_000_000_000) };
}

pub(crate) fn monotonic_nanos() -> u64 {
    NOW.with(std::cell::Cell::get)
}

/// Sleeps while others run, until `nanos` or earlier.
pub(crate) fn nap_until(_nanos: u64) -> bool {
    loom::thread::yield_now();
    false
}
