//! The programs, as `proptest-state-machine` makes and shrinks them.
//!
//! A program is made for the way that the reference goes if of several moves the first is made. It is run whichever way
//! it goes: what makes no sense there is left out.

use std::cell::{Cell, RefCell};
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use proptest::test_runner::{Config, FileFailurePersistence, TestError, TestRunner};
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest};
use shmsync::wait::Wait;

use crate::faults::Fault;
use crate::model::*;
use crate::stage::Stage;
use crate::verb::*;

/// What is run on which backend, with so many slots for readers.
pub trait Setting: 'static {
    type Backend: Wait;
    const BY_HOLDER_ONLY: bool = false;
    const PROCESSES: bool = false;
    const KINDS: &'static [Kind] = &Kind::ALL;
}

#[derive(Clone, Copy, Debug)]
pub struct Step {
    pub who: usize,
    pub verb: Verb,
}

/// The programs for a setting.
pub struct Programs<S, const R: usize>(PhantomData<S>);

impl<S: Setting, const R: usize> ReferenceStateMachine for Programs<S, R> {
    type State = Model;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Model> {
        let kinds = subsequence(S::KINDS.to_vec(), 1..=S::KINDS.len().min(3));
        (kinds, 0..=2_u32, 1..=2_u32, 2..=CREW as u32)
            .prop_map(|(kinds, permits, bound, parties)| {
                Model::new(Terms {
                    kinds,
                    permits,
                    bound,
                    parties,
                    by_holder_only: S::BY_HOLDER_ONLY,
                    slots: R,
                    processes: S::PROCESSES,
                })
            })
            .boxed()
    }

    fn transitions(model: &Model) -> BoxedStrategy<Step> {
        let mut verbs: Vec<Verb> = model.terms.kinds.iter().flat_map(|kind| kind.verbs()).collect();
        verbs.extend([Verb::Die, Verb::Kill]);
        let mut steps = vec![Step { who: STEWARD, verb: Verb::Rest }];
        for who in 0..ALL {
            let sensible = |verb: &Verb| model.allows(who, *verb) && (who < CREW || is_for_steward(*verb));
            steps.extend(verbs.iter().copied().filter(sensible).map(|verb| Step { who, verb }));
        }
        select(steps).boxed()
    }

    fn preconditions(model: &Model, step: &Step) -> bool {
        model.allows(step.who, step.verb)
    }

    /// The first way: timeouts pass, and then the first move of all that must come is made until none is left.
    fn apply(mut model: Model, step: &Step) -> Model {
        model.call(step.who, step.verb);
        let mut late = true;
        loop {
            let mut moves = (0..ALL).flat_map(|who| model.moves(who, false));
            match moves.find(|to| to.must || late && to.said.is_some()) {
                Some(to) => model = to.next,
                None => return model,
            }
            late = false;
        }
    }
}

/// Who never waits can do what always ends, and needs nobody.
fn is_for_steward(verb: Verb) -> bool {
    use Verb::*;
    matches!(
        verb,
        LockRelease
            | LockDisown
            | Notify(..)
            | SemRelease(_)
            | BoundedRelease(_)
            | EventSet
            | EventClear
            | Abort
            | Reset
    )
}

/// Of so many runs of a program, in one everybody must come in time.
const RUNS_IN_TIME: u32 = 30;

thread_local! {
    /// What is broken, and how long what must come may take.
    pub static UNDER: Cell<(Fault, Duration)> = const { Cell::new((Fault::None, Duration::from_secs(10))) };
    /// Programs and steps that this thread has run.
    static RUN: Cell<(u32, u32)> = const { Cell::new((0, 0)) };
    /// The steps of its last program after which somebody came late.
    static LATE: RefCell<Vec<u32>> = const { RefCell::new(Vec::new()) };
}

impl<S: Setting, const R: usize> StateMachineTest for Programs<S, R> {
    type SystemUnderTest = Stage<S::Backend, R>;
    type Reference = Self;

    fn init_test(model: &Model) -> Self::SystemUnderTest {
        let (fault, patience) = UNDER.get();
        Stage::new(model.clone(), fault, patience)
    }

    fn apply(mut stage: Self::SystemUnderTest, _: &Model, step: Step) -> Self::SystemUnderTest {
        stage.step(step.who, step.verb);
        stage
    }

    fn teardown(stage: Self::SystemUnderTest, _: Model) {
        let (steps, late) = stage.finish();
        LATE.set(late);
        RUN.set((RUN.get().0 + 1, RUN.get().1 + steps));
    }
}

type Failure = Box<TestError<(Model, Vec<Step>, Option<Arc<AtomicUsize>>)>>;

/// Runs random programs of fewer than `most` steps.
pub fn run<S: Setting, const R: usize>(most: usize, config: Config) -> Result<(), Failure> {
    let programs = Programs::<S, R>::sequential_strategy(1..most);
    let result = TestRunner::new(config.clone()).run(&programs, |(model, steps, seen)| {
        play::<S, R>(&config, &model, &steps, seen);
        Ok(())
    });
    result.map_err(Box::new)
}

/// Runs one, again if somebody came late: a busy machine is late now and then, a wake that is not sent each time.
pub fn play<S: Setting, const R: usize>(
    config: &Config,
    model: &Model,
    steps: &[Step],
    seen: Option<Arc<AtomicUsize>>,
) {
    let mut late = Vec::new();
    for _ in 0..RUNS_IN_TIME {
        Programs::<S, R>::test_sequential(config.clone(), model.clone(), steps.to_vec(), seen.clone());
        late = LATE.take();
        if late.is_empty() {
            return;
        }
    }
    panic!("in {RUNS_IN_TIME} runs somebody was not woken in time, at last after the steps {late:?}, counted from one");
}

/// Some, 24 or `PROPTEST_CASES`, all of which must pass. What failed once is kept, and run first.
pub fn assert_runs<S: Setting, const R: usize>(name: &str) {
    let told = std::env::var_os("PROPTEST_CASES").is_some();
    let kept = FileFailurePersistence::Direct("proptest-regressions/machines.txt");
    let config = Config {
        cases: if told { Config::default().cases } else { 24 },
        max_shrink_time: 120_000,
        failure_persistence: Some(Box::new(kept)),
        source_file: Some(file!()),
        ..Config::default()
    };
    let result = run::<S, R>(40, config);
    let (programs, steps) = RUN.get();
    println!("{name}: {programs} programs, {steps} steps");
    if let Err(failure) = result {
        panic!("{failure}");
    }
}
