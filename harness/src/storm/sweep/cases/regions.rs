//! `Region`: what a process leaves that is killed while it opens one, or makes, finds or removes an object in it.
//!
//! The thing of a round is the name of a region that is made anew; victim and survivors open it themselves. In the end all of
//! its room must be there, in one piece.

use super::{Case, Script, case, die_after, fine, idle, nothing};
use shmsync::{ErrorKind, Item, Lock, Region, Semaphore};
use std::cell::Cell;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

const ROOM: usize = 4096;
const OBJECTS: usize = 8;

/// The name of a region.
pub(super) struct Named {
    maker: u32,
    number: u32,
    /// Whether one of the survivors has looked at it already: two would be in each other's way.
    looked_at: AtomicBool,
}

impl fmt::Debug for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

impl Named {
    fn name(&self) -> String {
        format!("/shmsync-sweep-{}-{}", self.maker, self.number)
    }

    /// Of a new region; that of the round before is removed, should it be there still.
    ///
    /// Made by a child, for what this process has open for a moment may be inherited by what another thread forks.
    fn fresh() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        thread_local! {
            static LAST: Cell<Option<String>> = const { Cell::new(None) };
        }
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let named = Self { maker: std::process::id(), number, looked_at: AtomicBool::new(false) };
        if let Some(last) = LAST.replace(Some(named.name())) {
            _ = shmsync::unlink(&last);
        }
        die_after(|| drop(Region::options().objects(OBJECTS).create(&named.name(), ROOM).expect("a new region")));
        named
    }

    fn open(&self) -> Region {
        Region::open(&self.name()).expect("the region of this round")
    }
}

thread_local! {
    /// The victim's, from its preparation on.
    static OPENED: Cell<Option<&'static Region>> = const { Cell::new(None) };
}

fn opened() -> &'static Region {
    OPENED.get().expect("opened in front of the verb")
}

fn open(named: &Named) {
    OPENED.set(Some(Box::leak(Box::new(named.open()))));
}

/// Open, and with something in it: an object, and one that was removed, whose bytes may be used again.
fn furnished(named: &Named) {
    let mut region = named.open();
    region.get_or_init::<Lock>("there").expect("room");
    region.array::<u8>("removed", ROOM / 2).expect("room");
    region.list("list", [Item::from("old"), 7.into()]).expect("room");
    region.remove("removed").expect("there");
    region.renew().expect("descriptors");
    OPENED.set(Some(Box::leak(Box::new(region))));
}

/// Whatever the victim left: what can be found can be used and removed, and the rest is room.
fn late(named: &Named) {
    if named.looked_at.swap(true, Ordering::Relaxed) {
        return;
    }
    let mut region = named.open();
    for name in ["there", "new"] {
        region
            .get_or_init::<Lock>(name)
            .and_then(|lock| {
                lock.acquire().expect("nobody holds it");
                lock.release().expect("it is held");
                region.remove(name)
            })
            .unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    if let Ok(pool) = region.get::<Semaphore>("pool") {
        assert_eq!(pool.value(), 3, "it was made whole");
    }
    if let Ok(list) = region.get_list("list") {
        let item = list.get(0).expect("an item");
        assert!(item == "old".into() || item == "new".into(), "{item:?}");
        list.set(0, "late").expect("room");
    }
    for object in region.objects() {
        region.remove(&object.name()).expect("just seen");
    }
    // A killed process's files are closed before it is a zombie, but perhaps after it was killed.
    let deadline = Instant::now() + Duration::from_secs(2);
    loop {
        region.renew().expect("descriptors");
        match region.array::<u8>("all", ROOM) {
            Ok(_) => break,
            Err(error) if error.kind() == ErrorKind::NoSpace && Instant::now() < deadline => std::thread::yield_now(),
            Err(error) => panic!("{error}; attached are {:?}", region.attached()),
        }
    }
    region.remove("all").expect("just made");
    region.renew().expect("descriptors");
    for n in 0..OBJECTS {
        region.get_or_init::<Lock>(&n.to_string()).expect("an entry");
    }
    shmsync::unlink(&named.name()).expect("the region of this round");
}

pub(super) fn region(cases: &mut Vec<Case>) {
    let base = Script::<Named> {
        fresh: Named::fresh,
        hold: idle,
        sleeper: None,
        prepare: open,
        verb: nothing,
        late,
        check: fine,
    };
    let mut add = |what: &str, script| cases.push(case(&format!("Region::{what}"), "Futex", script));
    // What a verb returns is dropped in it, or not at all, for its victim is killed at its end.
    add("open", Script { prepare: nothing, verb: |named: &Named| std::mem::forget(named.open()), ..base });
    add("get_or_init, new", Script { verb: |_| _ = opened().get_or_init::<Lock>("new"), ..base });
    let with: fn(&Named) = |_| _ = opened().get_or_init_with("pool", || Semaphore::new(3));
    add("get_or_init_with, new", Script { verb: with, ..base });
    let there: fn(&Named) = |_| _ = opened().get_or_init::<Lock>("there");
    add("get_or_init, there", Script { prepare: furnished, verb: there, ..base });
    let reuse: fn(&Named) = |_| _ = opened().array::<u8>("new array", ROOM / 2);
    add("array, of bytes used before", Script { prepare: furnished, verb: reuse, ..base });
    add("remove", Script { prepare: furnished, verb: |_| _ = opened().remove("there"), ..base });
    let set: fn(&Named) = |_| _ = opened().get_list("list").and_then(|list| list.set(0, "new"));
    add("get_list, set", Script { prepare: furnished, verb: set, ..base });
    let objects: fn(&Named) = |_| opened().objects().iter().for_each(|object| _ = object.state());
    add("objects, state", Script { prepare: furnished, verb: objects, ..base });
}
