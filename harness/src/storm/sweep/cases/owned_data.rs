//! `Mutex`, `RwLock`, `OnceCell`: data, and what is known of it.

use super::{Case, LONG, Script, case, confirm, die_after, fine, idle, ignore, nothing};
use crate::process;
use crate::region::Region;
use crate::storm::stations::Named;
use shmsync::{Mutex, Once, OnceCell, PoisonCause, RwLock, TryLockError};
use std::mem::forget;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::time::Duration;

type Pair<W> = Mutex<[u64; 2], W>;

/// Enters, repairs where that is the agreement, changes.
fn visit_mutex<W: Named>(mutex: &Pair<W>) {
    let mut guard = match mutex.try_lock_for(LONG) {
        Ok(guard) => guard,
        Err(TryLockError::Poisoned(poison)) => {
            confirm_cause(poison.cause());
            let mut guard = poison.into_inner();
            guard[1] = guard[0];
            mutex.clear_poison();
            guard
        }
        Err(other) => panic!("lock: {other:?}"),
    };
    assert_eq!(guard[0], guard[1], "torn, and no poison");
    change(&mut guard);
}

/// That the cause is a death, and that it was one.
fn confirm_cause(cause: PoisonCause) {
    match cause {
        PoisonCause::Died(owner) => confirm(owner),
        other => panic!("nobody panicked: {other:?}"),
    }
}

#[inline(never)]
fn change(pair: &mut [u64; 2]) {
    pair[0] += 1;
    std::hint::black_box(&mut *pair);
    pair[1] += 1;
}

pub(super) fn mutex<W: Named>(cases: &mut Vec<Case>) {
    fn held<W: Named>(mutex: &Pair<W>, relented: &dyn Fn()) {
        let guard = mutex.lock().expect("lock");
        relented();
        drop(guard);
    }
    fn held_by_the_dead<W: Named>(mutex: &Pair<W>, relented: &dyn Fn()) {
        die_after(|| forget(mutex.lock()));
        relented();
    }
    let verb: fn(&Pair<W>) = |mutex| change(&mut mutex.lock().unwrap_or_else(|poison| poison.into_inner()));
    let base = Script::<Pair<W>> {
        fresh: || Mutex::new_in([0, 0]),
        hold: idle,
        sleeper: None,
        prepare: |_| drop(Pair::<W>::new_in([0, 0]).lock()),
        verb,
        late: visit_mutex,
        check: fine,
    };
    let mut add = |what: &str, script| cases.push(case(&format!("Mutex::{what}"), W::NAME, script));
    add("lock, change, unlock", base);
    add("lock, change, unlock; held, another waits", Script { hold: held, sleeper: Some(visit_mutex), ..base });
    add("lock, change, unlock; dead holder", Script { hold: held_by_the_dead, ..base });
    let by_the_dead = Script { hold: held_by_the_dead, ..base };
    add("lock, repair, clear_poison, unlock; dead holder", Script { verb: visit_mutex, ..by_the_dead });
    let timed: fn(&Pair<W>) = |mutex| ignore(mutex.try_lock_for(Duration::from_millis(2)));
    add(
        "try_lock_for, held, times out, another waits",
        Script { hold: held, sleeper: Some(visit_mutex), verb: timed, ..base },
    );
    let tried: fn(&Pair<W>) = |mutex| ignore(mutex.try_lock());
    add("try_lock, unlock", Script { verb: tried, ..base });
    add("try_lock, held", Script { hold: held, verb: tried, ..base });
    // It is no holder's business: who finds the poison may clear it without the lock.
    add(
        "clear_poison, dead holder",
        Script {
            verb: Mutex::clear_poison,
            check: |mutex| {
                // Whether it came to that or not, it is clear in the end, for the late ones repair what they are told of.
                if mutex.is_poisoned() { Err(String::from("poisoned in the end")) } else { Ok(()) }
            },
            ..by_the_dead
        },
    );
    add("lock, change, unlock; first of the process", Script { prepare: nothing, ..base });
}

type Rw<W> = RwLock<[u64; 2], 2, W>;

fn write<W: Named>(lock: &Rw<W>) {
    let mut guard = match lock.try_write_for(LONG) {
        Ok(guard) => guard,
        Err(TryLockError::Poisoned(poison)) => {
            confirm_cause(poison.cause());
            let mut guard = poison.into_inner();
            guard[1] = guard[0];
            lock.clear_poison();
            guard
        }
        Err(other) => panic!("write: {other:?}"),
    };
    assert_eq!(guard[0], guard[1], "torn, and no poison");
    change(&mut guard);
}

fn read<W: Named>(lock: &Rw<W>) {
    match lock.try_read_for(LONG) {
        Ok(guard) => assert_eq!(guard[0], guard[1], "torn, and no poison"),
        Err(TryLockError::Poisoned(poison)) => confirm_cause(poison.cause()),
        Err(other) => panic!("read: {other:?}"),
    }
}

pub(super) fn rwlock<W: Named>(cases: &mut Vec<Case>) {
    fn held_by_writer<W: Named>(lock: &Rw<W>, relented: &dyn Fn()) {
        let guard = lock.write().expect("write");
        relented();
        drop(guard);
    }
    fn held_by_reader<W: Named>(lock: &Rw<W>, relented: &dyn Fn()) {
        let guard = lock.read().expect("read");
        relented();
        drop(guard);
    }
    fn held_by_dead_writer<W: Named>(lock: &Rw<W>, relented: &dyn Fn()) {
        die_after(|| forget(lock.write()));
        relented();
    }
    fn held_by_dead_readers<W: Named>(lock: &Rw<W>, relented: &dyn Fn()) {
        die_after(|| forget(lock.read()));
        die_after(|| forget(lock.read()));
        relented();
    }
    let reading: fn(&Rw<W>) = |lock| drop(lock.read());
    let writing: fn(&Rw<W>) = |lock| change(&mut lock.write().unwrap_or_else(|poison| poison.into_inner()));
    let base = Script::<Rw<W>> {
        fresh: || RwLock::new_in([0, 0]),
        hold: idle,
        sleeper: None,
        prepare: |_| drop(Rw::<W>::new_in([0, 0]).write()),
        verb: reading,
        late: write,
        check: fine,
    };
    let mut add = |what: &str, script| cases.push(case(&format!("RwLock::{what}"), W::NAME, script));
    add("read, leave", base);
    add("read, leave; a writer inside, another waits", Script { hold: held_by_writer, sleeper: Some(write), ..base });
    add("read, leave; all slots held by the dead", Script { hold: held_by_dead_readers, ..base });
    add("read, leave; dead writer", Script { hold: held_by_dead_writer, ..base });
    add("write, change, leave", Script { verb: writing, ..base });
    let by_writer = Script { hold: held_by_writer, verb: writing, ..base };
    add("write, change, leave; a writer inside, a reader waits", Script { sleeper: Some(read), ..by_writer });
    let timed: fn(&Rw<W>) = |lock| ignore(lock.try_read_for(Duration::from_millis(2)));
    add(
        "try_read_for, a writer inside, times out; another waits",
        Script { hold: held_by_writer, sleeper: Some(write), verb: timed, ..base },
    );
    let timed: fn(&Rw<W>) = |lock| ignore(lock.try_write_for(Duration::from_millis(2)));
    add(
        "try_write_for, a reader inside, times out; another waits",
        Script { hold: held_by_reader, sleeper: Some(write), verb: timed, ..base },
    );
    add("try_read, leave", Script { verb: |lock: &Rw<W>| ignore(lock.try_read()), ..base });
    add("try_write, leave", Script { verb: |lock: &Rw<W>| ignore(lock.try_write()), ..base });
    add("write, repair, clear_poison, leave; dead writer", Script { hold: held_by_dead_writer, verb: write, ..base });
    let by_reader = Script { hold: held_by_reader, verb: writing, ..base };
    add("write, change, leave; a reader inside, a writer waits", Script { sleeper: Some(write), ..by_reader });
    add("write, change, leave; dead readers", Script { hold: held_by_dead_readers, verb: writing, ..base });
    add("write, change, leave; dead writer", Script { hold: held_by_dead_writer, verb: writing, ..base });
}

type Cell<W> = OnceCell<[u64; 2], W>;

pub(super) fn once<W: Named>(cases: &mut Vec<Case>) {
    fn get<W: Named>(cell: &Cell<W>) {
        let value = cell.get_or_init(|| [3, 3]);
        assert_eq!(value[0], value[1], "a torn value");
    }
    fn initialising<W: Named>(cell: &Cell<W>, relented: &dyn Fn()) {
        cell.get_or_init(|| {
            relented();
            [4, 4]
        });
    }
    fn died_initialising<W: Named>(cell: &Cell<W>, relented: &dyn Fn()) {
        let inside = Region::new(AtomicBool::new(false)).expect("shared memory");
        let mut child = process::fork(|| {
            cell.get_or_init(|| {
                inside.store(true, SeqCst);
                loop {
                    thread::park();
                }
            });
        });
        while !inside.load(SeqCst) {
            thread::sleep(Duration::from_micros(20));
        }
        child.kill();
        drop(child); // Reaped.
        relented();
    }
    let base = Script::<Cell<W>> {
        fresh: OnceCell::new_in,
        hold: idle,
        sleeper: None,
        prepare: |_| ignore(Cell::<W>::new_in().set([0, 0])),
        verb: |cell| {
            cell.get_or_init(|| [5, 5]);
        },
        late: get,
        check: |cell| match cell.get() {
            Some([a, b]) if a == b => Ok(()),
            other => Err(format!("{other:?}")),
        },
    };
    let mut add = |what: &str, script| cases.push(case(&format!("OnceCell::{what}"), W::NAME, script));
    add("get_or_init, empty", base);
    add("get_or_init, another is at it, a third waits", Script { hold: initialising, sleeper: Some(get), ..base });
    add("set, empty", Script { verb: |cell: &Cell<W>| ignore(cell.set([6, 6])), ..base });
    let tried: fn(&Cell<W>) = |cell| ignore(cell.get_or_try_init(|| Err::<[u64; 2], ()>(())));
    add("get_or_try_init, empty, fails", Script { verb: tried, ..base });
    add("get_or_init, dead initialiser", Script { hold: died_initialising, ..base });
}

/// Once without data: every call but a completed one is told of the dead.
pub(super) fn call_once<W: Named>(cases: &mut Vec<Case>) {
    let base = Script::<Once<W>> {
        fresh: Once::new_in,
        hold: idle,
        sleeper: None,
        prepare: |_| Once::<W>::new_in().call_once(|| {}),
        verb: |once| once.call_once_with(|_| {}),
        late: |once| once.call_once_with(|cause| cause.into_iter().for_each(confirm_cause)),
        check: |once| if once.is_completed() { Ok(()) } else { Err(String::from("not completed in the end")) },
    };
    cases.push(case("Once::call_once_with", W::NAME, base));
    let by_another: fn(&Once<W>, &dyn Fn()) = |once, relented| once.call_once_with(|_| relented());
    let waits = Script { hold: by_another, sleeper: Some(base.late), ..base };
    cases.push(case("Once::call_once_with, another is at it, a third waits", W::NAME, waits));
}
