//! The objects, and how a thread does what it is told with them.

use std::mem::forget;
use std::panic::resume_unwind;
use std::time::Duration;

use shmsync::wait::Wait;
use shmsync::*;
use zerocopy::FromBytes;

use crate::answers::*;
use crate::faults::Fault;
use crate::model::{CONDITIONS, PERMITS, Terms};
use crate::verb::*;

/// The timeout of `How::Soon`: about as long as a few steps of a program.
pub const SOON: Duration = Duration::from_millis(2);

#[derive(FromBytes)]
#[repr(C)]
pub struct World<W: Wait, const R: usize> {
    pub lock: Lock<W>,
    pub rlock: RLock<W>,
    pub mutex: Mutex<u64, W>,
    pub conditions: [Condition<W>; CONDITIONS],
    pub rwlock: RwLock<u64, R, W>,
    pub sem: Semaphore<W>,
    pub bounded: BoundedSemaphore<W>,
    pub pool: PermitPool<PERMITS, W>,
    pub event: Event<W>,
    pub barrier: Barrier<W>,
    pub once: Once<W>,
}

impl<W: Wait, const R: usize> World<W, R> {
    pub fn new(terms: &Terms) -> Self {
        Self {
            lock: Lock::new_in(),
            rlock: RLock::new_in(),
            mutex: Mutex::new_in(0),
            conditions: std::array::from_fn(|_| Condition::new_in()),
            rwlock: RwLock::new_in(0),
            sem: Semaphore::new_in(terms.permits),
            bounded: BoundedSemaphore::new_in(terms.bound),
            pool: PermitPool::new_in(),
            event: Event::new_in(),
            barrier: Barrier::new_in(terms.parties),
            once: Once::new_in(),
        }
    }
}

/// What the member of the crew in the middle of an initialisation needs: the next order, and to be heard.
pub trait Line {
    fn order(&self) -> Option<Verb>;
    fn say(&self, said: Said);
}

/// What a thread holds.
pub struct Hand<'a, W: Wait, const R: usize> {
    world: &'a World<W, R>,
    fault: Fault,
    lock: Option<LockGuard<'a, W>>,
    rlocks: Vec<RLockGuard<'a, W>>,
    mutex: Option<MutexGuard<'a, u64, W>>,
    reads: Vec<RwLockReadGuard<'a, u64, R, W>>,
    write: Option<RwLockWriteGuard<'a, u64, R, W>>,
    permits: Vec<Permit<'a, PERMITS, W>>,
}

impl<'a, W: Wait, const R: usize> Hand<'a, W, R> {
    pub fn new(world: &'a World<W, R>, fault: Fault) -> Self {
        let (reads, permits) = (Vec::new(), Vec::new());
        Self { world, fault, lock: None, rlocks: Vec::new(), mutex: None, reads, write: None, permits }
    }

    /// Lets nothing go: the thread is about to end.
    pub fn forget(self) {
        forget((self.lock, self.rlocks, self.mutex, self.reads, self.write, self.permits));
    }

    pub fn perform(&mut self, verb: Verb, line: &impl Line) -> Said {
        let world = self.world;
        if let Some(said) = self.fault.perform(world, verb) {
            return said;
        }
        match verb {
            Verb::Rest => {
                std::thread::sleep(SOON);
                Said::Done
            }
            Verb::Die | Verb::Kill => odd("ended by others"),
            Verb::Lock(how) => acquired(
                match how {
                    How::Try => world.lock.try_lock(),
                    How::Zero => world.lock.lock_for(Duration::ZERO),
                    How::Soon => world.lock.lock_for(SOON),
                    How::Ever => world.lock.lock(),
                }
                .map(|guard| forget(self.lock.replace(guard))),
            ),
            Verb::LockRelease => released(world.lock.release()),
            Verb::LockDrop { panics } => let_go(self.lock.take(), panics),
            Verb::LockRecover => acquired(match &mut self.lock {
                Some(guard) => guard.recover(),
                None => world.lock.recover(),
            }),
            Verb::LockDisown => after(|| world.lock.disown()),
            Verb::RLock(how) => acquired(
                match how {
                    How::Try => world.rlock.try_lock(),
                    How::Zero => world.rlock.lock_for(Duration::ZERO),
                    How::Soon => world.rlock.lock_for(SOON),
                    How::Ever => world.rlock.lock(),
                }
                .map(|guard| self.rlocks.push(guard)),
            ),
            Verb::RLockRelease => released(world.rlock.release()),
            Verb::RLockDrop { panics } => let_go(self.rlocks.pop(), panics),
            Verb::RLockRecover => acquired(match self.rlocks.last_mut() {
                Some(guard) => guard.recover(),
                None => world.rlock.recover(),
            }),
            Verb::Forget(With::Lock) => after(|| forget(self.lock.take())),
            Verb::Forget(With::RLock) => after(|| forget(self.rlocks.pop())),
            Verb::Forget(With::Mutex) => odd("who would release it?"),
            Verb::Mutex(how) => {
                let got = by(
                    how,
                    || world.mutex.try_lock(),
                    |time| world.mutex.try_lock_for(time),
                    || world.mutex.try_lock_for(Duration::MAX),
                );
                got_data(got, |mut guard| {
                    *guard += 1;
                    **self.mutex.insert(guard)
                })
            }
            Verb::MutexDrop { panics } => let_go(self.mutex.take(), panics),
            Verb::MutexClear => after(|| world.mutex.clear_poison()),
            Verb::Wait(with, at, how) => self.wait(with, &world.conditions[at], how),
            Verb::Notify(at, 1) => after(|| world.conditions[at].notify_one()),
            Verb::Notify(at, u32::MAX) => after(|| world.conditions[at].notify_all()),
            Verb::Notify(at, n) => after(|| world.conditions[at].notify(n)),
            Verb::NotifyOnUnlock(with, at, n) => after(|| self.notify_on_unlock(with, &world.conditions[at], n)),
            Verb::Read(how) => {
                let got = by(
                    how,
                    || world.rwlock.try_read(),
                    |time| world.rwlock.try_read_for(time),
                    || world.rwlock.try_read_for(Duration::MAX),
                );
                got_data(got, |guard| {
                    let value = *guard;
                    self.reads.push(guard);
                    value
                })
            }
            Verb::ReadDrop => after(|| drop(self.reads.pop())),
            Verb::Write(how) => {
                let got = by(
                    how,
                    || world.rwlock.try_write(),
                    |time| world.rwlock.try_write_for(time),
                    || world.rwlock.try_write_for(Duration::MAX),
                );
                got_data(got, |mut guard| {
                    *guard += 1;
                    **self.write.insert(guard)
                })
            }
            Verb::WriteDrop { panics } => let_go(self.write.take(), panics),
            Verb::RwClear => after(|| world.rwlock.clear_poison()),
            Verb::Sem(how) => acquired(by(
                how,
                || world.sem.try_acquire(),
                |time| world.sem.acquire_for(time),
                || world.sem.acquire(),
            )),
            Verb::SemRelease(1) => released(world.sem.release()),
            Verb::SemRelease(n) => released(world.sem.release_many(n)),
            Verb::Bounded(how) => acquired(by(
                how,
                || world.bounded.try_acquire(),
                |time| world.bounded.acquire_for(time),
                || world.bounded.acquire(),
            )),
            Verb::BoundedRelease(1) => released(world.bounded.release()),
            Verb::BoundedRelease(n) => released(world.bounded.release_many(n)),
            Verb::Permit(how) => {
                let got =
                    by(how, || world.pool.try_acquire(), |time| world.pool.acquire_for(time), || world.pool.acquire());
                self.permit(got)
            }
            Verb::PermitRecover => self.permit(world.pool.recover()),
            Verb::PermitDrop => {
                // The reference gives back the lowest.
                let lowest = (0..self.permits.len()).min_by_key(|&at| self.permits[at].index());
                after(|| drop(lowest.map(|at| self.permits.remove(at))))
            }
            Verb::EventWait(how) => Said::Told(match how {
                How::Ever => world.event.wait_interruptible(None) == Ok(true),
                How::Soon => world.event.wait_timeout(SOON),
                How::Zero | How::Try => world.event.wait_timeout(Duration::ZERO),
            }),
            Verb::EventSet => after(|| world.event.set()),
            Verb::EventClear => after(|| world.event.clear()),
            Verb::Meet(How::Ever) => met(world.barrier.wait()),
            Verb::Meet(How::Soon) => met(world.barrier.wait_timeout(SOON)),
            Verb::Meet(_) => met(world.barrier.wait_timeout(Duration::ZERO)),
            Verb::MeetBadly => panicking(|| met(world.barrier.wait_with(|| resume_unwind(Box::new(()))))),
            Verb::Abort => after(|| world.barrier.abort()),
            Verb::Reset => after(|| world.barrier.reset()),
            Verb::Call => panicking(|| after(|| world.once.call_once_with(|failed| initialise(failed.into(), line)))),
            Verb::CallEnd(_) => odd("nobody initialises"),
        }
    }

    fn wait(&mut self, with: With, condition: &'a Condition<W>, how: How) -> Said {
        fn wait<W: Wait>(condition: &Condition<W>, guard: &mut impl Guard, how: How) -> Result<bool, AcquireError> {
            match how {
                How::Ever => condition.wait(guard).map(|()| true),
                How::Soon => condition.wait_timeout(guard, SOON),
                How::Zero | How::Try => condition.wait_timeout(guard, Duration::ZERO),
            }
        }
        let ended = match with {
            With::Lock => wait(condition, self.lock.as_mut().expect("a guard"), how),
            With::Mutex => wait(condition, self.mutex.as_mut().expect("a guard"), how),
            With::RLock => wait(condition, self.rlocks.last_mut().expect("a guard"), how),
        };
        ended.map_or_else(refused, Said::Told)
    }

    fn notify_on_unlock(&mut self, with: With, condition: &'a Condition<W>, n: u32) {
        fn notify<'a, W: Wait>(condition: &'a Condition<W>, guard: &mut impl GuardFor<'a>, n: u32) {
            match n {
                1 => condition.notify_one_on_unlock(guard),
                u32::MAX => condition.notify_all_on_unlock(guard),
                n => condition.notify_on_unlock(guard, n),
            }
        }
        match with {
            With::Lock => notify(condition, self.lock.as_mut().expect("a guard"), n),
            With::Mutex => notify(condition, self.mutex.as_mut().expect("a guard"), n),
            With::RLock => notify(condition, self.rlocks.last_mut().expect("a guard"), n),
        }
    }

    fn permit(&mut self, got: Result<Permit<'a, PERMITS, W>, AcquireError>) -> Said {
        got.map_or_else(refused, |permit| {
            let (index, dead) = (permit.index(), permit.reclaimed());
            self.permits.push(permit);
            match dead {
                Some(owner) if !is_soon_dead(owner) => odd(&format!("{owner} lives")),
                dead => Said::Permit { index, reclaimed: dead.is_some() },
            }
        })
    }
}

/// In an initialiser: ends as it is told to.
fn initialise(failed: Poison, line: &impl Line) {
    line.say(Said::Began(failed));
    match line.order() {
        Some(Verb::CallEnd(End::Returns)) => {}
        Some(Verb::CallEnd(End::Dies)) => {
            line.say(Said::Gone);
            // SAFETY: ends this thread as a kill would: nothing on its stack is undone, and nobody joins it.
            unsafe { libc::syscall(libc::SYS_exit, 0) };
        }
        Some(Verb::CallEnd(End::Panics)) | None => resume_unwind(Box::new(())),
        Some(other) => line.say(odd(&format!("{other:?} in an initialiser"))),
    }
}
