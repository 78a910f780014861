//! One of two programs that meet in a region of named objects; the other is `squares_client`. They were not compiled together
//! and share no code: only the names, and what is under them.
//!
//! ```text
//! cargo run --release --example squares_worker &
//! cargo run --release --example squares_client -- 3 4 5
//! ```
//!
//! Start them in any order. The worker squares numbers, or raises them to the power that it finds in the settings, until
//! nobody has asked for anything for some time.

use std::error::Error;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use shmsync::{AcquireError, Item, Lock, Region, Semaphore};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().unwrap_or_else(|| String::from("/squares"));
    let idle = Duration::from_secs(arguments.next().map_or(Ok(10), |seconds| seconds.parse())?);

    let region = Region::open_or_create(&name, 1 << 16)?;
    // Whichever program comes first makes them.
    let settings = region.list("settings", [Item::from("power"), 2.into()])?;
    let numbers = region.array::<AtomicU64>("numbers", 100)?;
    let asked = region.get_or_init_with("asked", || Semaphore::new(0))?;
    let answered = region.get_or_init_with("answered", || Semaphore::new(0))?;
    // Taken for as long as this program works: the client sees it, and also when it dies.
    let worker = region.get_or_init::<Lock>("worker")?;
    match worker.try_acquire() {
        Err(AcquireError::OwnerDied(_)) => worker.recover()?, // an earlier worker: nothing of his is torn
        taken => taken?,
    }

    let mut done = 0;
    while asked.acquire_for(idle).is_ok() {
        let Item::Int(power) = settings.get(1)? else { return Err("the power is no number".into()) };
        let number = &numbers[done % numbers.len()];
        number.store(number.load(Relaxed).saturating_pow(power.try_into()?), Relaxed);
        answered.release()?;
        done += 1;
    }
    worker.release()?;
    println!("{done} numbers raised");
    Ok(())
}
