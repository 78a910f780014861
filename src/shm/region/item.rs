//! What may stand in a [`List`](super::list::List): nothing, a truth value, a number, a text or some bytes.

/// One item of a [`List`](crate::List).
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Item {
    /// Nothing: Python's `None`.
    #[default]
    None,
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A floating-point number.
    Float(f64),
    /// A text.
    Str(String),
    /// Bytes.
    Bytes(Vec<u8>),
}

/// What an item is in shared memory: a tag in the low byte, the length of a text or of bytes above it.
const NONE: u64 = 0;
const BOOL: u64 = 1;
const INT: u64 = 2;
const FLOAT: u64 = 3;
const STR: u64 = 4;
const BYTES: u64 = 5;

impl Item {
    /// How many bytes it needs: eight, or as many as its text has, but eight at least.
    pub(super) fn bytes_needed(&self) -> usize {
        match self {
            Self::Str(text) => text.len().max(8),
            Self::Bytes(bytes) => bytes.len().max(8),
            _ => 8,
        }
    }

    /// Its tag word, and its bytes.
    pub(super) fn encode(&self) -> (u64, Vec<u8>) {
        let number = |bits: u64| bits.to_ne_bytes().to_vec();
        match self {
            Self::None => (NONE, number(0)),
            Self::Bool(truth) => (BOOL, number(u64::from(*truth))),
            Self::Int(int) => (INT, number(*int as u64)),
            Self::Float(float) => (FLOAT, number(float.to_bits())),
            Self::Str(text) => (STR | (text.len() as u64) << 8, text.as_bytes().to_vec()),
            Self::Bytes(bytes) => (BYTES | (bytes.len() as u64) << 8, bytes.clone()),
        }
    }

    /// How many bytes go with that tag word.
    pub(super) fn length_of(tag: u64) -> u64 {
        match tag & 0xff {
            STR | BYTES => tag >> 8,
            _ => 8,
        }
    }

    /// The item of that tag word and these bytes. What no item is, is none; what is no text in a text, is replaced.
    pub(super) fn decode(tag: u64, bytes: &[u8]) -> Self {
        let number = || bytes.first_chunk().map_or(0, |bytes| u64::from_ne_bytes(*bytes));
        match tag & 0xff {
            BOOL => Self::Bool(number() != 0),
            INT => Self::Int(number() as i64),
            FLOAT => Self::Float(f64::from_bits(number())),
            STR => Self::Str(String::from_utf8_lossy(bytes).into_owned()),
            BYTES => Self::Bytes(bytes.to_vec()),
            _ => Self::None,
        }
    }
}

macro_rules! from {
    ($($type:ty => $item:expr),+ $(,)?) => {$(
        impl From<$type> for Item {
            fn from(value: $type) -> Self {
                $item(value.into())
            }
        }
    )+};
}
from! {
    bool => Self::Bool,
    i64 => Self::Int,
    i32 => Self::Int,
    u32 => Self::Int,
    f64 => Self::Float,
    &str => Self::Str,
    String => Self::Str,
    &[u8] => Self::Bytes,
    Vec<u8> => Self::Bytes,
}

impl<const N: usize> From<&[u8; N]> for Item {
    fn from(bytes: &[u8; N]) -> Self {
        Self::Bytes(bytes.to_vec())
    }
}

impl<T: Into<Self>> From<Option<T>> for Item {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::None, Into::into)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_come_back_and_scribbles_are_items() {
        let bytes: &[u8] = &[0, 255, 7];
        let text = "größer als ein Wort";
        for item in
            [Item::None, true.into(), false.into(), (-5_i64).into(), 1.5.into(), "".into(), text.into(), bytes.into()]
        {
            let (tag, bytes) = item.encode();
            assert!(bytes.len() <= item.bytes_needed() && bytes.len() as u64 == Item::length_of(tag));
            assert_eq!(Item::decode(tag, &bytes), item);
        }
        assert_eq!(Item::decode(0xffff, &[]), Item::None);
        assert_eq!(Item::decode(INT, &[1]), Item::Int(0));
        assert_eq!(Item::decode(STR, &[b'a', 0xff]), Item::Str("a\u{fffd}".into()));
    }
}
