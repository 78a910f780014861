//! What the library returns, as an answer.

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant};

use shmsync::*;

use crate::verb::*;
use crate::world::SOON;

pub fn by<T>(how: How, at_once: impl Fn() -> T, within: impl Fn(Duration) -> T, ever: impl Fn() -> T) -> T {
    match how {
        How::Try => at_once(),
        How::Zero => within(Duration::ZERO),
        How::Soon => within(SOON),
        How::Ever => ever(),
    }
}

/// Not through libtest, whose capture a child has only a copy of.
pub fn odd(what: &str) -> Said {
    let _ = writeln!(std::io::stderr(), "{what}");
    Said::Odd
}

pub fn after(act: impl FnOnce()) -> Said {
    act();
    Said::Done
}

/// The kernel marks what a thread holds some instants before nobody can see that thread any more.
pub fn is_soon_dead(owner: Owner) -> bool {
    let end = Instant::now() + Duration::from_secs(1);
    while owner.is_alive() && Instant::now() < end {
        std::thread::yield_now();
    }
    !owner.is_alive()
}

pub fn acquired(result: Result<(), AcquireError>) -> Said {
    result.map_or_else(refused, |()| Said::Done)
}

pub fn refused(error: AcquireError) -> Said {
    match error {
        AcquireError::WouldBlock => Said::WouldBlock,
        AcquireError::TimedOut => Said::TimedOut,
        AcquireError::OwnerDied(owner) if is_soon_dead(owner) => Said::OwnerDied,
        AcquireError::WouldDeadlock => Said::WouldDeadlock,
        other => odd(&other.to_string()),
    }
}

pub fn released(result: Result<(), ReleaseError>) -> Said {
    match result {
        Ok(()) => Said::Done,
        Err(ReleaseError::NotLocked) => Said::NotLocked,
        Err(ReleaseError::NotOwner(_)) => Said::NotOwner,
        Err(ReleaseError::Overflow) => Said::Overflow,
        Err(other) => odd(&other.to_string()),
    }
}

pub fn got_data<G>(result: TryLockResult<G>, keep: impl FnOnce(G) -> u64) -> Said {
    match result {
        Ok(guard) => Said::Got(keep(guard), Poison::None),
        Err(TryLockError::Poisoned(error)) => {
            let poison = Some(error.cause()).into();
            Said::Got(keep(error.into_inner()), poison)
        }
        Err(TryLockError::WouldBlock) => Said::WouldBlock,
        Err(TryLockError::TimedOut) => Said::TimedOut,
        Err(TryLockError::WouldDeadlock) => Said::WouldDeadlock,
        Err(other) => odd(&other.to_string()),
    }
}

pub fn met(result: Result<BarrierWaitResult, BarrierError>) -> Said {
    match result {
        Ok(met) => Said::Met { index: met.index(), leader: met.is_leader() },
        Err(BarrierError::Broken) => Said::Broken,
        Err(BarrierError::TimedOut) => Said::TimedOut,
    }
}

/// A panic that is asked for; without a word, for it passes the hook by.
pub fn panicking(f: impl FnOnce() -> Said) -> Said {
    catch_unwind(AssertUnwindSafe(f)).unwrap_or_else(|payload| match payload.downcast::<()>() {
        Ok(_) => Said::Panicked,
        Err(other) => resume_unwind(other),
    })
}

/// Drops a guard, if need be while the thread panics.
pub fn let_go<G>(guard: Option<G>, panics: bool) -> Said {
    if panics {
        panicking(|| {
            let _guard = guard;
            resume_unwind(Box::new(()))
        });
    }
    Said::Done
}
