//! What the reader sees: a table for each workload with the peers as rows, and a summary.

use comfy_table::{Cell, CellAlignment, Table, presets};
use shmsync_harness::crew::Context;
use shmsync_harness::machine::Machine;
use shmsync_harness::plan::Plan;
use shmsync_harness::promises;
use shmsync_harness::record::Record;
use shmsync_harness::runner::Outcome;
use shmsync_harness::workloads::{Column, Workload};
use std::fmt::Write;
use std::time::Duration;

/// Below this a ratio counts as slower; what is between it and 1 may be noise.
const SLOWER: f64 = 0.9;

pub(super) fn tables(plan: &Plan, outcome: &Outcome) -> String {
    let mut text = String::new();
    for workload in plan.entries.iter().map(|entry| &entry.workload) {
        let (name, about, latency) = (workload.name, workload.about, workload.latency);
        let ops =
            if workload.operations.is_empty() { String::new() } else { format!("; ops: {}", workload.operations) };
        let _ = writeln!(text, "{name}: {about}\nmedian and p99: {latency}{ops}");
        let columns = columns(workload);
        let mut table = Table::new();
        table.load_preset(presets::UTF8_FULL_CONDENSED);
        table.set_header(["peer"].into_iter().chain(columns.iter().map(|(name, _)| *name)));
        table.column_iter_mut().skip(1).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
        let mut params = None;
        for record in outcome.records.iter().filter(|record| record.workload == name) {
            if params.replace(&record.params) != Some(&record.params) {
                table.add_row([Cell::new(format!("{}:", record.params))]);
            }
            table.add_row(row(record, &columns));
        }
        let _ = writeln!(text, "{table}\n");
    }
    text
}

type Show = fn(&Record) -> Option<String>;

/// The columns after the peer's name: what every table has, and what this workload adds.
pub(super) fn columns(workload: &Workload) -> Vec<(&'static str, Show)> {
    let has = |column| workload.columns.contains(&column);
    let all: [(bool, &'static str, Show); 13] = [
        (true, "median", |record| record.median_ns.map(time)),
        (true, "p99", |record| record.p99_ns.map(time)),
        (has(Column::P999), "p99.9", |record| record.p999_ns.map(time)),
        (has(Column::Max), "max", |record| record.max_ns.map(time)),
        (has(Column::CpuPercent), "CPU of all", |record| record.cpu_percent.map(|percent| format!("{percent:.3} %"))),
        (!workload.operations.is_empty(), "ops/s", |record| record.ops_per_s.map(rate)),
        (has(Column::CpuPerOp), "CPU/op", |record| record.cpu_ns_per_op.map(time)),
        (has(Column::Shares), "shares", |record| record.shares.map(range)),
        (workload.sem_t.is_some(), "x sem_t", |record| record.ratio_sem_t.map(factor)),
        (workload.pthread.is_some(), "x pthread", |record| record.ratio_pthread.map(factor)),
        (has(Column::Robust), "x robust", |record| record.ratio_robust.map(factor)),
        (has(Column::Limit), "x limit", |record| record.ratio_limit.map(factor)),
        (!has(Column::CpuPercent), "spread", |record| record.spread.map(range)),
    ];
    all.into_iter().filter(|(wanted, ..)| *wanted).map(|(_, name, show)| (name, show)).collect()
}

fn row(record: &Record, columns: &[(&str, Show)]) -> Vec<String> {
    let peer = format!("  {}", record.peer);
    if record.error.is_some() {
        return vec![peer, String::from("FAILED")];
    }
    let cells = columns.iter().map(|(_, show)| show(record).unwrap_or_else(|| String::from("-")));
    [peer].into_iter().chain(cells).collect()
}

pub(super) fn summary(plan: &Plan, outcome: &Outcome, machine: &Machine, context: &Context, took: Duration) -> String {
    let mut text = String::new();
    let (version, seed, took) = (env!("CARGO_PKG_VERSION"), plan.seed, took.as_secs_f64());
    let rounds = match outcome.rounds == plan.rounds {
        true => format!("{} rounds", plan.rounds),
        false => format!("{} of {} rounds for want of time", outcome.rounds, plan.rounds),
    };
    let _ = writeln!(text, "machine: {machine}");
    let _ = writeln!(text, "clock: {}; a section of 100 ns came to {:.1} ns", context.clock, context.work.check_ns());
    let _ = writeln!(text, "run: shmsync {version}, {rounds}, seed {seed}, {took:.1} s");
    for line in &plan.skipped {
        let _ = writeln!(text, "note: {line}");
    }
    for promise in promises::check(&outcome.records) {
        let _ = writeln!(text, "{promise}");
    }
    // Of recovery there are promises: to be as fast as the kernel's notice is not what slices are for.
    let ours: Vec<&Record> =
        outcome.records.iter().filter(|record| record.is_shmsync() && record.workload != "recovery").collect();
    let slow: Vec<String> = ours.iter().filter_map(|record| slower(record)).collect();
    let base = "sem_t (or pthread, where sem_t has no such form)";
    match (ours.iter().any(|record| record.ratio.is_some()), slow.is_empty()) {
        (false, _) => text.push_str("shmsync was not compared with anything.\n"),
        (true, true) => {
            let _ = writeln!(text, "shmsync is nowhere below {SLOWER} x {base}.");
        }
        (true, false) => {
            let _ = writeln!(text, "shmsync is below {SLOWER} x {base} in:");
            let _ = writeln!(text, "{}", slow.join("\n"));
        }
    }
    for failure in &outcome.failures {
        let _ = writeln!(text, "FAILED: {}", failure.to_string().lines().next().unwrap_or_default());
    }
    text
}

fn slower(record: &Record) -> Option<String> {
    let ratio = record.ratio.filter(|&ratio| ratio < SLOWER)?;
    let (workload, params, peer, base) = (record.workload, &record.params, &record.peer, record.base.as_deref()?);
    let [low, high] = record.ratio_spread?.map(factor);
    Some(format!("  {workload} ({params}), {peer}: {} x {base} (rounds: {low} to {high})", factor(ratio)))
}

/// Three digits that count, and the unit.
pub(super) fn time(ns: f64) -> String {
    let (value, unit) = match ns {
        ns if ns < 999.5 => (ns, "ns"),
        ns if ns < 999.5e3 => (ns / 1e3, "µs"),
        ns => (ns / 1e6, "ms"),
    };
    format!("{} {unit}", digits(value))
}

pub(super) fn rate(ops: f64) -> String {
    match ops {
        ops if ops < 999.5 => digits(ops),
        ops if ops < 999.5e3 => format!("{} k", digits(ops / 1e3)),
        ops => format!("{} M", digits(ops / 1e6)),
    }
}

fn range([low, high]: [f64; 2]) -> String {
    format!("{}-{}", factor(low), factor(high))
}

pub(super) fn factor(ratio: f64) -> String {
    if ratio < 10.0 { format!("{ratio:.2}") } else { digits(ratio) }
}

fn digits(value: f64) -> String {
    match value {
        value if value < 9.995 => format!("{value:.2}"),
        value if value < 99.95 => format!("{value:.1}"),
        value => format!("{value:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_three_digits() {
        let times = [4.373, 43.73, 437.3, 999.7, 15_186.0, 999_600.0, 1.2e9].map(time);
        assert_eq!(times, ["4.37 ns", "43.7 ns", "437 ns", "1.00 µs", "15.2 µs", "1.00 ms", "1200 ms"]);
        assert_eq!([512.0, 51_110.0, 34.9e6].map(rate), ["512", "51.1 k", "34.9 M"]);
        assert_eq!([0.894, 1.2, 456.4].map(factor), ["0.89", "1.20", "456"]);
    }
}
