//! `Event`: setters and waiters that are killed.

use super::Named;
use crate::storm::desk::Desk;
use crate::storm::station::Station;
use shmsync::Event;
use std::time::Duration;

/// An event.
#[derive(Debug)]
pub(in crate::storm) struct EventStation<W: Named>(Event<W>);

impl<W: Named> EventStation<W> {
    pub(in crate::storm) fn new() -> Self {
        Self(Event::new_in())
    }
}

impl<W: Named> Station for EventStation<W> {
    fn name(&self) -> String {
        format!("Event ({})", W::NAME)
    }

    fn work(&self, desk: &mut Desk<'_>) -> bool {
        match desk.dice.u32(0..8) {
            0..2 => self.0.set(),
            2..5 => self.0.clear(),
            5 => self.0.wait(), // Somebody will come and set it; if not, the killer does.
            _ => return self.0.wait_timeout(desk.moment(4)),
        }
        true
    }

    fn check(&self, _desk: &mut Desk<'_>, bound: Duration) -> Result<(), String> {
        self.0.set();
        if !self.0.is_set() || !self.0.wait_timeout(bound) {
            return Err(String::from("set, and not set"));
        }
        self.0.clear();
        if self.0.wait_timeout(Duration::ZERO) { Err(String::from("cleared, and set")) } else { Ok(()) }
    }

    fn tick(&self) {
        self.0.set();
    }

    fn state(&self) -> String {
        format!("{:?}", self.0)
    }
}
