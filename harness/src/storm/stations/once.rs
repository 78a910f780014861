//! `OnceCell<T>`: initialisers that die half way. A cell is good for one time, so there are many, and the killer goes on
//! to the next with every kill; in a calm all are made fresh.
#![allow(unsafe_code)]

use super::Named;
use crate::storm::desk::Desk;
use crate::storm::station::Station;
use shmsync::OnceCell;
use std::cell::UnsafeCell;
use std::fmt;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::time::Duration;

const CELLS: usize = 256;

struct Cell<W: Named> {
    cell: OnceCell<[u64; 2], W>,
    /// The first value that anybody saw there.
    seen: AtomicU64,
}

impl<W: Named> Cell<W> {
    fn new() -> Self {
        Self { cell: OnceCell::new_in(), seen: AtomicU64::new(0) }
    }
}

/// The cells, and which is everybody's at the moment.
pub(in crate::storm) struct OnceStation<W: Named> {
    cells: UnsafeCell<[Cell<W>; CELLS]>,
    current: AtomicUsize,
}

// SAFETY: the cells are shared as `&Cell`, which is Sync, but in a calm, when only the checker is at the station.
unsafe impl<W: Named> Sync for OnceStation<W> {}

impl<W: Named> OnceStation<W> {
    pub(in crate::storm) fn new() -> Self {
        Self { cells: UnsafeCell::new(std::array::from_fn(|_| Cell::new())), current: AtomicUsize::new(0) }
    }

    fn current(&self) -> &Cell<W> {
        // SAFETY: in no calm, or by the checker: nobody writes.
        unsafe { &(*self.cells.get())[self.current.load(SeqCst) % CELLS] }
    }
}

impl<W: Named> Station for OnceStation<W> {
    fn name(&self) -> String {
        format!("OnceCell ({})", W::NAME)
    }

    fn work(&self, desk: &mut Desk<'_>) -> bool {
        let Cell { cell, seen } = self.current();
        let me = desk.name() | desk.slot().beats.load(SeqCst) << 24 & 0xffff_ff00_0000;
        let value = cell.get_or_init(|| {
            desk.ponder();
            [me, !me]
        });
        if value[1] != !value[0] {
            desk.violated(&format!("a torn value: {value:x?}"));
        }
        let first = seen.compare_exchange(0, value[0], SeqCst, SeqCst);
        if first.is_err_and(|first| first != value[0]) {
            desk.violated(&format!("initialised twice: {first:x?}, then {value:x?}"));
        }
        true
    }

    fn check(&self, desk: &mut Desk<'_>, _bound: Duration) -> Result<(), String> {
        self.work(desk);
        // SAFETY: in a calm all workers stand aside, and the references that they had are gone.
        unsafe { *self.cells.get() = std::array::from_fn(|_| Cell::new()) };
        self.current.store(0, SeqCst);
        Ok(())
    }

    /// On to the next cell.
    fn bury(&self, _slot: usize) -> Result<(), String> {
        self.current.fetch_add(1, SeqCst);
        Ok(())
    }

    fn state(&self) -> String {
        format!("{self:?}")
    }
}

impl<W: Named> fmt::Debug for OnceStation<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OnceStation").field(&self.current().cell).finish()
    }
}
