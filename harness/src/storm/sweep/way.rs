//! The way of a verb, found without killing anybody: which instructions, and at which of them something changes.
#![cfg(target_arch = "x86_64")]

use super::SHORT;
use super::round::{Death, Round, SOON};
use super::stage::Stage;
use super::text::{Text, is_syscall};
use super::tracer::Stop;
use std::fmt::Debug;
use std::time::Duration;

/// What takes longer is a wait.
const NAP: Duration = Duration::from_micros(1500);

/// An instruction, and whether anything outside the process was different in front of it from the one before.
pub(super) type Place = (usize, bool);

/// The instructions in the order in which the victim came to each for the first time.
///
/// It runs to one breakpoint after the other; so what is left has been passed.
pub(super) fn walk<T: Sync + Debug>(stage: &mut Stage<T>, text: &mut Text) -> Result<Vec<Place>, String> {
    let round = Round::begin(stage)?;
    round.victim.lay(text, true)?;
    let mut places = Vec::new();
    let mut changes = Changes::new(&round);
    while let Stop::At(address) = round.run(SOON)? {
        places.push((address, changes.look(&round, address)));
        text.pass(address);
        round.victim.restore(address)?;
    }
    round.kill(Death::Afterwards)?;
    Ok(places)
}

/// Whether the victim comes to the end of its verb only when the holder has relented, or its time is over.
pub(super) fn waits<T: Sync + Debug>(stage: &mut Stage<T>) -> Result<bool, String> {
    let round = Round::begin(stage)?;
    round.run(SOON)?;
    let waits = round.has_taken() > NAP || round.stage.has_relented();
    round.kill(Death::Afterwards)?;
    Ok(waits)
}

/// Each instruction, loops and all; `None` if there are more than [`SHORT`].
pub(super) fn steps<T: Sync + Debug>(stage: &mut Stage<T>) -> Result<Option<Vec<Place>>, String> {
    let round = Round::begin(stage)?;
    let mut places = Vec::new();
    let mut changes = Changes::new(&round);
    while places.len() <= SHORT {
        match round.step()? {
            Stop::At(address) => places.push((address, changes.look(&round, address))),
            _ => {
                round.kill(Death::Afterwards)?;
                return Ok(Some(places));
            }
        }
    }
    round.kill(Death::Afterwards)?;
    Ok(None)
}

/// Watches for what the next one finds: a byte of the primitive, or a call of the kernel.
struct Changes {
    bytes: Vec<u8>,
    called: bool,
}

impl Changes {
    fn new<T: Sync + Debug>(round: &Round<'_, T>) -> Self {
        Self { bytes: round.stage.bytes(), called: false }
    }

    fn look<T: Sync + Debug>(&mut self, round: &Round<'_, T>, next: usize) -> bool {
        let now = round.stage.bytes();
        let changed = self.called || now != self.bytes;
        (self.bytes, self.called) = (now, is_syscall(next));
        changed
    }
}
