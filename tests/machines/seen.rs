//! What can be read of the objects, and whether the reference agrees.

use shmsync::Owner;
use shmsync::wait::Wait;

use crate::model::*;
use crate::verb::Poison;
use crate::world::World;

#[derive(Debug)]
pub struct Seen {
    locked: bool,
    lock: Option<Holder>,
    rlock: Option<Holder>,
    depth: u32,
    mutex: Option<Holder>,
    mutex_poisoned: bool,
    writer: Option<Holder>,
    readers: [bool; ALL],
    rw_poisoned: bool,
    sem: u32,
    bounded: u32,
    permits: [Option<Holder>; PERMITS],
    event: bool,
    waiting: u32,
    broken: bool,
    completed: bool,
}

impl Seen {
    pub fn of<W: Wait, const R: usize>(world: &World<W, R>, who: impl Fn(u32) -> Option<usize>) -> Self {
        let holder = |owner: Owner| who(owner.tid()).map_or(Holder::Dead, Holder::Alive);
        let readers: Vec<Holder> = world.rwlock.readers().map(holder).collect();
        Self {
            locked: world.lock.is_locked(),
            lock: world.lock.holder().map(holder),
            rlock: world.rlock.holder().map(holder),
            depth: world.rlock.depth(),
            mutex: world.mutex.holder().map(holder),
            mutex_poisoned: world.mutex.is_poisoned(),
            writer: world.rwlock.writer().map(holder),
            readers: std::array::from_fn(|who| readers.contains(&Holder::Alive(who))),
            rw_poisoned: world.rwlock.is_poisoned(),
            sem: world.sem.value(),
            bounded: world.bounded.value(),
            permits: std::array::from_fn(|index| world.pool.holder(index).map(holder)),
            event: world.event.is_set(),
            waiting: world.barrier.n_waiting(),
            broken: world.barrier.is_broken(),
            completed: world.once.is_completed(),
        }
    }

    pub fn fits(&self, model: &Model) -> bool {
        // The kernel's mark takes the name out of a word, until somebody puts it back.
        let same = |seen: Option<Holder>, known: Option<Holder>| {
            seen == known || known == Some(Holder::Dead) && seen.is_none() && model.terms.by_holder_only
        };
        self.locked == model.lock.is_some()
            && same(self.lock, model.lock.filter(|&holder| holder != Holder::Nobody))
            && same(self.rlock, model.rlock)
            && (!matches!(model.rlock, Some(Holder::Alive(_))) || self.depth == model.depth)
            && same(self.mutex, model.mutex)
            && self.mutex_poisoned == (model.mutex_poison != Poison::None)
            && same(self.writer, model.writer)
            && self.readers == model.reads.map(|reads| reads > 0)
            && self.rw_poisoned == (model.rw_poison != Poison::None)
            && (self.sem, self.bounded) == (model.sem, model.bounded)
            && self.permits == model.permits
            && self.event == model.event
            && self.waiting == if model.broken { 0 } else { model.arrived }
            && (self.broken, self.completed) == (model.broken, model.completed)
    }
}
