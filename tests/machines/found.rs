//! Programs that failed once, each with its story.

use std::time::Duration;

use shmsync::wait::{Futex, PosixSem, Wait};

use crate::faults::Fault;
use crate::model::{Model, Terms};
use crate::stage::Stage;
use crate::verb::{How::*, Kind, Verb, Verb::*, With};

fn play<W: Wait, const R: usize>(kind: Kind, steps: &[(usize, Verb)]) {
    let terms = Terms {
        kinds: vec![kind],
        permits: 1,
        bound: 1,
        parties: 2,
        by_holder_only: false,
        slots: R,
        processes: false,
    };
    let mut stage = Stage::<W, R>::new(Model::new(terms), Fault::None, Duration::from_secs(10));
    steps.iter().for_each(|&(who, verb)| stage.step(who, verb));
    assert_eq!(stage.steps as usize, steps.len(), "some made no sense");
    stage.finish();
}

/// A lock was disowned whose holder had died, unknown to all. It was held by nobody in particular then, who does not die,
/// and everybody waited for ever.
#[test]
fn a_death_outlives_a_disown() {
    let steps = [(2, Lock(Try)), (2, Die), (1, LockDisown), (1, Lock(Try)), (0, Lock(Ever)), (0, LockRecover)];
    play::<Futex, 8>(Kind::Lock, &steps);
    play::<PosixSem, 8>(Kind::Lock, &steps);
}

/// Who came again and again for a time shorter than the first slice never learned that the writer was dead,
#[test]
fn a_short_wait_to_read_finds_a_dead_writer() {
    let steps = [(2, Write(Zero)), (2, Die), (1, Read(Soon)), (1, ReadDrop), (0, Write(Soon))];
    play::<Futex, 8>(Kind::RwLock, &steps);
    play::<PosixSem, 8>(Kind::RwLock, &steps);
}

/// nor that the reader was in whose slot it would have been,
#[test]
fn a_short_wait_to_read_finds_a_dead_reader() {
    let steps = [(2, Read(Try)), (2, Die), (1, Read(Soon))];
    play::<Futex, 1>(Kind::RwLock, &steps);
    play::<PosixSem, 1>(Kind::RwLock, &steps);
}

/// nor a writer that the last reader was.
#[test]
fn a_short_wait_to_write_finds_a_dead_reader() {
    let steps = [(2, Read(Try)), (2, Die), (1, Write(Soon))];
    play::<Futex, 8>(Kind::RwLock, &steps);
    play::<PosixSem, 8>(Kind::RwLock, &steps);
}

/// A guard had waited when its lock was held twice, and remembered that. When the lock was released by hand, twice, the guard's
/// next wait took it as deep as then: nobody but the guard held it, whose drop released it once.
#[test]
fn a_guard_takes_what_was_released_by_hand_once() {
    let wait = Wait(With::RLock, 0, Zero);
    let steps = [
        (0, RLock(Try)),
        (0, RLock(Try)),
        (0, wait),
        (0, RLockRelease),
        (0, RLockRelease),
        (0, wait),
        (1, RLock(Zero)),
    ];
    play::<Futex, 8>(Kind::Condition(With::RLock), &steps);
    play::<PosixSem, 8>(Kind::Condition(With::RLock), &steps);
    // And likewise when it takes the lock over from the dead.
    let steps = [
        &steps[..5],
        &[(1, RLock(Try)), (1, Die), (0, RLockRecover), (0, RLockDrop { panics: false }), (1, RLock(Zero))],
    ]
    .concat();
    play::<Futex, 8>(Kind::Condition(With::RLock), &steps);
    play::<PosixSem, 8>(Kind::Condition(With::RLock), &steps);
}
