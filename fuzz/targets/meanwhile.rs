//! A primitive whose words change under its verbs, as another process can change them at any time: between a load and the
//! compare-and-swap after it, while somebody sleeps there, while it is held.
//!
//! Nothing is promised of what the verbs return, but that each comes to an end, and that nothing is touched in front of the
//! value or behind it. Not on `PosixSem`: glibc ends the process that finds a `sem_t` changed, and says so.
#![no_main]

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use shmsync::wait::{Futex, KernelRobust};
use shmsync_fuzz::guard::Guarded;
use shmsync_fuzz::subjects::{Step, Subject};
use shmsync_fuzz::watch::soon;
use shmsync_fuzz::which::{Visit, What};
use shmsync_fuzz::words::{Scribble, remember_me};
use shmsync_fuzz::worker::Worker;

#[derive(Arbitrary, Debug)]
struct Input {
    robust: bool,
    what: What,
    words: [Scribble; 4],
    /// What comes about again and again while the verbs run.
    changes: Vec<Change>,
    steps: Vec<Step>,
}

#[derive(Arbitrary, Debug, Clone, Copy)]
struct Change {
    /// Which half of a word.
    half: u8,
    word: Scribble,
    /// How long nothing changes after it, in polls.
    pause: u8,
}

impl Change {
    fn make(self, halves: &[AtomicU32]) {
        let half = usize::from(self.half) % halves.len();
        let word = self.word.word();
        // Relaxed: whoever means harm orders nothing.
        halves[half].store(if half % 2 == 0 { word as u32 } else { (word >> 32) as u32 }, Ordering::Relaxed);
        (0..u32::from(self.pause) * 4).for_each(|_| std::hint::spin_loop());
    }
}

/// Where the program runs, and on what.
struct Stage {
    page: Guarded,
    /// Not this thread: what is never released would fill the list that the kernel keeps of it.
    verbs: Worker,
    changes: Worker,
}

thread_local! {
    static STAGE: RefCell<Stage> =
        RefCell::new(Stage { page: Guarded::new(), verbs: Worker::new(), changes: Worker::new() });
}

impl Visit for &Input {
    fn visit<T: Subject>(self) {
        let bytes: Vec<u8> = self.words.iter().flat_map(|word| word.word().to_ne_bytes()).collect();
        STAGE.with_borrow_mut(|Stage { page, verbs, changes }| {
            // SAFETY: no thread is in the midst of an earlier program: all were waited for.
            #[allow(unsafe_code)]
            let subject = unsafe { page.put::<T>(&bytes) };
            // SAFETY: a primitive is made of atomics, aligned to four bytes at least; the data in some are plain words, of
            // which any value is one, and are changed here as another process would change them.
            #[allow(unsafe_code)]
            let halves = unsafe { std::slice::from_raw_parts(std::ptr::from_ref(subject).cast(), size_of::<T>() / 4) };
            let done = Arc::new(AtomicBool::new(false));
            if !self.changes.is_empty() {
                let (list, done) = (self.changes.clone(), Arc::clone(&done));
                changes.begin(move || {
                    for change in list.iter().cycle() {
                        if done.load(Ordering::Relaxed) {
                            break;
                        }
                        change.make(halves);
                    }
                });
            }
            let steps = self.steps.clone();
            verbs.begin(move || {
                soon(|| steps.iter().take(24).for_each(|&step| subject.step(step, false)));
                _ = format!("{subject:?}");
            });
            verbs.wait();
            done.store(true, Ordering::Relaxed);
            if !self.changes.is_empty() {
                changes.wait();
            }
            assert!(page.is_sound_before::<T>(), "something was written in front of it");
        });
    }
}

/// A thread that ends while it holds something leaves its list to the kernel, on purpose.
#[unsafe(no_mangle)]
#[allow(unsafe_code)]
extern "C" fn __lsan_default_suppressions() -> *const std::ffi::c_char {
    c"leak:robust::set_up".as_ptr()
}

fuzz_target!(|input: Input| {
    remember_me();
    if input.robust {
        input.what.visited::<KernelRobust>(&input);
    } else {
        input.what.visited::<Futex>(&input);
    }
});
