//! Initialisation that happens once, although the initialiser may die: [`Once`] and [`OnceCell`].
//!
//! The [owned word](super::owned) says who initialises, and a second word how far that has come:
//!
//! | state | meaning | who may leave it, to where |
//! |---|---|---|
//! | 0 | never attempted, or the first attempt is under way | the word's holder |
//! | a cause | the last attempt ended in a panic or a death; another may be under way | the word's holder |
//! | `COMPLETE` | done | nobody |
//!
//! Only the holder of the word writes the state, and `COMPLETE` is its last write. Whoever takes the word over from a
//! dead holder looks at the state first: the dead may have completed it. So wherever an initialiser is killed, either
//! the state is not `COMPLETE` and the next one initialises from the start, or it is, and nobody needs the word any
//! more. A value is written whole before the state says so, and never after.
//!
//! *Scribbled bytes.* A state that somebody else made `COMPLETE` shows a value that nobody initialised: any bytes are a
//! valid `T`, and they are initialised memory from the beginning. A word or state that somebody else reset lets the
//! value be written while others look at it. As with the data of a [`Mutex`](super::Mutex), what is in there is then as
//! good as those who map it; it does not touch other memory.
#![allow(unsafe_code)]

use std::cell::UnsafeCell;
use std::convert::Infallible;
use std::fmt;
use std::mem::MaybeUninit;

use super::owned::OwnedWord;
use super::poison::PoisonCause;
use crate::atomic::{AtomicU64, Ordering, constructor};
use crate::error::AcquireError;
use crate::owner::Token;
use crate::time::Patience;
use crate::wait::{Platform, Wait};

#[cfg(loom)]
use crate::model::FromBytes;
#[cfg(not(loom))]
use zerocopy::FromBytes;

/// No cause is like this: a cause names a thread, and neither its CPU nor waiters.
const COMPLETE: u64 = u64::MAX;

/// A one-time initialisation between processes, with the manners of std's `Once`.
///
/// One caller runs its closure; the others wait until it has returned. If it panics, *or its thread dies*, the next
/// caller runs its own, and can know of it: [`call_once_with`](Self::call_once_with). So there is no poison here.
/// All-zero bytes are a fresh one.
///
/// # Example
/// ```
/// use shmsync::{Once, Shared};
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use zerocopy::FromBytes;
///
/// #[derive(FromBytes)]
/// #[repr(C)]
/// struct Table {
///     filled: Once,
///     squares: [AtomicU64; 100],
/// }
///
/// let table = Shared::<Table>::anonymous_zeroed()?;
/// table.filled.call_once(|| {
///     for (n, square) in (0..).zip(&table.squares) {
///         square.store(n * n, Ordering::Relaxed);
///     }
/// });
/// assert!(table.filled.is_completed());
/// assert_eq!(table.squares[12].load(Ordering::Relaxed), 144);
/// # Ok::<(), shmsync::Error>(())
/// ```
#[cfg_attr(not(loom), derive(zerocopy::FromBytes))]
#[repr(C)]
pub struct Once<W: Wait = Platform> {
    word: OwnedWord<W>,
    state: AtomicU64,
}

impl Once {
    constructor! {
        /// One that nobody has called yet.
        #[must_use]
        pub fn new() -> Self {
            Self::new_in()
        }
    }
}

impl<W: Wait> Once<W> {
    constructor! {
        /// One that nobody has called yet, on the backend `W`.
        #[must_use]
        pub fn new_in() -> Self {
            Self { word: OwnedWord::new(), state: AtomicU64::new(0) }
        }
    }

    /// Runs `f` unless some caller's closure has returned before; waits while one is running.
    ///
    /// What the one closure did that returned happens before this returns, in every process.
    ///
    /// # Panics
    /// If `f` calls it again for the same `Once`, which would wait for itself; or as [`Mutex::lock`](crate::Mutex::lock)
    /// does. And as `f` does: then the next caller runs its own.
    #[inline]
    pub fn call_once(&self, f: impl FnOnce()) {
        self.call_once_with(|_| f());
    }

    /// Like [`call_once`](Self::call_once), but tells the closure how the attempt before it failed, if one did.
    ///
    /// For initialisations that can be torn: what a dead initialiser left is half done, perhaps.
    ///
    /// # Panics
    /// As `call_once`.
    ///
    /// # Example
    /// ```
    /// use shmsync::{Once, PoisonCause};
    /// use std::panic::catch_unwind;
    ///
    /// static ONCE: Once = Once::new();
    /// let _ = catch_unwind(|| ONCE.call_once(|| panic!("on purpose")));
    /// ONCE.call_once_with(|failed| assert!(matches!(failed, Some(PoisonCause::Panicked(_)))));
    /// ONCE.call_once(|| unreachable!());
    /// ```
    #[inline]
    pub fn call_once_with(&self, f: impl FnOnce(Option<PoisonCause>)) {
        if !self.is_completed() {
            let Ok(()) = self.attempt(|failed| {
                f(failed);
                Ok::<(), Infallible>(())
            });
        }
    }

    /// Whether some caller's closure has returned. If so, what it did happens before this returns.
    #[inline]
    #[must_use]
    pub fn is_completed(&self) -> bool {
        // edge: initialised -> used (Acquire end)
        self.state.load(Ordering::Acquire) == COMPLETE
    }

    /// Runs `f` as the only one who does, unless it is completed by then; `Ok` completes it.
    #[cold]
    fn attempt<E>(&self, f: impl FnOnce(Option<PoisonCause>) -> Result<(), E>) -> Result<(), E> {
        let Some(turn) = Attempt::begin(self) else { return Ok(()) };
        // Relaxed: written by earlier holders of the word, whose edge carries it.
        f(PoisonCause::from_word(self.state.load(Ordering::Relaxed)))?;
        // edge: initialised -> used (Release end)
        turn.once.state.store(COMPLETE, Ordering::Release);
        Ok(())
    }
}

/// Holds the word of a [`Once`] that is not completed.
struct Attempt<'a, W: Wait> {
    once: &'a Once<W>,
    /// Whether the thread was panicking before: then a panic at the end is not the closure's.
    panicking: bool,
}

impl<'a, W: Wait> Attempt<'a, W> {
    /// Waits for the word, and takes it over from a dead holder; `None` when it is completed.
    fn begin(once: &'a Once<W>) -> Option<Self> {
        if once.word.take_free().is_err() {
            assert!(!once.word.is_mine(), "shmsync: Once or OnceCell initialised again from its own initialisation");
        } else {
            return Self::unless_completed(once);
        }
        while !once.is_completed() {
            match once.word.acquire(Patience::UNFAILING) {
                Ok(()) => return Self::unless_completed(once),
                Err(AcquireError::OwnerDied(_)) => {}
                Err(error @ AcquireError::WouldDeadlock) => panic!("shmsync: initialisation: {error}"),
                Err(other) => unreachable!("a patient wait ended with {other}"),
            }
            if let Ok(dead) = once.word.recover() {
                let turn = Self::unless_completed(once)?;
                // Relaxed: the word's next release publishes it, and who is killed before that is the next cause.
                once.state.store(PoisonCause::Died(dead.dead_owner()).into_word(), Ordering::Relaxed);
                return Some(turn);
            }
        }
        None
    }

    /// The word was taken: gives it back if it is not needed.
    fn unless_completed(once: &'a Once<W>) -> Option<Self> {
        let turn = Self { once, panicking: std::thread::panicking() };
        (!once.is_completed()).then_some(turn)
    }
}

impl<W: Wait> Drop for Attempt<'_, W> {
    fn drop(&mut self) {
        let panicked = !self.panicking && std::thread::panicking();
        if let Some(me) = Token::mine().owner().filter(|_| panicked) {
            self.once.state.store(PoisonCause::Panicked(me).into_word(), Ordering::Relaxed);
        }
        // An error would mean that scribbled bytes took the word from under us.
        let _ = self.once.word.release();
    }
}

impl<W: Wait> Default for Once<W> {
    fn default() -> Self {
        Self::new_in()
    }
}

impl<W: Wait> fmt::Debug for Once<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state.load(Ordering::Relaxed) {
            COMPLETE => String::from("completed"),
            _ if self.word.token().is_free() => String::from("not completed"),
            _ => format!("{} to complete it", self.word.describe()),
        };
        f.debug_struct("Once").field("state", &state).finish()
    }
}

/// A value that is initialised once, by whichever process needs it first: std's `OnceLock` between processes.
///
/// If the initialiser panics, *or dies*, the next caller initialises from the start. Reading costs one load. All-zero
/// bytes are a fresh, empty one.
///
/// The value must be plain data, `zerocopy::FromBytes + Sync`. It never changes again, unless it is made of atomics or
/// of this crate's primitives, and it is never dropped: other processes go on using it.
///
/// # Example
/// ```
/// use shmsync::{OnceCell, Shared};
///
/// let seed = Shared::anonymous(OnceCell::<u64>::new())?;
/// assert_eq!(seed.get(), None);
/// let mine = seed.get_or_init(|| std::process::id().into()); // everybody gets the same number
/// assert_eq!(seed.get(), Some(mine));
/// assert_eq!(seed.set(7), Err(7));
/// # Ok::<(), shmsync::Error>(())
/// ```
#[cfg_attr(not(loom), derive(zerocopy::FromBytes))]
#[repr(C)]
pub struct OnceCell<T, W: Wait = Platform> {
    once: Once<W>,
    /// All bytes are initialised, from the beginning.
    value: UnsafeCell<MaybeUninit<T>>,
}

// SAFETY: shared references to the value are given out only after its last write, and that needs `T: Sync`; and a value
// that one thread put in may be taken out by another, which needs `T: Send`.
unsafe impl<T: Send + Sync, W: Wait> Sync for OnceCell<T, W> {}

impl<T> OnceCell<T> {
    constructor! {
        /// An empty cell.
        #[must_use]
        pub fn new() -> Self {
            Self::new_in()
        }
    }
}

impl<T, W: Wait> OnceCell<T, W> {
    constructor! {
        /// An empty cell on the backend `W`.
        #[must_use]
        pub fn new_in() -> Self {
            Self { once: Once::new_in(), value: UnsafeCell::new(MaybeUninit::zeroed()) }
        }
    }
}

impl<T: FromBytes + Sync, W: Wait> OnceCell<T, W> {
    /// The value, if it is there. Never waits.
    #[inline]
    #[must_use]
    pub fn get(&self) -> Option<&T> {
        // SAFETY: after COMPLETE nobody writes the value (edge: initialised -> used). All of its bytes are initialised
        // and `T: FromBytes`, so it is a valid one even if the state is scribbled.
        self.once.is_completed().then(|| unsafe { (*self.value.get()).assume_init_ref() })
    }

    /// The value; if it is not there yet, that of `f`, or of another caller who is already at it.
    ///
    /// # Panics
    /// If `f` asks the same cell, which would wait for itself; or as [`Mutex::lock`](crate::Mutex::lock) does. And as `f` does: then the cell stays empty for the next.
    #[inline]
    pub fn get_or_init(&self, f: impl FnOnce() -> T) -> &T {
        let Ok(value) = self.get_or_try_init(|| Ok::<T, Infallible>(f()));
        value
    }

    /// Like [`get_or_init`](Self::get_or_init), with a closure that may fail: then the cell stays empty for the next.
    ///
    /// # Errors
    /// What `f` returns, if it is called at all.
    ///
    /// # Panics
    /// As `get_or_init`.
    ///
    /// # Example
    /// ```
    /// let cell = shmsync::OnceCell::<u32>::new();
    /// assert!(cell.get_or_try_init(|| "many".parse::<u32>()).is_err());
    /// assert_eq!(cell.get_or_try_init(|| "12".parse::<u32>()), Ok(&12));
    /// ```
    #[inline]
    pub fn get_or_try_init<E>(&self, f: impl FnOnce() -> Result<T, E>) -> Result<&T, E> {
        if let Some(value) = self.get() {
            return Ok(value);
        }
        self.once.attempt(|_| f().map(|value| self.write(value)))?;
        // SAFETY: as in `get`; that it is completed was seen or brought about just now.
        Ok(unsafe { (*self.value.get()).assume_init_ref() })
    }

    /// Puts a value in, unless there is one. Waits while another caller initialises.
    ///
    /// # Errors
    /// The given value, if there was another.
    ///
    /// # Panics
    /// If it is called by the cell's own initialisation; or as [`Mutex::lock`](crate::Mutex::lock) does.
    pub fn set(&self, value: T) -> Result<(), T> {
        let mut value = Some(value);
        self.get_or_init(|| value.take().expect("called once"));
        value.map_or(Ok(()), Err)
    }

    fn write(&self, value: T) {
        // SAFETY: the caller holds the word of an incomplete `Once`: nobody reads the value, and nobody else writes it.
        unsafe { (*self.value.get()).write(value) };
    }
}

impl<T, W: Wait> Default for OnceCell<T, W> {
    fn default() -> Self {
        Self::new_in()
    }
}

/// Shows the value if it is there, without waiting for it.
impl<T: FromBytes + Sync + fmt::Debug, W: Wait> fmt::Debug for OnceCell<T, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("OnceCell");
        match self.get() {
            Some(value) => shown.field("value", value).finish(),
            None => shown.field("state", &self.once).finish_non_exhaustive(),
        }
    }
}
