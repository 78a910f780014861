//! A condition variable in one 64-bit word: who waits, and how many of them are told to go on.
//!
//! | bits | what |
//! |---|---|
//! | 0–7 | CPU of the last notifier, plus one |
//! | 8 | `SLEEPERS`: somebody may sleep on the low half |
//! | 9–22 | number of notifications, modulo 2¹⁴ |
//! | 23 | `CROWD`: the last notification came when more waited than there are CPUs beside the notifier's |
//! | 24–31 | CPU of the last to register that might have been spun for, plus one |
//! | 32–43 | signals: notifications for one that no waiter has taken yet |
//! | 44–55 | waiters of this generation, those included that a signal is meant for; never fewer than signals |
//! | 56–63 | generation, modulo 2⁸ |
//!
//! | who | does | to the word |
//! |---|---|---|
//! | a waiter, lock in hand | registers | waiters + 1, its CPU unless in a crowd; remembers the generation and the number of notifications |
//! | a notifier of some | signals | signals + n, notifications + 1 |
//! | a notifier of all | ends the generation | generation + 1, waiters = signals = 0, notifications + 1, no `SLEEPERS` |
//! | a waiter that sees a signal younger than itself | takes it | waiters − 1, signals − 1 |
//! | a waiter of an earlier generation | goes on | nothing |
//! | a waiter that gives up | deregisters | waiters − 1 |
//!
//! Why not simply a number that every notification changes, as std has it? Because every sleep here ends with its
//! slice, and then the sleeper must know whether it was meant: with the number alone, a `notify_one` would release
//! everybody within 100 ms. Signals are counted, so exactly n go on (Zig's `Condition.FutexImpl` counts likewise), and
//! a signal whose waiter was killed before it acted stays in the word for another: it is not lost.
//!
//! A signal is only for waiters that registered before it, hence the remembered number. Signals for the killed are
//! found out: one that is older than a waiter, and still there when that waiter has waited for a tenth of a second, has
//! no taker; then that waiter starts a new generation, in which everybody else goes on for no reason. So a killed waiter
//! costs a needless wake-up, once. Being woken for no reason is what a condition's waiters must expect anyway.
//!
//! A waiter that slept through exactly 256 generations would take the present one for its own; so one that missed 255
//! notifications goes on in any case.

use crate::owner::Cpu;
use crate::sys;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct State(pub(super) u64);

/// What a waiter remembers of the state it registered in.
#[derive(Clone, Copy)]
pub(super) struct Ticket {
    generation: u64,
    notifications: u64,
    /// Where the one who is going to notify was last seen, if it was.
    pub(super) partner: Cpu,
}

impl Ticket {
    /// The ticket of a waiter that found the state `before` and made `registered` of it.
    ///
    /// Who notified last may be the waiter itself, as when two take turns. Then the partner is the one who waited last.
    pub(super) fn new(before: State, registered: State) -> Self {
        let notifier = before.notifier_cpu();
        let partner = if notifier == registered.waiter_cpu() { before.waiter_cpu() } else { notifier };
        Self { generation: registered.generation(), notifications: registered.notifications(), partner }
    }

    /// The ticket of the same waiter in the generation that it has just begun.
    pub(super) fn renewed(self, afresh: State) -> Self {
        Self { generation: afresh.generation(), notifications: afresh.notifications(), ..self }
    }
}

/// What a state means for the holder of a ticket.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    Wait,
    /// A signal is there that it may take.
    Signalled,
    /// Its generation is over.
    Released,
}

impl State {
    const SLEEPERS: u64 = 1 << 8;
    const NOTIFICATIONS_SHIFT: u32 = 9;
    const NOTIFICATIONS: u64 = (1 << 14) - 1;
    const CROWD: u64 = 1 << 23;
    const WAITER_CPU_SHIFT: u32 = 24;
    const SIGNALS_SHIFT: u32 = 32;
    const WAITERS_SHIFT: u32 = 44;
    const GENERATION_SHIFT: u32 = 56;
    /// Waiters and signals each fill 12 bits.
    const MOST: u64 = 0xfff;

    pub(super) fn notifications(self) -> u64 {
        self.0 >> Self::NOTIFICATIONS_SHIFT & Self::NOTIFICATIONS
    }

    pub(super) fn signals(self) -> u64 {
        self.0 >> Self::SIGNALS_SHIFT & Self::MOST
    }

    pub(super) fn waiters(self) -> u64 {
        self.0 >> Self::WAITERS_SHIFT & Self::MOST
    }

    pub(super) fn generation(self) -> u64 {
        self.0 >> Self::GENERATION_SHIFT
    }

    pub(super) fn has_sleepers(self) -> bool {
        self.0 & Self::SLEEPERS != 0
    }

    /// Of `n` who are told to go on in this state, how many are to be woken: none, if nobody sleeps.
    pub(super) fn sleepers(self, n: u32) -> u32 {
        if self.has_sleepers() { n } else { 0 }
    }

    pub(super) fn with_sleepers(self) -> Self {
        Self(self.0 | Self::SLEEPERS)
    }

    pub(super) fn notifier_cpu(self) -> Cpu {
        Cpu(self.0 as u8)
    }

    pub(super) fn low(self) -> u32 {
        self.0 as u32
    }

    /// Whether all who wait, and who is to notify them, can run at once. If not, those who spin keep the others from it:
    /// a storm of notifications took four times as long. After a storm the first to wait again is alone for a moment, and
    /// in the way of those who are still to be woken: hence `CROWD`.
    pub(super) fn fits(self) -> bool {
        self.0 & Self::CROWD == 0 && !self.is_crowd()
    }

    fn is_crowd(self) -> bool {
        self.waiters() >= u64::from(sys::thread::online_cpus())
    }

    /// The CPU of whoever registered last.
    pub(super) fn waiter_cpu(self) -> Cpu {
        Cpu((self.0 >> Self::WAITER_CPU_SHIFT) as u8)
    }

    /// One waiter more; `None` when they cannot be counted any more.
    ///
    /// It leaves its CPU for those who may spin. In a crowd nobody does, and another low half would only keep the one that
    /// is just about to sleep on it awake: in storms to 32 waiters three went round for that.
    pub(super) fn registered(self) -> Option<Self> {
        let counted = (self.waiters() < Self::MOST).then(|| Self(self.0 + (1 << Self::WAITERS_SHIFT)))?;
        Some(if counted.fits() { counted.with_waiter_cpu(Cpu::mine()) } else { counted })
    }

    fn with_waiter_cpu(self, cpu: Cpu) -> Self {
        Self(self.0 & !(0xff << Self::WAITER_CPU_SHIFT) | u64::from(cpu.0) << Self::WAITER_CPU_SHIFT)
    }

    /// One waiter less, and its signal if it takes one. Scribbled counts do not go below zero.
    pub(super) fn left(self, signals: u64) -> Self {
        let signals = signals.min(self.signals());
        let waiters = self.waiters().min(1);
        Self(self.0 - (signals << Self::SIGNALS_SHIFT) - (waiters << Self::WAITERS_SHIFT))
    }

    /// The low half, awake, after one more notification by this CPU.
    pub(super) fn notified(self) -> u64 {
        let notifications = self.notifications().wrapping_add(1) & Self::NOTIFICATIONS;
        let waiter_cpu = self.0 & 0xff << Self::WAITER_CPU_SHIFT;
        let crowd = if self.is_crowd() { Self::CROWD } else { 0 };
        waiter_cpu | crowd | notifications << Self::NOTIFICATIONS_SHIFT | u64::from(Cpu::mine().0)
    }

    /// After a notification of `n` waiters, fewer than there are.
    pub(super) fn signalled(self, n: u64) -> Self {
        let counts = self.0 >> Self::SIGNALS_SHIFT << Self::SIGNALS_SHIFT;
        Self((counts + (n << Self::SIGNALS_SHIFT)) | self.notified() | self.0 & Self::SLEEPERS)
    }

    /// After a notification of all, with `waiters` in the new generation.
    pub(super) fn released(self, waiters: u64) -> Self {
        let generation = self.generation().wrapping_add(1) << Self::GENERATION_SHIFT;
        Self(generation | waiters << Self::WAITERS_SHIFT | self.notified())
    }

    pub(super) fn meaning(self, ticket: Ticket) -> Meaning {
        let since = self.notifications().wrapping_sub(ticket.notifications) & Self::NOTIFICATIONS;
        if self.generation() != ticket.generation || since >= 255 {
            Meaning::Released
        } else if since > 0 && self.signals() > 0 {
            Meaning::Signalled
        } else {
            Meaning::Wait
        }
    }

    /// Whether there are signals that were sent before the holder of the ticket registered, and none since.
    pub(super) fn has_only_older_signals(self, ticket: Ticket) -> bool {
        self.signals() > 0 && self.notifications() == ticket.notifications && self.generation() == ticket.generation
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_registers_without_touching_what_others_sleep_on() {
        const ELSEWHERE: Cpu = Cpu(0xff); // nobody's
        let cpus = u64::from(sys::thread::online_cpus());
        let mut word = State(0);
        while word.waiters() <= cpus {
            let before = word.with_waiter_cpu(ELSEWHERE);
            word = before.registered().expect("room for one more");
            assert_eq!(word.waiters(), before.waiters() + 1);
            let crowd = word.waiters() >= cpus;
            assert_eq!(word.waiter_cpu() == ELSEWHERE, crowd, "{} waiters on {cpus} CPUs", word.waiters());
            assert_eq!(word.low() == before.low(), crowd);
        }
        let after_a_storm = word.released(0).with_waiter_cpu(ELSEWHERE);
        assert_eq!(after_a_storm.registered().map(State::low), Some(after_a_storm.low()));
    }

    /// A state with these counts, a notification, and somebody's CPU, asleep or not.
    fn with(signals: u64, waiters: u64, sleepers: bool) -> State {
        let counts = signals << State::SIGNALS_SHIFT | waiters << State::WAITERS_SHIFT | 7 << State::GENERATION_SHIFT;
        let state = State(counts | 3 << State::NOTIFICATIONS_SHIFT).with_waiter_cpu(Cpu(5));
        if sleepers { state.with_sleepers() } else { state }
    }

    #[test]
    fn who_leaves_takes_no_more_than_there_is() {
        for sleepers in [false, true] {
            for (signals, waiters) in [(0, 0), (0, 1), (1, 1), (2, 3), (State::MOST, State::MOST)] {
                let before = with(signals, waiters, sleepers);
                for taken in [0, 1] {
                    let left = before.left(taken);
                    assert_eq!(left.signals(), signals.saturating_sub(taken));
                    assert_eq!(left.waiters(), waiters.saturating_sub(1));
                    assert_eq!((left.low(), left.generation()), (before.low(), 7), "nothing else");
                }
            }
        }
        assert!(with(0, State::MOST, false).registered().is_none());
        assert!(with(0, State::MOST - 1, false).registered().is_some_and(|full| full.waiters() == State::MOST));
    }

    #[test]
    fn a_notification_is_counted_and_wakes_as_many_as_it_is_for() {
        for sleepers in [false, true] {
            let before = with(1, 9, sleepers);
            let one = before.signalled(1);
            assert_eq!((one.signals(), one.waiters(), one.generation(), one.notifications()), (2, 9, 7, 4));
            assert_eq!((one.has_sleepers(), one.waiter_cpu()), (sleepers, Cpu(5)));
            let all = before.released(2);
            assert_eq!((all.signals(), all.waiters(), all.generation(), all.notifications()), (0, 2, 8, 4));
            assert_eq!((all.has_sleepers(), all.waiter_cpu()), (false, Cpu(5)));
        }
        let mut last = with(0, 9, false);
        for _ in 0..=State::NOTIFICATIONS {
            last = last.signalled(0);
        }
        assert_eq!((last.notifications(), last.waiter_cpu()), (3, Cpu(5)), "they begin anew, and touch nothing else");
    }

    #[test]
    fn a_signal_is_for_those_who_came_before_it() {
        let early = with(0, 2, false);
        let ticket = |state: State| Ticket::new(state, state);
        let notified = early.signalled(1);
        assert!(notified.meaning(ticket(early)) == Meaning::Signalled);
        assert!(notified.meaning(ticket(notified)) == Meaning::Wait, "it came later");
        assert!(early.meaning(ticket(early)) == Meaning::Wait);
        assert!(notified.left(1).meaning(ticket(early)) == Meaning::Wait, "somebody else took it");
        assert!(early.released(0).meaning(ticket(early)) == Meaning::Released);

        assert!(notified.has_only_older_signals(ticket(notified)));
        assert!(!notified.has_only_older_signals(ticket(early)));
        assert!(!early.has_only_older_signals(ticket(early)), "there is none");
        let (afresh, again) = (notified.released(1), notified.signalled(1));
        assert!(!again.has_only_older_signals(ticket(notified)) && !afresh.has_only_older_signals(ticket(notified)));
        assert!(notified.signalled(1).has_only_older_signals(ticket(again)));
        assert!(!afresh.signalled(1).has_only_older_signals(ticket(again)));
    }
}
