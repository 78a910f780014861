//! What a torn update or a second holder would leave traces in.

use super::desk::Desk;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// Guarded by a lock: who is inside, and two counters that are equal whenever nobody is.
///
/// Plain loads and stores, so that nothing but the lock keeps them in order.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    inside: AtomicU64,
    first: AtomicU64,
    second: AtomicU64,
}

/// How the lock was come by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// From a holder that had let go.
    Clean,
    /// From a dead one, or a panicking one: what it left may be torn.
    Torn,
}

impl Ledger {
    /// Enters, checks what the last holder left, and repairs it where that is the agreement.
    pub(super) fn enter(&self, desk: &Desk<'_>, taken: Taken) {
        let before = self.inside.load(Relaxed);
        self.inside.store(desk.name(), Relaxed);
        if before != 0 && (taken == Taken::Clean || !desk.is_doomed(before)) {
            let fate = if desk.is_doomed(before) { "dead" } else { "alive" };
            let (slot, life) = (before >> 48, before & ((1 << 48) - 1));
            desk.violated(&format!("slot {slot}, life {life} is inside, {fate}, and the lock was taken: {taken:?}"));
        }
        let (first, second) = (self.first.load(Relaxed), self.second.load(Relaxed));
        if first.wrapping_sub(second) > u64::from(taken == Taken::Torn) {
            desk.violated(&format!("the counters are {first} and {second}, and the lock was taken: {taken:?}"));
        }
        self.second.store(first, Relaxed);
    }

    /// Changes the counters, one after the other.
    pub(super) fn change(&self, desk: &mut Desk<'_>) {
        self.first.store(self.first.load(Relaxed) + 1, Relaxed);
        desk.ponder();
        self.second.store(self.second.load(Relaxed) + 1, Relaxed);
        if self.inside.load(Relaxed) != desk.name() {
            desk.violated("somebody else has entered meanwhile");
        }
    }

    /// Goes out; to be followed by the release.
    pub(super) fn leave(&self) {
        self.inside.store(0, Relaxed);
    }

    /// Enters, changes, leaves.
    pub(super) fn visit(&self, desk: &mut Desk<'_>, taken: Taken) {
        self.enter(desk, taken);
        self.change(desk);
        self.leave();
    }

    /// Looks in, with others who only look.
    pub(super) fn look(&self, desk: &mut Desk<'_>) {
        let before = self.first.load(Relaxed);
        desk.ponder();
        let (inside, first, second) = (self.inside.load(Relaxed), self.first.load(Relaxed), self.second.load(Relaxed));
        if inside != 0 || first != second || first != before {
            desk.violated(&format!("a reader found {inside:#x} inside, and {first} and {second} where {before} was"));
        }
    }
}
