//! Asking after the same threads again and again, as every waiter does at each slice's end.
//!
//! A look into /proc takes 15 µs after a sleep, with cold caches: more than the sleep itself. But of a thread that was proven
//! alive a moment ago it only remains to be seen that it has not ended since. The kernel says in a microsecond or two where
//! a thread's robust list begins, and forgets it early on the thread's way to its end, before it is a zombie. So:
//!
//! 1. Where the list begins is asked first, and then the thread is proven alive. Its id was its own all the while from
//!    the token's making to the proof, so the list is that thread's.
//! 2. As long as the list of the thread with that id begins there, somebody of that id lives. It is the same thread, unless
//!    the id was given to another between two such questions, whose list begins at the same address, as those of forked
//!    siblings do.
//! 3. Ids are given in a circle, so for that at least as many threads must have begun between the two questions as
//!    there are ids, 32,768 or four million mostly. That it is then found out after all, everybody is proven alive anew
//!    after a while; and if the last question is some time ago, at once.
//!
//! Only "alive" is ever said so. Whatever else the list says leads to a proof.

use std::cell::Cell;
use std::num::NonZeroUsize;

use super::{Liveness, by_token, of};
use crate::atomic::thread_local;
use crate::owner::Token;
use crate::sys;
use crate::time::Deadline;

/// How long the list alone is believed after a proof: one look in twenty is a long one.
const PROVEN_NANOS: u64 = 2_000_000_000;

/// The time between two questions: the longest slice and what it may be late.
const SEEN_NANOS: u64 = 150_000_000;

/// Of how many threads something is known: the one that is waited for, or a few of a pool's.
const PLACES: usize = 4;

#[derive(Clone, Copy)]
struct Known {
    who: Token,
    /// Where its robust list begins; none if that says nothing.
    list: Option<NonZeroUsize>,
    proven: Deadline,
    seen: Deadline,
}

impl Known {
    const NOBODY: Self = Self { who: Token::FREE, list: None, proven: Deadline::PAST, seen: Deadline::PAST };

    fn says_alive(&self, who: Token, list: NonZeroUsize, now: Deadline) -> bool {
        self.list == Some(list)
            && self.who.same_thread(who)
            && now.since(self.proven) < PROVEN_NANOS
            && now.since(self.seen) < SEEN_NANOS
    }
}

thread_local! {
    static KNOWN: Cell<[Known; PLACES]> = const { Cell::new([Known::NOBODY; PLACES]) };
}

/// As [`of`], for callers that ask after the same threads again and again.
pub(crate) fn of_again(token: Token) -> Liveness {
    if let Some(known) = by_token(token) {
        return known;
    }
    let now = Deadline::now();
    let place = token.tid() as usize % PLACES;
    let mut all = KNOWN.with(Cell::get);
    let known = &mut all[place];
    let list = sys::proc::robust_list(token.tid());
    let answer = if list.is_some_and(|list| known.says_alive(token, list, now)) {
        known.seen = now;
        Liveness::Alive
    } else {
        let answer = of(token);
        let list = list.filter(|_| answer == Liveness::Alive);
        *known = Known { who: token, list, proven: now, seen: now };
        answer
    };
    KNOWN.with(|cell| cell.set(all));
    answer
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_list_of_the_same_thread_says_so_and_not_for_long() {
        let [who, other] = [Token(4711), Token(4711 | 1 << 42)];
        let [list, elsewhere] = [0x1000, 0x2000].map(|at| NonZeroUsize::new(at).unwrap());
        let at = |nanos| Deadline::PAST.plus(nanos);
        let known = Known { who, list: Some(list), proven: at(1), seen: at(PROVEN_NANOS - SEEN_NANOS + 1) };
        let end = at(PROVEN_NANOS);
        assert!(known.says_alive(who.with_waiters(), list, end));
        assert!(!known.says_alive(who, list, end.plus(1)), "long after the proof");
        assert!(!known.says_alive(who, elsewhere, end) && !known.says_alive(other, list, end));
        let known = Known { seen: at(PROVEN_NANOS - SEEN_NANOS), ..known };
        assert!(!known.says_alive(who, list, end), "long after the last question");
        assert!(!Known { list: None, seen: end, ..known }.says_alive(who, list, end));
        assert!(!Known::NOBODY.says_alive(Token::FREE, list, at(2)));
    }

    /// Once by proof, a few times by the list, and at last not at all.
    #[test]
    fn who_ends_is_not_believed_to_live() {
        let (tell, told) = std::sync::mpsc::channel();
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let other = std::thread::spawn(move || {
            tell.send(Token::mine()).unwrap();
            ended.recv().unwrap_err();
        });
        let token = told.recv().unwrap();
        for _ in 0..5 {
            assert!(of_again(token) == Liveness::Alive);
        }
        let known = KNOWN.with(Cell::get)[token.tid() as usize % PLACES];
        // musl tells the kernel of a list only when there is something in it.
        if cfg!(target_env = "gnu") {
            assert!(known.who.same_thread(token) && known.list.is_some() && known.seen > known.proven);
        }
        drop(end);
        other.join().unwrap();
        // The kernel forgets a thread a moment after it has been joined.
        let limit = Deadline::now().plus(20_000_000_000);
        while of_again(token) != Liveness::Dead {
            assert!(Deadline::now() < limit, "believed to live");
            std::thread::yield_now();
        }
        assert!(KNOWN.with(Cell::get)[token.tid() as usize % PLACES].list.is_none());
    }
}
