//! Faults on purpose, one a test: what `ci/sanitizers.sh` shows each tool first, in the way that it shows it the library's
//! tests. A tool that says nothing about its fault says nothing by being silent about the others.
//!
//! None depends on luck: the tool must see it in every run.

use std::hint::black_box;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;
use std::{ptr, thread};

/// Two threads and a number that one after the other adds to. They take turns, so the sum is right; but nothing orders
/// the additions, as in a lock whose release and acquire are `Relaxed`.
///
/// Both live until the end, and sleep where they wait: a tool keeps a short history of each thread, and is silent about
/// what has fallen out of it. A loop that spins there pushes everything out.
#[test]
fn race() {
    struct Number(std::cell::UnsafeCell<u64>);
    // SAFETY: the threads take turns; and this is the fault.
    unsafe impl Sync for Number {}

    static NUMBER: Number = Number(std::cell::UnsafeCell::new(0));
    static TURN: AtomicU32 = AtomicU32::new(0);
    let until = |turn| {
        while TURN.load(Relaxed) < turn {
            thread::sleep(Duration::from_millis(1));
        }
    };
    thread::scope(|scope| {
        for me in 0..2 {
            scope.spawn(move || {
                until(me);
                // SAFETY: see above.
                unsafe { *black_box(NUMBER.0.get()) += 1 };
                TURN.store(me + 1, Relaxed);
                until(2);
            });
        }
    });
}

/// Reads one byte behind an allocation.
#[test]
fn overflow() {
    let bytes = black_box(vec![1_u8; 64]);
    // SAFETY: none. This is the fault.
    black_box(unsafe { bytes.as_ptr().add(black_box(64)).read() });
}

/// Reads a value of a frame that has gone. (Not for valgrind, which does not know frames.)
#[test]
fn frame() {
    #[inline(never)]
    fn gone() -> *const u64 {
        let value = black_box(7);
        black_box(ptr::from_ref(&value))
    }
    // SAFETY: none. This is the fault.
    black_box(unsafe { gone().read() });
}

/// Frees something twice.
#[test]
fn twice() {
    let first = Box::into_raw(black_box(Box::new(1_u64)));
    // SAFETY: none. This is the fault.
    unsafe {
        drop(Box::from_raw(first));
        drop(Box::from_raw(black_box(first)));
    }
}

/// Forgets an allocation.
#[test]
fn leak() {
    thread::spawn(|| std::mem::forget(black_box(vec![1_u8; 4000]))).join().expect("it ends");
}
