//! Is the holder dead? Proven, or no (D5): a wrong "alive" costs waiting, a wrong "dead" costs the user's data.
//!
//! The traps, each with its answer:
//! - a zombie still has its id, and signal 0 reaches it, and so has and does a thread that the kernel is just ending:
//!   /proc tells both;
//! - an id is reused: the start time differs;
//! - in another PID namespace the id is somebody else, and in another time namespace the start time reads
//!   differently: only the same namespace can prove anything;
//! - /proc may be missing, hidden from this user, or mounted from another PID namespace: then only an id that the
//!   kernel itself does not know is proof.

use std::cell::Cell;

use super::{TID_MASK, Token};
use crate::atomic::thread_local;
use crate::sys;
use crate::time::Deadline;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Liveness {
    Alive,
    Dead,
    /// Nothing can be proven; to be treated as alive.
    Unknown,
}

/// What can be said of the thread that `token` names. A few microseconds, most of them in /proc.
pub(crate) fn of(token: Token) -> Liveness {
    if token.is_marked_dead() {
        return Liveness::Dead;
    }
    let mine = Token::mine();
    if token.same_thread(mine) {
        return Liveness::Alive;
    }
    if token.tid() == TID_MASK as u32 || token.namespace() == 0 || token.namespace() != mine.namespace() {
        return Liveness::Unknown;
    }
    if !sys::proc::tid_exists(token.tid()) {
        return Liveness::Dead;
    }
    if !sys::proc::sees_own_pids() {
        return Liveness::Unknown;
    }
    match sys::proc::task_of(token.tid()) {
        // Hidden by hidepid, or gone since we asked: the next look will tell.
        None => Liveness::Unknown,
        Some(task) if task.is_over => Liveness::Dead,
        Some(task) if task.start & super::FIELD != token.start() => Liveness::Dead,
        Some(_) => Liveness::Alive,
    }
}

/// Like `of`, for callers that ask again and again about the same holder, as who polls with `try_acquire` does:
/// an answer that was not "dead" is believed for a millisecond.
pub(crate) fn is_dead_cached(token: Token) -> bool {
    /// The shortest slice of a sleeping waiter; a polling one need not learn sooner.
    const BELIEVED_NANOS: u64 = 1_000_000;
    thread_local! {
        static LAST: Cell<(Token, Deadline)> = const { Cell::new((Token::FREE, Deadline::PAST)) };
    }
    let now = Deadline::now();
    LAST.with(|last| {
        let (known, until) = last.get();
        if known.same_thread(token) && now < until && !token.is_marked_dead() {
            return false;
        }
        let dead = of(token) == Liveness::Dead;
        last.set((token, if dead { Deadline::PAST } else { now.plus(BELIEVED_NANOS) }));
        dead
    })
}
