//! Libraries that are broken on purpose: what the reference must notice.

use shmsync::Lock;
use shmsync::wait::Wait;

use crate::verb::*;
use crate::world::World;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    /// A release of a semaphore that has a permit is lost.
    LosesPermits,
    /// A held lock is taken by who tries.
    LetsTwoIn,
    /// A notification that is given while nobody holds the lock is lost.
    LosesNotifications,
    /// A wake that a guard owes is not paid.
    OwesForEver,
    /// Who comes after the dead is not told.
    HushesDeathsUp,
    /// A barrier's reset does not break the round.
    ResetsInSilence,
}

impl Fault {
    /// What becomes of `verb`, if it is not done as it should be.
    pub fn perform<W: Wait, const R: usize>(self, world: &World<W, R>, verb: Verb) -> Option<Said> {
        match (self, verb) {
            (Self::LosesPermits, Verb::SemRelease(1)) if world.sem.value() > 0 => Some(Said::Done),
            (Self::LetsTwoIn, Verb::Lock(How::Try)) if world.lock.is_locked() => {
                let _ = world.lock.release();
                None
            }
            (Self::LosesNotifications, Verb::Notify(..)) if !world.lock.is_locked() => Some(Said::Done),
            (Self::OwesForEver, Verb::NotifyOnUnlock(_, at, n)) => {
                // They are told, and the one guard that is to wake them never does.
                let own = Lock::<W>::new_in();
                let mut guard = own.lock().expect("nobody else has it");
                world.conditions[at].notify_on_unlock(&mut guard, n);
                std::mem::forget(guard);
                Some(Said::Done)
            }
            (Self::HushesDeathsUp, Verb::Lock(_)) => {
                if world.lock.recover().is_ok() {
                    let _ = world.lock.release();
                }
                None
            }
            (Self::ResetsInSilence, Verb::Reset) if !world.barrier.is_broken() => Some(Said::Done),
            _ => None,
        }
    }
}
