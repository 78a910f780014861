//! loom's atomics, each operation of which can be weakened, rewritten, or be where a thread stops.

use std::panic::Location;

pub use loom::sync::atomic::Ordering;

use super::Rewrite;

/// How an operation at one place in the source is carried out.
struct Manner {
    weakened: bool,
    rewrite: Option<Rewrite>,
}

/// Counts the caller's operation; `None` if it is not carried out any more.
#[track_caller]
fn manner() -> Option<Manner> {
    let caller = Location::caller();
    super::step().then(|| Manner { weakened: super::is_weakened(caller), rewrite: super::rewrite_at(caller) })
}

impl Manner {
    fn order(&self, ordering: Ordering) -> Ordering {
        if self.weakened { Ordering::Relaxed } else { ordering }
    }
}

/// loom's fence, or none.
#[track_caller]
pub fn fence(ordering: Ordering) {
    if manner().is_some_and(|manner| !manner.weakened) {
        loom::sync::atomic::fence(ordering);
    }
}

macro_rules! atomic {
    ($name:ident, $int:ident) => {
        /// loom's, with the operations that this crate uses. One that is not carried out any more succeeds and
        /// returns zero.
        #[derive(Debug)]
        pub struct $name {
            word: loom::sync::atomic::$name,
            /// Changed with every load. loom remembers only the last access to a word: when one thread loads, and
            /// another loads and then changes the word, loom forgets the first load, and never tries the change before
            /// it. Two changes of this are two changes for loom, and their order it tries both ways.
            looks: loom::sync::atomic::AtomicU32,
        }

        #[allow(missing_docs, dead_code)]
        impl $name {
            pub fn new(value: $int) -> Self {
                Self { word: loom::sync::atomic::$name::new(value), looks: loom::sync::atomic::AtomicU32::new(0) }
            }

            #[track_caller]
            pub fn load(&self, ordering: Ordering) -> $int {
                manner().map_or(0, |manner| self.look(manner.order(ordering)))
            }

            /// A load that is no operation of the thread: the kernel's.
            pub(crate) fn peek(&self) -> $int {
                self.look(Ordering::Relaxed)
            }

            fn look(&self, ordering: Ordering) -> $int {
                self.looks.fetch_add(1, Ordering::Relaxed);
                self.word.load(ordering)
            }

            #[track_caller]
            pub fn store(&self, value: $int, ordering: Ordering) {
                let Some(manner) = manner() else { return };
                let rewritten = |rewrite: Rewrite| rewrite(self.peek() as u64, value as u64);
                if let Some(value) = manner.rewrite.map_or(Some(value as u64), rewritten) {
                    self.word.store(value as $int, manner.order(ordering));
                }
            }

            #[track_caller]
            pub fn compare_exchange(
                &self,
                current: $int,
                new: $int,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$int, $int> {
                let Some(manner) = manner() else { return Ok(current) };
                let new = manner.rewrite.map_or(Some(new as u64), |rewrite| rewrite(current as u64, new as u64));
                let Some(new) = new else { return Ok(current) };
                self.word.compare_exchange(current, new as $int, manner.order(success), manner.order(failure))
            }

            #[track_caller]
            pub fn compare_exchange_weak(
                &self,
                current: $int,
                new: $int,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$int, $int> {
                self.compare_exchange(current, new, success, failure)
            }

            #[track_caller]
            pub fn swap(&self, value: $int, ordering: Ordering) -> $int {
                self.update(ordering, |_| value, |word, ordering| word.swap(value, ordering))
            }

            #[track_caller]
            pub fn fetch_add(&self, value: $int, ordering: Ordering) -> $int {
                self.update(ordering, |old| old.wrapping_add(value), |word, ordering| word.fetch_add(value, ordering))
            }

            #[track_caller]
            pub fn fetch_sub(&self, value: $int, ordering: Ordering) -> $int {
                self.update(ordering, |old| old.wrapping_sub(value), |word, ordering| word.fetch_sub(value, ordering))
            }

            #[track_caller]
            pub fn fetch_and(&self, value: $int, ordering: Ordering) -> $int {
                self.update(ordering, |old| old & value, |word, ordering| word.fetch_and(value, ordering))
            }

            #[track_caller]
            pub fn fetch_or(&self, value: $int, ordering: Ordering) -> $int {
                self.update(ordering, |old| old | value, |word, ordering| word.fetch_or(value, ordering))
            }

            /// loom's own operation, or where it is rewritten a loop that does something else than `change`.
            #[track_caller]
            fn update(
                &self,
                ordering: Ordering,
                change: impl Fn($int) -> $int,
                operate: impl FnOnce(&loom::sync::atomic::$name, Ordering) -> $int,
            ) -> $int {
                let Some(manner) = manner() else { return 0 };
                let ordering = manner.order(ordering);
                let Some(rewrite) = manner.rewrite else { return operate(&self.word, ordering) };
                let rewritten = |old| rewrite(old as u64, change(old) as u64).map(|new| new as $int);
                self.word.fetch_update(ordering, Ordering::Relaxed, rewritten).unwrap_or_else(|old| old)
            }
        }
    };
}

atomic!(AtomicU32, u32);
atomic!(AtomicU64, u64);
