//! `Semaphore` and `BoundedSemaphore`: permits that belong to nobody. What the dead held is given back, and counted.

use super::Named;
use crate::crew::Padded;
use crate::storm::MAX_WORKERS;
use crate::storm::desk::Desk;
use crate::storm::station::Station;
use shmsync::{AcquireError, BoundedSemaphore, Semaphore};
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

const PERMITS: u32 = 4;

/// What a worker holds; the number of permits is in the low bits. Between `MAY` and `HAS`, and between `HAS` and `MAY`
/// again, it may be killed: then what it held is known only from a count in a calm.
const HAS: u32 = 1 << 8;
const MAY: u32 = 1 << 9;

/// What the workers hold, each in its own words, and what the dead may have held.
#[derive(Debug)]
struct Holdings {
    slots: [Padded<AtomicU32>; MAX_WORKERS + 1],
    /// What the dead may have held, and nobody has given back.
    doubtful: AtomicU32,
}

impl Holdings {
    fn new() -> Self {
        Self { slots: std::array::from_fn(|_| Padded(AtomicU32::new(0))), doubtful: AtomicU32::new(0) }
    }

    fn note(&self, desk: &Desk<'_>, what: u32) {
        self.slots[desk.index].0.store(what, SeqCst);
    }
}

macro_rules! semaphore_station {
    ($station:ident, $semaphore:ident, $what:literal) => {
        #[doc = concat!("A `", stringify!($semaphore), "` and who holds its permits.")]
        #[derive(Debug)]
        pub(in crate::storm) struct $station<W: Named> {
            semaphore: $semaphore<W>,
            holdings: Holdings,
        }

        impl<W: Named> $station<W> {
            pub(in crate::storm) fn new() -> Self {
                Self { semaphore: $semaphore::new_in(PERMITS), holdings: Holdings::new() }
            }

            fn take(&self, desk: &mut Desk<'_>, held: u32) -> bool {
                self.holdings.note(desk, MAY | held + 1); // The whole of it is in doubt for a moment.
                let moment = desk.moment(20);
                let result = match desk.dice.u32(0..6) {
                    0 => self.semaphore.try_acquire(),
                    1 => self.semaphore.acquire_interruptible(Some(moment)),
                    _ => self.semaphore.acquire_for(moment),
                };
                let got = match result {
                    Ok(()) => 1,
                    Err(AcquireError::TimedOut | AcquireError::WouldBlock) => 0,
                    Err(other) => desk.violated(&format!("acquire: {other:?}")),
                };
                self.holdings.note(desk, if held + got > 0 { HAS | held + got } else { 0 });
                got > 0
            }

            fn give(&self, desk: &Desk<'_>, n: u32) {
                self.holdings.note(desk, MAY | n);
                let given = if n == 1 { self.semaphore.release() } else { self.semaphore.release_many(n) };
                if let Err(error) = given {
                    desk.violated(&format!("release of {n} that are held: {error:?}; {:?}", self.semaphore));
                }
                self.holdings.note(desk, 0);
            }
        }

        impl<W: Named> Station for $station<W> {
            fn name(&self) -> String {
                format!(concat!($what, " ({})"), W::NAME)
            }

            fn work(&self, desk: &mut Desk<'_>) -> bool {
                if !self.take(desk, 0) {
                    return false;
                }
                desk.ponder();
                let held = if desk.dice.u32(0..4) == 0 { 1 + u32::from(self.take(desk, 1)) } else { 1 };
                desk.ponder();
                self.give(desk, held);
                true
            }

            fn bury(&self, slot: usize) -> Result<(), String> {
                let held = self.holdings.slots[slot].0.swap(0, SeqCst);
                let n = held & 0xff;
                if held & HAS != 0 {
                    let given = self.semaphore.release_many(n);
                    return given
                        .map_err(|error| format!("giving back {n} of the dead: {error:?}; {:?}", self.semaphore));
                }
                self.holdings.doubtful.fetch_add(n, SeqCst);
                Ok(())
            }

            fn check(&self, _desk: &mut Desk<'_>, bound: Duration) -> Result<(), String> {
                let (value, doubtful) = (self.semaphore.value(), self.holdings.doubtful.swap(0, SeqCst));
                if value > PERMITS || value + doubtful < PERMITS {
                    return Err(format!("{value} of {PERMITS} permits, when the dead held at most {doubtful}"));
                }
                self.semaphore.release_many(PERMITS - value).map_err(|error| format!("topping up: {error:?}"))?;
                for _ in 0..PERMITS {
                    self.semaphore.acquire_for(bound).map_err(|error| format!("acquire in a calm: {error:?}"))?;
                }
                match self.semaphore.try_acquire() {
                    Err(AcquireError::WouldBlock) => {}
                    other => return Err(format!("one permit too many: {other:?}")),
                }
                self.semaphore.release_many(PERMITS).map_err(|error| format!("release in a calm: {error:?}"))
            }

            fn state(&self) -> String {
                format!("{:?}", self.semaphore)
            }
        }
    };
}
semaphore_station!(SemaphoreStation, Semaphore, "Semaphore");
semaphore_station!(BoundedStation, BoundedSemaphore, "BoundedSemaphore");
