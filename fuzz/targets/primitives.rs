//! Any bytes taken as each primitive on each backend, and then any verbs, also from a second thread.
//!
//! Beyond that nothing crashes: no verb takes longer than it was told, nothing is touched in front of the value or behind it,
//! and what one thread can tell for certain is so: a lock that was released is free, an event that was set is set.
#![no_main]

use std::cell::RefCell;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use shmsync::wait::{Futex, KernelRobust, PosixSem};
use shmsync_fuzz::guard::Guarded;
use shmsync_fuzz::subjects::{Step, Subject};
use shmsync_fuzz::watch::soon;
use shmsync_fuzz::which::{Visit, What};
use shmsync_fuzz::words::{Scribble, remember_me};
use shmsync_fuzz::worker::Worker;

#[derive(Arbitrary, Debug)]
struct Input {
    backend: Backend,
    what: What,
    words: [Scribble; 4],
    /// What comes behind them.
    rest: Vec<u64>,
    steps: Vec<Step>,
    /// What a second thread does meanwhile, if anything.
    others: Vec<Step>,
}

#[derive(Arbitrary, Debug, Clone, Copy)]
enum Backend {
    Futex,
    PosixSem,
    KernelRobust,
}

fn program<T: Subject>(subject: &T, steps: &[Step], alone: bool) {
    _ = format!("{subject:?}");
    soon(|| steps.iter().take(24).for_each(|&step| subject.step(step, alone)));
    _ = format!("{subject:?}");
}

/// Where the programs run, and on what.
struct Stage {
    page: Guarded,
    /// Instead of this thread, for those of which the kernel keeps a list: what is never released would fill the list.
    main: Worker,
    other: Worker,
}

thread_local! {
    static STAGE: RefCell<Stage> =
        RefCell::new(Stage { page: Guarded::new(), main: Worker::new(), other: Worker::new() });
}

fn run<T: Subject>(input: &Input) {
    let words = input.words.iter().map(|word| word.word()).chain(input.rest.iter().copied());
    let bytes: Vec<u8> = words.flat_map(u64::to_ne_bytes).collect();
    let alone = input.others.is_empty();
    STAGE.with_borrow_mut(|Stage { page, main, other }| {
        // SAFETY: no thread is in the midst of an earlier program: all were waited for.
        #[allow(unsafe_code)]
        let subject = unsafe { page.put::<T>(&bytes) };
        if !alone {
            let steps = input.others.clone();
            other.begin(move || program(subject, &steps, false));
        }
        if matches!(input.backend, Backend::KernelRobust) {
            let steps = input.steps.clone();
            main.begin(move || program(subject, &steps, alone));
            main.wait();
        } else {
            program(subject, &input.steps, alone);
        }
        if !alone {
            other.wait();
        }
        assert!(page.is_sound_before::<T>(), "something was written in front of it");
    });
}

/// A thread that ends while it holds something leaves its list to the kernel, on purpose.
#[unsafe(no_mangle)]
#[allow(unsafe_code)]
extern "C" fn __lsan_default_suppressions() -> *const std::ffi::c_char {
    c"leak:robust::set_up".as_ptr()
}

impl Visit for &Input {
    fn visit<T: Subject>(self) {
        run::<T>(self);
    }
}

fuzz_target!(|input: Input| {
    remember_me();
    match input.backend {
        Backend::Futex => input.what.visited::<Futex>(&input),
        Backend::PosixSem => input.what.visited::<PosixSem>(&input),
        Backend::KernelRobust => input.what.visited::<KernelRobust>(&input),
    }
});
