//! Parties that the barrier knows by name, so that their death breaks it.
//!
//! | place | meaning | who may leave it |
//! |---|---|---|
//! | 0 | free | whoever joins: its token |
//! | token | that thread is a member | itself, when it leaves; who proves it dead, *after* breaking the barrier |
//!
//! In that order, because a prover that is killed in between must not take the proof with it. If it is, the next one
//! breaks the barrier a second time, be it after a reset.

use std::marker::PhantomData;
use std::ops::Deref;

use super::Barrier;
use crate::atomic::{AtomicU64, Ordering, constructor};
use crate::owner::Token;
use crate::owner::liveness::{self, Liveness};
use crate::wait::{Platform, Wait};

/// The members' places.
#[cfg_attr(not(loom), derive(zerocopy::FromBytes))]
#[repr(C)]
pub(super) struct Members<const N: usize>([AtomicU64; N]);

impl<const N: usize> Members<N> {
    constructor! {
        pub(super) fn new() -> Self {
            #[cfg(not(loom))]
            let places = [const { AtomicU64::new(0) }; N];
            #[cfg(loom)]
            let places = std::array::from_fn(|_| AtomicU64::new(0));
            Self(places)
        }
    }

    /// Takes a free place.
    ///
    /// Relaxed, here and below: a place orders nothing, it is only looked up.
    fn take(&self, me: Token) -> Option<usize> {
        let free = |place: &AtomicU64| place.compare_exchange(0, me.0, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        self.0.iter().position(free)
    }

    /// Who has joined.
    fn taken(&self) -> impl Iterator<Item = (usize, Token)> + Clone {
        let tokens = self.0.iter().map(|place| Token(place.load(Ordering::Relaxed)));
        tokens.enumerate().filter(|(_, token)| *token != Token::FREE)
    }

    fn leave(&self, place: usize, token: u64) {
        let _ = self.0[place].compare_exchange(token, 0, Ordering::Relaxed, Ordering::Relaxed);
    }
}

impl<W: Wait, const MEMBERS: usize> Barrier<W, MEMBERS> {
    /// Makes the calling thread known to the barrier: if it dies before the [`Member`] is dropped, the barrier breaks,
    /// and those who wait get `Broken` within a slice (100 ms) instead of waiting. `None` if `MEMBERS` have joined.
    ///
    /// Each waiter looks at 18 members in a slice, so with more the first of them to look at the dead one tells all.
    ///
    /// # Example
    /// ```
    /// use shmsync::{Barrier, wait::Platform};
    ///
    /// let barrier = Barrier::<Platform, 2>::with_members(1);
    /// let member = barrier.join().expect("a place for each party");
    /// member.wait()?; // of the barrier; from now on somebody misses it
    /// # Ok::<(), shmsync::BarrierError>(())
    /// ```
    pub fn join(&self) -> Option<Member<'_, W, MEMBERS>> {
        let me = Token::mine();
        let place = self.members.take(me).or_else(|| {
            // A close look at each, for there is none later.
            self.break_for(self.members.taken().filter(|(_, token)| liveness::of(*token) == Liveness::Dead));
            self.members.take(me)
        })?;
        Some(Member { barrier: self, place, token: me.0, stays: PhantomData })
    }

    /// Breaks the barrier if a member is found dead, at a waiter's slice's end.
    pub(super) fn break_for_the_dead(&self) {
        self.break_for(liveness::found_dead(self.members.taken().map(|member| (member, member.1))));
    }

    fn break_for(&self, dead: impl Iterator<Item = (usize, Token)>) {
        for (place, token) in dead {
            self.abort();
            self.members.leave(place, token.0);
        }
    }
}

/// That the calling thread is a member of a [`Barrier`], which it dereferences to, until this is dropped.
#[must_use = "dropping it leaves the barrier's members"]
#[derive(Debug)]
pub struct Member<'a, W: Wait = Platform, const MEMBERS: usize = 0> {
    barrier: &'a Barrier<W, MEMBERS>,
    place: usize,
    token: u64,
    /// It is the thread that is a member.
    stays: PhantomData<std::sync::MutexGuard<'a, ()>>,
}

impl<W: Wait, const MEMBERS: usize> Deref for Member<'_, W, MEMBERS> {
    type Target = Barrier<W, MEMBERS>;

    fn deref(&self) -> &Self::Target {
        self.barrier
    }
}

impl<W: Wait, const MEMBERS: usize> Drop for Member<'_, W, MEMBERS> {
    fn drop(&mut self) {
        if !Token(self.token).is_mine() {
            return; // a forked child's copy; the parent is a member still
        }
        self.barrier.members.leave(self.place, self.token);
    }
}
