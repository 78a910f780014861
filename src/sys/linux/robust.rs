//! The calling thread's robust list: what the kernel walks when the thread ends, marking each futex word that still
//! names it `OWNER_DIED` and waking a waiter.
//!
//! There is one list a thread, and libc owns its head; so our entries live in the same list as glibc's own robust
//! mutexes, linked as glibc links them (`nptl/descr.h`, `ENQUEUE_MUTEX`): an entry is a pointer to the `next` field of a
//! node, `prev` lies before it, and the futex word 32 bytes before it.
//!
//! ```text
//! head -> glibc's newer .. -> FENCE 0 -> FENCE 1 -> ours -> FENCE 2 -> .. -> last FENCE -> glibc's older .. -> head
//!         \__ private __/     private    private   shared    private           private
//! ```
//!
//! Our nodes lie in shared memory, where anybody may scribble on their pointers, and from which the region may have
//! been unmapped while a lock in it was still held. So no pointer is ever read from a node, and none is written to one
//! but its own, when it is linked: a row of private nodes, the fences, whose words name nobody, is linked for good, and
//! each has room for one of ours behind it; which that is, its own pointer says. glibc links at the head and writes to the neighbours of what it unlinks,
//! and those are the outer fences. (The kernel does follow scribbled pointers. At a word that does not name the dying
//! thread it does nothing, and at a bad address it stops; slices take over then.)
//!
//! The kernel sees this thread's memory as the thread left it, in program order; so the order of the stores below is
//! kept from the compiler alone.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering, compiler_fence};
use zerocopy::FromZeros;

/// How much a thread may hold. The kernel gives up after 2048 entries; fences and nodes take half of that.
pub(crate) const MOST_HELD: usize = 512;

/// Where the node of a futex word lies, as glibc's `pthread_mutex_t` has it on 64-bit systems. It takes as much room on
/// 32-bit ones, where it stays empty, so that a lock has one layout.
#[derive(zerocopy::FromBytes)]
#[repr(C)]
pub(crate) struct Node {
    prev: AtomicU64,
    next: AtomicU64,
}

impl Node {
    #[expect(clippy::declare_interior_mutable_const, reason = "each use is a fresh one, for a const constructor")]
    pub(crate) const NEW: Self = Self { prev: AtomicU64::new(0), next: AtomicU64::new(0) };

    /// What the kernel calls an entry.
    fn entry(&self) -> u64 {
        (&raw const self.next) as u64
    }
}

/// From an entry to its futex word.
const FUTEX_OFFSET: libc::c_long = -32;

/// struct robust_list_head
#[repr(C)]
struct Head {
    list: usize,
    futex_offset: libc::c_long,
    list_op_pending: usize,
}

/// A node in private memory at the same distance from a word that names nobody.
#[derive(zerocopy::FromBytes)]
#[repr(C)]
struct Fence {
    word: u64,
    /// The next fence, as an entry: what the node points to while nothing of ours is in between.
    after: u64,
    unused: u64,
    node: Node,
}

const _: () = assert!(std::mem::offset_of!(Fence, node) + std::mem::offset_of!(Node, next) == 32);

/// The thread's part of its list.
#[derive(zerocopy::FromBytes)]
#[repr(C)]
struct Part {
    /// Address of the head.
    head: usize,
    /// Nothing is linked behind the fences from here on. Right below there may be gaps, left by what was not released
    /// in the reverse order.
    top: usize,
    fences: [Fence; MOST_HELD + 1],
}

/// Not linked into the list: this libc's head is missing, or of another form, or the thread is ending.
const UNAVAILABLE: *mut Part = ptr::without_provenance_mut(1);

thread_local! {
    /// Null until asked for. Constant and without destructor: no lazy initialisation on the fast path.
    static PART: Cell<*mut Part> = const { Cell::new(ptr::null_mut()) };
    /// Takes the fences down when the thread ends.
    static TAKE_DOWN: TakeDown = const { TakeDown };
}

/// This thread's list, if the kernel will walk it in the form that we need.
#[inline]
pub(crate) fn mine() -> Option<List> {
    let part = PART.get();
    if part.addr() > UNAVAILABLE.addr() { Some(List(part)) } else { set_up(part) }
}

/// This thread's list, if it has ever held anything.
#[inline]
pub(crate) fn mine_if_any() -> Option<List> {
    let part = PART.get();
    (part.addr() > UNAVAILABLE.addr()).then_some(List(part))
}

#[cold]
fn set_up(part: *mut Part) -> Option<List> {
    if part == UNAVAILABLE {
        return None;
    }
    let (Some(head), true) = (own_head(), TAKE_DOWN.try_with(|_| ()).is_ok()) else {
        PART.set(UNAVAILABLE);
        return None;
    };
    let mut part = Part::new_box_zeroed().ok()?;
    for at in 0..MOST_HELD {
        part.fences[at].after = part.fences[at + 1].node.entry();
        part.fences[at].clear();
    }
    let (begin, end) = (&part.fences[0].node, &part.fences[MOST_HELD].node);
    // SAFETY: the head is this thread's own, which no other touches; what is first in its list is a mutex of glibc's
    // or the head itself, before which glibc has room for a `prev`.
    unsafe {
        let first = (*head).list;
        begin.prev.store(head as u64, Ordering::Relaxed);
        end.next.store(first as u64, Ordering::Relaxed);
        compiler_fence(Ordering::SeqCst);
        (*head).list = begin.entry() as usize;
        ((first & !1) as *mut usize).sub(1).write(end.entry() as usize);
    }
    let part = Box::into_raw(part);
    // SAFETY: just made.
    unsafe { (*part).head = head as usize };
    PART.set(part);
    Some(List(part))
}

/// The head that libc registered for this thread, if entries of our form fit.
fn own_head() -> Option<*mut Head> {
    if cfg!(not(all(target_env = "gnu", target_pointer_width = "64", target_endian = "little"))) {
        return None; // musl's head has no room for a `prev`
    }
    let mut head: *mut Head = ptr::null_mut();
    let mut size: usize = 0;
    // SAFETY: both are written by the kernel, for the calling thread (0).
    let result = unsafe { libc::syscall(libc::SYS_get_robust_list, 0, &raw mut head, &raw mut size) };
    // SAFETY: not null, so it is what libc registered, which lives as long as the thread.
    let fits =
        result == 0 && !head.is_null() && size == size_of::<Head>() && unsafe { (*head).futex_offset } == FUTEX_OFFSET;
    fits.then_some(head)
}

/// In a forked child: libc has emptied the list, and what the parent holds is the parent's.
pub(crate) fn forget() {
    // The parent's copy of the part is leaked: freeing may not be called here.
    if PART.get() != UNAVAILABLE {
        PART.set(ptr::null_mut());
    }
}

struct TakeDown;

impl Drop for TakeDown {
    fn drop(&mut self) {
        let part = PART.replace(UNAVAILABLE);
        if part.addr() <= UNAVAILABLE.addr() {
            return;
        }
        // SAFETY: the part is this thread's alone. Its fences are linked, and the neighbours' addresses in them are
        // what glibc wrote there, into private memory.
        unsafe {
            if (*part).lower_top() > 0 {
                // The thread ends holding something: the kernel is to find it, by the fences, which stay.
                return;
            }
            let (prev, next) = (
                (*part).fences[0].node.prev.load(Ordering::Relaxed),
                (*part).fences[MOST_HELD].node.next.load(Ordering::Relaxed),
            );
            (prev as *mut u64).write(next);
            ((next & !1) as *mut u64).sub(1).write(prev);
            compiler_fence(Ordering::SeqCst);
            drop(Box::from_raw(part));
        }
    }
}

/// The calling thread's list.
pub(crate) struct List(*mut Part);

impl List {
    /// Says that the thread is about to free the word of `node`. If it is killed before `done`, the kernel looks at that
    /// word, too: it marks it if it names the thread, and wakes a waiter if it is free.
    #[inline]
    pub(crate) fn pending(&self, node: &Node) {
        self.set_pending(node.entry() as usize);
        compiler_fence(Ordering::SeqCst);
    }

    /// Takes `pending` back.
    #[inline]
    pub(crate) fn done(&self) {
        compiler_fence(Ordering::SeqCst);
        self.set_pending(0);
    }

    #[inline]
    fn set_pending(&self, entry: usize) {
        // SAFETY: the part and the head are this thread's, and live as long as it.
        unsafe { (&raw mut (*((*self.0).head as *mut Head)).list_op_pending).write_volatile(entry) };
    }

    /// Links the node of a word that the thread has taken. Without room, it is left to the slices.
    #[inline]
    pub(crate) fn link(&self, node: &Node) {
        // SAFETY: the part is this thread's, and nothing else refers into it meanwhile.
        let part = unsafe { &mut *self.0 };
        if part.top < MOST_HELD {
            part.fences[part.top].link(node);
            part.top += 1;
        } else {
            part.link_in_gap(node);
        }
    }

    /// Unlinks the node of a word that the thread is about to free, between `pending` and `done`.
    #[inline]
    pub(crate) fn unlink(&self, node: &Node) {
        // SAFETY: as in `link`.
        let part = unsafe { &mut *self.0 };
        let newest = part.top.wrapping_sub(1);
        match part.fences.get(newest) {
            Some(fence) if fence.holds(node) => {
                fence.clear();
                part.top = newest;
                if newest == MOST_HELD - 1 {
                    // Or the gaps right below would stay, and all locking in this thread go the long way from now on.
                    part.lower_top();
                }
            }
            _ => part.unlink_older(node),
        }
    }
}

impl Fence {
    #[inline]
    fn link(&self, node: &Node) {
        node.next.store(self.after, Ordering::Relaxed);
        compiler_fence(Ordering::SeqCst);
        self.node.next.store(node.entry(), Ordering::Relaxed);
    }

    #[inline]
    fn clear(&self) {
        self.node.next.store(self.after, Ordering::Relaxed);
    }

    #[inline]
    fn holds(&self, node: &Node) -> bool {
        self.node.next.load(Ordering::Relaxed) == node.entry()
    }

    fn is_clear(&self) -> bool {
        self.node.next.load(Ordering::Relaxed) == self.after
    }
}

impl Part {
    #[cold]
    fn link_in_gap(&mut self, node: &Node) {
        let top = self.lower_top();
        if let Some(at) = self.fences[..MOST_HELD].iter().position(Fence::is_clear) {
            self.fences[at].link(node);
            self.top = top.max(at + 1);
        }
    }

    #[cold]
    fn unlink_older(&mut self, node: &Node) {
        if let Some(fence) = self.fences[..self.top].iter().rfind(|fence| fence.holds(node)) {
            fence.clear();
        }
        self.lower_top();
    }

    /// Forgets the gaps below the top; returns it.
    #[cold]
    fn lower_top(&mut self) -> usize {
        while self.top > 0 && self.fences[self.top - 1].is_clear() {
            self.top -= 1;
        }
        self.top
    }
}
