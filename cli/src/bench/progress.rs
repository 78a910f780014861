//! The progress bar, on standard error if that is a terminal.
//!
//! It is drawn between samples only and has no thread of its own: the tool forks, and wants to be alone when it does.

use indicatif::{ProgressBar, ProgressStyle};
use shmsync_harness::runner::Step;

pub(super) struct Progress(ProgressBar);

impl Progress {
    pub(super) fn new(samples: u64) -> Self {
        let style = ProgressStyle::with_template("{bar:24} {pos}/{len} {elapsed} {wide_msg}");
        let bar = ProgressBar::new(samples); // Hidden where standard error is not a terminal.
        bar.set_style(style.expect("the template is a constant"));
        Self(bar)
    }

    pub(super) fn show(&self, step: &Step<'_>) {
        self.0.set_position(step.done);
        self.0.set_message(format!("round {}: {}, {}", step.round, step.workload, step.peer));
    }

    pub(super) fn finish(&self) {
        self.0.finish_and_clear();
    }
}
