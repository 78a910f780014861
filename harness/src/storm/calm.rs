//! The calm: all workers stand aside, holding nothing, and a fresh checker goes through every station.

use super::killer::Killer;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::time::{Duration, Instant};

pub(super) fn calm(killer: &mut Killer<'_>) {
    let number = killer.report.calms.len() as u64 + 1;
    let books = &killer.site.books;
    books.calm.0.store(number, SeqCst);
    if let Err(hang) = stand_aside(killer, number) {
        return killer.hang(&hang);
    }
    for (index, station) in killer.site.stations().into_iter().enumerate() {
        killer.desk.go_to(index);
        let (desk, bound) = (&mut killer.desk, killer.options.bound);
        let checked = panic::catch_unwind(AssertUnwindSafe(|| station.check(desk, bound)));
        let checked = checked.unwrap_or_else(|panic| {
            Err(panic.downcast_ref::<String>().cloned().unwrap_or_else(|| String::from("the checker panicked")))
        });
        if let Err(what) = checked {
            killer.hang(&format!("{} in a calm: {what}", station.name()));
        }
    }
    books.calm.0.store(0, SeqCst);
}

/// Waits until all workers do.
fn stand_aside(killer: &mut Killer<'_>, number: u64) -> Result<(), String> {
    let deadline = Instant::now() + killer.options.bound;
    loop {
        let slots = &killer.site.books.slots[..killer.options.workers];
        let missing: Vec<usize> = (0..slots.len()).filter(|&i| slots[i].0.aside.load(SeqCst) != number).collect();
        if missing.is_empty() {
            return Ok(());
        }
        if killer.site.books.violations.load(SeqCst) > 0 {
            return Err(String::from("a worker saw a violation"));
        }
        for &index in &missing {
            if killer.team[index].wait_exit(Duration::ZERO).is_some() {
                let how = killer.team[index].join(Duration::ZERO);
                return Err(format!("the worker in slot {index} ended by itself: {how:?}"));
            }
        }
        if Instant::now() > deadline {
            let bound = killer.options.bound;
            return Err(format!("no kills for {bound:?}, and slots {missing:?} do not come to an end"));
        }
        // Those who wait for somebody who stands aside already.
        for station in killer.site.stations() {
            station.let_all_go();
        }
        thread::sleep(Duration::from_micros(200));
    }
}
