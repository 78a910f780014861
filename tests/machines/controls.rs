//! The reference notices what is broken on purpose, and says so in a few steps.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use proptest::test_runner::{Config, TestError};
use shmsync::wait::Futex;

use crate::faults::Fault;
use crate::machine::{Setting, UNDER, play, run};
use crate::verb::*;

/// Finds a program that fails because of `fault`, in `most` steps at most besides pauses.
///
/// The search has little patience, for each failure takes all of it. So what it finds may have failed for want of that,
/// and must fail again with more, and must not without the fault.
fn assert_noticed<S: Setting>(fault: Fault, most: usize) {
    let config = Config { cases: 2_000, failure_persistence: None, max_shrink_time: 10_000, ..Config::default() };
    for _ in 0..5 {
        UNDER.set((fault, Duration::from_millis(50)));
        let (model, steps) = match run::<S, 8>(12, config.clone()).map_err(|failure| *failure) {
            Err(TestError::Fail(_, (model, steps, _))) => (model, steps),
            other => panic!("{fault:?} is not noticed: {other:?}"),
        };
        let fails = |fault, patience| {
            UNDER.set((fault, patience));
            catch_unwind(AssertUnwindSafe(|| play::<S, 8>(&config, &model, &steps, None))).is_err()
        };
        let needed = steps.iter().filter(|step| step.verb != Verb::Rest).count();
        if needed <= most && fails(fault, Duration::from_secs(1)) {
            assert!(!fails(Fault::None, Duration::from_secs(10)), "{steps:?} fails without a fault");
            return;
        }
        println!("{fault:?}, not shown by {steps:?}");
    }
    panic!("{fault:?} is not shown by any program of {most} steps");
}

macro_rules! control {
    ($test:ident, $fault:ident, $kind:expr, $most:expr) => {
        struct $fault;
        impl Setting for $fault {
            type Backend = Futex;
            const KINDS: &'static [Kind] = &[$kind];
        }

        #[test]
        fn $test() {
            assert_noticed::<$fault>(Fault::$fault, $most);
        }
    };
}

control!(a_lost_permit_is_noticed, LosesPermits, Kind::Semaphore, 5);
control!(two_holders_are_noticed, LetsTwoIn, Kind::Lock, 5);
control!(a_lost_notification_is_noticed, LosesNotifications, Kind::Condition(With::Lock), 5);
control!(an_owed_wake_that_never_comes_is_noticed, OwesForEver, Kind::Condition(With::Lock), 5);
control!(a_death_hushed_up_is_noticed, HushesDeathsUp, Kind::Lock, 5);
control!(a_reset_in_silence_is_noticed, ResetsInSilence, Kind::Barrier, 5);
