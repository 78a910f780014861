//! `Semaphore` (and with it `BoundedSemaphore`) and `PermitPool`.

use super::alarm;
use super::{Case, LONG, Script, case, die_after, fine, idle, ignore};
use crate::storm::stations::Named;
use shmsync::{AcquireError, BoundedSemaphore, PermitPool, Semaphore};
use std::mem::forget;
use std::time::Duration;

pub(super) fn semaphore<W: Named>(cases: &mut Vec<Case>) {
    fn visit<W: Named>(sem: &Semaphore<W>) {
        sem.acquire_for(LONG).expect("acquire");
        sem.release().expect("release");
    }
    // Permits that the victim takes with it are lost, as documented: the holder brings new ones.
    fn bring<W: Named>(sem: &Semaphore<W>, relented: &dyn Fn()) {
        relented();
        sem.release_many(2).expect("release");
    }
    fn warm<W: Named>(_: &Semaphore<W>) {
        ignore(Semaphore::<W>::new_in(0).acquire_for(Duration::from_nanos(1)));
    }
    let base = Script::<Semaphore<W>> {
        fresh: || Semaphore::new_in(0),
        hold: bring,
        sleeper: None,
        prepare: warm,
        verb: |sem| ignore(sem.acquire()),
        late: visit,
        check: |sem| match sem.value() {
            1 | 2 => Ok(()),
            value => Err(format!("{value} permits in the end, of 2, when one may be lost")),
        },
    };
    let gave: fn(&Semaphore<W>) -> Result<(), String> = |sem| match sem.value() {
        2..=4 => Ok(()),
        value => Err(format!("{value} permits in the end, of 2, when up to two may have been given")),
    };
    let mut add = |what: &str, script| cases.push(case(&format!("Semaphore::{what}"), W::NAME, script));
    add(
        "acquire, free",
        Script {
            fresh: || Semaphore::new_in(1),
            hold: bring,
            check: |sem| match sem.value() {
                2 | 3 => Ok(()),
                value => Err(format!("{value} permits in the end, of 3, when one may be lost")),
            },
            ..base
        },
    );
    add("acquire, none free, another waits", Script { sleeper: Some(visit), ..base });
    let timed: fn(&Semaphore<W>) = |sem| ignore(sem.acquire_for(Duration::from_millis(2)));
    let unharmed = |sem: &Semaphore<W>| fine(sem);
    add("acquire_for, none free, times out", Script { sleeper: Some(visit), verb: timed, check: unharmed, ..base });
    let unharmed = |sem: &Semaphore<W>| fine(sem);
    let interrupted: fn(&Semaphore<W>) = |sem| ignore(sem.acquire_interruptible(None));
    let hearing: fn(&Semaphore<W>) = |sem| {
        warm(sem);
        alarm::ring();
    };
    add(
        "acquire_interruptible, none free, interrupted; another waits",
        Script { sleeper: Some(visit), prepare: hearing, verb: interrupted, check: unharmed, ..base },
    );
    let unharmed = |sem: &Semaphore<W>| fine(sem);
    add(
        "try_acquire, none free",
        Script { verb: |sem: &Semaphore<W>| ignore(sem.try_acquire()), check: unharmed, ..base },
    );
    add("release", Script { verb: |sem: &Semaphore<W>| ignore(sem.release()), check: gave, ..base });
    add(
        "release, another waits",
        Script { sleeper: Some(visit), verb: |sem: &Semaphore<W>| ignore(sem.release()), check: gave, ..base },
    );
    let two: fn(&Semaphore<W>) = |sem| ignore(sem.release_many(2));
    add("release_many, another waits", Script { sleeper: Some(visit), verb: two, check: gave, ..base });

    let bounded = Script::<BoundedSemaphore<W>> {
        fresh: || BoundedSemaphore::new_in(2),
        hold: idle,
        sleeper: None,
        prepare: |sem| ignore(sem.acquire()),
        verb: |sem| ignore(sem.release()),
        late: |sem| {
            sem.acquire_for(LONG).expect("acquire");
            sem.release().expect("release");
        },
        check: |sem| if (1..=2).contains(&sem.value()) { Ok(()) } else { Err(format!("{sem:?}")) },
    };
    cases.push(case("BoundedSemaphore::release", W::NAME, bounded));
    let both: fn(&BoundedSemaphore<W>) = |sem| {
        sem.acquire().expect("acquire");
        sem.acquire().expect("acquire");
    };
    let sleeper: fn(&BoundedSemaphore<W>) = bounded.late;
    let many: fn(&BoundedSemaphore<W>) = |sem| ignore(sem.release_many(2));
    // What the dead took with them is lost, as documented; so another brings two, as far as there is room.
    let bring: fn(&BoundedSemaphore<W>, &dyn Fn()) = |sem, relented| {
        relented();
        while sem.value() < 2 && sem.release().is_ok() {}
    };
    let another_waits = Script { hold: bring, sleeper: Some(sleeper), prepare: both, verb: many, ..bounded };
    cases.push(case("BoundedSemaphore::release_many, another waits", W::NAME, another_waits));
    cases.push(case(
        "BoundedSemaphore::acquire, free",
        W::NAME,
        Script {
            verb: |sem: &BoundedSemaphore<W>| ignore(sem.acquire()),
            prepare: |_| ignore(BoundedSemaphore::<W>::new_in(0).acquire_for(Duration::from_nanos(1))),
            ..bounded
        },
    ));
}

type Pool<W> = PermitPool<2, W>;

pub(super) fn pool<W: Named>(cases: &mut Vec<Case>) {
    fn visit<W: Named>(pool: &Pool<W>) {
        drop(pool.acquire_for(LONG).expect("acquire"));
    }
    fn held<W: Named>(pool: &Pool<W>, relented: &dyn Fn()) {
        let all = [pool.acquire().expect("acquire"), pool.acquire().expect("acquire")];
        relented();
        drop(all);
    }
    fn held_by_the_dead<W: Named>(pool: &Pool<W>, relented: &dyn Fn()) {
        die_after(|| forget([pool.acquire(), pool.acquire()]));
        relented();
    }
    /// None is lost, none is made.
    fn whole<W: Named>(pool: &Pool<W>) -> Result<(), String> {
        let take = |_| pool.acquire_for(LONG).map_err(|error| format!("a permit is lost: {error:?}; {pool:?}"));
        let _all = [take(0)?, take(1)?];
        match pool.try_acquire() {
            Err(AcquireError::WouldBlock) => Ok(()),
            other => Err(format!("one permit too many: {other:?}")),
        }
    }
    let base = Script::<Pool<W>> {
        fresh: PermitPool::new_in,
        hold: idle,
        sleeper: None,
        prepare: |_| drop(Pool::<W>::new_in().acquire()),
        verb: |pool| drop(pool.acquire()),
        late: visit,
        check: whole,
    };
    let mut add = |what: &str, script| cases.push(case(&format!("PermitPool::{what}"), W::NAME, script));
    add("acquire, release", base);
    add("acquire, release; none free, another waits", Script { hold: held, sleeper: Some(visit), ..base });
    add("acquire, release; held by the dead", Script { hold: held_by_the_dead, ..base });
    let recovers: fn(&Pool<W>) = |pool| while pool.recover().is_ok() {};
    add("recover, release; held by the dead", Script { hold: held_by_the_dead, verb: recovers, ..base });
    let timed: fn(&Pool<W>) = |pool| drop(pool.acquire_for(Duration::from_millis(2)));
    add("acquire_for, none free, times out", Script { hold: held, sleeper: Some(visit), verb: timed, ..base });
    let interrupted: fn(&Pool<W>) = |pool| drop(pool.acquire_interruptible(None));
    let hearing: fn(&Pool<W>) = |_| {
        drop(Pool::<W>::new_in().acquire());
        alarm::ring();
    };
    add(
        "acquire_interruptible, none free, interrupted; another waits",
        Script { hold: held, sleeper: Some(visit), prepare: hearing, verb: interrupted, ..base },
    );
    add("try_acquire, release", Script { verb: |pool: &Pool<W>| drop(pool.try_acquire()), ..base });
    add("try_acquire, none free", Script { hold: held, verb: |pool: &Pool<W>| drop(pool.try_acquire()), ..base });
    // The victim has one of the two, the holder the other; so the sleeper waits for the victim's.
    let one_held: fn(&Pool<W>, &dyn Fn()) = |pool, relented| {
        let one = pool.acquire().expect("acquire");
        relented();
        drop(one);
    };
    add("acquire, release; the last, others come", Script { hold: one_held, ..base });
}
