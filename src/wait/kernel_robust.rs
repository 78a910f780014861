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
//! | another region is mapped where one went whose lock the thread still holds: its node is taken for one in the new one | nothing comes of it, but for a lock whose holder has the thread's id in another namespace: that one could be taken for dead |
//! | no list, or another form of it (musl, qemu-user, 32 bits) | slices |
//! | unmapping between the free and `done` lets the kernel write elsewhere (glibc bug 14485) | the verb borrows the lock to its end |
//! | a thread of another PID namespace with the same id dies at this word, and a live holder is marked | who has taken it leaves its namespace there first; once there was a second one, a mark is believed only if the holder on record is proven dead, or there is none; else it is taken back |
//! | the kernel takes the thread id out with its mark | the holder on record |
//! | released by another thread, the node would stay in the holder's list | an error: only the holder releases |
//! | an `exec` counts as a death | here, too: the new program has neither the guard nor the mapping. (Where two namespaces use the lock it is found alive, and the mark taken back.) |
//! | a signal handler releases in the middle of a change of the list | `release` is not async-signal-safe here |

use super::futex::Futex;
use super::held::Held;
use super::{Deadline, Wait, Woken, Word};
use crate::atomic::{AtomicU64, Ordering, fence};
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
    /// The PID namespace of all who have ever taken it, as a token has it, plus one (so 1 is an unknown one); zero
    /// while there was nobody, and [`SEVERAL`].
    namespace: AtomicU64,
    node: Node,
}

const UNKNOWN: u64 = 1;
const SEVERAL: u64 = u64::MAX;

// The kernel finds the word 32 bytes before the entry, which is the second half of the node.
const _: () = assert!(std::mem::offset_of!(KernelRobust, node) == 16 && size_of::<KernelRobust>() == 32);

impl Wait for KernelRobust {
    const IN_KINDS: &'static str = "KernelRobust";
    const NEW: Self = Self { holder: AtomicU64::new(0), namespace: AtomicU64::new(0), node: Node::NEW };

    fn wait(&self, word: Word<'_>, expected: u32, until: Deadline) -> Woken {
        Futex.wait(word, expected, until)
    }

    fn wake(&self, word: Word<'_>, n: u32) -> u32 {
        Futex.wake(word, n)
    }
}

impl Held for KernelRobust {
    const BY_HOLDER_ONLY: bool = true;

    /// A thread's list is memory to be touched for the first time, and whoever takes over from the dead is to be quick.
    fn prepare(&self) {
        robust::mine();
    }

    #[inline]
    fn taking(&self, me: Token, take: impl FnOnce() -> bool) -> bool {
        // Without `pending`, for by that a thread of another namespace could have a word marked that it never held. So who is
        // killed between here and `link` is found by the slices.
        if !take() {
            return false;
        }
        // Relaxed: read by those who find the word marked, as a hint whose every value is safe.
        self.holder.store(me.0, Ordering::Relaxed);
        // Before `link`: whoever can have the kernel mark the word has been here. And after the taking, for a load before it
        // would have the line brought here twice when others use the lock.
        let here = me.namespace() + 1;
        if self.namespace.load(Ordering::Relaxed) != here {
            self.visit_from(here);
        }
        if let Some(list) = robust::mine() {
            list.link(&self.node);
        }
        true
    }

    #[inline(always)]
    fn freeing<R>(&self, free: impl FnOnce() -> R) -> Option<R> {
        let list = robust::mine_if_any(); // a forked child that drops a copied guard is not to make one
        if !self.is_on_record() {
            // Without `pending`: see `taking`. A link from before, of a lock that lay here, goes.
            list.inspect(|list| list.unlink(&self.node));
            return None;
        }
        if let Some(list) = &list {
            list.pending(&self.node);
            list.unlink(&self.node);
        }
        self.holder.store(0, Ordering::Relaxed);
        let freed = free();
        if let Some(list) = &list {
            list.done();
        }
        Some(freed)
    }

    #[inline]
    fn is_mine(&self, _word: impl FnOnce() -> Token) -> bool {
        self.is_on_record()
    }

    /// The kernel marks a word that has the id, in its own namespace, of a thread that dies at it. Where all are of one
    /// namespace that is the holder; and to prove it once more takes twice as long as the kernel and the wake-up together.
    ///
    /// All: those before, who have left their namespace here; and the holder itself, which may not have yet, but whose
    /// namespace is in the word.
    fn mark_is_proof(&self, marked: Token) -> bool {
        // edge: visit -> mark (Acquire end): who has read the mark sees the visit of the thread that it was made for. The
        // Release end is the kernel's exchange of the word, on behalf of the visitor.
        fence(Ordering::Acquire);
        let visitors = self.namespace.load(Ordering::Relaxed);
        !matches!(visitors, 0 | UNKNOWN | SEVERAL) && visitors == marked.namespace() + 1
    }

    fn holder_on_record(&self) -> Option<Token> {
        Some(Token(self.holder.load(Ordering::Relaxed))).filter(|token| !token.is_free())
    }
}

impl KernelRobust {
    /// Leaves word of a thread that is the first, or of another namespace than those before it.
    #[cold]
    fn visit_from(&self, here: u64) {
        // Relaxed, both: see `mark_is_proof`.
        let first = self.namespace.compare_exchange(0, here, Ordering::Relaxed, Ordering::Relaxed);
        if first.is_err_and(|others| others != here && others != SEVERAL) {
            self.namespace.store(SEVERAL, Ordering::Relaxed);
        }
    }

    /// Whether the calling thread holds the word. The record says so, and not the word: the kernel may have taken the id out
    /// of that in error, and a load of it would wait for the atomic instruction that took it. Nor the
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
