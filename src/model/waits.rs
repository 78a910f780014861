//! A region's wait table and two words beside it, without the region: for the model of how circles are found.

use crate::atomic::{AtomicU64, Ordering};
use crate::owner::Token;
use crate::sync::deadlock::{WaitTable, find};

/// What a region has.
pub struct Waits {
    table: WaitTable,
    words: [AtomicU64; 2],
}

impl Waits {
    /// Both words are free.
    #[must_use]
    pub fn new() -> Self {
        Self { table: WaitTable::new(), words: [AtomicU64::new(0), AtomicU64::new(0)] }
    }

    /// Takes a word; whether it was free.
    pub fn take(&self, word: usize) -> bool {
        let mine = Token::mine().0;
        self.words[word].compare_exchange(0, mine, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Frees a word.
    pub fn free(&self, word: usize) {
        self.words[word].store(0, Ordering::Release);
    }

    /// Waits for a word, and gives up before anybody looks.
    pub fn wait(&self, word: usize) {
        self.table.leave(self.enter(word));
    }

    fn enter(&self, word: usize) -> usize {
        self.table.enter(Token::mine(), word as u64 * 8, true).expect("an entry for each")
    }

    /// Waits for a word, for one slice: whether the caller is seen to be in a circle.
    pub fn closes(&self, word: usize) -> bool {
        let entry = self.enter(word);
        // Relaxed: as weak as the kernel's reading may be.
        let peek = |offset: u64| Some(self.words[offset as usize / 8].load(Ordering::Relaxed));
        let found = find(&self.table, entry, peek).is_some();
        self.table.leave(entry);
        found
    }
}

impl Default for Waits {
    fn default() -> Self {
        Self::new()
    }
}
