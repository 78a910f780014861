//! The runner with made-up peers whose figures are known.

use super::*;
use crate::params::{Params, Value};
use crate::peers::faulty::{Open, Selective};
use crate::peers::{PthreadMutex, Sem};
use crate::sample::Measure;
use crate::workloads::{Pace, uncontended};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

fn figure(ops_per_s: f64) -> Result<Sample, String> {
    let histogram = Box::new(<crate::histogram::Histogram as zerocopy::FromZeros>::new_zeroed());
    histogram.record(100);
    Ok(Sample::new([&*histogram], 1.0, &[ops_per_s as u64], 1.0))
}

fn plan(cases: Vec<Case>, rounds: u32, seed: u64) -> Plan {
    let params = Params(vec![("processes", Value::Number(3)), ("section_ns", Value::Number(1000))]);
    let workload = Workload { name: "made-up", measure: Measure::Throughput, ..uncontended::WORKLOAD };
    let groups = vec![Group { params, cpus: 1, members: 1, pace: Pace::millis(1), cases }];
    let entries = vec![Entry { workload, groups }];
    Plan { entries, rounds, seed, limit: None, skipped: vec![] }
}

fn context() -> Context {
    Context::calibrate(Duration::from_millis(1))
}

#[test]
fn ratios_are_taken_round_by_round() {
    let machine = Rc::new(RefCell::new(0_u32));
    let drift = |factor: f64, turns: Rc<RefCell<u32>>| {
        move |_: &Context| {
            let turn = *turns.borrow();
            *turns.borrow_mut() += 1;
            figure(factor * [1.0, 10.0, 100.0][(turn / 3) as usize])
        }
    };
    let cases = vec![
        Case::new::<Open>(drift(3000.0, machine.clone())),
        Case::new::<Sem>(drift(1000.0, machine.clone())),
        Case::new::<PthreadMutex>(drift(1500.0, machine)),
    ];
    let outcome = run(&plan(cases, 3, 7), &context(), |_| ());
    assert!(outcome.failures.is_empty());
    let open = &outcome.records[0];
    assert_eq!((open.ratio, open.ratio_pthread, open.rounds), (Some(3.0), Some(2.0), 3));
    assert_eq!(open.base.as_deref(), Some("sem_t"));
    assert_eq!(outcome.records[1].ratio, Some(1.0));
    assert_eq!(open.ops_per_s, Some(30_000.0));
    assert_eq!(open.median_ns.map(f64::round), Some(100.0));
}

#[test]
fn the_order_is_shuffled_and_the_same_for_the_same_seed() {
    let order = |seed| {
        let cases = vec![
            Case::new::<Open>(|_| figure(1.0)),
            Case::new::<Sem>(|_| figure(1.0)),
            Case::new::<PthreadMutex>(|_| figure(1.0)),
        ];
        let mut order = vec![];
        run(&plan(cases, 8, seed), &context(), |step| order.push((step.round, step.peer.to_owned())));
        order
    };
    let first = order(1);
    assert_eq!(first.len(), 24);
    assert_eq!(first, order(1));
    assert_ne!(first, order(2));
    let of_round = |round| first.iter().filter(|(r, _)| *r == round).map(|(_, peer)| peer).collect::<Vec<_>>();
    assert!((2..=8).any(|round| of_round(round) != of_round(1)));
    (1..=8).for_each(|round| assert_eq!(of_round(round).len(), 3));
}

#[test]
fn a_failing_peer_is_told_of_once_and_does_not_spoil_the_others() {
    let tries = Rc::new(RefCell::new(0));
    let failing = {
        let tries = tries.clone();
        move |_: &Context| {
            *tries.borrow_mut() += 1;
            if *tries.borrow() == 2 { Err(String::from("it hangs: in its sleep")) } else { figure(1.0) }
        }
    };
    let cases = vec![Case::new::<Selective>(failing), Case::new::<Sem>(|_| figure(5.0))];
    let outcome = run(&plan(cases, 4, 1), &context(), |_| ());
    assert_eq!(*tries.borrow(), 2);
    let told = outcome.failures[0].to_string();
    assert_eq!(told, "made-up (processes 3, section 1 µs), leaves waiters out: it hangs: in its sleep");
    let failed = &outcome.records[0];
    assert_eq!((failed.ratio, failed.median_ns, failed.rounds), (None, None, 0));
    assert_eq!(failed.error.as_deref(), Some("it hangs: in its sleep"));
    assert_eq!(outcome.records[1].rounds, 4);
}

#[test]
fn without_its_base_a_peer_has_no_ratio() {
    let cases = vec![Case::new::<Open>(|_| figure(1.0)), Case::new::<Sem>(|_| Err(String::from("broken")))];
    let outcome = run(&plan(cases, 2, 1), &context(), |_| ());
    assert_eq!((outcome.records[0].ratio, outcome.records[0].rounds), (None, 2));
}

#[test]
fn when_time_is_up_the_rest_is_left_out() {
    let slow = |_: &Context| {
        std::thread::sleep(Duration::from_millis(100));
        figure(1.0)
    };
    let limited = |limit| {
        let plan = plan(vec![Case::new::<Open>(slow), Case::new::<Sem>(slow)], 9, 1);
        run(&Plan { limit: Some(limit), ..plan }, &context(), |_| ())
    };
    let outcome = limited(Duration::from_millis(350));
    assert_eq!(outcome.rounds, 2);
    assert!(outcome.records.iter().all(|record| record.rounds == 2));
    assert_eq!(limited(Duration::ZERO).rounds, 1);
}

#[test]
fn a_sample_in_which_nothing_happened_is_taken_again() {
    let tries = Rc::new(RefCell::new(0));
    let idle = {
        let tries = tries.clone();
        move |_: &Context| {
            *tries.borrow_mut() += 1;
            figure(if *tries.borrow() == 3 { 1.0 } else { 0.0 })
        }
    };
    let outcome =
        run(&plan(vec![Case::new::<Open>(idle), Case::new::<Sem>(|_| figure(0.0))], 1, 1), &context(), |_| ());
    assert_eq!((*tries.borrow(), outcome.records[0].rounds, outcome.records[1].rounds), (3, 1, 0));
    assert!(outcome.failures.is_empty());
}
