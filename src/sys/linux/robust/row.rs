//! The row of fences: private nodes that are linked for good, each with room for one shared node behind it.
//!
//! ```text
//! FENCE 0 -> FENCE 1 -> shared node -> FENCE 2 -> .. -> END
//! ```
//!
//! What a fence has behind it, its own pointer says: nothing is read from a shared node, and written to it is only where it
//! leads, when it is linked. Seen by the kernel a fence's word names nobody.
//!
//! A row begins with a few and grows when its top is reached. Most of what a first acquire costs in a new process is memory that is
//! touched for the first time, and all the fences are five pages of it.
#![allow(unsafe_code)]

use std::alloc::{Layout, alloc};
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicU64, Ordering, compiler_fence};

/// How much a thread may hold. The kernel gives up after 2048 entries; fences and nodes take half of that.
const MOST_HELD: usize = 512;

/// How many fences are made at a time: a third of a page, and more than most threads ever hold.
const AT_A_TIME: usize = 32;

/// Where the node of a futex word lies, as glibc's `pthread_mutex_t` has it on 64-bit systems. It takes as much room on
/// 32-bit ones, where it stays empty, so that a lock has one layout.
#[derive(zerocopy::FromBytes)]
#[repr(C)]
pub(crate) struct Node {
    pub(super) prev: AtomicU64,
    pub(super) next: AtomicU64,
}

impl Node {
    #[expect(clippy::declare_interior_mutable_const, reason = "each use is a fresh one, for a const constructor")]
    pub(crate) const NEW: Self = Self { prev: AtomicU64::new(0), next: AtomicU64::new(0) };

    /// What the kernel calls an entry.
    pub(super) fn entry(&self) -> u64 {
        (&raw const self.next) as u64
    }
}

/// A node at the same distance from a word that names nobody.
#[repr(C)]
struct Fence {
    word: u64,
    /// The next fence, as an entry: what the node points to while nothing is in between.
    after: u64,
    unused: u64,
    node: Node,
}

const _: () = assert!(std::mem::offset_of!(Fence, node) + std::mem::offset_of!(Node, next) == 32);

/// The thread's part of its list.
#[repr(C)]
pub(super) struct Row {
    /// Address of the list's head.
    pub(super) head: usize,
    /// Nothing is linked behind the fences from here on. Right below there may be gaps, left by what was not released
    /// in the reverse order.
    top: usize,
    /// How many fences there are yet. Behind the last one nothing is linked until there can be no more.
    made: usize,
    end: Fence,
    fences: [MaybeUninit<Fence>; MOST_HELD],
}

impl Row {
    /// None if there is no memory for it: this is called with a lock in hand, where it would be a pity to end.
    pub(super) fn new(head: usize) -> Option<Box<Self>> {
        // SAFETY: the layout is not of size zero.
        let at = unsafe { alloc(Layout::new::<Self>()) }.cast::<Self>();
        if at.is_null() {
            return None;
        }
        // SAFETY: just allocated as a box would be. All fields are written but the fences, which may be uninitialised.
        let mut row = unsafe {
            (&raw mut (*at).head).write(head);
            (&raw mut (*at).top).write(0);
            (&raw mut (*at).made).write(0);
            (&raw mut (*at).end).write(Fence::new(0));
            Box::from_raw(at)
        };
        row.grow();
        Some(row)
    }

    /// The first node and the last, to be linked to what is before and behind.
    pub(super) fn ends(&self) -> (&Node, &Node) {
        (&self.fence(0).node, &self.end.node)
    }

    /// Whether nothing is linked behind any fence.
    pub(super) fn is_empty(&mut self) -> bool {
        self.lower_top() == 0
    }

    /// Links a node, if there is room.
    #[inline]
    pub(super) fn link(&mut self, node: &Node) {
        let top = self.top;
        if top + 1 < self.made {
            self.fence(top).link(node);
            self.top = top + 1;
        } else {
            self.link_in_gap(node);
        }
    }

    /// Unlinks a node, if it is linked.
    #[inline]
    pub(super) fn unlink(&mut self, node: &Node) {
        let newest = self.top.wrapping_sub(1);
        if newest < self.made && self.fence(newest).holds(node) {
            self.fence(newest).clear();
            self.top = newest;
        } else {
            self.unlink_older(node);
        }
    }

    #[cold]
    fn link_in_gap(&mut self, node: &Node) {
        let top = self.lower_top();
        if top + 1 >= self.made && self.made < MOST_HELD {
            self.grow();
        }
        if let Some(at) = (0..self.made).find(|&at| self.fence(at).is_clear()) {
            self.fence(at).link(node);
            self.top = top.max(at + 1);
        }
    }

    #[cold]
    fn unlink_older(&mut self, node: &Node) {
        if let Some(at) = (0..self.top).rfind(|&at| self.fence(at).holds(node)) {
            self.fence(at).clear();
        }
        self.lower_top();
    }

    /// Forgets the gaps below the top; returns it.
    #[cold]
    fn lower_top(&mut self) -> usize {
        while self.top > 0 && self.fence(self.top - 1).is_clear() {
            self.top -= 1;
        }
        self.top
    }

    /// Makes some more fences, before the end and behind the last, which has nothing behind it.
    #[cold]
    fn grow(&mut self) {
        let (old, made) = (self.made, MOST_HELD.min(self.made + AT_A_TIME));
        let mut after = self.end.node.entry();
        for fence in self.fences[old..made].iter_mut().rev() {
            after = fence.write(Fence::new(after)).node.entry();
        }
        if let Some(last) = old.checked_sub(1) {
            // SAFETY: it was made before.
            let last = unsafe { self.fences[last].assume_init_mut() };
            debug_assert!(last.is_clear());
            last.after = after;
            // The kernel goes along the old row or along the whole new one.
            compiler_fence(Ordering::SeqCst);
            last.clear();
        }
        self.made = made;
    }

    /// One of those that are made.
    #[inline]
    fn fence(&self, at: usize) -> &Fence {
        debug_assert!(at < self.made);
        // SAFETY: the first `made` are initialised, and no more are made than there is room for.
        unsafe { self.fences.get_unchecked(at).assume_init_ref() }
    }
}

impl Fence {
    fn new(after: u64) -> Self {
        let node = Node { prev: AtomicU64::new(0), next: AtomicU64::new(after) };
        Self { word: 0, after, unused: 0, node }
    }

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
