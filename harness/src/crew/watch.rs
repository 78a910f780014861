//! The parent's eye on the crew: who is ready, who has ended, who fell and who hangs.

use crate::process::Child;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

/// Waits until everybody is ready; somebody who died will never be.
pub(super) fn gather(ready: &AtomicU32, members: usize, children: &mut [Child], grace: Duration) -> Result<(), String> {
    let deadline = Instant::now() + grace;
    while (ready.load(Relaxed) as usize) < members {
        fallen(children)?;
        if Instant::now() > deadline {
            let ready = ready.load(Relaxed);
            return Err(format!("it hangs before the start: {ready} of {members} members ready after {grace:?}"));
        }
        thread::sleep(Duration::from_micros(50));
    }
    Ok(())
}

/// Waits until everybody has ended. Where one falls the others may wait for it for ever, so it is looked for first.
pub(super) fn join_all(children: &mut [Child], grace: Duration) -> Result<(), String> {
    let deadline = Instant::now() + grace;
    loop {
        fallen(children)?;
        let mut running = children.iter_mut().filter_map(|child| match child.wait_exit(Duration::ZERO) {
            Some(_) => None,
            None => Some(child),
        });
        let Some(running) = running.next() else {
            return Ok(());
        };
        if Instant::now() > deadline {
            let hang = running.join(Duration::ZERO).err().unwrap_or_default();
            return Err(format!("it hangs: not finished {grace:?} after the last operation should have ended; {hang}"));
        }
        running.wait_exit(Duration::from_millis(5));
    }
}

/// The last words of a member that ended badly.
fn fallen(children: &mut [Child]) -> Result<(), String> {
    let mut ended = children.iter_mut().filter_map(|child| child.wait_exit(Duration::ZERO).map(|_| child));
    ended.try_for_each(|child| child.join(Duration::ZERO))
}
