//! The crate's own locks inside a region: nobody holds one for long, so who cannot have it gets an error and does not wait
//! for ever, be its holder stopped or made up by somebody who scribbles, or one of whom it cannot be told whether it is
//! dead. What a dead holder leaves is in order, always.

use std::fmt::Display;
use std::time::{Duration, Instant};

use crate::error::{AcquireError, Error, ErrorKind};
use crate::sync::Lock;

/// A fuzzer throws locks that nobody ever releases, and has other things to do than to wait for them.
const PATIENCE: Duration = if cfg!(fuzzing) { Duration::from_micros(100) } else { Duration::from_secs(10) };

/// The right to change what the lock guards.
pub(super) struct Held<'a>(&'a Lock);

/// Takes the lock of `what`, from a dead holder if need be.
pub(super) fn hold(lock: &Lock, what: impl Display) -> Result<Held<'_>, Error> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match lock.acquire_until(deadline) {
            Ok(()) => return Ok(Held(lock)),
            Err(AcquireError::OwnerDied(_)) if lock.recover().is_ok() => return Ok(Held(lock)),
            Err(AcquireError::OwnerDied(_)) if Instant::now() < deadline => {}
            Err(error) => {
                let message = format!("{what} could not be had: {error}; its lock is {lock:?}");
                return Err(Error::new(ErrorKind::Busy, message));
            }
        }
    }
}

/// Frees the lock, whoever holds it; whether anybody did.
pub(super) fn break_open(lock: &Lock) -> bool {
    lock.release().is_ok()
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        // An error would mean that scribbled bytes took the lock from under us.
        let _ = self.0.release();
    }
}
