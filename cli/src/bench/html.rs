//! The page for `--html`: plots, the numbers below each, and where they come from. One file that loads nothing.

mod palette;
mod plot;

use super::table;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use plot::{Bar, Line};
use shmsync_harness::params::{Params, Value};
use shmsync_harness::plan::Plan;
use shmsync_harness::record::Record;
use shmsync_harness::runner::Outcome;
use shmsync_harness::sample::Measure;
use shmsync_harness::workloads::Workload;
use std::collections::BTreeMap;

const STYLE: &str = include_str!("html/style.css");

/// What varies along the axis of a plot over N.
const NUMBERS: [&str; 2] = ["processes", "waiters"];

pub(super) fn page(plan: &Plan, outcome: &Outcome, summary: &str) -> String {
    let command: Vec<String> = std::env::args().skip(1).collect();
    let date = humantime::format_rfc3339_seconds(std::time::SystemTime::now());
    let workloads = || plan.entries.iter().map(|entry| &entry.workload);
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "shmsync bench" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { "shmsync bench" }
                p { code { "shmsync " (command.join(" ")) } ", " (date) }
                pre { (summary) }
                p.legend { @for (name, class) in palette::LEGEND { span class=(class) { (name) } " " } }
                nav { @for workload in workloads() { a href={ "#" (workload.name) } { (workload.name) } " " } }
                @for workload in workloads() { (section(workload, &outcome.records)) }
            }
        }
    };
    page.into_string()
}

fn section(workload: &Workload, records: &[Record]) -> Markup {
    let mine: Vec<&Record> = records.iter().filter(|record| record.workload == workload.name).collect();
    html! {
        section id=(workload.name) {
            h2 { (workload.name) }
            p { (workload.about) ". Latency: " (workload.latency) "." }
            div.plots {
                @for (rest, lines) in over_numbers(workload, &mine) {
                    (figure(&plot::over_numbers(&lines, workload.measure), &format!("{}, by {rest}", over_title(workload))))
                }
            }
            @for group in mine.chunk_by(|one, other| one.params == other.params) { (group_of(workload, group)) }
        }
    }
}

fn over_title(workload: &Workload) -> String {
    match workload.measure {
        Measure::Throughput => format!("{} in a second", workload.operations),
        Measure::Time => String::from("median latency"),
    }
}

/// The plots of one group, and its numbers.
fn group_of(workload: &Workload, group: &[&Record]) -> Markup {
    let columns = table::columns(workload);
    let lines: Vec<Line> = group.iter().filter_map(|record| distribution(record)).collect();
    let ratios: Vec<Bar> = group.iter().filter_map(|record| ratio(record)).collect();
    let used: Vec<Bar> = group.iter().filter_map(|record| used(record)).collect();
    let base = group.iter().find_map(|record| record.base.as_deref()).unwrap_or_default();
    html! {
        h3 { (group[0].params) }
        div.plots {
            @if !used.is_empty() {
                (figure(&plot::used(&used), "CPU time of one waiter: median, and to the one that used most"))
            } @else {
                @if ratios.len() > 1 && workload.name != "recovery" {
                    (figure(&plot::ratios(&ratios), &format!("times faster than {base}, with 10th to 90th percentile")))
                }
                @if !lines.is_empty() { (figure(&plot::percentiles(&lines), "latency up to this percentile")) }
            }
        }
        details {
            summary { "the numbers" }
            table {
                thead { tr { th { "peer" } @for (name, _) in &columns { th { (name) } } } }
                tbody {
                    @for record in group {
                        tr {
                            th { (record.peer) }
                            @if let Some(error) = &record.error {
                                td colspan=(columns.len()) { "FAILED: " (error) }
                            } @else {
                                @for (_, show) in &columns { td { (show(record).unwrap_or_else(|| "–".into())) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn figure(svg: &str, caption: &str) -> Markup {
    html! {
        figure {
            figcaption { (caption) }
            svg role="img" aria-label={ (caption) "; the numbers are in the table below" } viewBox=(plot::view(svg)) {
                (PreEscaped(plot::inner(svg)))
            }
        }
    }
}

fn distribution(record: &Record) -> Option<Line> {
    let points = record.percentiles.iter().filter(|[q, ns]| (0.05..1.0).contains(q) && *ns > 0.0);
    let points: Vec<(f64, f64)> = points.map(|&[q, ns]| (-(1.0 - q).log10(), ns)).collect();
    (points.len() > 1).then(|| Line { peer: record.peer.clone(), points })
}

fn ratio(record: &Record) -> Option<Bar> {
    let [low, high] = record.ratio_spread?;
    Some(Bar { peer: record.peer.clone(), value: record.ratio.filter(|&ratio| ratio > 0.0)?, low, high })
}

/// How much of a core a waiter used, where that was measured.
fn used(record: &Record) -> Option<Bar> {
    record.cpu_percent?;
    let [value, high] = [record.median_ns?, record.max_ns?].map(|ns| ns / 1e9 * 100.0);
    Some(Bar { peer: record.peer.clone(), value, low: value, high })
}

/// For each choice of the other parameters that was measured with three numbers of processes or more: a line for each
/// peer.
fn over_numbers(workload: &Workload, records: &[&Record]) -> BTreeMap<String, Vec<Line>> {
    let mut plots: BTreeMap<String, Vec<Line>> = BTreeMap::new();
    for record in records {
        let (speed, (number, rest)) = match (workload.measure, split(&record.params)) {
            (Measure::Throughput, Some(params)) => (record.ops_per_s, params),
            (Measure::Time, Some(params)) => (record.median_ns, params),
            _ => continue,
        };
        let Some(speed) = speed.filter(|&speed| speed > 0.0) else { continue };
        let lines = plots.entry(rest).or_default();
        let point = (number, speed);
        match lines.iter_mut().find(|line| line.peer == record.peer) {
            Some(line) => line.points.push(point),
            None => lines.push(Line { peer: record.peer.clone(), points: vec![point] }),
        }
    }
    plots.retain(|_, lines| lines.iter().any(|line| line.points.len() >= 3));
    plots
}

/// The number of processes, and in words what it is the number of, with the other parameters.
fn split(params: &Params) -> Option<(f64, String)> {
    let is_number = |name: &str| NUMBERS.contains(&name);
    let (number, rest): (Vec<_>, Vec<_>) = params.0.iter().cloned().partition(|(name, _)| is_number(name));
    match number.first() {
        Some((name, Value::Number(number))) if rest.is_empty() => Some((*number as f64, format!("number of {name}"))),
        Some((name, Value::Number(number))) => Some((*number as f64, format!("number of {name}; {}", Params(rest)))),
        _ => None,
    }
}
