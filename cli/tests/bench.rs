//! `shmsync bench` as a user meets it: tables, records, and answers to wrong input.
#![cfg(target_os = "linux")]
#![allow(missing_docs)]

use serde_json::Value;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::{env, fs};

fn shmsync(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_shmsync")).args(args).output().expect("the tool runs")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A path in the build directory that no other test uses.
fn scratch(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// Runs one round of some workloads and gives back the records.
fn records(name: &str, args: &[&str]) -> (Output, Vec<Value>) {
    let file = scratch(name);
    let _ = fs::remove_file(&file);
    let path = file.to_str().unwrap();
    let output = shmsync(&[&["bench", "--quick", "--rounds", "1", "--json", path], args].concat());
    assert!(output.status.success(), "{}\n{}", stdout(&output), stderr(&output));
    let text = fs::read_to_string(&file).unwrap();
    let Value::Array(records) = serde_json::from_str(&text).unwrap() else { panic!("not an array: {text}") };
    (output, records)
}

fn number(record: &Value, field: &str) -> f64 {
    record[field].as_f64().unwrap_or_else(|| panic!("{field} in {record}"))
}

#[test]
fn every_workload_gives_a_table_records_and_a_section_of_the_page() {
    let page = scratch("all.html");
    let (output, records) = records("all.json", &["--html", page.to_str().unwrap()]);
    for record in &records {
        assert!(
            record["workload"].is_string() && record["peer"].is_string() && record["params"].is_object(),
            "{record}"
        );
        assert_eq!(record["error"], Value::Null, "{record}");
        if record["rounds"] == 0 {
            continue; // Sixteen processes on a busy machine may not get a turn in a sample this short.
        }
        let (median, p99) = (number(record, "median_ns"), number(record, "p99_ns"));
        if record["workload"] == "idle" {
            assert!(number(record, "cpu_percent") < 100.0, "{record}");
            continue; // Who sleeps until it is woken uses no time at all.
        }
        assert!(0.0 < median && median <= p99 * 1.01, "{record}");
        assert!(record["workload"] == "recovery" || number(record, "ops_per_s") > 0.0, "{record}");
        let quantiles = record["percentiles"].as_array().unwrap().iter().map(|pair| pair[1].as_f64().unwrap());
        assert!(quantiles.is_sorted(), "{record}");
    }
    for workload in ["uncontended", "contended", "rwlock", "ping-pong", "pool", "notify-all", "barrier", "recovery"] {
        let of = |peer: &str| {
            let mine = records.iter().filter(|record| record["workload"] == workload);
            mine.filter(|record| record["peer"].as_str().unwrap().contains(peer)).count()
        };
        assert!(of("shmsync") >= 2 && of("(Futex)") >= 1 && of("(PosixSem)") >= 1, "{workload}");
        assert!(of("sem_t") + of("pthread") >= 1, "{workload}");
    }
    let mut of_sem_t = records.iter().filter(|record| record["peer"] == "sem_t");
    let sem_t = of_sem_t.find(|record| record["rounds"] == 1).unwrap();
    assert_eq!((number(sem_t, "ratio"), sem_t["base"].as_str()), (1.0, Some("sem_t")));

    let contended = records.iter().find(|record| record["workload"] == "contended" && record["rounds"] == 1).unwrap();
    let shares = contended["shares"].as_array().unwrap();
    assert!(number(contended, "cpu_ns_per_op") > 0.0 && shares[0].as_f64() <= shares[1].as_f64(), "{contended}");

    let text = stdout(&output);
    for words in [
        "x sem_t",
        "x pthread",
        "x robust",
        "x limit",
        "p99",
        "p99.9",
        "CPU/op",
        "CPU of all",
        "shares",
        "shmsync Lock (Futex)",
        "processes 8, section 1 µs, outside 1 µs",
        "machine: ",
        "every waiter learns of a death within 100 ms",
    ] {
        assert!(text.contains(words), "{words:?} in:\n{text}");
    }
    is_whole_and_loads_nothing(&fs::read_to_string(page).unwrap(), &records);
    let told = stderr(&output);
    assert!(told.contains("measuring ") && told.contains(" s\n"), "{told}");
}

fn is_whole_and_loads_nothing(page: &str, records: &[Value]) {
    for record in records {
        let (workload, peer) = (record["workload"].as_str().unwrap(), record["peer"].as_str().unwrap());
        let peer = peer.replace('<', "&lt;").replace('>', "&gt;");
        assert!(page.contains(&format!("<section id=\"{workload}\">")), "{workload} is not in the page");
        assert!(page.contains(&format!("<th>{peer}</th>")), "{peer} is not in the page");
    }
    for words in ["<!DOCTYPE html>", "machine: ", "bench --quick", "<svg role=\"img\" aria-label=", "</html>"] {
        assert!(page.contains(words), "{words:?} is not in the page");
    }
    for words in ["http", "src=", "url(", "@import", "<script", "<link"] {
        assert!(!page.contains(words), "{words:?} in a page that is to need nothing else");
    }
}

#[test]
fn filters_keep_the_base() {
    let args = ["--filter", "pool,uncontended", "--peers", "SHMSYNC lock (futex)", "--peers", "PARKING"];
    let (_, records) = records("filtered.json", &args);
    let peers: Vec<&str> = records.iter().map(|record| record["peer"].as_str().unwrap()).collect();
    assert_eq!(peers, ["shmsync Lock (Futex)", "sem_t", "pthread mutex", "parking_lot Mutex (threads)"]);
    assert!(records.iter().all(|record| record["params"]["processes"] == 1));
    assert!(number(&records[0], "ratio") > 0.0 && number(&records[0], "ratio_pthread") > 0.0);
}

#[test]
fn what_does_not_exist_is_answered_with_what_does() {
    for (args, words) in [
        (&["--filter", "bogus"][..], "notify-all"),
        (&["--peers", "bogus"], "pthread barrier"),
        (&["--rounds", "0"], "1.."),
        (&["--rounds", "many"], "--rounds"),
        (&["--seed", "x"], "--seed"),
        (&["--bogus"], "--bogus"),
    ] {
        let output = shmsync(&[&["bench"], args].concat());
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(stderr(&output).contains(words), "{args:?}: {}", stderr(&output));
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn a_file_that_cannot_be_written_is_told_before_measuring() {
    for (option, path) in
        [("--json", "/nonexistent/bench.json"), ("--json", "/"), ("--html", "/nonexistent/bench.html")]
    {
        let output = shmsync(&["bench", option, path]);
        assert_eq!(output.status.code(), Some(2));
        let told = stderr(&output);
        assert!(told.contains(&format!("cannot write {path}: ")) && !told.contains("measuring"), "{told}");
    }
}

#[test]
fn a_file_from_before_is_replaced_whole() {
    let file = scratch("again.json");
    fs::write(&file, "x".repeat(1 << 20)).unwrap();
    let args = ["bench", "--quick", "--rounds", "1", "--filter", "pool", "--json", file.to_str().unwrap()];
    assert!(shmsync(&args).status.success());
    let records: Vec<Value> = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!(records.len(), 5);
}

#[test]
fn list_measures_nothing() {
    let output = shmsync(&["bench", "--list", "--filter", "barrier"]);
    assert!(output.status.success() && output.stderr.is_empty());
    let text = stdout(&output);
    assert!(text.contains("processes 8") && text.contains("pthread barrier") && !text.contains("sem_t"), "{text}");
}

#[test]
fn help_tells_of_exit_codes_and_examples() {
    let text = stdout(&shmsync(&["bench", "--help"]));
    for words in ["Exit codes:", "Examples:", "--quick", "--html", "above 1 is faster"] {
        assert!(text.contains(words), "{words:?} in:\n{text}");
    }
}

/// `taskset` is part of util-linux, so it is nearly always there.
#[test]
fn one_cpu_leaves_out_what_needs_two() {
    let tool = env!("CARGO_BIN_EXE_shmsync");
    let args = ["-c", "0", tool, "bench", "--quick", "--rounds", "1", "--filter", "ping-pong", "--peers", "pthread"];
    let Ok(output) = Command::new("taskset").args(args).output() else { return };
    let told = stderr(&output);
    assert!(output.status.success(), "{told}");
    assert!(
        told.contains("note: ping-pong (processes 2, cpus 2) is left out: it needs 2 CPUs and there is 1"),
        "{told}"
    );
    assert!(stdout(&output).contains("processes 2, cpus 1"));
}
