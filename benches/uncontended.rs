//! Each fast path by itself, and the peers' pairs: to compare a change with what was there before, on one machine.
//! How many instructions they are, says `ci/instructions.txt`.
#![allow(missing_docs, reason = "criterion_group! makes a public function")]

use criterion::{Criterion, criterion_group, criterion_main};
use shmsync_harness::fast_paths;
use std::time::{Duration, Instant};

fn fast_paths(criterion: &mut Criterion) {
    for path in fast_paths::all() {
        let run = path.prepare();
        criterion.bench_function(&path.name, |bencher| {
            bencher.iter_custom(|times| {
                let start = Instant::now();
                run(times);
                start.elapsed()
            });
        });
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .nresamples(10_000)
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(500))
        .without_plots();
    targets = fast_paths
}
criterion_main!(benches);
