//! The one spin policy (D8): how long to poll before sleeping, and how often to look.
//!
//! The facts behind the constants, measured on a two-core virtual machine (DESIGN.md has the table): a cache line
//! passes between cores in 0.03 to 0.17 µs; waking an idle core through the kernel takes about 15 µs; a `sched_yield`
//! 0.5 µs. So a sleep that a short spin would have saved costs a hundred line transfers, and a spin that was in vain
//! costs what the sleep and the wake cost anyway. That is the classic bound: who spins for as long as a block would
//! cost is at most twice as slow as who knew the future (Karlin et al., "Competitive randomized algorithms for
//! nonuniform problems", SODA 1990).

use std::cell::Cell;

use crate::owner::{Cpu, Token};
use crate::sys;
use crate::time::Deadline;

/// One sleep and wake between cores. Half of it makes the hand-over bistable: one miss makes the partner miss, too.
const SPIN_NANOS: u64 = 24_000;

/// Pauses between two looks at the most. Each look takes the line from whoever is working on it: at empty critical
/// sections 16 gave twice the throughput of 1, and at 100 ns sections it cost 4 %.
const MAX_PAUSES: u32 = 16;

/// How often to let others run when the partner last ran on this very CPU. Two to four bring a partner that is ready
/// to run back in 1.4 µs where sleeping takes 2.0 µs; more only delay the sleep when it is not ready.
const YIELDS: u32 = 4;

/// What a yield costs at the most when it works: itself, and the short turns of the others. One that took longer let a
/// third party run for its time slice, which is milliseconds, while the partner slept or went on elsewhere. (Seen: two
/// processes that take turns beside a busy one, on one core, needed 2100 µs a round instead of sem_t's 8. With 0.1 ms
/// here, eight parties at a barrier on two cores took each other for third parties, and were three times as slow.)
const DEAR_NANOS: u64 = 1_000_000;

/// After a dear yield the thread does without for this many times its cost: a hiccup, such as the start of a process, is
/// over by then. If the next is dear, too, and comes soon, for twice as many times, up to 256, which bounds the loss to
/// 0.4 % where a third party is always there. (With 256 at once, a barrier that met a hiccup of 4 ms did without for a second.)
const ABSTINENCE: u64 = 8;
const MOST_ABSTINENCE: u64 = 256;
const MOST_COST_NANOS: u64 = 100_000_000;

/// What a thread learned from the dear yields that it made.
#[derive(Clone, Copy)]
struct Abstinence {
    /// No yields before this.
    until: Deadline,
    /// A dear one before this is one of a series.
    repeated_before: Deadline,
    /// How many times its cost the last one led to.
    times: u64,
}

thread_local! {
    static ABSTAINS: Cell<Abstinence> =
        const { Cell::new(Abstinence { until: Deadline::PAST, repeated_before: Deadline::PAST, times: 0 }) };
}

/// One attempt to get by without sleeping.
pub(crate) struct Spin {
    pauses: u32,
    yields: u32,
    /// When to give up; unset until the pauses have grown, so that a short spin does not read the clock.
    end: Option<Deadline>,
}

impl Spin {
    pub(crate) fn new() -> Self {
        // So that this thread's CPU is known, to itself and to those whom it will release.
        Token::mine();
        Self { pauses: 1, yields: 0, end: None }
    }

    /// Waits a moment before the next look; `false` when it is time to sleep. `partner` is the CPU on which whoever
    /// must act was last seen.
    pub(crate) fn again(&mut self, partner: Cpu) -> bool {
        if cfg!(loom) {
            return false; // a model lets the partner run wherever that makes a difference
        }
        if sys::thread::online_cpus() == 1 || partner.is_known() && partner == Cpu::mine() {
            // The partner cannot run while we spin.
            return self.yield_to_partner();
        }
        for _ in 0..self.pauses {
            std::hint::spin_loop();
        }
        if self.pauses < MAX_PAUSES {
            self.pauses *= 2;
            return true;
        }
        let now = Deadline::now();
        now < *self.end.get_or_insert_with(|| now.plus(SPIN_NANOS))
    }

    /// Only lets others run, for waits that spinning cannot shorten; `false` when it is time to sleep.
    pub(crate) fn yield_to_partner(&mut self) -> bool {
        if cfg!(loom) || self.yields == YIELDS {
            return false;
        }
        self.yields += 1;
        yield_now()
    }
}

/// Lets others run, unless that was dear of late; whether it did.
pub(crate) fn yield_now() -> bool {
    let before = Deadline::now();
    let abstains = ABSTAINS.get();
    if before < abstains.until {
        return false;
    }
    sys::thread::yield_now();
    let cost = Deadline::now().since(before);
    if cost > DEAR_NANOS {
        let repeated = before < abstains.repeated_before;
        let times = if repeated { (abstains.times * 2).min(MOST_ABSTINENCE) } else { ABSTINENCE };
        // Nobody was stopped for hours by a yield; by a debugger, perhaps.
        let span = cost.min(MOST_COST_NANOS) * times;
        let until = before.plus(span);
        ABSTAINS.set(Abstinence { until, repeated_before: until.plus(span), times });
    }
    true
}
