//! A condition variable: register, release the lock, sleep, acquire it again. Its word is told in
//! [`state`], its notifications are in [`notify`].

mod notify;
mod state;

use std::fmt;
use std::time::Duration;

use super::guard::Guard;
use crate::atomic::{AtomicU64, Ordering, constructor, fresh};
use crate::error::AcquireError;
use crate::time::{Deadline, Patience};
use crate::wait::sleep::{Sleeper, Slept};
use crate::wait::spin::Spin;
use crate::wait::{Platform, Wait, Word};
use state::{Meaning, State, Ticket};

/// How long a signal waits for its taker before it counts as a dead one's. A living one is woken in some 20 µs, and on a
/// machine with fifty threads per core runs within 0.1 s; if not, waiters go on for no reason.
const GRACE_NANOS: u64 = 100_000_000;

/// A condition variable between processes: Python's `multiprocessing.Condition` in eight bytes.
///
/// It waits with the guard of any lock of this crate; an [`RLock`](crate::RLock) is released however deep it is
/// nested, and comes back as deep. All-zero bytes are a fresh one. Notifications wake those who wait at that moment
/// and are not remembered. As with every condition variable a wait may return for no reason, here only after a waiter
/// was killed or did not run for a tenth of a second, or 255 notifications went to others, or when more than 4095 wait at
/// once: check in a loop, or use [`wait_while`](Self::wait_while).
///
/// Notify with the lock held or after releasing it. With it held, [`notify_one_on_unlock`](Self::notify_one_on_unlock) and
/// [`notify_all_on_unlock`](Self::notify_all_on_unlock) are the verbs to use: they are given the guard, and save the woken a
/// wait for the lock. [`notify_one`](Self::notify_one) and [`notify_all`](Self::notify_all) wake at once, and are for
/// everywhere else: without the lock, with one that has no guard, in a signal handler.
///
/// # Errors of the waiting verbs
/// The lock is held again at the end of a wait, timed out or not, unless acquiring it failed with
/// [`OwnerDied`](AcquireError::OwnerDied), or with [`WouldDeadlock`](AcquireError::WouldDeadlock) for one of a circle of
/// threads that wait for each other's locks: then a [`LockGuard`](crate::LockGuard) or
/// [`RLockGuard`](crate::RLockGuard) holds nothing until it `recover`s or waits again. A [`MutexGuard`](crate::MutexGuard) holds the
/// mutex even then; the error says that the data may be torn, until `clear_poison`. (A holder's panic is no error of a
/// wait: ask [`is_poisoned`](crate::Mutex::is_poisoned).) With it a wait panics where [`Mutex::lock`](crate::Mutex::lock)
/// would; a guard that outlives that panic has lost the mutex, and panics when its data is touched.
///
/// # Example
/// ```
/// use shmsync::{Condition, Mutex};
///
/// let (queue, not_empty) = (Mutex::new(Vec::new()), Condition::new());
/// std::thread::scope(|scope| {
///     scope.spawn(|| {
///         let mut items = queue.lock().unwrap();
///         items.push(7);
///         not_empty.notify_one_on_unlock(&mut items);
///     });
///     let mut items = queue.lock().unwrap();
///     not_empty.wait_while(&mut items, |items| items.is_empty())?;
///     assert_eq!(items.pop(), Some(7));
///     Ok::<(), shmsync::AcquireError>(())
/// })?;
/// # Ok::<(), shmsync::AcquireError>(())
/// ```
#[cfg_attr(not(loom), derive(zerocopy::FromBytes))]
#[repr(C)]
pub struct Condition<W: Wait = Platform> {
    word: AtomicU64,
    wait: W,
}

impl Condition {
    constructor! {
        /// A condition that nobody waits for.
        #[must_use]
        pub fn new() -> Self {
            Self::new_in()
        }
    }
}

impl<W: Wait> Condition<W> {
    constructor! {
        /// A condition that nobody waits for, on the backend `W`.
        #[must_use]
        pub fn new_in() -> Self {
            Self { word: AtomicU64::new(0), wait: fresh!(W) }
        }
    }

    /// Releases the lock, waits to be notified, and acquires the lock again.
    ///
    /// What the notifier did before its `notify` happens before this returns.
    ///
    /// # Errors
    /// As the type's introduction says.
    pub fn wait<G: Guard>(&self, guard: &mut G) -> Result<(), AcquireError> {
        self.wait_with(guard, Patience::FOREVER).map(drop)
    }

    /// Waits to be notified, for at most `timeout` of monotonic time; `false` if that ran out.
    ///
    /// The time to acquire the lock again comes on top.
    ///
    /// # Errors
    /// As the type's introduction says.
    pub fn wait_timeout<G: Guard>(&self, guard: &mut G, timeout: Duration) -> Result<bool, AcquireError> {
        self.wait_with(guard, Patience::until(Deadline::after(timeout)))
    }

    /// Waits like `wait_timeout`, or for ever with `None`, or until a signal handler has run during the sleep.
    ///
    /// # Errors
    /// `Interrupted`, with the lock held; otherwise as the type's introduction says.
    pub fn wait_interruptible<G: Guard>(&self, guard: &mut G, timeout: Option<Duration>) -> Result<bool, AcquireError> {
        self.wait_with(guard, Patience::interruptible(timeout))
    }

    /// Waits for as long as `condition` holds for the guarded data.
    ///
    /// # Errors
    /// As the type's introduction says.
    pub fn wait_while<G: Guard>(
        &self,
        guard: &mut G,
        condition: impl FnMut(&mut G::Data) -> bool,
    ) -> Result<(), AcquireError> {
        self.wait_while_with(guard, Patience::FOREVER, condition).map(drop)
    }

    /// Waits for as long as `condition` holds for the guarded data and `timeout` lasts; whether it stopped holding.
    ///
    /// # Errors
    /// As the type's introduction says.
    pub fn wait_timeout_while<G: Guard>(
        &self,
        guard: &mut G,
        timeout: Duration,
        condition: impl FnMut(&mut G::Data) -> bool,
    ) -> Result<bool, AcquireError> {
        self.wait_while_with(guard, Patience::until(Deadline::after(timeout)), condition)
    }

    fn wait_while_with<G: Guard>(
        &self,
        guard: &mut G,
        patience: Patience,
        mut condition: impl FnMut(&mut G::Data) -> bool,
    ) -> Result<bool, AcquireError> {
        guard.hold()?;
        while condition(guard.data()) {
            if !self.wait_with(guard, patience)? {
                return Ok(!condition(guard.data()));
            }
        }
        Ok(true)
    }

    fn wait_with<G: Guard>(&self, guard: &mut G, patience: Patience) -> Result<bool, AcquireError> {
        guard.hold()?;
        // Before the lock is released: whoever changes the condition under it, and notifies, finds us registered.
        let ticket = self.register();
        guard.let_go();
        let notified = self.sleep(ticket, patience);
        guard.take_back()?;
        notified
    }

    /// `None` if more wait than can be counted.
    fn register(&self) -> Option<Ticket> {
        let mut seen = State(self.word.load(Ordering::Relaxed));
        loop {
            let registered = seen.registered()?;
            // Relaxed: the lock, which the caller still holds, carries this to every notifier that takes it later.
            match self.word.compare_exchange_weak(seen.0, registered.0, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Some(Ticket::new(seen, registered)),
                Err(now) => seen = State(now),
            }
        }
    }

    /// Sleeps until notified (`true`), or until the patience ends (`false`).
    fn sleep(&self, ticket: Option<Ticket>, patience: Patience) -> Result<bool, AcquireError> {
        let mut sleeper = Sleeper::for_a_wake(patience);
        let Some(mut ticket) = ticket else { return self.doze(&mut sleeper) };
        let mut spin = Spin::new();
        loop {
            let seen = State(self.word.load(Ordering::Acquire)); // edge: notify -> wait (Acquire end)
            match seen.meaning(ticket) {
                Meaning::Released => return Ok(true),
                // Acquire: should another signal have come meanwhile, it may be that one which is taken.
                Meaning::Signalled if self.replace(seen, seen.left(1), Ordering::Acquire) => return Ok(true),
                Meaning::Signalled => continue,
                Meaning::Wait if !sleeper.only_looks() && seen.fits() && spin.again(ticket.partner) => continue,
                Meaning::Wait => {}
            }
            let asleep = seen.with_sleepers();
            if !sleeper.only_looks() && !seen.has_sleepers() && !self.replace(seen, asleep, Ordering::Relaxed) {
                continue;
            }
            match sleeper.sleep(&self.wait, Word::low_half(&self.word), asleep.low()) {
                Slept::Woken => {}
                Slept::SliceEnded if sleeper.waited() >= GRACE_NANOS => self.bury(&mut ticket),
                Slept::SliceEnded => {}
                Slept::Expired => return Ok(self.deregister(ticket)),
                Slept::Interrupted if self.deregister(ticket) => return Ok(true),
                Slept::Interrupted => return Err(AcquireError::Interrupted),
            }
        }
    }

    /// Waiting without being counted: a short sleep, and then a wake-up for no reason.
    fn doze(&self, sleeper: &mut Sleeper) -> Result<bool, AcquireError> {
        let low = State(self.word.load(Ordering::Relaxed)).low();
        match sleeper.sleep(&self.wait, Word::low_half(&self.word), low) {
            Slept::Woken | Slept::SliceEnded => Ok(true),
            Slept::Expired => Ok(false),
            Slept::Interrupted => Err(AcquireError::Interrupted),
        }
    }

    /// After the grace: signals older than this waiter, still there, were for waiters that were killed. Start afresh.
    fn bury(&self, ticket: &mut Ticket) {
        let seen = State(self.word.load(Ordering::Relaxed));
        let afresh = seen.released(1);
        // Relaxed: should one of them live after all, it goes on by this state; being a read-modify-write, it is in the
        // release sequence of the notification that was meant for it.
        if seen.has_only_older_signals(*ticket) && self.replace(seen, afresh, Ordering::Relaxed) {
            *ticket = ticket.renewed(afresh);
            self.wake(seen.sleepers(u32::MAX));
        }
    }

    /// Gives up; `true` if a notification came first.
    fn deregister(&self, ticket: Ticket) -> bool {
        loop {
            let seen = State(self.word.load(Ordering::Acquire)); // edge: notify -> wait
            let (notified, left) = match seen.meaning(ticket) {
                Meaning::Released => return true,
                Meaning::Signalled => (true, seen.left(1)),
                Meaning::Wait => (false, seen.left(0)),
            };
            if self.replace(seen, left, Ordering::Acquire) {
                return notified;
            }
        }
    }

    fn replace(&self, seen: State, new: State, ordering: Ordering) -> bool {
        self.word.compare_exchange(seen.0, new.0, ordering, Ordering::Relaxed).is_ok()
    }
}

impl<W: Wait> Default for Condition<W> {
    fn default() -> Self {
        Self::new_in()
    }
}

impl<W: Wait> fmt::Debug for Condition<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = State(self.word.load(Ordering::Relaxed));
        f.debug_struct("Condition")
            .field("waiters", &state.waiters().saturating_sub(state.signals()))
            .field("signals", &state.signals())
            .finish()
    }
}
