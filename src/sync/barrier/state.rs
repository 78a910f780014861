//! A reusable barrier in one 64-bit word, beside the number of its parties.
//!
//! | bits | what |
//! |---|---|
//! | 0 | `SLEEPERS`: somebody of this round may sleep on the low half |
//! | 1 | `BROKEN` |
//! | 2–31 | number of rounds that ended, modulo 2³⁰ |
//! | 32–55 | arrivals in this round |
//! | 56–63 | how the last eight rounds ended: bit 56 the last, 1 for a reset |
//!
//! | state | who may leave it, to where |
//! |---|---|
//! | arrivals < parties − 1 | an arriver: arrivals + 1 |
//! | arrivals = parties − 1 | the last arriver, the leader: the next round; with an action first to arrivals + 1 |
//! | arrivals = parties | the leader, after its action: the next round. Who comes now waits for that, then arrives |
//! | any of these | who times out or aborts: + `BROKEN`. A resetter: the next round, ended by reset |
//! | `BROKEN` | a resetter |
//!
//! A round's end clears arrivals and `SLEEPERS` in the same step; the flag belongs to the round. (A flag shared by two
//! rounds hangs: the leader of the first, waking late, clears what a sleeper of the second has set.)
//!
//! A waiter knows how *its* round ended from the bit for it, however late it looks. No more than one round can be
//! completed without it, unless there are more parties than there should be; and a reset of a barrier in which nobody
//! waits does nothing. A waiter that finds more than eight rounds ended is told that it broke.

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct State(pub(super) u64);

/// What a state means for somebody who arrived in an earlier one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Round {
    Open,
    Completed,
    Broken,
}

impl State {
    const SLEEPERS: u64 = 1;
    const BROKEN: u64 = 1 << 1;
    const ROUND_SHIFT: u32 = 2;
    const ROUNDS: u64 = (1 << 30) - 1;
    const ARRIVALS_SHIFT: u32 = 32;
    pub(super) const MOST_PARTIES: u32 = (1 << 24) - 1;
    const HISTORY_SHIFT: u32 = 56;

    pub(super) fn has_sleepers(self) -> bool {
        self.0 & Self::SLEEPERS != 0
    }

    pub(super) fn with_sleepers(self) -> Self {
        Self(self.0 | Self::SLEEPERS)
    }

    pub(super) fn is_broken(self) -> bool {
        self.0 & Self::BROKEN != 0
    }

    /// Broken, and everybody woken.
    pub(super) fn broken(self) -> Self {
        Self(self.0 & !Self::SLEEPERS | Self::BROKEN)
    }

    pub(super) fn round(self) -> u64 {
        self.0 >> Self::ROUND_SHIFT & Self::ROUNDS
    }

    pub(super) fn arrivals(self) -> u32 {
        (self.0 >> Self::ARRIVALS_SHIFT) as u32 & Self::MOST_PARTIES
    }

    pub(super) fn with_arrival(self) -> Self {
        Self(self.0 + (1 << Self::ARRIVALS_SHIFT))
    }

    /// The next round, empty and whole.
    pub(super) fn next_round(self, by_reset: bool) -> Self {
        let round = (self.round() + 1) & Self::ROUNDS;
        let history = self.0 >> Self::HISTORY_SHIFT << 1 | u64::from(by_reset);
        Self(history << Self::HISTORY_SHIFT | round << Self::ROUND_SHIFT)
    }

    pub(super) fn low(self) -> u32 {
        self.0 as u32
    }

    /// How the round of `arrived` stands.
    pub(super) fn round_of(self, arrived: Self) -> Round {
        match self.round().wrapping_sub(arrived.round()) & Self::ROUNDS {
            0 if self.is_broken() => Round::Broken,
            0 => Round::Open,
            ago @ 1..=8 if self.0 >> Self::HISTORY_SHIFT >> (ago - 1) & 1 == 0 => Round::Completed,
            _ => Round::Broken,
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_broken_round_keeps_its_count_and_wakes_all() {
        for round in [0, 1, 5, State::ROUNDS] {
            let arrived = State(round << State::ROUND_SHIFT).with_arrival().with_arrival();
            for state in [arrived, arrived.with_sleepers(), arrived.broken()] {
                let broken = state.broken();
                assert!(broken.is_broken() && !broken.has_sleepers());
                assert_eq!((broken.round(), broken.arrivals()), (round, 2));
                let next = broken.next_round(true);
                assert!(!next.is_broken() && !next.has_sleepers());
                assert_eq!((next.round(), next.arrivals()), ((round + 1) & State::ROUNDS, 0));
            }
        }
    }

    #[test]
    fn how_each_of_eight_rounds_ended_is_known() {
        for endings in 0..0x100_u32 {
            // Round numbers that overflow on the way, too.
            for first in [0, State::ROUNDS - 3] {
                let mut rounds = vec![State(first << State::ROUND_SHIFT)];
                for round in 0..8 {
                    let next = rounds[round].with_arrival().next_round(endings >> round & 1 != 0);
                    rounds.push(next);
                }
                let now = rounds[8];
                assert!(now.round_of(now) == Round::Open && now.broken().round_of(now) == Round::Broken);
                for (round, &arrived) in rounds[..8].iter().enumerate() {
                    let by_reset = endings >> round & 1 != 0;
                    let expected = if by_reset { Round::Broken } else { Round::Completed };
                    assert!(now.round_of(arrived) == expected && now.broken().round_of(arrived) == expected);
                }
                assert!(now.next_round(false).round_of(rounds[0]) == Round::Broken, "too long ago to know");
            }
        }
    }
}
