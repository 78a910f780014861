//! `Condition`, `Event`, `Barrier`: who waits, and who lets them go.

use super::alarm;
use super::{Case, LONG, Script, acquire, case, die_after, idle, ignore, nothing};
use crate::storm::stations::Named;
use shmsync::{AcquireError, Barrier, Condition, Event, Lock, Mutex, RLock};
use std::mem::forget;
use std::time::Duration;

#[derive(Debug)]
pub(super) struct Monitor<W: Named> {
    lock: Lock<W>,
    changed: Condition<W>,
}

impl<W: Named> Monitor<W> {
    fn enter(&self) {
        acquire(|limit| self.lock.acquire_for(limit), || self.lock.recover());
    }

    fn leave(&self) {
        self.lock.release().expect("release by the holder");
    }

    /// Waits for as long as it takes: at the end the holder notifies.
    fn wait(&self) {
        let mut guard = match self.lock.lock() {
            Ok(guard) => guard,
            Err(AcquireError::OwnerDied(_)) => {
                self.enter();
                return self.leave();
            }
            Err(other) => panic!("lock: {other:?}"),
        };
        match self.changed.wait_timeout(&mut guard, LONG) {
            Ok(true) => {}
            Ok(false) => panic!("not notified"),
            Err(AcquireError::OwnerDied(_)) => ignore(guard.recover()),
            Err(other) => panic!("wait: {other:?}"),
        }
    }
}

pub(super) fn condition<W: Named>(cases: &mut Vec<Case>) {
    fn notify_at_the_end<W: Named>(monitor: &Monitor<W>, relented: &dyn Fn()) {
        relented();
        // Again and again: a killed victim may have held the lock, and the sleeper be on its way still.
        for _ in 0..3 {
            monitor.enter();
            monitor.changed.notify_all();
            monitor.leave();
        }
    }
    fn pass<W: Named>(monitor: &Monitor<W>) {
        monitor.enter();
        monitor.changed.notify_one();
        monitor.leave();
    }
    let base = Script::<Monitor<W>> {
        fresh: || Monitor { lock: Lock::new_in(), changed: Condition::new_in() },
        hold: notify_at_the_end,
        sleeper: Some(Monitor::wait),
        prepare: |_| drop(Lock::<W>::new_in().lock()),
        verb: nothing,
        late: pass,
        check: |_| Ok(()),
    };
    let mut add = |what: &str, script| cases.push(case(&format!("Condition::{what}"), W::NAME, script));
    add("notify_one, one waits", Script { verb: |monitor: &Monitor<W>| monitor.changed.notify_one(), ..base });
    add("notify_all, one waits", Script { verb: |monitor: &Monitor<W>| monitor.changed.notify_all(), ..base });
    add("notify of two, one waits", Script { verb: |monitor: &Monitor<W>| monitor.changed.notify(2), ..base });
    let held: fn(&Monitor<W>) = |monitor| {
        monitor.enter();
        monitor.changed.notify_all();
        monitor.leave();
    };
    add("lock, notify_all, unlock; one waits", Script { verb: held, ..base });
    let on_unlock: fn(&Monitor<W>) = |monitor| {
        let mut guard = monitor.lock.lock().expect("lock");
        monitor.changed.notify_all_on_unlock(&mut guard);
    };
    add("lock, notify_all_on_unlock, unlock; one waits", Script { verb: on_unlock, ..base });
    add("lock, wait, unlock; another waits", Script { verb: Monitor::wait, ..base });
    let timed: fn(&Monitor<W>) = |monitor| {
        let mut guard = monitor.lock.lock().expect("lock");
        ignore(monitor.changed.wait_timeout(&mut guard, Duration::from_millis(2)));
    };
    add("lock, wait_timeout, unlock; times out, another waits", Script { verb: timed, ..base });
    let hearing: fn(&Monitor<W>) = |_| {
        drop(Lock::<W>::new_in().lock());
        alarm::ring();
    };
    let interrupted: fn(&Monitor<W>) = |monitor| {
        let mut guard = monitor.lock.lock().expect("lock");
        ignore(monitor.changed.wait_interruptible(&mut guard, None));
    };
    let hearing = Script { prepare: hearing, verb: interrupted, ..base };
    add("lock, wait_interruptible, unlock; interrupted, another waits", hearing);
    others::<W>(cases);
}

/// A condition beside an [`RLock`] and a [`Mutex`].
#[derive(Debug)]
pub(super) struct Others<W: Named> {
    rlock: RLock<W>,
    mutex: Mutex<u64, W>,
    changed: Condition<W>,
}

fn others<W: Named>(cases: &mut Vec<Case>) {
    fn enter<W: Named>(all: &Others<W>) {
        acquire(|limit| all.rlock.acquire_for(limit), || all.rlock.recover());
    }
    /// Counts, repairing first if somebody died; whoever waits for a change of the count is notified.
    fn count<W: Named>(all: &Others<W>) {
        let mut guard = all.mutex.lock().unwrap_or_else(|poison| poison.into_inner());
        all.mutex.clear_poison();
        *guard += 1;
        drop(guard);
        all.changed.notify_all();
    }
    fn notify_at_the_end<W: Named>(all: &Others<W>, relented: &dyn Fn()) {
        relented();
        for _ in 0..3 {
            count(all);
        }
    }
    fn late<W: Named>(all: &Others<W>) {
        enter(all);
        all.changed.notify_one();
        all.rlock.release().expect("release by the holder");
        count(all);
    }
    let base = Script::<Others<W>> {
        fresh: || Others { rlock: RLock::new_in(), mutex: Mutex::new_in(0), changed: Condition::new_in() },
        hold: notify_at_the_end,
        sleeper: None,
        prepare: |_| drop(Lock::<W>::new_in().lock()),
        verb: |all| {
            let _outer = all.rlock.lock().expect("lock");
            let mut inner = all.rlock.lock().expect("lock again");
            ignore(all.changed.wait(&mut inner));
        },
        late,
        check: |all| match all.rlock.depth() {
            0 => Ok(()),
            depth => Err(format!("{depth} deep in the end")),
        },
    };
    cases.push(case("Condition::wait with an RLock two deep", W::NAME, base));
    let counted: fn(&Others<W>) = |all| {
        let mut guard = all.mutex.lock().unwrap_or_else(|poison| poison.into_inner());
        ignore(all.changed.wait_while(&mut guard, |count| *count == 0));
    };
    let sleeper: Option<fn(&Others<W>)> = Some(|all: &Others<W>| {
        let mut guard = all.mutex.lock().unwrap_or_else(|poison| poison.into_inner());
        let _ = all.changed.wait_timeout_while(&mut guard, LONG, |count| *count == 0);
        assert!(*guard > 0, "nothing was counted, and the wait is over");
    });
    cases.push(case(
        "Condition::wait_while with a Mutex, another waits",
        W::NAME,
        Script { verb: counted, sleeper, ..base },
    ));
}

pub(super) fn event<W: Named>(cases: &mut Vec<Case>) {
    fn set_at_the_end<W: Named>(event: &Event<W>, relented: &dyn Fn()) {
        relented();
        event.set();
    }
    fn wait<W: Named>(event: &Event<W>) {
        assert!(event.wait_timeout(LONG), "not set");
    }
    let base = Script::<Event<W>> {
        fresh: Event::new_in,
        hold: set_at_the_end,
        sleeper: Some(wait),
        prepare: |_| ignore(Event::<W>::new_in().wait_timeout(Duration::from_nanos(1))),
        verb: Event::set,
        late: wait,
        check: |event| if event.is_set() { Ok(()) } else { Err(String::from("not set in the end")) },
    };
    let mut add = |what: &str, script| cases.push(case(&format!("Event::{what}"), W::NAME, script));
    add("set", Script { sleeper: None, ..base });
    add("set, another waits", base);
    // The holder may have set it before it is cleared, so who comes late sets it once more.
    let set_and_wait: fn(&Event<W>) = |event| {
        event.set();
        wait(event);
    };
    add("clear", Script { sleeper: None, prepare: Event::set, verb: Event::clear, late: set_and_wait, ..base });
    add("wait, another waits", Script { verb: Event::wait, ..base });
    add("wait, set", Script { sleeper: None, prepare: Event::set, verb: Event::wait, ..base });
    let timed: fn(&Event<W>) = |event| ignore(event.wait_timeout(Duration::from_millis(2)));
    add("wait_timeout, times out, another waits", Script { verb: timed, ..base });
    let hearing: fn(&Event<W>) = |_| {
        ignore(Event::<W>::new_in().wait_timeout(Duration::from_nanos(1)));
        alarm::ring();
    };
    let interrupted: fn(&Event<W>) = |event| ignore(event.wait_interruptible(None));
    add("wait_interruptible, interrupted, another waits", Script { prepare: hearing, verb: interrupted, ..base });
}

pub(super) fn barrier<W: Named>(cases: &mut Vec<Case>) {
    fn abort_at_the_end<W: Named>(barrier: &Barrier<W>, relented: &dyn Fn()) {
        relented();
        barrier.abort();
    }
    fn wait<W: Named>(barrier: &Barrier<W>) {
        ignore(barrier.wait());
    }
    let base = Script::<Barrier<W>> {
        fresh: || Barrier::new_in(2),
        hold: abort_at_the_end,
        sleeper: Some(wait),
        prepare: |_| ignore(Barrier::<W>::new_in(2).wait_timeout(Duration::from_nanos(1))),
        verb: wait,
        // Broken by then, or between two rounds: who waits with a timeout comes to an end.
        late: |barrier| ignore(barrier.wait_timeout(Duration::from_millis(1))),
        check: |barrier| {
            barrier.reset();
            if barrier.is_broken() || barrier.n_waiting() > 0 { Err(format!("{barrier:?}")) } else { Ok(()) }
        },
    };
    let mut add = |what: &str, script| cases.push(case(&format!("Barrier::{what}"), W::NAME, script));
    add("wait, the last to come", base);
    add("wait, the first to come", Script { sleeper: None, ..base });
    let timed: fn(&Barrier<W>) = |barrier| ignore(barrier.wait_timeout(Duration::from_millis(2)));
    add("wait_timeout, times out, another waits", Script { fresh: || Barrier::new_in(3), verb: timed, ..base });
    let acting: fn(&Barrier<W>) = |barrier| ignore(barrier.wait_with(|| std::hint::black_box(())));
    add("wait_with, the last to come, acts", Script { verb: acting, ..base });
    add("abort, another waits", Script { verb: Barrier::abort, ..base });
    add("reset, another waits", Script { verb: Barrier::reset, ..base });

    // With members the holder need not help: a death alone lets the others go.
    fn wait_as_member<W: Named>(barrier: &Barrier<W, 3>) {
        let member = barrier.join().expect("a place");
        ignore(member.wait());
    }
    let members = Script::<Barrier<W, 3>> {
        fresh: || Barrier::with_members(2),
        hold: idle,
        sleeper: Some(wait_as_member),
        prepare: |barrier| forget(barrier.join()),
        verb: |barrier| ignore(barrier.wait()),
        late: |barrier| ignore(barrier.wait_timeout(Duration::from_millis(1))),
        check: |barrier| {
            let all = [barrier.join(), barrier.join(), barrier.join()];
            if all.iter().all(Option::is_some) { Ok(()) } else { Err(format!("a place is lost: {all:?}")) }
        },
    };
    let mut add = |what: &str, script| cases.push(case(&format!("Member::{what}"), W::NAME, script));
    add("wait, the last to come, another waits", members);
    // It would give up by itself in the end; killed before, its death must do.
    let timed: fn(&Barrier<W, 3>) = |barrier| ignore(barrier.wait_timeout(Duration::from_millis(5)));
    let three = Script { fresh: || Barrier::with_members(3), verb: timed, ..members };
    add("wait_timeout, neither first nor last, another waits", three);
    let join: fn(&Barrier<W, 3>) = |barrier| forget(barrier.join());
    // Nobody waits: who joins and dies breaks it for the late ones, if they look before they are two.
    let warm: fn(&Barrier<W, 3>) = |_| forget(Barrier::<W, 3>::with_members(1).join());
    let joining = Script { sleeper: None, prepare: warm, verb: join, ..members };
    add("join", joining);
    let leave: fn(&Barrier<W, 3>) = |barrier| drop(barrier.join());
    add("join, leave", Script { verb: leave, ..joining });
    let dead: fn(&Barrier<W, 3>, &dyn Fn()) = |barrier, relented| {
        die_after(|| forget([barrier.join(), barrier.join(), barrier.join()]));
        relented();
    };
    add("join, leave; all places held by the dead", Script { hold: dead, verb: leave, ..joining });
}
