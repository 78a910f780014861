//! What is in a region, for tools that know none of its types.

use std::fmt;

use super::Region;
use super::entry::Record;

/// One object of a [`Region`], from [`Region::objects`].
#[derive(Clone)]
pub struct ObjectInfo<'a> {
    region: &'a Region,
    record: Record,
}

impl Region {
    /// All objects, in the order of the directory, which is none. Each was there at some moment while this ran.
    #[must_use]
    pub fn objects(&self) -> Vec<ObjectInfo<'_>> {
        self.store.live().map(|record| ObjectInfo { region: self, record }).collect()
    }

    /// How many bytes of its room no object takes up, and nobody has in hand.
    #[must_use]
    pub fn free_bytes(&self) -> usize {
        self.store.usage().free
    }

    /// How many bytes objects take up that were removed, while somebody is attached who may have them in hand.
    ///
    /// They are counted from the last time that somebody needed room: what nobody has in hand any more is freed then.
    #[must_use]
    pub fn kept_bytes(&self) -> usize {
        self.store.usage().kept
    }
}

impl ObjectInfo<'_> {
    /// What it is called.
    #[must_use]
    pub fn name(&self) -> String {
        self.record.name.to_text()
    }

    /// What it is, such as `Lock on PosixSem` or `Mutex<u64>`.
    #[must_use]
    pub fn kind(&self) -> String {
        self.record.kind.to_text()
    }

    /// Where it begins, in bytes from the beginning of the region's room; as far as what the directory says is true.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.record.offset.saturating_sub(self.region.store.geometry.heap.start as u64)
    }

    /// How many bytes it has; as far as what the directory says is true.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.record.size
    }
}

impl fmt::Debug for ObjectInfo<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObjectInfo")
            .field("name", &self.name())
            .field("kind", &self.kind())
            .field("offset", &self.offset())
            .field("size", &self.size())
            .finish()
    }
}
