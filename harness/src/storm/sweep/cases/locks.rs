//! `Lock` and `RLock`.

use super::alarm;
use super::{Case, Script, acquire, case, die_after, fine, idle, ignore, nothing};
use crate::storm::stations::Named;
use shmsync::{Lock, RLock};
use std::time::{Duration, Instant};

macro_rules! lock_cases {
    ($cases:ident, $lock:ident, $W:ident) => {{
        fn enter<W: Named>(lock: &$lock<W>) {
            acquire(|limit| lock.acquire_for(limit), || lock.recover());
        }
        fn visit<W: Named>(lock: &$lock<W>) {
            enter(lock);
            lock.release().expect("release by the holder");
        }
        fn held<W: Named>(lock: &$lock<W>, relented: &dyn Fn()) {
            lock.acquire().expect("acquire");
            relented();
            lock.release().expect("release by the holder");
        }
        fn held_by_the_dead<W: Named>(lock: &$lock<W>, relented: &dyn Fn()) {
            die_after(|| lock.acquire().expect("acquire"));
            relented();
        }
        let base = Script::<$lock<$W>> {
            fresh: $lock::new_in,
            hold: idle,
            sleeper: None,
            prepare: nothing,
            verb: nothing,
            late: visit,
            check: fine,
        };
        let (name, backend) = (stringify!($lock), $W::NAME);
        let mut add = |what: &str, script| $cases.push(case(&format!("{name}::{what}"), backend, script));
        // The first verb of a process makes its token, which looks into /proc: a long way. So there are both.
        let warm: fn(&$lock<$W>) = |_| {
            let other = $lock::<$W>::new_in();
            other.acquire().and_then(|()| other.release().map_err(|_| unreachable!())).expect("its own");
        };
        let take: fn(&$lock<$W>) = |lock| ignore(lock.acquire());
        let let_go: fn(&$lock<$W>) = |lock| ignore(lock.release());
        add("acquire, free", Script { prepare: warm, verb: take, ..base });
        add("acquire, free, first of the process", Script { verb: take, ..base });
        add(
            "acquire, held, another waits",
            Script { hold: held, sleeper: Some(visit), prepare: warm, verb: take, ..base },
        );
        add(
            "try_acquire, held",
            Script { hold: held, prepare: warm, verb: |lock: &$lock<$W>| ignore(lock.try_acquire()), ..base },
        );
        let timed: fn(&$lock<$W>) = |lock| ignore(lock.acquire_for(Duration::from_millis(2)));
        add(
            "acquire_for, held, times out",
            Script { hold: held, sleeper: Some(visit), prepare: warm, verb: timed, ..base },
        );
        let until: fn(&$lock<$W>) = |lock| ignore(lock.acquire_until(Instant::now() + Duration::from_millis(2)));
        add("acquire_until, held, times out", Script { hold: held, prepare: warm, verb: until, ..base });
        let hearing: fn(&$lock<$W>) = |_| {
            drop($lock::<$W>::new_in().lock());
            alarm::ring();
        };
        let interrupted: fn(&$lock<$W>) = |lock| ignore(lock.acquire_interruptible(None));
        add(
            "acquire_interruptible, held, interrupted; another waits",
            Script { hold: held, sleeper: Some(visit), prepare: hearing, verb: interrupted, ..base },
        );
        let try_take: fn(&$lock<$W>) = |lock| ignore(lock.try_acquire());
        add("try_acquire, free", Script { prepare: warm, verb: try_take, ..base });
        add("try_acquire, dead holder", Script { hold: held_by_the_dead, prepare: warm, verb: try_take, ..base });
        let guarded: fn(&$lock<$W>) = |lock| drop(lock.lock_for(Duration::from_secs(1)));
        add("lock_for, drop of the guard", Script { prepare: warm, verb: guarded, ..base });
        add("acquire, dead holder", Script { hold: held_by_the_dead, prepare: warm, verb: take, ..base });
        let recover: fn(&$lock<$W>) = |lock| ignore(lock.recover());
        add("recover, another waits", Script { hold: held_by_the_dead, prepare: warm, verb: recover, ..base });
        add("release", Script { prepare: take, verb: let_go, ..base });
        add("release, another waits", Script { sleeper: Some(visit), prepare: take, verb: let_go, ..base });
        base
    }};
}

pub(super) fn lock<W: Named>(cases: &mut Vec<Case>) {
    let base = lock_cases!(cases, Lock, W);
    // Who is to release what the victim disowned, if it came to that.
    let release_for_it: fn(&Lock<W>, &dyn Fn()) = |lock, relented| {
        relented();
        if lock.is_locked() && lock.holder().is_none() {
            ignore(lock.release()); // Anybody may, but where only the holder may, and `disown` does nothing.
        }
    };
    let prepare: fn(&Lock<W>) = |lock| ignore(lock.acquire());
    let disown = Script { hold: release_for_it, prepare, verb: Lock::disown, ..base };
    cases.push(case("Lock::disown", W::NAME, disown));
}

pub(super) fn rlock<W: Named>(cases: &mut Vec<Case>) {
    let base = lock_cases!(cases, RLock, W);
    let twice: fn(&RLock<W>) = |lock| {
        lock.acquire().expect("acquire");
        lock.acquire().expect("acquire");
    };
    let prepare: fn(&RLock<W>) = |lock| ignore(lock.acquire());
    let let_go: fn(&RLock<W>) = |lock| ignore(lock.release());
    let mut add = |what: &str, script| cases.push(case(&format!("RLock::{what}"), W::NAME, script));
    // What a recoverer finds is one deep, whatever the dead left.
    let check: fn(&RLock<W>) -> Result<(), String> = |lock| match lock.depth() {
        0 => Ok(()),
        depth => Err(format!("{depth} deep in the end")),
    };
    add("acquire, mine already", Script { prepare, verb: |lock: &RLock<W>| ignore(lock.acquire()), check, ..base });
    add("release, two deep", Script { prepare: twice, verb: let_go, check, ..base });
}
