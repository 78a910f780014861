//! Is the holder dead? Proven, or no (D5): a wrong "alive" costs waiting, a wrong "dead" costs the user's data.
//!
//! The traps, each with its answer:
//! - a zombie still has its id, and signal 0 reaches it, and so has and does a thread that the kernel is just ending:
//!   /proc tells both;
//! - an id is reused: the start time differs;
//! - in another PID namespace the id is somebody else, and in another time namespace the start time reads
//!   differently: only the same namespace can prove anything;
//! - but in another boot of the machine nobody can be alive, in whatever namespace;
//! - /proc may be missing, hidden from this user, or mounted from another PID namespace: then only an id that the
//!   kernel itself does not know is proof;
//! - `exec` goes on as its process's first thread, with that one's id and start time, and ends all others. So what the
//!   first thread held stays held, by the new program, and what the others held is a dead one's. (When another than the
//!   first calls it, the first is one that ends: for an instant its claims may be seen to be a dead one's.)

use std::cell::Cell;

use super::Token;
use crate::atomic::thread_local;
use crate::sys;
use crate::sys::proc::Task;
use crate::time::Deadline;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Liveness {
    Alive,
    Dead,
    /// Nothing can be proven; to be treated as alive.
    Unknown,
}

/// What can be said of the thread that `token` names. Some ten microseconds, most of them in /proc.
pub(crate) fn of(token: Token) -> Liveness {
    by_token(token).unwrap_or_else(|| {
        // A "dead" must be proven, but one look tells most of the living; in a foreign /proc perhaps of somebody else,
        // which is the harmless error.
        match sys::proc::seeming_task(token.tid()) {
            Some(task) if is_same(task, token) => Liveness::Alive,
            _ => by_proof(token),
        }
    })
}

/// Whether the thread's id does not exist any more: of the ways of being dead the one that takes a microsecond to see.
pub(crate) fn is_gone(token: Token) -> bool {
    match by_token(token) {
        Some(known) => known == Liveness::Dead,
        None => !sys::proc::tid_exists(token.tid()),
    }
}

/// What the token alone says; `None` if more must be asked, which means something: it names a thread of this namespace.
fn by_token(token: Token) -> Option<Liveness> {
    let mine = Token::mine();
    if token.is_marked_dead() {
        Some(Liveness::Dead)
    } else if token.same_thread(mine) {
        Some(Liveness::Alive)
    } else if token.is_nobody() {
        Some(Liveness::Unknown)
    } else if token.is_of_another_boot(mine) {
        Some(Liveness::Dead)
    } else if token.namespace() == 0 || token.namespace() != mine.namespace() {
        Some(Liveness::Unknown)
    } else {
        None
    }
}

fn by_proof(token: Token) -> Liveness {
    if !sys::proc::tid_exists(token.tid()) {
        return Liveness::Dead;
    }
    match sys::proc::OwnProc::open().and_then(|proc| proc.task(token.tid())) {
        // Hidden by hidepid, or gone since we asked: the next look will tell.
        None => Liveness::Unknown,
        Some(task) if is_same(task, token) => Liveness::Alive,
        Some(_) => Liveness::Dead,
    }
}

/// Whether this is the thread that the token was made by, and it still runs.
fn is_same(task: Task, token: Token) -> bool {
    !task.is_over && task.start & super::START == token.start()
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
