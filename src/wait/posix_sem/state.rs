//! The word of a [`PosixSem`](super::PosixSem): who makes the `sem_t`; and then, how many sleep on it and what they are sent.
//!
//! Bit 31 tells the two forms apart:
//!
//! | bit 31 | the rest | meaning | who may leave it |
//! |---|---|---|---|
//! | 0 | 0 | no `sem_t` yet | the first waiter, by a CAS that names it as maker |
//! | 0 | a maker's token | somebody makes the `sem_t` | the maker; anybody who proves it dead, by becoming the maker |
//! | 1 | the counts below | usable | nobody |
//!
//! | bits | what |
//! |---|---|
//! | 0–15 | posts under way: sent, and not yet taken |
//! | 16–30 | posts due: promised to sleepers, and not yet sent |
//! | 32–43 | sleepers that came in this era, and that no post is under way or due to |
//! | 44–55 | the same of the era before |
//! | 56–63 | era: units of 268 ms, modulo 2⁸ |
//!
//! A waker of one turns a sleeper into a post under way, then posts. A waker of more turns them into posts that are due;
//! it, and whoever comes by, turns one of these at a time into one under way, then posts. A sleeper that takes a post turns it
//! into nothing; one that leaves without takes its count back, or one that is due, or, if a waker was faster, the post. So the
//! four counts add up to those inside.
//!
//! *The killed* leave counts behind, and any error in the counts would last as long as somebody always sleeps. But no
//! sleep is longer than a slice (contract, rule 4), so what was counted two eras ago is over: it is forgotten, and so is what
//! was due then. What was due in the era before is sent by the next who comes by.

use super::Deadline;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct State(pub(super) u64);

impl State {
    const READY: u64 = 1 << 31;
    const POSTS: u64 = 0xffff;
    const DUE_SHIFT: u32 = 16;
    const MOST_DUE: u64 = 0x7fff;
    const NOW_SHIFT: u32 = 32;
    const BEFORE_SHIFT: u32 = 44;
    const ERA_SHIFT: u32 = 56;
    /// Sleepers of an era fill 12 bits.
    const MOST: u64 = 0xfff;
    /// 2²⁸ ns: more than twice the longest slice, so that one that began in an era is over before the next but one.
    const ERA_NANOS_SHIFT: u32 = 28;

    /// Usable, and nobody inside.
    pub(super) fn fresh(now: Deadline) -> Self {
        Self(Self::era_of(now) << Self::ERA_SHIFT | Self::READY)
    }

    fn era_of(now: Deadline) -> u64 {
        now.nanos() >> Self::ERA_NANOS_SHIFT & 0xff
    }

    pub(super) fn is_ready(self) -> bool {
        self.0 & Self::READY != 0
    }

    pub(super) fn posts(self) -> u64 {
        self.0 & Self::POSTS
    }

    pub(super) fn due(self) -> u64 {
        self.0 >> Self::DUE_SHIFT & Self::MOST_DUE
    }

    pub(super) fn sleepers(self) -> u32 {
        ((self.0 >> Self::NOW_SHIFT & Self::MOST) + (self.0 >> Self::BEFORE_SHIFT & Self::MOST)) as u32
    }

    /// Whether there are posts that have not been taken yet, sent or not.
    pub(super) fn is_awaited(self) -> bool {
        self.posts() > 0 || self.due() > 0
    }

    fn era(self) -> u64 {
        self.0 >> Self::ERA_SHIFT
    }

    /// Whether its era is the present one, so that its posts count.
    pub(super) fn is_of(self, now: Deadline) -> bool {
        self.at(now) == self
    }

    /// What counts still at the time `now`.
    pub(super) fn at(self, now: Deadline) -> Self {
        let kept = match Self::era_of(now).wrapping_sub(self.era()) & 0xff {
            1 => (self.0 >> Self::NOW_SHIFT & Self::MOST) << Self::BEFORE_SHIFT | self.due() << Self::DUE_SHIFT,
            // Now; or in the past, when the caller was held up since it looked at the clock: by two seconds at the most,
            // for else what the killed left behind would come to life again after a minute, and stay as long.
            0 | 0xf8.. => return self,
            _ => 0,
        };
        Self(Self::fresh(now).0 | kept)
    }

    /// One sleeper more in the present era; `None` when they cannot be counted any more.
    pub(super) fn entered(self) -> Option<Self> {
        (self.0 >> Self::NOW_SHIFT & Self::MOST < Self::MOST).then(|| Self(self.0 + (1 << Self::NOW_SHIFT)))
    }

    /// One sleeper less, of whichever era, or one to whom a post was due; `None` if none is counted.
    pub(super) fn left(self) -> Option<Self> {
        let asleep = [Self::BEFORE_SHIFT, Self::NOW_SHIFT].into_iter().find(|&era| self.0 >> era & Self::MOST > 0);
        let shift = asleep.or((self.due() > 0).then_some(Self::DUE_SHIFT))?;
        Some(Self(self.0 - (1 << shift)))
    }

    /// One to whom a post is under way, who slept, or to whom it was due; `None` if none is counted.
    pub(super) fn posted(self) -> Option<Self> {
        let left = self.left()?;
        Some(Self(left.0 + u64::from(left.posts() < Self::POSTS)))
    }

    /// To how many of `n` sleepers posts can be promised.
    pub(super) fn promises(self, n: u32) -> u32 {
        n.min(self.sleepers()).min((Self::MOST_DUE - self.due()) as u32)
    }

    /// Posts are due to `n` sleepers, or to as many as there are; `None` if there is nobody that one is to be sent to.
    pub(super) fn promised(self, n: u32) -> Option<Self> {
        let n = u64::from(self.promises(n));
        let before = n.min(self.0 >> Self::BEFORE_SHIFT & Self::MOST);
        let asleep = before << Self::BEFORE_SHIFT | (n - before) << Self::NOW_SHIFT;
        (n + self.due() > 0).then(|| Self(self.0 - asleep + (n << Self::DUE_SHIFT)))
    }

    /// One of the posts that were due is under way; `None` if none was.
    pub(super) fn sent(self) -> Option<Self> {
        let sent = u64::from(self.posts() < Self::POSTS);
        (self.due() > 0).then(|| Self(self.0 - (1 << Self::DUE_SHIFT) + sent))
    }

    /// One post less under way.
    pub(super) fn taken(self) -> Self {
        Self(self.0 - u64::from(self.posts() > 0))
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_before_the_last_era_is_forgotten() {
        let at_era = |era: u64| Deadline::PAST.plus(era << State::ERA_NANOS_SHIFT);
        for now in 0..0x100 {
            let left = |then: u64| {
                let counted = State::fresh(at_era(then)).entered().and_then(State::entered).and_then(State::posted);
                let state = counted.expect("room for two").at(at_era(0x1000 + now));
                (state.sleepers(), state.posts())
            };
            assert_eq!(left(now), (1, 1), "in the era itself");
            assert_eq!(left(now + 0xff), (1, 0), "in the one after it");
            assert_eq!(left(now + 1), (1, 1), "by somebody who was held up");
            for then in now + 9..now + 0xff {
                assert_eq!(left(then), (0, 0), "counted in {then}, looked at in {now}");
            }
        }
    }

    #[test]
    fn counts_end_where_their_bits_do() {
        let now = Deadline::PAST;
        let full = (0..State::MOST).fold(State::fresh(now), |state, _| state.entered().expect("room"));
        assert!(u64::from(full.sleepers()) == State::MOST && full.entered().is_none());
        let wake_one = |state: State| state.entered().and_then(State::posted).expect("room for one");
        let most = (0..State::POSTS).fold(State::fresh(now), |state, _| wake_one(state));
        assert_eq!((most.posts(), most.sleepers()), (State::POSTS, 0));
        assert!(wake_one(most) == most);
        let none = State::fresh(now);
        assert!(none.left().is_none() && none.posted().is_none() && none.taken() == none);
    }

    #[test]
    fn promised_posts_go_to_those_who_slept() {
        let state = |before: u64, now: u64, due: u64| {
            let due = due << State::DUE_SHIFT;
            State(State::fresh(Deadline::PAST).0 | before << State::BEFORE_SHIFT | now << State::NOW_SHIFT | due)
        };
        for (from, n, to) in [
            (state(0, 3, 0), 2, state(0, 1, 2)),
            (state(2, 3, 0), 4, state(0, 1, 4)),
            (state(2, 3, 1), u32::MAX, state(0, 0, 6)),
            (state(0, 0, 1), 2, state(0, 0, 1)),
            (state(1, 1, State::MOST_DUE), 2, state(1, 1, State::MOST_DUE)),
        ] {
            assert!(from.promised(n).is_some_and(|promised| promised == to), "{n} of {:x}", from.0);
        }
        assert!(state(0, 0, 0).promised(2).is_none() && state(0, 0, 0).sent().is_none());

        let sent = state(0, 1, 2).sent().expect("two are due");
        assert_eq!((sent.posts(), sent.due(), sent.sleepers()), (1, 1, 1));
        let left = |state: State| state.left().expect("somebody");
        assert!(left(state(0, 1, 1)) == state(0, 0, 1) && left(state(0, 0, 1)) == state(0, 0, 0));
        assert_eq!(state(0, 0, 1).posted().map(|posted| (posted.posts(), posted.due())), Some((1, 0)));

        let later = |eras: u64| state(0, 1, 2).at(Deadline::PAST.plus(eras << State::ERA_NANOS_SHIFT));
        assert_eq!([0, 1, 2].map(|eras| (later(eras).sleepers(), later(eras).due())), [(1, 2), (1, 2), (0, 0)]);
    }
}
