//! Initialisation: its verbs have no timeout, so whoever lives and is at it must be seen first.

use shmsync::wait::{Futex, Wait};
use shmsync::{Lock, Once, OnceCell};

use super::{Step, Subject};

/// Whether who initialises waits for nobody: its verbs have no timeout, and rightly wait for one who lives.
fn may_begin<T>(once: &T) -> bool {
    // The word of a `Once` is that of a `Lock`, and both begin with it.
    let lock = Lock::<Futex>::ref_from_prefix_of(once);
    !lock.is_locked() || lock.holder().is_some_and(|holder| !holder.is_alive())
}

trait Prefix {
    fn ref_from_prefix_of<T>(value: &T) -> &Self;
}

impl Prefix for Lock<Futex> {
    fn ref_from_prefix_of<T>(value: &T) -> &Self {
        assert!(size_of::<T>() >= size_of::<Self>() && align_of::<T>() >= align_of::<Self>());
        // SAFETY: large enough and aligned, as was just checked, in memory where all is atomic or any bytes will do.
        #[allow(unsafe_code)]
        unsafe {
            &*std::ptr::from_ref(value).cast()
        }
    }
}

impl<W: Wait + 'static> Subject for Once<W> {
    fn step(&self, step: Step, alone: bool) {
        match step.verb % 3 {
            0 if alone && may_begin(self) => {
                self.call_once(|| {});
                assert!(self.is_completed());
            }
            1 if alone && may_begin(self) => {
                self.call_once_with(|failed| _ = format!("{failed:?}"));
                self.call_once(|| unreachable!("it was called"));
            }
            _ => _ = self.is_completed(),
        }
    }
}

impl<W: Wait + 'static> Subject for OnceCell<u64, W> {
    fn step(&self, step: Step, alone: bool) {
        match step.verb % 4 {
            0 if alone && may_begin(self) => {
                let value = *self.get_or_init(|| step.n.into());
                assert_eq!(self.get(), Some(&value));
            }
            1 if alone && may_begin(self) => _ = self.get_or_try_init(|| Err::<u64, _>(step.n)),
            2 if alone && may_begin(self) => _ = self.set(step.n.into()),
            _ => _ = self.get().copied(),
        }
    }
}
