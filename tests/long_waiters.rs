//! Who waits, as tools see it: in a region of one value and object by object.

mod support;

use shmsync::{Lock, Mutex, Region, Semaphore, Shared};
use support::*;

#[test]
fn each_object_has_its_own_waiters() {
    watched("each_object_has_its_own_waiters", || {
        let region = Region::anonymous(1 << 16).unwrap();
        let (jobs, cache) =
            (region.get_or_init::<Lock>("jobs").unwrap(), region.get_or_init::<Mutex<u64>>("cache").unwrap());
        region.get_or_init_with("pool", || Semaphore::new(0)).unwrap();
        let waiters = |name: &str| {
            let objects = region.objects();
            let object = objects.iter().find(|object| object.name() == name).expect("made");
            let mut tids: Vec<_> = object.long_waiters().iter().map(|owner| owner.tid()).collect();
            tids.sort_unstable();
            tids
        };
        jobs.acquire().unwrap();
        let held = cache.lock().unwrap();
        assert_eq!([waiters("jobs"), waiters("cache"), waiters("pool")], [[], [], []]);
        let mut children =
            [fork(|| _ = jobs.acquire_for(SOON)), fork(|| _ = jobs.acquire_for(SOON)), fork(|| drop(cache.lock()))];
        let mut expected = [children[0].pid(), children[1].pid()];
        expected.sort_unstable();
        eventually("waiting", || match (waiters("jobs"), waiters("cache")) {
            (jobs, cache) if jobs == expected && cache == [children[2].pid()] => Ok(()),
            other => Err(format!("{other:?}")),
        });
        assert!(
            region.objects().iter().flat_map(|object| object.long_waiters()).all(|owner| owner.is_of_this_namespace())
        );
        assert_eq!(waiters("pool"), []);

        // One that is killed while it waits is told of until its place is needed, but as a dead one.
        children[0].kill();
        let dead = |tid| {
            let all = region.objects().into_iter().flat_map(|object| object.long_waiters()).collect::<Vec<_>>();
            all.iter().filter(|owner| owner.tid() == tid).all(|owner| !owner.is_alive())
        };
        assert!(dead(children[0].pid()) && !dead(children[2].pid()));
        drop(held);
        children[2].join(SOON).unwrap();
        assert_eq!(waiters("cache"), []);
    });
}

#[test]
fn a_value_has_all_waiters_of_its_region() {
    watched("a_value_has_all_waiters_of_its_region", || {
        let locks = Shared::anonymous([const { Lock::new() }; 2]).unwrap();
        locks.iter().for_each(|lock| lock.acquire().unwrap());
        let children = [0, 1].map(|i| fork(|| _ = locks[i].acquire_for(SOON)));
        eventually("waiting", || match locks.long_waiters().len() {
            2 => Ok(()),
            n => Err(format!("{n} wait")),
        });
        assert!(locks.long_waiters().iter().all(|owner| children.iter().any(|child| child.pid() == owner.tid())));
    });
}
