//! `Mutex` and `RLock`: what they add to the owned word. Its own models, and most of its edges, are in `lock`.

use std::sync::Arc;

use shmsync::{AcquireError, Lock, Mutex, PoisonCause, RLock};

use crate::support::*;

/// Both halves are equal, but in the middle of a visit.
struct Data {
    halves: [Guarded; 2],
}

struct Room {
    mutex: Mutex<Data>,
    /// Something to do in the middle of a visit, where a thread can be killed.
    pause: Lock,
}

fn room() -> Arc<Room> {
    Arc::new(Room { mutex: Mutex::new(Data { halves: [Guarded::new(), Guarded::new()] }), pause: Lock::new() })
}

fn visit(room: &Room) {
    let data = room.mutex.lock().unwrap();
    data.halves[0].bump();
    let _ = room.pause.is_locked();
    data.halves[1].bump();
}

fn two_visitors() {
    let room = room();
    let other = start(&room, visit);
    visit(&room);
    other.join().unwrap();
    let data = room.mutex.lock().unwrap();
    assert_eq!([&data.halves[0], &data.halves[1]].map(Guarded::get), [2, 2]);
}

/// Nobody sees torn data without being told who left it, and everybody is told until it is mended.
fn a_holder_is_killed() {
    fn look(room: &Room) -> bool {
        let found = room.mutex.lock();
        let (data, poisoned) = match found {
            Ok(data) => (data, false),
            Err(poisoned) => {
                assert!(matches!(poisoned.cause(), PoisonCause::Died(_)));
                (poisoned.into_inner(), true)
            }
        };
        assert!(poisoned || data.halves[0].get() == data.halves[1].get(), "torn");
        poisoned
    }
    let room = room();
    let killed = start(&room, |room: &Room| mortal(|| visit(room)));
    let other = start(&room, look);
    let before = look(&room);
    let after = look(&room);
    assert!(after || !before, "the poison is gone");
    other.join().unwrap();
    killed.join().unwrap();
}

fn nested() {
    struct Nest {
        rlock: RLock,
        guarded: Guarded,
    }
    fn visit(nest: &Nest) {
        let outer = nest.rlock.lock().unwrap();
        assert_eq!(nest.rlock.depth(), 1);
        let inner = nest.rlock.lock().unwrap();
        assert_eq!(nest.rlock.depth(), 2);
        drop(outer);
        nest.guarded.bump();
        drop(inner);
    }
    let nest = Arc::new(Nest { rlock: RLock::new(), guarded: Guarded::new() });
    let other = start(&nest, visit);
    visit(&nest);
    other.join().unwrap();
    assert_eq!(nest.guarded.get(), 2);
}

/// Who takes over holds it once, however deep the dead holder was.
fn a_nested_holder_is_killed() {
    let rlock = Arc::new(RLock::new());
    let killed = start(&rlock, |rlock: &RLock| {
        mortal(|| {
            rlock.acquire().unwrap();
            rlock.acquire().unwrap();
            rlock.release().unwrap();
            rlock.release().unwrap();
        })
    });
    match rlock.acquire() {
        Ok(()) => {}
        Err(AcquireError::OwnerDied(_)) => rlock.recover().unwrap(),
        Err(other) => panic!("{other}"),
    }
    assert_eq!(rlock.depth(), 1);
    rlock.release().unwrap();
    killed.join().unwrap();
}

#[test]
fn two_exclude_each_other() {
    explore(4, two_visitors);
}

#[test]
fn two_nest_and_exclude_each_other() {
    explore(4, nested);
}

/// A guard's drop frees the word by another operation than `Lock::release`; so does an `RLock`.
#[test]
fn the_edge_of_guards_is_needed() {
    let text = "edge: release -> acquire (Release end), as in `release`";
    assert_needed("sync/owned.rs", text, &[two_visitors, nested]);
}

#[test]
fn the_killed_leave_poison_behind() {
    explore_kills(2, a_holder_is_killed);
}

#[test]
fn the_killed_leave_no_depth_behind() {
    explore_kills(2, a_nested_holder_is_killed);
}
