//! Runs one fast path a number of times, under an instruction counter: see `ci/instructions.sh`.
//!
//! `instructions` lists them; `instructions "Lock acquire, release (Futex)" 10000` runs one.

use shmsync_harness::fast_paths;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let Some(name) = arguments.next() else {
        fast_paths::all().iter().for_each(|path| println!("{}", path.name));
        return Ok(());
    };
    let times = arguments.next().ok_or("how often?")?.parse()?;
    let path = fast_paths::all().into_iter().find(|path| path.name == name).ok_or("no such fast path")?;
    path.prepare()(times);
    Ok(())
}
