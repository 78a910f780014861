//! Is the holder dead? Proven, or no (D5): a wrong "alive" costs waiting, a wrong "dead" costs the user's data.
//!
//! The traps, each with its answer:
//! - a zombie still has its id, and signal 0 reaches it, and so has and does a thread that the kernel is just ending:
//!   /proc tells both, and a pidfd tells the zombie for a tenth of the price;
//! - an id is reused: the start time differs;
//! - in another PID namespace the id is somebody else, and in another time namespace the start time reads
//!   differently: only the same namespace can prove anything;
//! - but in another boot of the machine nobody can be alive, in whatever namespace;
//! - /proc may be missing, hidden from this user, or mounted from another PID namespace: then only an id that the
//!   kernel itself does not know is proof;
//! - `exec` goes on as its process's first thread, with that one's id and start time, and ends all others. So what the
//!   first thread held stays held, by the new program, and what the others held is a dead one's. (When another than the
//!   first calls it, the first is one that ends: for an instant its claims may be seen to be a dead one's.)

mod again;

use std::cell::Cell;

use super::Token;
use crate::atomic::thread_local;
use crate::sys;
use crate::sys::proc::Task;
use crate::time::Deadline;
pub(crate) use again::of_again;

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

/// Whether the thread's id does not exist any more, or is a process's that has ended: of the ways of being dead those that
/// take a microsecond or two to see. Not seen are a reused id, and a first thread that ended before its process.
pub(crate) fn is_gone(token: Token) -> bool {
    match by_token(token) {
        Some(known) => known == Liveness::Dead,
        // Who has a robust list lives. A zombie has none, its id is nobody else's, and whoever had it before is dead, too.
        None => {
            let tid = token.tid();
            sys::proc::robust_list(tid).is_none() && (!sys::proc::tid_exists(tid) || sys::proc::is_zombie(tid))
        }
    }
}

/// How many of many are asked about closely, with `of`, at the end of one slice. With those looked at in passing, twenty
/// waiters that have come to their last slices (100 ms) cost 0.06 to 0.08 % of a core each in pools of 8 to 1024, on a
/// machine that was busy; with 8 to 32 close questions it was 0.12 to 0.42 %. Most of it is the first, because the sleep
/// has emptied the caches.
pub(crate) const CLOSELY: usize = 2;

/// How many are looked at in passing, with `is_gone`, for about what two more close questions would cost.
pub(crate) const IN_PASSING: usize = 16;

/// Those of `many` that are found dead at the end of one slice: of up to 18 all whose process has ended, and of more some.
/// The rest is for other slices and other waiters, for each begins somewhere else.
pub(crate) fn found_dead<T>(many: impl Iterator<Item = (T, Token)> + Clone) -> impl Iterator<Item = T> {
    let count = many.clone().count().max(1);
    // As good as dice: the clock's nanoseconds, after a sleep.
    let from = (Deadline::now().nanos() >> 10) as usize % count;
    let around = many.clone().skip(from).chain(many.take(from)).take(CLOSELY + IN_PASSING).enumerate();
    around.filter_map(|(n, (which, token))| {
        let dead = if n < CLOSELY { of_again(token) == Liveness::Dead } else { is_gone(token) };
        dead.then_some(which)
    })
}

/// What the token alone says; `None` if more must be asked, which means something: it names a thread of this namespace.
fn by_token(token: Token) -> Option<Liveness> {
    let mine = Token::mine();
    // No thread has the number zero: the kernel took the id out of a word when it marked it.
    if token.is_marked_dead() || token.tid() == 0 {
        Some(Liveness::Dead)
    } else if token.same_thread(mine) {
        Some(Liveness::Alive)
    } else if token.is_of_another_boot(mine) {
        Some(Liveness::Dead)
    } else if token.is_nobody() || token.namespace() == 0 || token.namespace() != mine.namespace() {
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
        // Hidden by hidepid, or waited for since we asked: who was found dead before does not come back to life for that.
        None if !sys::proc::tid_exists(token.tid()) => Liveness::Dead,
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
        let dead = of_again(token) == Liveness::Dead;
        last.set((token, if dead { Deadline::PAST } else { now.plus(BELIEVED_NANOS) }));
        dead
    })
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// `of` asks for a proof only where one look does not tell.
    #[test]
    fn the_living_are_proven_alive() {
        let (tell, told) = std::sync::mpsc::channel();
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let other = std::thread::spawn(move || {
            tell.send(Token::mine()).unwrap();
            ended.recv().unwrap_err();
        });
        for token in [Token::mine(), told.recv().unwrap()] {
            assert!(by_proof(token) == Liveness::Alive);
        }
        drop(end);
        other.join().unwrap();
    }
}
