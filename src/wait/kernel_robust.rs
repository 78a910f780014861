//! The shared futex, with the kernel's notice of a death: the word's holder is in its thread's robust list.
//!
//! An option over the slices and not instead of them, because what can go wrong is long. Each hazard and its answer:
//!
//! | hazard | answer |
//! |---|---|
//! | the node's pointers lie in shared memory | never read, and never written but one's own: `sys::robust` |
//! | glibc's own robust mutexes are in the same list | linked as glibc links; a test holds both kinds, and is killed |
//! | the kernel walks 2048 entries | what a thread holds beyond 512 is left to the slices |
//! | an unmapped node stops the walk, as when a held lock's region goes | slices |
//! | no list, or another form of it (musl, qemu-user, 32 bits) | slices |
//! | unmapping between the free and `done` lets the kernel write elsewhere (glibc bug 14485) | the verb borrows the lock to its end |
//! | a thread of another PID namespace with the same id dies at this word, and a live holder is marked | the mark is believed only if the holder on record is proven dead, or there is none; else it is taken back |
//! | the kernel takes the thread id out with its mark | the holder on record |
//! | released by another thread, the node would stay in the holder's list | an error: only the holder releases |
//! | an `exec` counts as a death | nowhere here, since thread id and start time stay: the mark is taken back |
//! | a signal handler releases in the middle of a change of the list | `release` is not async-signal-safe here |

use super::futex::Futex;
use super::held::Held;
use super::{Deadline, Wait, Woken, Word};
use crate::atomic::{AtomicU64, Ordering};
use crate::owner::Token;
use crate::sys::robust::{self, Node};

/// The shared futex with the kernel's robust list: a waiter learns within some 40 µs that the holder was killed, instead
/// of at the end of its slice. 32 bytes, so that a lock is 40.
///
/// For [`Lock`](crate::Lock), [`RLock`](crate::RLock) and [`Mutex`](crate::Mutex), which only their holder may release
/// with this backend: a `Lock`'s `release` by another thread is `NotOwner`, and `disown` does nothing. Nor may a signal
/// handler release one: it could interrupt a change of the thread's list. The kernel looks after 512 of them a thread;
/// slices look after the others, and after all where libc has no robust list of the common form (musl, 32 bits). The other
/// primitives have no holder, and gain nothing.
#[derive(zerocopy::FromBytes)]
#[repr(C)]
pub struct KernelRobust {
    /// Who holds it, while it is held; zero in the instant between the taking and this.
    holder: AtomicU64,
    reserved: u64,
    node: Node,
}

// The kernel finds the word 32 bytes before the entry, which is the second half of the node.
const _: () = assert!(std::mem::offset_of!(KernelRobust, node) == 16 && size_of::<KernelRobust>() == 32);

impl Wait for KernelRobust {
    const NEW: Self = Self { holder: AtomicU64::new(0), reserved: 0, node: Node::NEW };

    fn wait(&self, word: Word<'_>, expected: u32, until: Deadline) -> Woken {
        Futex.wait(word, expected, until)
    }

    fn wake(&self, word: Word<'_>, n: u32) -> u32 {
        Futex.wake(word, n)
    }
}

impl Held for KernelRobust {
    const BY_HOLDER_ONLY: bool = true;

    #[inline]
    fn taking(&self, me: Token, take: impl FnOnce() -> bool) -> bool {
        let list = robust::mine();
        if let Some(list) = &list {
            list.pending(&self.node);
        }
        let taken = take();
        if taken {
            // Relaxed: read by those who find the word marked, as a hint whose every value is safe.
            self.holder.store(me.0, Ordering::Relaxed);
        }
        if let Some(list) = &list {
            if taken {
                list.link(&self.node);
            }
            list.done();
        }
        taken
    }

    #[inline(always)]
    fn freeing<R>(&self, free: impl FnOnce() -> R) -> Option<R> {
        let list = robust::mine_if_any(); // a forked child that drops a copied guard is not to make one
        if let Some(list) = &list {
            list.pending(&self.node);
            list.unlink(&self.node);
        }
        // Not `then`, whose closure may become a call: see `OwnedWord::release`.
        let freed = if self.is_on_record() {
            self.holder.store(0, Ordering::Relaxed);
            Some(free())
        } else {
            None
        };
        if let Some(list) = &list {
            list.done();
        }
        freed
    }

    #[inline]
    fn is_mine(&self, _word: impl FnOnce() -> Token) -> bool {
        self.is_on_record()
    }

    fn holder_on_record(&self) -> Option<Token> {
        Some(Token(self.holder.load(Ordering::Relaxed))).filter(|token| !token.is_free())
    }
}

impl KernelRobust {
    /// Whether the calling thread holds the word. The record says so, and not the word: the kernel may have taken the id out
    /// of that in error, and a load of it would wait for the atomic instruction that took it (2.4 ns of 6.7). Nor the
    /// list: a link outlives what it was for when the region was unmapped.
    ///
    /// For the asking thread the record is exact: it alone writes its own name there, after it took the word, and takes it
    /// out before it frees it.
    #[inline]
    fn is_on_record(&self) -> bool {
        Token(self.holder.load(Ordering::Relaxed)).is_mine()
    }
}

impl std::fmt::Debug for KernelRobust {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KernelRobust").finish_non_exhaustive()
    }
}
