//! What a list's bytes are.
//!
//! | bytes | what |
//! |---|---|
//! | 0–7 | how many items there are |
//! | 8–15 | reserved |
//! | 16 + 32 × i .. | item i: its lock; how often it was set; where its two buffers are, from the list's beginning; the room in each |
//! | behind them | buffers: a tag word (see `item`), and the room |
//!
//! They say where the buffers are when the list is made, and nobody changes that; whoever reads it checks it. The buffers
//! are in the order of the items, and no two have a byte in common: so all items together are no larger than the list,
//! whatever each says of itself.

use zerocopy::FromBytes;

use crate::atomic::AtomicU64;
use crate::shm::region::item::Item;
use crate::sync::Lock;

#[derive(FromBytes)]
#[repr(C)]
pub(super) struct Slot {
    pub(super) lock: Lock,
    pub(super) sets: AtomicU64,
    pub(super) buffers: AtomicU64,
    pub(super) room: AtomicU64,
}

pub(super) const HEAD: usize = 16;

/// What a new list consists of; `None` if it would have more than `most` bytes.
pub(super) fn first_words(items: &[Item], room: usize, most: usize) -> Option<Vec<u64>> {
    let room_of = |item: &Item| item.bytes_needed().max(room).checked_next_multiple_of(8);
    let buffers = HEAD.checked_add(items.len().checked_mul(size_of::<Slot>())?)?;
    let size = items.iter().try_fold(buffers, |size, item| {
        let buffer = room_of(item)?.checked_add(8)?;
        size.checked_add(buffer.checked_mul(2)?)
    })?;
    if size > most {
        return None;
    }
    let mut words = vec![0; size / 8];
    words[0] = items.len() as u64;
    let (mut slot, mut buffer) = (HEAD / 8, buffers / 8);
    for item in items {
        let room = room_of(item)?;
        words[slot + 2..slot + 4].copy_from_slice(&[buffer as u64 * 8, room as u64]);
        let (tag, bytes) = item.encode();
        words[buffer] = tag;
        words[buffer + 1..].iter_mut().zip(words_of(&bytes)).for_each(|(place, word)| *place = word);
        slot += size_of::<Slot>() / 8;
        buffer += 2 * (1 + room / 8);
    }
    Some(words)
}

pub(super) fn words_of(bytes: &[u8]) -> impl Iterator<Item = u64> + '_ {
    bytes.chunks(8).map(|bytes| {
        let mut whole = [0; 8];
        whole[..bytes.len()].copy_from_slice(bytes);
        u64::from_ne_bytes(whole)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::mem::offset_of;

    /// The table at the head of this file.
    #[test]
    fn the_bytes_are_where_they_are_promised() {
        let found = [offset_of!(Slot, sets), offset_of!(Slot, buffers), offset_of!(Slot, room), size_of::<Slot>()];
        assert_eq!(found, [8, 16, 24, 32]);
        let items = [Item::Int(7), Item::Str("123456789".into())];
        let bytes = |text: &[u8; 8]| u64::from_ne_bytes(*text);
        let (one, two) = (bytes(b"12345678"), bytes(b"9\0\0\0\0\0\0\0"));
        #[rustfmt::skip]
        let expected = [
            2, 0,
            0, 0, 80, 8,
            0, 0, 112, 16,
            2, 7, 0, 0,
            9 << 8 | 4, one, two, 0, 0, 0,
        ];
        assert_eq!(first_words(&items, 0, 160).unwrap(), expected);
        assert_eq!((first_words(&items, 0, 159), first_words(&items, usize::MAX, usize::MAX)), (None, None));
    }
}
