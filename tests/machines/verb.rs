//! What a member of the crew can be told to do, and what may come of it.

use shmsync::PoisonCause;

/// How long an acquisition may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// The trying form.
    Try,
    /// With a timeout of zero.
    Zero,
    /// With a timeout that others may be faster than, and may not.
    Soon,
    /// As long as it takes.
    Ever,
}

/// The lock that a condition is used with, and guards are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum With {
    Lock,
    RLock,
    Mutex,
}

/// How an initialiser ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Returns,
    Panics,
    Dies,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Nothing, for a while: timeouts pass.
    Rest,
    /// The thread ends with all that it holds, and another takes its place.
    Die,
    /// The process is killed, be it in a verb, and another takes its place.
    Kill,
    Lock(How),
    /// By `release`, whoever holds it.
    LockRelease,
    /// By the guard, as for the others.
    LockDrop {
        panics: bool,
    },
    /// By the guard, if there is one, as for the other.
    LockRecover,
    LockDisown,
    RLock(How),
    RLockRelease,
    /// The guard that came last.
    RLockDrop {
        panics: bool,
    },
    RLockRecover,
    Mutex(How),
    MutexDrop {
        panics: bool,
    },
    MutexClear,
    /// Of a lock or an rlock, the guard that came last: it lets nothing go, and wakes nobody.
    Forget(With),
    /// For the first condition or the second, with the guard that came last.
    Wait(With, usize, How),
    Notify(usize, u32),
    NotifyOnUnlock(With, usize, u32),
    Read(How),
    ReadDrop,
    Write(How),
    WriteDrop {
        panics: bool,
    },
    RwClear,
    Sem(How),
    SemRelease(u32),
    Bounded(How),
    BoundedRelease(u32),
    Permit(How),
    PermitDrop,
    PermitRecover,
    EventWait(How),
    EventSet,
    EventClear,
    Meet(How),
    /// With an action that panics.
    MeetBadly,
    Abort,
    Reset,
    Call,
    CallEnd(End),
}

/// The kinds of objects, of which a program has a few.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Lock,
    RLock,
    Mutex,
    Condition(With),
    RwLock,
    Semaphore,
    Bounded,
    Pool,
    Event,
    Barrier,
    Once,
}

impl Kind {
    pub const ALL: [Self; 13] = [
        Self::Lock,
        Self::RLock,
        Self::Mutex,
        Self::Condition(With::Lock),
        Self::Condition(With::RLock),
        Self::Condition(With::Mutex),
        Self::RwLock,
        Self::Semaphore,
        Self::Bounded,
        Self::Pool,
        Self::Event,
        Self::Barrier,
        Self::Once,
    ];

    /// The verbs, those oftener that keep a program going.
    pub fn verbs(self) -> Vec<Verb> {
        use Verb::*;
        let acquired =
            |verb: fn(How) -> Verb| [How::Ever, How::Ever, How::Soon, How::Zero, How::Try].map(verb).to_vec();
        let mut verbs = match self {
            Self::Lock => acquired(Lock),
            Self::RLock => acquired(RLock),
            Self::Mutex => acquired(Mutex),
            Self::Condition(With::Lock) => Self::Lock.verbs(),
            Self::Condition(With::RLock) => Self::RLock.verbs(),
            Self::Condition(With::Mutex) => Self::Mutex.verbs(),
            Self::RwLock => [acquired(Read), acquired(Write)].concat(),
            Self::Semaphore => acquired(Sem),
            Self::Bounded => acquired(Bounded),
            Self::Pool => acquired(Permit),
            Self::Event => vec![EventWait(How::Ever), EventWait(How::Ever), EventWait(How::Soon), EventWait(How::Zero)],
            Self::Barrier => vec![Meet(How::Ever), Meet(How::Ever), Meet(How::Ever), Meet(How::Soon), Meet(How::Zero)],
            Self::Once => vec![Call, Call],
        };
        verbs.extend_from_slice(match self {
            Self::Lock => &[
                LockDrop { panics: false },
                LockDrop { panics: false },
                LockDrop { panics: true },
                LockRelease,
                LockRecover,
                LockDisown,
                Forget(With::Lock),
            ],
            Self::RLock => &[
                RLockDrop { panics: false },
                RLockDrop { panics: false },
                RLockDrop { panics: false },
                RLockDrop { panics: true },
                RLockRelease,
                RLockRecover,
                Forget(With::RLock),
            ],
            Self::Mutex => {
                &[MutexDrop { panics: false }, MutexDrop { panics: false }, MutexDrop { panics: true }, MutexClear]
            }
            Self::Condition(_) => &[Notify(0, 1), Notify(0, 2), Notify(0, u32::MAX), Notify(1, 1), Notify(1, u32::MAX)],
            Self::RwLock => &[
                ReadDrop,
                ReadDrop,
                WriteDrop { panics: false },
                WriteDrop { panics: false },
                WriteDrop { panics: true },
                RwClear,
            ],
            Self::Semaphore => &[SemRelease(1), SemRelease(1), SemRelease(2), SemRelease(u32::MAX)],
            Self::Bounded => &[BoundedRelease(1), BoundedRelease(1), BoundedRelease(2)],
            Self::Pool => &[PermitDrop, PermitDrop, PermitRecover],
            Self::Event => &[EventSet, EventClear],
            Self::Barrier => &[MeetBadly, Abort, Reset, Reset],
            Self::Once => &[CallEnd(End::Returns), CallEnd(End::Panics), CallEnd(End::Dies)],
        });
        if let Self::Condition(with) = self {
            verbs.extend([How::Ever, How::Ever, How::Ever, How::Soon, How::Zero].map(|how| Wait(with, 0, how)));
            verbs.extend([How::Ever, How::Soon].map(|how| Wait(with, 1, how)));
            verbs.extend([1, 1, 2, u32::MAX].map(|n| NotifyOnUnlock(with, 0, n)));
            verbs.extend([1, u32::MAX].map(|n| NotifyOnUnlock(with, 1, n)));
        }
        verbs
    }
}

/// What a verb came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    Done,
    WouldBlock,
    TimedOut,
    OwnerDied,
    WouldDeadlock,
    NotLocked,
    NotOwner,
    Overflow,
    /// A guard of data, which reads this.
    Got(u64, Poison),
    Permit {
        index: usize,
        reclaimed: bool,
    },
    /// A wait ended by what was waited for, or by time.
    Told(bool),
    Met {
        index: u32,
        leader: bool,
    },
    Broken,
    Panicked,
    /// The initialiser runs.
    Began(Poison),
    /// The thread has ended.
    Gone,
    /// What no verb may come to; on the way it was printed.
    Odd,
}

/// Poison, without the culprit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Poison {
    None,
    Died,
    Panicked,
}

impl From<Option<PoisonCause>> for Poison {
    fn from(cause: Option<PoisonCause>) -> Self {
        match cause {
            None => Self::None,
            Some(PoisonCause::Died(_)) => Self::Died,
            Some(PoisonCause::Panicked(_)) => Self::Panicked,
        }
    }
}
