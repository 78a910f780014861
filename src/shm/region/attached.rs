//! Who is attached, and since when: so that an object's bytes are used again only when nobody can have it in hand.
//!
//! Everybody who opens a region takes a slot in it and locks the byte of that number in the region's file (not a byte that
//! the file has: see `sys::file::locks`). The lock is the truth, and the kernel keeps it: it lasts until the last of the
//! processes is gone that share it, which are the one that took it and the children that it forked. A killed one leaves
//! nothing to be found out. What is written in the slot is only since when.
//!
//! That is counted in epochs: each removal ends one. An object that was removed in epoch 7 may be in the hands of whoever
//! was attached in epoch 7 or before. Who attached later never found it.
//!
//! | who asks | finds | so |
//! |---|---|---|
//! | whether slot 5 is attached | its byte locked | since the epoch in the slot, or later: one who has not written his yet leaves an older one's there |
//! | | not locked | nobody has it; who takes it from now on sees every removal that was before the question |
//! | whether all are later than 7 | somebody in the common slot | no: who is one of a crowd has no epoch |
//! | | `pinned` set | no: somebody is or was attached whose file system knows no locks, or whom somebody else's kept from locking |
//!
//! Who may not open the file again, or has no `/proc` to do it by, is one of the crowd by the descriptor that it has. That may
//! be shared, so what it has locked is locked until all have closed it: too long, but not for ever.

use std::fs::File;
use std::io;

use super::geometry::{Head, SLOTS, Slot};
use crate::atomic::{Ordering, fence};
use crate::owner::Token;
use crate::sys::file::locks::{self, Claim};

/// The byte that those lock together who found no slot free.
const CROWD: u32 = SLOTS as u32;

/// This process's own place among those attached.
#[derive(Debug)]
pub(super) struct Attachment {
    /// Its own opening of the file, so that its locks are nobody else's, or in a crowd perhaps a shared one; `None`: it is
    /// not counted, but pins the region, unless it is an observer's.
    lock: Option<File>,
    /// `None`: one of the crowd.
    slot: Option<usize>,
    /// Here, too, because what is in the slot anybody may overwrite.
    epoch: u64,
}

/// A process that is attached to a [`Region`](crate::Region).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attached {
    pid: Option<u32>,
}

impl Attached {
    /// The process that opened the region, unless it did so in another PID namespace, as one of more than 256, or
    /// without the right to open the file once more.
    ///
    /// It may have ended since: then a child lives that it forked while it was attached, which is counted by its place.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.pid
    }
}

impl Attachment {
    /// That of who is not counted, or only looks.
    pub(super) const NONE: Self = Self { lock: None, slot: None, epoch: 0 };

    /// Attaches. An error if something ran out, such as descriptors; what is impossible here pins the region instead.
    pub(super) fn new(file: Option<&File>, head: &Head) -> io::Result<Self> {
        let ran_out = |e: &io::Error| matches!(e.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM));
        let counted = file.map_or(Ok(None), |file| match Self::counted(file, head) {
            Err(e) if !ran_out(&e) => Self::among_others(file.try_clone()?),
            counted => counted,
        });
        match counted {
            Err(e) if ran_out(&e) => Err(e),
            Ok(Some(counted)) => Ok(counted),
            Ok(None) | Err(_) => {
                head.pinned.store(1, Ordering::Relaxed);
                // edge: pinned <-> used again: either who frees sees this, or this one finds nothing of what it frees.
                fence(Ordering::SeqCst);
                Ok(Self::NONE)
            }
        }
    }

    /// Attaches anew, if that can be counted. The old attachment is to be dropped afterwards.
    pub(super) fn again(&self, file: &File, head: &Head) -> io::Result<Self> {
        match &self.lock {
            Some(_) => Self::counted(file, head)?.ok_or_else(|| io::ErrorKind::Unsupported.into()),
            None => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// `None` if somebody else's locks are in the way of all.
    fn counted(file: &File, head: &Head) -> io::Result<Option<Self>> {
        let lock = locks::reopen(file)?;
        let pid = std::process::id();
        let own = pid as usize % SLOTS;
        for slot in (own..SLOTS).chain(0..own) {
            if locks::lock(&lock, slot as u32, Claim::Alone)? {
                let Slot { epoch, who, pid: of, .. } = &head.slots[slot];
                who.store(Token::mine().0, Ordering::Relaxed);
                of.store(pid.into(), Ordering::Relaxed);
                // edge: removed -> attached (Acquire end): who is of a later epoch finds nothing that was removed before.
                let now = head.epoch.load(Ordering::Acquire);
                epoch.store(now, Ordering::Release);
                return Ok(Some(Self { lock: Some(lock), slot: Some(slot), epoch: now }));
            }
        }
        Self::among_others(lock)
    }

    /// One of the crowd.
    fn among_others(lock: File) -> io::Result<Option<Self>> {
        let locked = locks::lock(&lock, CROWD, Claim::Together)?;
        Ok(locked.then_some(Self { lock: Some(lock), slot: None, epoch: 0 }))
    }

    /// Nobody who is attached was so before this epoch. What was removed in an earlier one is nobody's any more.
    pub(super) fn oldest(&self, head: &Head) -> u64 {
        // edge: pinned <-> used again. Every removal was made by a holder of the directory's lock, as the caller is.
        fence(Ordering::SeqCst);
        let (Some(lock), Some(_), 0) = (&self.lock, self.slot, head.pinned.load(Ordering::Relaxed)) else { return 0 };
        let mut oldest = self.epoch;
        // The kernel orders its answer with the locking: who is not seen here sees what the caller has seen.
        let asked = locks::locked(lock, CROWD + 1, &mut |byte| {
            let since = head.slots.get(byte as usize).map_or(0, |slot| slot.epoch.load(Ordering::Acquire));
            oldest = oldest.min(since);
        });
        if asked.is_ok() { oldest } else { 0 }
    }

    /// All who are attached, as far as they are counted, the caller among them.
    pub(super) fn all(&self, head: &Head) -> io::Result<Vec<Attached>> {
        let Some(lock) = &self.lock else { return Err(io::ErrorKind::Unsupported.into()) };
        let mut slots: Vec<_> = self.slot.into_iter().collect();
        locks::locked(lock, CROWD + 1, &mut |byte| slots.push(byte as usize))?;
        slots.sort_unstable();
        if self.slot.is_none() && slots.last() != Some(&SLOTS) {
            slots.push(SLOTS);
        }
        let of = |slot: usize| {
            let Slot { who, pid, .. } = head.slots.get(slot)?;
            let here = Token(who.load(Ordering::Relaxed)).counts_as(Token::mine());
            pid.load(Ordering::Relaxed).try_into().ok().filter(|_| here)
        };
        Ok(slots.into_iter().map(|slot| Attached { pid: of(slot) }).collect())
    }
}
