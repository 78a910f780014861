//! loom models of the real source: every interleaving of a few threads, and every value that a weak memory may show them.
//!
//! ```text
//! RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR=target/loom cargo test --release --test model   # or ci/models.sh, which counts
//! ```
//!
//! With `--cfg loom` the crate is built over loom's atomics, over an operating system of loom's threads (`src/sys/model.rs`),
//! and with the backend `Model`, which promises what `Wait` promises and nothing more. The algorithms are not touched.
//! Spinning is left out, and no slice ends while nobody has died: a model that passes has lost no wake-up.
//!
//! - **Bounds.** Two or three threads beside the test's own at the most, a handful of operations each, and so many
//!   preemptions as `explore` is told, 1 to 6: chosen for a few seconds, and below 400 000 executions. More with
//!   `LOOM_MAX_PREEMPTIONS=n`. `-- --nocapture` shows how many executions there were.
//! - **Every model can fail.** `assert_needed` weakens the ordering edges one by one, by the very comments that name them in
//!   the source (`edge: release -> acquire`), leaves fences and wakes out, and asserts that a model notices each.
//!   `assert_caught` has an operation write something else. Edges that no model is shown to need are named in `labels`.
//! - **Deaths.** `explore_kills` runs a model once for each operation of its `mortal` thread, which is killed before it: in
//!   the middle of every verb, asleep, or with a wake-up in hand. Then slices end, and all others must get on.
//!
//! What loom cannot show: `SeqCst` accesses count as `AcqRel` (fences are whole); a compare-and-swap never fails for no
//! reason; signals; and what two processes see of one another at different addresses.
#![cfg(loom)]
#![allow(missing_docs, unreachable_pub)]

mod barrier;
mod condition;
mod condition_on_unlock;
mod deadlock;
mod event;
mod labels;
mod lock;
mod mutex;
mod once;
mod permits;
mod posix_sem;
mod rwlock;
mod semaphore;
mod support;
