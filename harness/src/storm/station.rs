//! A station: one primitive on one backend, with what is needed to see whether it keeps its promises.

use super::desk::Desk;
use std::time::Duration;

/// What happens to a primitive in the storm.
pub(super) trait Station: Sync {
    /// For people.
    fn name(&self) -> String;

    /// Does something random to it, as a worker; whether that came to an end other than a timeout.
    fn work(&self, desk: &mut Desk<'_>) -> bool;

    /// Goes through it in a calm, as the only one: everything must be had within `bound`.
    ///
    /// # Errors
    /// What is wrong.
    fn check(&self, desk: &mut Desk<'_>, bound: Duration) -> Result<(), String>;

    /// Called by the killer all the time: lets those go who wait without a timeout for something that only others do.
    fn tick(&self) {}

    /// As above, in the last moments before a calm, when nobody else may come any more.
    fn let_all_go(&self) {
        self.tick();
    }

    /// Tells it of a killed worker, which can do nothing any more.
    fn bury(&self, slot: usize) -> Result<(), String> {
        let _ = slot;
        Ok(())
    }

    /// The state of the primitive in `Debug`'s words.
    fn state(&self) -> String;
}
