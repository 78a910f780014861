//! What is in a region, in words: for people, and compared with nothing.

use std::fmt;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// What is in a region, in words, as far as they fit. Of a type it is the name, without the paths.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct What([u8; 47]);

impl What {
    pub(super) fn of<T>() -> Self {
        Self::new(&short_type_name::<T>())
    }

    pub(super) fn new(text: &str) -> Self {
        let mut bytes = [0; 47];
        let mut end = text.len().min(bytes.len());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        bytes[..end].copy_from_slice(&text.as_bytes()[..end]);
        Self(bytes)
    }

    /// `None` if nothing is said, or nothing that anybody could read.
    pub(super) fn text(&self) -> Option<&str> {
        let end = self.0.iter().position(|&byte| byte == 0).unwrap_or(self.0.len());
        let text = std::str::from_utf8(&self.0[..end]).ok()?;
        (!text.is_empty() && !text.chars().any(char::is_control)).then_some(text)
    }
}

impl fmt::Debug for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text().fmt(f)
    }
}

/// `alloc::vec::Vec<core::time::Duration>` without the paths: `Vec<Duration>`.
pub(super) fn short_type_name<T: ?Sized>() -> String {
    let (name, mut short) = (with_their_own_names(std::any::type_name::<T>()), String::new());
    let mut begin = 0; // of the path that the text at hand may turn out to be
    for (at, character) in name.char_indices() {
        if name[at..].starts_with("::") {
            short.truncate(begin);
        } else if character != ':' {
            short.push(character);
            if !character.is_alphanumeric() && character != '_' {
                begin = short.len();
            }
        }
    }
    short
}

/// Newer compilers call an `AtomicU64` by what it is an alias of, `Atomic<u64>`. What it is called has to be the same with
/// all, for the kinds of arrays are compared.
fn with_their_own_names(name: &str) -> String {
    const NUMBERS: [&str; 11] = ["bool", "i8", "i16", "i32", "i64", "isize", "u8", "u16", "u32", "u64", "usize"];
    NUMBERS.iter().fold(name.to_owned(), |name, number| {
        let (first, rest) = number.split_at(1);
        let own = format!("core::sync::atomic::Atomic{}{rest}", first.to_uppercase());
        name.replace(&format!("core::sync::atomic::Atomic<{number}>"), &own)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn atomics_have_one_name_with_every_compiler() {
        let (new, old) = ("[core::sync::atomic::Atomic<u64>; 3]", "[core::sync::atomic::AtomicU64; 3]");
        assert_eq!((with_their_own_names(new), with_their_own_names(old)), (old.to_owned(), old.to_owned()));
        type All = (std::sync::atomic::AtomicUsize, std::sync::atomic::AtomicBool, [std::sync::atomic::AtomicI8; 2]);
        assert_eq!(short_type_name::<All>(), "(AtomicUsize, AtomicBool, [AtomicI8; 2])");
    }

    #[test]
    fn types_are_called_without_their_paths() {
        type Deep<'a> = (Option<std::time::Duration>, [crate::Mutex<u64>; 3], &'a str);
        assert_eq!(
            short_type_name::<Deep<'_>>(),
            "(Option<Duration>, [Mutex<u64>; 3], &str)"
                .replace("Mutex<u64>", "Mutex<u64, Futex>")
                .replace(", Futex", "")
        );
        assert_eq!(What::new(&"ä".repeat(30)).text(), Some(&*"ä".repeat(23)));
        assert_eq!((What([0; 47]).text(), What([0xff; 47]).text(), What([b'\n'; 47]).text()), (None, None, None));
    }
}
