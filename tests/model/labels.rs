//! No ordering edge in the source without a model that is shown to need it, but for those named here with the reason.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use shmsync::model::sites;

/// The models, as text: they name the edges that they weaken.
const MODELS: [&str; 12] = [
    include_str!("barrier.rs"),
    include_str!("condition.rs"),
    include_str!("condition_on_unlock.rs"),
    include_str!("deadlock.rs"),
    include_str!("event.rs"),
    include_str!("lock.rs"),
    include_str!("mutex.rs"),
    include_str!("once.rs"),
    include_str!("permits.rs"),
    include_str!("posix_sem.rs"),
    include_str!("rwlock.rs"),
    include_str!("semaphore.rs"),
];

const IN_FENCE: &str = "loom takes SeqCst for AcqRel here; the fence beside it is what the model weakens";

/// What no model is shown to need: the file, a part of the comment, and why.
const UNPROVEN: [(&str, &str, &str); 9] = [
    ("sync/permits.rs", "slot freed <-> waiter announced (the waiter's end", IN_FENCE),
    ("sync/permits/turn.rs", "slot freed <-> waiter announced", IN_FENCE),
    ("sync/rwlock/gate/readers.rs", "slot taken <-> writer there", IN_FENCE),
    ("sync/rwlock/gate/readers.rs", "slot freed <->", IN_FENCE),
    ("sync/rwlock/gate/writers.rs", "slot freed <-> awaited", IN_FENCE),
    ("sync/rwlock/gate/writers.rs", "slot taken <-> writer there (the writer's", IN_FENCE),
    (
        "sync/rwlock/gate/writers.rs",
        "between the writer's store and its loads",
        "takes three preemptions, and too long",
    ),
    ("sync/rwlock/slots.rs", "slot freed <-> full (the waiting", IN_FENCE),
    ("sync/rwlock/slots.rs", "slot taken <-> writer there", IN_FENCE),
];

/// What loom does not compile.
const NOT_MODELLED: [(&str, &str); 2] = [
    (
        "wait/kernel_robust.rs",
        "the other end is the kernel's, at a thread's death; the sweep kills at every instruction",
    ),
    ("sync/deadlock/regions.rs", "which regions a process has mapped; a model has none"),
];

#[test]
fn every_edge_has_its_model() {
    let asserted: BTreeSet<String> = MODELS.iter().flat_map(|model| asserted_in(model)).collect();
    let mut unproven: BTreeMap<String, String> = BTreeMap::new();
    let mut edges = 0;
    for file in files("sync").into_iter().chain(files("wait")).chain(files("owner")) {
        if NOT_MODELLED.iter().any(|(not, _)| file == *not) {
            continue;
        }
        for comment in labels(&file) {
            edges += 1;
            for site in sites(&file, &comment) {
                let excused = UNPROVEN.iter().any(|(at, part, _)| file == *at && comment.contains(part));
                if asserted.contains(&site.to_string()) == excused {
                    unproven.insert(site.to_string(), comment.clone());
                }
            }
        }
    }
    assert!(edges > 40, "only {edges} edges are found");
    assert!(unproven.is_empty(), "no model needs these, or one does that is excused: {unproven:#?}");
}

/// Every operation that some assertion of `model` names.
fn asserted_in(model: &str) -> Vec<String> {
    let (files, texts): (Vec<_>, Vec<_>) = literals(model).into_iter().partition(|literal| literal.ends_with(".rs"));
    let mut found = Vec::new();
    for file in files {
        for text in texts.iter().filter(|text| text.len() > 4 && source(&file).contains(text.as_str())) {
            found.extend(sites(&file, text).iter().map(ToString::to_string));
        }
    }
    found
}

/// The strings in code; none of them has a quotation mark in it.
fn literals(source: &str) -> Vec<String> {
    let code: Vec<&str> = source.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    code.join("\n").split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The comments that name the edge of an operation.
fn labels(file: &str) -> Vec<String> {
    let comment = |line: &str| Some(line.split_once("// ")?.1.to_owned());
    let source = source(file);
    let lines = source.lines().filter(|line| !line.trim_start().starts_with("//!")).filter_map(comment);
    lines.filter(|comment| comment.contains("edge: ") && !comment.contains("(edge: ")).collect()
}

fn source(file: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(file)).expect(file)
}

/// Below a directory of `src`, and the file that has its name.
fn files(directory: &str) -> Vec<String> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    for entry in fs::read_dir(src.join(directory)).expect("a directory") {
        let path = format!("{directory}/{}", entry.expect("an entry").file_name().to_string_lossy());
        if src.join(&path).is_dir() {
            found.extend(files(&path));
        } else if path.ends_with(".rs") {
            found.push(path);
        }
    }
    found
}
