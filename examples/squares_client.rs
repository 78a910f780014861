//! The other of two programs that meet in a region of named objects: see `squares_worker`.
//!
//! It asks for as many numbers as it is given to be squared (or, after `--power 3`, cubed), and removes the region's name.

use std::error::Error;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use shmsync::{Item, Lock, Region, Semaphore};

fn main() -> Result<(), Box<dyn Error>> {
    let (mut name, mut power, mut questions) = (String::from("/squares"), 2, Vec::new());
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match &*argument {
            "--name" => name = arguments.next().ok_or("--name needs a name")?,
            "--power" => power = arguments.next().ok_or("--power needs a number")?.parse()?,
            number => questions.push(number.parse::<u64>()?),
        }
    }

    let region = Region::open_or_create(&name, 1 << 16)?;
    let settings = region.list("settings", [Item::from("power"), 2.into()])?;
    let numbers = region.array::<AtomicU64>("numbers", 100)?;
    let asked = region.get_or_init_with("asked", || Semaphore::new(0))?;
    let answered = region.get_or_init_with("answered", || Semaphore::new(0))?;

    settings.set(1, power)?;
    for (number, question) in numbers.iter().zip(&questions) {
        number.store(*question, Relaxed);
    }
    asked.release_many(questions.len().try_into()?)?; // which publishes the settings and the numbers
    for (number, question) in numbers.iter().zip(&questions) {
        while answered.acquire_for(Duration::from_millis(500)).is_err() {
            let worker = region.get_or_init::<Lock>("worker")?;
            match worker.holder() {
                None => eprintln!("no worker yet"),
                Some(holder) if holder.is_alive() => eprintln!("the worker, {holder}, takes its time"),
                Some(holder) => return Err(format!("the worker, {holder}, died").into()),
            }
        }
        println!("{question} ^ {power} = {}", number.load(Relaxed));
    }
    shmsync::unlink(&name)?;
    Ok(())
}
