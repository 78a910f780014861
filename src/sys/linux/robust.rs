//! The calling thread's robust list: what the kernel walks when the thread ends, marking each futex word that still
//! names it `OWNER_DIED` and waking a waiter.
//!
//! There is one list a thread, and libc owns its head; so our entries live in the same list as glibc's own robust
//! mutexes, linked as glibc links them (`nptl/descr.h`, `ENQUEUE_MUTEX`): an entry is a pointer to the `next` field of a
//! node, `prev` lies before it, and the futex word 32 bytes before it.
//!
//! ```text
//! head -> glibc's newer .. -> FENCE 0 -> FENCE 1 -> ours -> FENCE 2 -> .. -> END -> glibc's older .. -> head
//!         \__ private __/     private    private   shared    private         private
//! ```
//!
//! Our nodes lie in shared memory, where anybody may scribble on their pointers, and from which the region may have
//! been unmapped while a lock in it was still held. So no pointer is ever read from a node, and none is written to one
//! but its own, when it is linked: a row of private nodes, the fences, is linked for good, and each has room for one of
//! ours behind it. glibc links at the head and writes to the neighbours of what it unlinks, and those are the outer
//! fences. (The kernel does follow scribbled pointers. At a word that does not name the dying thread it does nothing, and
//! at a bad address it stops; slices take over then.)
//!
//! The kernel sees this thread's memory as the thread left it, in program order; so the order of the stores below is
//! kept from the compiler alone.
#![allow(unsafe_code)]

mod row;

use std::cell::Cell;
use std::ptr;
use std::sync::atomic::{Ordering, compiler_fence};

pub(crate) use row::Node;
use row::Row;

/// From an entry to its futex word.
const FUTEX_OFFSET: libc::c_long = -32;

/// struct robust_list_head
#[repr(C)]
struct Head {
    list: usize,
    futex_offset: libc::c_long,
    list_op_pending: usize,
}

/// Not linked into the list: this libc's head is missing, or of another form, or the thread is ending.
const UNAVAILABLE: *mut Row = ptr::without_provenance_mut(1);

thread_local! {
    /// Null until asked for. Constant and without destructor: no lazy initialisation on the fast path.
    static ROW: Cell<*mut Row> = const { Cell::new(ptr::null_mut()) };
    /// Takes the fences down when the thread ends.
    static TAKE_DOWN: TakeDown = const { TakeDown };
}

/// This thread's list, if the kernel will walk it in the form that we need.
#[inline]
pub(crate) fn mine() -> Option<List> {
    let row = ROW.get();
    if row.addr() > UNAVAILABLE.addr() { Some(List(row)) } else { set_up(row) }
}

/// This thread's list, if it has ever held anything.
#[inline]
pub(crate) fn mine_if_any() -> Option<List> {
    let row = ROW.get();
    (row.addr() > UNAVAILABLE.addr()).then_some(List(row))
}

#[cold]
fn set_up(row: *mut Row) -> Option<List> {
    if row == UNAVAILABLE {
        return None;
    }
    let (Some(head), true) = (own_head(), TAKE_DOWN.try_with(|_| ()).is_ok()) else {
        ROW.set(UNAVAILABLE);
        return None;
    };
    let row = Box::into_raw(Row::new(head as usize)?);
    // SAFETY: just made, and this thread's.
    let (begin, end) = unsafe { (*row).ends() };
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
    ROW.set(row);
    Some(List(row))
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
    // The parent's copy of the row is leaked: freeing may not be called here.
    if ROW.get() != UNAVAILABLE {
        ROW.set(ptr::null_mut());
    }
}

struct TakeDown;

impl Drop for TakeDown {
    fn drop(&mut self) {
        let row = ROW.replace(UNAVAILABLE);
        if row.addr() <= UNAVAILABLE.addr() {
            return;
        }
        // SAFETY: the row is this thread's alone. Its fences are linked, and the neighbours' addresses in them are
        // what glibc wrote there, into private memory.
        unsafe {
            if !(*row).is_empty() {
                // The thread ends holding something: the kernel is to find it, by the fences, which stay.
                return;
            }
            let (begin, end) = (*row).ends();
            let (prev, next) = (begin.prev.load(Ordering::Relaxed), end.next.load(Ordering::Relaxed));
            (prev as *mut u64).write(next);
            ((next & !1) as *mut u64).sub(1).write(prev);
            compiler_fence(Ordering::SeqCst);
            drop(Box::from_raw(row));
        }
    }
}

/// The calling thread's list.
pub(crate) struct List(*mut Row);

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
        // SAFETY: the row and the head are this thread's, and live as long as it.
        unsafe { (&raw mut (*((*self.0).head as *mut Head)).list_op_pending).write_volatile(entry) };
    }

    /// Links the node of a word that the thread has taken. Without room, it is left to the slices.
    #[inline]
    pub(crate) fn link(&self, node: &Node) {
        // SAFETY: the row is this thread's, and nothing else refers into it meanwhile.
        unsafe { &mut *self.0 }.link(node);
    }

    /// Unlinks the node of a word that the thread is about to free, between `pending` and `done`.
    #[inline]
    pub(crate) fn unlink(&self, node: &Node) {
        // SAFETY: as in `link`.
        unsafe { &mut *self.0 }.unlink(node);
    }
}
