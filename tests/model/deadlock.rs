//! Circles of waiters: none is found where none ever was.

use std::sync::Arc;

use shmsync::model::waits::Waits;

use crate::support::*;

/// One holds its word and waits for the other's; the other lets go of its word before it waits.
fn one_lets_go_and_waits() {
    let waits = Arc::new(Waits::new());
    let other = start(&waits, |waits: &Waits| {
        assert!(waits.take(1));
        waits.free(1);
        waits.wait(0);
    });
    assert!(waits.take(0));
    assert!(!waits.closes(1), "nobody waits who holds that");
    other.join().unwrap();
}

/// One holds its word and waits for the other's; the other waits twice, and takes and lets go of its own before each.
fn one_waits_twice() {
    let waits = Arc::new(Waits::new());
    let other = start(&waits, |waits: &Waits| {
        assert!(waits.take(1));
        waits.free(1);
        waits.wait(0);
        assert!(waits.take(1));
        waits.free(1);
        waits.wait(0);
    });
    assert!(waits.take(0));
    assert!(!waits.closes(1), "nobody waits who holds that");
    other.join().unwrap();
}

/// One holds its word and waits for the other's; the other lets go of its own, waits, gives up, and takes its own again.
fn one_takes_again_after_its_wait() {
    let waits = Arc::new(Waits::new());
    let other = start(&waits, |waits: &Waits| {
        assert!(waits.take(1));
        waits.free(1);
        waits.wait(0);
        assert!(waits.take(1));
    });
    assert!(waits.take(0));
    assert!(!waits.closes(1), "nobody waits who holds that");
    other.join().unwrap();
}

#[test]
fn what_was_taken_after_the_wait_closes_no_circle() {
    explore(4, one_takes_again_after_its_wait);
}

#[test]
fn what_was_let_go_before_the_wait_closes_no_circle() {
    explore(3, one_lets_go_and_waits);
}

#[test]
fn two_waits_are_not_taken_for_one() {
    explore(3, one_waits_twice);
}

#[test]
fn every_edge_is_needed() {
    let models: [Model; 3] = [one_lets_go_and_waits, one_waits_twice, one_takes_again_after_its_wait];
    assert_needed("sync/deadlock/table.rs", "edge: waits -> looked at again (Release end)", &models[..1]);
    assert_needed("sync/deadlock/table.rs", "edge: left -> looked at again (Release end)", &models[2..]);
    assert_needed("sync/deadlock/circle.rs", "edge: waits -> looked at again (Acquire end)", &models);
}

/// Without numbers the second look takes the second wait for the first.
#[test]
fn waits_must_be_told_apart() {
    let without_number = |_, wait: u64| Some(wait & ((1 << 48) - 1));
    let text = "edge: waits -> looked at again (Release end)";
    assert_caught("sync/deadlock/table.rs", text, without_number, one_waits_twice);
}
