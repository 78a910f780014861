//! What a thread may wait for and its own signal handler may bring about, and the books that are kept of both.

use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering::SeqCst};

use shmsync::wait::Wait;
use shmsync::{AcquireError, BoundedSemaphore, Condition, Event, Lock, Semaphore};

use super::*;

/// An object with a verb that is async-signal-safe, the act, and one that waits for it.
pub trait Awaited: Sync + Sized {
    /// Whether an act that comes before the wait ends it.
    const REMEMBERS: bool = true;

    fn fresh() -> Self;

    /// Waits for an act and takes it; `false` if a signal came instead.
    fn wait(&self, interruptible: bool) -> bool;

    /// Takes an act if there is one.
    fn poll(&self) -> bool;

    /// The verb under test; whether it counts.
    fn act(&self) -> bool;

    /// The acts that nobody has taken, if they are counted. Nobody may be at it.
    fn left(&self) -> Option<u32>;
}

/// Whether a verb succeeded, or a signal came first.
#[track_caller]
fn came(result: Result<(), AcquireError>) -> bool {
    assert!(matches!(result, Ok(()) | Err(AcquireError::Interrupted)), "{result:?}");
    result.is_ok()
}

impl<W: Wait> Awaited for Event<W> {
    fn fresh() -> Self {
        Self::new_in()
    }

    fn wait(&self, interruptible: bool) -> bool {
        let came = if interruptible { self.wait_interruptible(None) == Ok(true) } else { true };
        if !interruptible {
            Self::wait(self);
        }
        if came {
            self.clear();
        }
        came
    }

    fn poll(&self) -> bool {
        let is_set = self.is_set();
        self.clear();
        is_set
    }

    fn act(&self) -> bool {
        self.set();
        true
    }

    fn left(&self) -> Option<u32> {
        None
    }
}

impl<W: Wait> Awaited for Semaphore<W> {
    fn fresh() -> Self {
        Self::new_in(0)
    }

    fn wait(&self, interruptible: bool) -> bool {
        came(if interruptible { self.acquire_interruptible(None) } else { self.acquire() })
    }

    fn poll(&self) -> bool {
        self.try_acquire().is_ok()
    }

    fn act(&self) -> bool {
        self.release().is_ok()
    }

    fn left(&self) -> Option<u32> {
        Some(self.value())
    }
}

/// Permits that come in twos.
pub struct Pairs<W: Wait>(Semaphore<W>);

impl<W: Wait> Awaited for Pairs<W> {
    fn fresh() -> Self {
        Self(Semaphore::new_in(0))
    }

    fn wait(&self, interruptible: bool) -> bool {
        Awaited::wait(&self.0, interruptible) && self.0.acquire().is_ok()
    }

    fn poll(&self) -> bool {
        self.0.poll() && self.0.acquire().is_ok()
    }

    fn act(&self) -> bool {
        self.0.release_many(2).is_ok()
    }

    fn left(&self) -> Option<u32> {
        assert_eq!(self.0.value() % 2, 0);
        Some(self.0.value() / 2)
    }
}

/// All permits are out in the beginning, and an act beyond the bound counts for nothing.
impl<W: Wait> Awaited for BoundedSemaphore<W> {
    fn fresh() -> Self {
        let permits = Self::new_in(2);
        permits.acquire().and_then(|()| permits.acquire()).unwrap();
        permits
    }

    fn wait(&self, interruptible: bool) -> bool {
        came(if interruptible { self.acquire_interruptible(None) } else { self.acquire() })
    }

    fn poll(&self) -> bool {
        self.try_acquire().is_ok()
    }

    fn act(&self) -> bool {
        self.release().is_ok()
    }

    fn left(&self) -> Option<u32> {
        Some(self.value())
    }
}

/// Held in the beginning by who made it. The act is the release, whoever holds it by then.
impl<W: Wait> Awaited for Lock<W> {
    fn fresh() -> Self {
        let lock = Self::new_in();
        lock.acquire().unwrap();
        lock
    }

    fn wait(&self, interruptible: bool) -> bool {
        came(if interruptible { self.acquire_interruptible(None) } else { self.acquire() })
    }

    fn poll(&self) -> bool {
        self.try_acquire().is_ok()
    }

    fn act(&self) -> bool {
        self.release().is_ok()
    }

    fn left(&self) -> Option<u32> {
        Some(u32::from(!self.is_locked()))
    }
}

/// A condition with what is waited for, which the handler changes without the lock: the interrupted thread may hold it.
pub struct Told<W: Wait, const ALL: bool> {
    lock: Lock<W>,
    condition: Condition<W>,
    news: AtomicU32,
}

impl<W: Wait, const ALL: bool> Told<W, ALL> {
    fn take(&self) -> bool {
        self.news.fetch_update(SeqCst, SeqCst, |news| news.checked_sub(1)).is_ok()
    }
}

impl<W: Wait, const ALL: bool> Awaited for Told<W, ALL> {
    const REMEMBERS: bool = false;

    fn fresh() -> Self {
        Self { lock: Lock::new_in(), condition: Condition::new_in(), news: AtomicU32::new(0) }
    }

    fn wait(&self, interruptible: bool) -> bool {
        let mut guard = self.lock.lock().unwrap();
        if interruptible {
            return self.take() || came(self.condition.wait_interruptible(&mut guard, None).map(drop)) && self.take();
        }
        self.condition.wait_while(&mut guard, |()| !self.take()).unwrap();
        true
    }

    fn poll(&self) -> bool {
        self.take()
    }

    fn act(&self) -> bool {
        self.news.fetch_add(1, SeqCst);
        if ALL {
            self.condition.notify_all()
        } else {
            self.condition.notify_one()
        }
        true
    }

    fn left(&self) -> Option<u32> {
        assert!(format!("{:?}", self.condition).contains("waiters: 0"), "{:?}", self.condition);
        Some(self.news.load(SeqCst))
    }
}

/// An object and its books.
pub struct Desk<A> {
    pub object: A,
    pub acts: Tally,
    pub takes: Tally,
    /// How often an act changed the `errno` of the code that it interrupted.
    spoilt: Tally,
}

impl<A: Awaited> Desk<A> {
    pub fn new() -> Shm<Self> {
        Shm::new(Self { object: A::fresh(), acts: Tally::new(), takes: Tally::new(), spoilt: Tally::new() })
    }

    pub fn act(&self) {
        /// No system's.
        const ERRNO: libc::c_int = 4711;
        // SAFETY: the calling thread's own errno.
        let errno = unsafe { &mut *libc::__errno_location() };
        let before = std::mem::replace(errno, ERRNO);
        if self.object.act() {
            self.acts.up();
        }
        // SAFETY: as above; read anew, since the act may have written it.
        if unsafe { libc::__errno_location().replace(before) } != ERRNO {
            self.spoilt.up();
        }
    }

    pub fn wait(&self) {
        assert!(self.object.wait(false));
        self.takes.up();
    }

    pub fn poll(&self) {
        if self.object.poll() {
            self.takes.up();
        }
    }

    /// When nobody is at it any more: nothing was lost, and nothing came from nowhere.
    #[track_caller]
    pub fn balances(&self) {
        assert_eq!(self.spoilt.get(), 0, "errno was changed");
        if let Some(left) = self.object.left() {
            let (acts, takes) = (self.acts.get(), self.takes.get());
            assert_eq!(takes + left, acts, "{takes} taken of {acts}, and {left} left");
        }
    }
}

/// What the handlers of this process act on: a `Desk<A>` that stays mapped for the life of the process.
static DESK: AtomicPtr<()> = AtomicPtr::new(ptr::null_mut());

/// The desk of this process's handlers.
///
/// # Safety
/// `opened` has been called, with a desk of this type.
pub unsafe fn desk<'a, A>() -> &'a Desk<A> {
    // SAFETY: the caller's promise.
    unsafe { &*DESK.load(SeqCst).cast() }
}

/// In a child, which ends before the desk does: from now on `desk` is this one.
pub fn opened<A: Awaited>(desk: &Desk<A>) {
    DESK.store(ptr::from_ref(desk).cast_mut().cast(), SeqCst);
}

/// In a child: has it act on `desk` at every `signal`. `flags` as of `sigaction`.
pub fn acts_at<A: Awaited>(signal: libc::c_int, flags: libc::c_int, desk: &Desk<A>) {
    extern "C" fn act<A: Awaited>(_: libc::c_int) {
        // SAFETY: opened below, before this was installed.
        unsafe { self::desk::<A>() }.act();
    }
    opened(desk);
    handles(signal, flags, act::<A> as *const ());
}
