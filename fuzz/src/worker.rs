//! Threads that live for many executions, since to start one takes as long as an execution does.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

type Job = Box<dyn FnOnce() + Send>;

/// A thread that does one thing after another. After some hundred it is replaced by a new one: what it has left held then
/// belongs to somebody dead.
pub struct Worker {
    jobs: Sender<Job>,
    done: Receiver<()>,
    count: usize,
}

impl Worker {
    const MOST: usize = 300;

    #[must_use]
    #[expect(clippy::new_without_default, reason = "it starts a thread")]
    pub fn new() -> Self {
        let (jobs, todo) = channel::<Job>();
        let (say, done) = channel();
        thread::spawn(move || {
            for job in todo {
                job();
                // An error would mean that nobody asked any more.
                let _ = say.send(());
            }
        });
        Self { jobs, done, count: 0 }
    }

    /// Begins something, which `wait` is to be called for.
    ///
    /// # Panics
    /// If the thread is gone.
    pub fn begin(&mut self, job: impl FnOnce() + Send + 'static) {
        if self.count == Self::MOST {
            *self = Self::new();
        }
        self.count += 1;
        self.jobs.send(Box::new(job)).expect("it waits for jobs");
    }

    /// Waits until it is done.
    ///
    /// # Panics
    /// If the thread is gone.
    pub fn wait(&self) {
        self.done.recv().expect("it did its job");
    }
}
