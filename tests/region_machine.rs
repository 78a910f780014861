//! Random programs over regions, their names and their objects, compared with a map.
//!
//! ```text
//! PROPTEST_CASES=10000 cargo test --test region_machine -- --nocapture
//! ```
#![cfg(not(loom))]
#![allow(missing_docs)]

mod shm_support;
mod support;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use proptest::prelude::*;
use proptest::test_runner::{FileFailurePersistence, TestRunner};
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest};
use shm_support::Name;
use shmsync::{Error, ErrorKind, Lock, Region};

const ROOM: usize = 1 << 16;
const OBJECTS: [&str; 3] = ["first", "second", "third"];

/// By the first number a handle, by the second a name of a region or of an object.
#[derive(Clone, Copy, Debug)]
enum Step {
    Create(usize, usize),
    Open(usize, usize),
    OpenOrCreate(usize, usize),
    Close(usize),
    Unlink(usize),
    Lock(usize, usize),
    GetLock(usize, usize),
    Array(usize, usize, usize),
    GetArray(usize, usize),
    Write(usize, usize, u64),
    Remove(usize, usize),
    Renew(usize),
}

#[derive(Clone, Debug, PartialEq)]
enum Object {
    Lock,
    Array(Vec<u64>),
}

#[derive(Clone, Debug, Default)]
struct World {
    /// Which of the regions has the name.
    names: [Option<usize>; 2],
    handles: [Option<usize>; 3],
    regions: Vec<BTreeMap<usize, Object>>,
    /// What the last step came to: what it found, or the error.
    outcome: Option<Result<Object, ErrorKind>>,
}

impl World {
    fn make(&mut self, handle: usize, name: usize) -> Result<(), ErrorKind> {
        self.names[name] = Some(self.regions.len());
        self.regions.push(BTreeMap::new());
        self.open(handle, name)
    }

    fn open(&mut self, handle: usize, name: usize) -> Result<(), ErrorKind> {
        self.handles[handle] = Some(self.names[name].ok_or(ErrorKind::NotFound)?);
        Ok(())
    }

    /// What `step` comes to: `None` if it makes no sense.
    fn step(&mut self, step: Step) -> Option<Result<Object, ErrorKind>> {
        let done = |result: Result<(), ErrorKind>| Some(result.map(|()| Object::Lock));
        match step {
            Step::Create(_, name) if self.names[name].is_some() => done(Err(ErrorKind::AlreadyExists)),
            Step::Create(handle, name) => done(self.make(handle, name)),
            Step::OpenOrCreate(handle, name) if self.names[name].is_none() => done(self.make(handle, name)),
            Step::Open(handle, name) | Step::OpenOrCreate(handle, name) => done(self.open(handle, name)),
            Step::Close(handle) => done(self.handles[handle].take().map(drop).ok_or(ErrorKind::NotFound)),
            Step::Unlink(name) => done(self.names[name].take().map(drop).ok_or(ErrorKind::NotFound)),
            Step::Renew(handle) => self.handles[handle].map(|_| Ok(Object::Lock)),
            Step::Lock(handle, name) => self.find(handle, name, Some(Object::Lock), Some(Object::Lock)),
            Step::GetLock(handle, name) => self.find(handle, name, Some(Object::Lock), None),
            Step::Array(handle, name, length) => {
                let fresh = Object::Array(vec![0; length]);
                self.find(handle, name, Some(fresh.clone()), Some(fresh))
            }
            Step::GetArray(handle, name) => self.find(handle, name, None, None),
            Step::Write(handle, name, value) => {
                let found = self.find(handle, name, None, None)?;
                if found.is_ok() {
                    let region = self.handles[handle].expect("found there");
                    self.regions[region].insert(name, Object::Array(vec![value; length(found.as_ref().ok()?)]));
                }
                Some(found)
            }
            Step::Remove(handle, name) => {
                let region = self.handles[handle]?;
                Some(self.regions[region].remove(&name).map(|_| Object::Lock).ok_or(ErrorKind::NotFound))
            }
        }
    }

    /// `None` wants an array of any length.
    fn find(
        &mut self,
        handle: usize,
        name: usize,
        wanted: Option<Object>,
        fresh: Option<Object>,
    ) -> Option<Result<Object, ErrorKind>> {
        let objects = &mut self.regions[self.handles[handle]?];
        if let Some(fresh) = fresh {
            objects.entry(name).or_insert(fresh);
        }
        Some(match (objects.get(&name), wanted) {
            (None, _) => Err(ErrorKind::NotFound),
            (Some(found), Some(wanted)) if length(found) != length(&wanted) => Err(ErrorKind::LayoutMismatch),
            (Some(Object::Lock), None) => Err(ErrorKind::LayoutMismatch),
            (Some(found), _) => Ok(found.clone()),
        })
    }
}

/// Zero for a lock.
fn length(object: &Object) -> usize {
    if let Object::Array(values) = object { values.len() } else { 0 }
}

struct Machine;

impl ReferenceStateMachine for Machine {
    type State = World;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<World> {
        Just(World::default()).boxed()
    }

    fn transitions(_: &World) -> BoxedStrategy<Step> {
        let (handle, name, object) = (0..3_usize, 0..2_usize, 0..3_usize);
        let region = (handle.clone(), name.clone());
        let at = (handle.clone(), object);
        prop_oneof![
            2 => region.clone().prop_map(|(handle, name)| Step::Create(handle, name)),
            2 => region.clone().prop_map(|(handle, name)| Step::Open(handle, name)),
            2 => region.prop_map(|(handle, name)| Step::OpenOrCreate(handle, name)),
            1 => handle.clone().prop_map(Step::Close),
            1 => name.prop_map(Step::Unlink),
            2 => at.clone().prop_map(|(handle, name)| Step::Lock(handle, name)),
            2 => at.clone().prop_map(|(handle, name)| Step::GetLock(handle, name)),
            4 => (at.clone(), 1..4_usize).prop_map(|((handle, name), length)| Step::Array(handle, name, length)),
            4 => at.clone().prop_map(|(handle, name)| Step::GetArray(handle, name)),
            4 => (at.clone(), any::<u64>()).prop_map(|((handle, name), value)| Step::Write(handle, name, value)),
            4 => at.prop_map(|(handle, name)| Step::Remove(handle, name)),
            1 => handle.prop_map(Step::Renew),
        ]
        .boxed()
    }

    fn preconditions(world: &World, step: &Step) -> bool {
        world.clone().step(*step).is_some()
    }

    fn apply(mut world: World, step: &Step) -> World {
        world.outcome = world.step(*step);
        world
    }
}

/// The real thing.
struct Real {
    names: [Name; 2],
    handles: [Option<Region>; 3],
}

impl Real {
    fn step(&mut self, step: Step) -> Result<Object, Error> {
        let array = |found: &[AtomicU64]| Object::Array(found.iter().map(|value| value.load(Relaxed)).collect());
        let at = |handle: usize| self.handles[handle].as_ref().expect("open");
        match step {
            Step::Create(handle, name) => self.handles[handle] = Some(Region::create(&self.names[name], ROOM)?),
            Step::Open(handle, name) => self.handles[handle] = Some(Region::open(&self.names[name])?),
            Step::OpenOrCreate(handle, name) => {
                self.handles[handle] = Some(Region::open_or_create(&self.names[name], ROOM)?);
            }
            Step::Close(handle) => self.handles[handle] = None,
            Step::Unlink(name) => shmsync::unlink(&self.names[name])?,
            Step::Lock(handle, name) => _ = at(handle).get_or_init::<Lock>(OBJECTS[name])?,
            Step::GetLock(handle, name) => _ = at(handle).get::<Lock>(OBJECTS[name])?,
            Step::Array(handle, name, length) => return at(handle).array(OBJECTS[name], length).map(array),
            Step::GetArray(handle, name) => return at(handle).get_array(OBJECTS[name]).map(array),
            Step::Write(handle, name, value) => {
                let found = at(handle).get_array::<AtomicU64>(OBJECTS[name])?;
                let before = array(found);
                found.iter().for_each(|element| element.store(value, Relaxed));
                return Ok(before);
            }
            Step::Remove(handle, name) => at(handle).remove(OBJECTS[name])?,
            Step::Renew(handle) => self.handles[handle].as_mut().expect("open").renew()?,
        }
        Ok(Object::Lock)
    }
}

thread_local! {
    static RUN: Cell<(u32, u32)> = const { Cell::new((0, 0)) };
}

impl StateMachineTest for Machine {
    type SystemUnderTest = Real;
    type Reference = Self;

    fn init_test(_: &World) -> Real {
        RUN.set((RUN.get().0 + 1, RUN.get().1));
        Real { names: [Name::new("one"), Name::new("two")], handles: [const { None }; 3] }
    }

    fn apply(mut real: Real, world: &World, step: Step) -> Real {
        RUN.set((RUN.get().0, RUN.get().1 + 1));
        // To close what is not open comes to nothing; the map says that it was not found.
        if !matches!(step, Step::Close(_)) {
            let outcome = real.step(step).map_err(|error| error.kind());
            assert_eq!(Some(outcome), world.outcome, "{step:?}");
        } else {
            real.step(step).expect("always");
        }
        real
    }

    /// Everybody sees the same objects, and no others.
    fn check_invariants(real: &Real, world: &World) {
        for (handle, region) in
            world.handles.iter().zip(&real.handles).filter_map(|(known, real)| known.zip(real.as_ref()))
        {
            let mut names: Vec<String> = region.objects().iter().map(|object| object.name()).collect();
            names.sort_unstable();
            let known: Vec<&str> = world.regions[handle].keys().map(|&name| OBJECTS[name]).collect();
            assert_eq!(names, known);
        }
    }
}

#[test]
fn programs_over_regions() {
    let told = std::env::var_os("PROPTEST_CASES").is_some();
    let kept = FileFailurePersistence::Direct("proptest-regressions/region_machine.txt");
    let config = ProptestConfig {
        cases: if told { ProptestConfig::default().cases } else { 256 },
        failure_persistence: Some(Box::new(kept)),
        source_file: Some(file!()),
        ..ProptestConfig::default()
    };
    let result = TestRunner::new(config.clone()).run(&Machine::sequential_strategy(1..60), |(world, steps, seen)| {
        Machine::test_sequential(config.clone(), world, steps, seen);
        Ok(())
    });
    let (programs, steps) = RUN.get();
    println!("regions: {programs} programs, {steps} steps");
    if let Err(failure) = result {
        panic!("{failure}");
    }
}
