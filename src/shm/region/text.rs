//! Short texts in shared memory: names and kinds of objects, as words that are compared and copied one by one.

use zerocopy::FromBytes;

use crate::atomic::{AtomicU64, Ordering};

/// What an object is called.
pub(super) type Name = Text<8>;
/// What its kind is called.
pub(super) type KindName = Text<16>;

/// A text of up to `WORDS * 8` bytes, with zeros behind it. As bytes it reads in order on every machine.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Text<const WORDS: usize>([u64; WORDS]);

impl<const WORDS: usize> Text<WORDS> {
    /// As much as fits: callers check, or know.
    pub(super) fn new(text: &str) -> Self {
        let mut words = [0; WORDS];
        for (word, bytes) in words.iter_mut().zip(text.as_bytes().chunks(8)) {
            let mut whole = [0; 8];
            whole[..bytes.len()].copy_from_slice(bytes);
            *word = u64::from_ne_bytes(whole);
        }
        Self(words)
    }

    /// What it says; whatever is not text, or would do something to a terminal, is replaced.
    pub(super) fn to_text(self) -> String {
        let bytes: Vec<u8> = self.0.iter().flat_map(|word| word.to_ne_bytes()).take_while(|&byte| byte != 0).collect();
        String::from_utf8_lossy(&bytes).replace(char::is_control, "\u{fffd}")
    }
}

/// Where a text lies that others may be writing.
#[derive(Debug, FromBytes)]
#[repr(C)]
pub(super) struct TextCell<const WORDS: usize>([AtomicU64; WORDS]);

impl<const WORDS: usize> TextCell<WORDS> {
    /// Relaxed: what is read belongs together only if the entry's state says so, see `entry`.
    pub(super) fn load(&self) -> Text<WORDS> {
        Text(std::array::from_fn(|i| self.0[i].load(Ordering::Relaxed)))
    }

    pub(super) fn store(&self, text: &Text<WORDS>) {
        for (cell, word) in self.0.iter().zip(text.0) {
            cell.store(word, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_back_and_scribbles_are_shown_harmless() {
        for text in ["", "a", "12345678", "größer als ein Wort", &"x".repeat(32)] {
            assert_eq!(Text::<4>::new(text).to_text(), text);
        }
        assert_eq!(Text::<1>::new("123456789").to_text(), "12345678");
        assert_eq!(Text::<1>([u64::MAX]).to_text(), "\u{fffd}".repeat(8));
        assert_eq!(Text::<1>::new("a\x1b[31m").to_text(), "a\u{fffd}[31m");
    }
}
