//! A permit: what one holds of a [`PermitPool`].

use std::fmt;
use std::marker::PhantomData;

use super::{PermitPool, place};
use crate::owner::{Owner, Token};
use crate::wait::{Platform, Wait};

/// Holds one permit of a [`PermitPool`] until it is dropped.
///
/// Forgetting one ([`std::mem::forget`]) keeps the permit until the thread ends. A copy in a forked child holds
/// nothing, and dropping it there releases nothing.
#[must_use = "dropping the permit releases it at once"]
pub struct Permit<'a, const N: usize, W: Wait = Platform> {
    pool: &'a PermitPool<N, W>,
    index: usize,
    token: Token,
    /// The dead holder from whom it was taken over, or `FREE`.
    dead: Token,
    /// As a lock's guard: to be dropped by the thread that acquired, but shared freely.
    stays: PhantomData<std::sync::MutexGuard<'static, ()>>,
}

impl<'a, const N: usize, W: Wait> Permit<'a, N, W> {
    #[inline]
    pub(super) fn new(pool: &'a PermitPool<N, W>, index: usize, token: Token, dead: Token) -> Self {
        Self { pool, index, token, dead, stays: PhantomData }
    }

    /// Which of the pool's permits it is: from 0 to N − 1. Nobody else has the same one.
    #[inline]
    #[must_use]
    pub fn index(&self) -> usize {
        self.index
    }

    /// The holder before this one, if it died without releasing: then what this index stands for may be torn.
    ///
    /// It is told once. Who is killed while repairing is itself the dead holder of whom the next one learns.
    #[must_use]
    pub fn reclaimed(&self) -> Option<Owner> {
        (self.dead != Token::FREE).then(|| self.dead.dead_owner())
    }
}

impl<const N: usize, W: Wait> Drop for Permit<'_, N, W> {
    #[inline]
    fn drop(&mut self) {
        let me = Token::mine();
        if self.token.same_thread(me) {
            place::remember(me, self.index);
            self.pool.release(self.index, self.token);
        }
    }
}

impl<const N: usize, W: Wait> fmt::Debug for Permit<'_, N, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").field("index", &self.index).field("reclaimed", &self.reclaimed()).finish()
    }
}
