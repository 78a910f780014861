//! From waiter to holder to waiter, until it comes back to where it began.
//!
//! A circle is looked at twice, because it is not read in one instant: a holder may let go of one lock while another
//! is being looked at, and a circle may seem to be there that never was. The argument for what the second look
//! confirms, for threads T1 .. Tn, where Ti waits for word Wi, and Ti+1 holds it:
//!
//! 1. Every entry reads the same in both looks, so each Ti was in that one wait from the first look's end to the second's
//!    beginning (the numbers of waits tell them apart). Call that moment M.
//! 2. In the second look Wi names Ti+1, whose wait was seen in the first. So Ti+1 did not let go of Wi before that wait, or
//!    the second look would have found it free (`edge: waits -> looked at again`); nor has it taken Wi since, or the second
//!    look would have found the wait over (`edge: left -> looked at again`). In its wait it takes nothing but Wi+1, and
//!    lets nothing go. So it held Wi at M.
//! 3. So at M each of them waited for a word that the next one held, and the last for the first's. None of them comes out of
//!    that by itself, but by its deadline or a signal.
//!
//! If one of them was killed, who waits for it will learn that, and not that it would deadlock.
//!
//! What can still end it from outside is a release by somebody who does not hold the lock, which a `Lock` allows. Who
//! means to be released by another says so with `disown`: then nobody in particular holds it, and nothing closes. A
//! thread that waits for a `Lock` which it holds itself is taken to mean just that, and is no circle.

use std::fmt;

use super::table::{Wait, WaitTable};
use crate::atomic::{Ordering, fence};
use crate::owner::Token;
use crate::owner::liveness::{self, Liveness};

/// One thread of a circle.
#[derive(Clone, Copy, PartialEq)]
struct Link {
    entry: usize,
    waiter: Token,
    wait: Wait,
}

/// Two or more threads, each of which waits for what the next one holds, and the last for what the first does.
pub(crate) struct Circle(Vec<Link>);

/// The circle that the thread in `entry` is part of, if there is one. `peek` reads a word of the payload.
pub(crate) fn find(table: &WaitTable, entry: usize, peek: impl Fn(u64) -> Option<u64>) -> Option<Circle> {
    let circle = follow(table, entry, &peek)?;
    let is_alive = |link: &Link| liveness::of(link.waiter) != Liveness::Dead;
    (follow(table, entry, &peek)? == circle && circle.iter().all(is_alive)).then_some(Circle(circle))
}

fn follow(table: &WaitTable, first: usize, peek: impl Fn(u64) -> Option<u64>) -> Option<Vec<Link>> {
    let mut circle: Vec<Link> = Vec::new();
    let mut entry = first;
    // Who comes to a circle that does not come back here has gone round it once: others will find it.
    while circle.iter().all(|link| link.entry != entry) {
        let (waiter, wait) = table.look(entry)?;
        circle.push(Link { entry, waiter, wait });
        let holder = Token(peek(wait.offset())?);
        // Behind each reading of a word, so that it is whole before the next entry, and before the second look.
        // edge: waits -> looked at again (Acquire end); edge: left -> looked at again (Acquire end)
        fence(Ordering::Acquire);
        if holder.is_free() || holder.is_marked_dead() {
            return None;
        }
        if holder.same_thread(circle[0].waiter) {
            return (circle.len() > 1).then_some(circle);
        }
        entry = table.entry_of(holder)?;
    }
    None
}

impl Circle {
    /// Who is told: the same whoever asks, for a circle reads the same from each of its threads. `None` if all are unwinding.
    pub(super) fn told(&self) -> Option<usize> {
        let last = |who: fn(Wait) -> bool| self.0.iter().filter(|link| who(link.wait)).map(|link| link.entry).max();
        last(Wait::can_fail).or(last(Wait::can_panic))
    }
}

/// `tid 12 waits for the lock at byte 0, which tid 13 holds, who waits for the lock at byte 8, which tid 12 holds`.
impl fmt::Display for Circle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0[0].waiter.dead_owner())?;
        let holders = self.0.iter().skip(1).chain(&self.0[..1]);
        for (at, (link, holder)) in self.0.iter().zip(holders).enumerate() {
            let who = if at == 0 { "" } else { ", who" };
            write!(
                f,
                "{who} waits for the lock at byte {}, which {} holds",
                link.wait.offset(),
                holder.waiter.dead_owner()
            )?;
        }
        Ok(())
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::owner::Token;
    use std::cell::Cell;
    use std::sync::Barrier;
    use std::thread;

    /// Threads 0 to 3, of which the last has ended, and a table in which nobody waits.
    fn with_threads(test: impl FnOnce(&WaitTable, [Token; 4])) {
        let table: Box<WaitTable> = zerocopy::FromZeros::new_box_zeroed().unwrap();
        let dead = thread::spawn(Token::mine).join().unwrap();
        let (known, done) = (Barrier::new(4), Barrier::new(4));
        let tokens = std::sync::Mutex::new(Vec::new());
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    tokens.lock().unwrap().push(Token::mine());
                    known.wait();
                    done.wait();
                });
            }
            known.wait();
            let alive = tokens.lock().unwrap().clone();
            test(&table, [alive[0], alive[1], alive[2], dead]);
            done.wait();
        });
    }

    /// Reads words that hold these tokens, the first at byte 0.
    fn holding(tokens: &[Token]) -> impl Fn(u64) -> Option<u64> + '_ {
        |offset| tokens.get(offset as usize / 8).map(|token| token.0)
    }

    #[test]
    fn a_circle_is_the_same_from_everywhere_and_told_to_one_who_can_be_told() {
        with_threads(|table, [a, b, c, _]| {
            // Each holds the word before the one that it waits for.
            let entries = [(a, 8, false), (b, 16, true), (c, 0, false)]
                .map(|(who, offset, can_fail)| table.enter(who, offset, can_fail).unwrap());
            let held = [a, b, c];
            let circles = entries.map(|entry| find(table, entry, holding(&held)).expect("a circle"));
            assert!(circles.iter().all(|circle| circle.told() == Some(entries[1])));
            let [a, b, c] = held.map(|token| token.dead_owner().to_string());
            assert_eq!(
                circles[0].to_string(),
                format!(
                    "{a} waits for the lock at byte 8, which {b} holds, who waits for the lock at byte 16, \
                     which {c} holds, who waits for the lock at byte 0, which {a} holds"
                )
            );
            table.leave(entries[1]);
            assert!(find(table, entries[0], holding(&held)).is_none(), "the one in the middle has left");
        });
    }

    #[test]
    fn what_does_not_close_is_none() {
        with_threads(|table, [a, b, c, dead]| {
            let first = table.enter(a, 8, true).unwrap();
            let second = table.enter(b, 16, true).unwrap();
            table.enter(dead, 0, true).unwrap();
            for (held, why) in [
                ([a, b, Token::FREE], "the last word is free"),
                ([a, b, Token::NOBODY], "nobody in particular holds it"),
                ([a, b, c], "its holder does not wait"),
                ([a, b, a.marked_dead()], "its holder is marked dead"),
                ([a, b, dead], "one of the circle is dead"),
                ([b, a, c], "one's own"),
                ([c, b, b], "another's own"),
            ] {
                assert!(find(table, first, holding(&held)).is_none(), "{why}");
            }
            assert!(find(table, first, holding(&[a])).is_none(), "no word there");
            assert!(find(table, second, holding(&[a, b, a])).is_some(), "with the right tokens there is one");
        });
    }

    /// The interleaving against which there is a second look: while the words are read, one of the circle comes out of its
    /// wait and lets go, and what it held is taken by the one that was not read yet.
    #[test]
    fn a_circle_that_never_was_is_not_found() {
        with_threads(|table, [a, b, _, _]| {
            let first = table.enter(a, 8, true).unwrap();
            let second = Cell::new(table.enter(b, 0, true).unwrap());
            let held = Cell::new([a, b]);
            let looks = Cell::new(0);
            let peek = |offset| {
                let found = held.get()[offset as usize / 8];
                looks.set(looks.get() + 1);
                if looks.get() == 2 {
                    // B has got what it waited for, and waits for it again after it had let everything go.
                    table.leave(second.get());
                    second.set(table.enter(b, 0, true).unwrap());
                    held.set([a, Token::FREE]);
                }
                Some(found.0)
            };
            assert!(find(table, first, peek).is_none());
            assert_eq!(looks.get(), 3);
        });
    }
}
