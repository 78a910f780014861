//! Cells that are empty, and panics that are expected.

use std::panic::{self, AssertUnwindSafe};

use shmsync::OnceCell;
use shmsync::wait::Wait;

use super::*;

pub fn empty<T: Sync, W: Wait>() -> Shm<OnceCell<T, W>>
where
    OnceCell<T, W>: Sync,
{
    Shm::new(OnceCell::new_in())
}

/// Runs `f`, which panics, and gives its message.
#[track_caller]
pub fn panics(f: impl FnOnce()) -> String {
    let payload = panic::catch_unwind(AssertUnwindSafe(f)).expect_err("it should have panicked");
    match payload.downcast::<String>() {
        Ok(message) => *message,
        Err(payload) => payload.downcast::<&str>().map(|message| (*message).to_owned()).unwrap_or_default(),
    }
}
