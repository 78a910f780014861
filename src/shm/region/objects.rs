//! What is in a region, for tools that know none of its types.

use std::fmt;

use super::Region;
use super::entry::Record;
use super::held::break_open;
use super::look::{Look, look};
use crate::error::{Error, ErrorKind};
use crate::owner::Owner;

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

/// For an operator.
impl Region {
    /// Frees the locks by which the region itself is changed, whoever holds them: that of the directory, and those of the
    /// items of lists. How many were held.
    ///
    /// Nobody need do that as long as it can be proven that a holder is dead: the next one takes over by itself. It cannot if
    /// the holder lived in another PID namespace, or if there is no `/proc` and another thread has got its id; then what has
    /// to wait for the lock is [`Busy`](ErrorKind::Busy), for ever. What was being made or removed then is so, or is not.
    ///
    /// # Safety
    /// Nobody makes or removes an object of the region or sets an item of a list of it at this moment, in whatever process:
    /// all who have begun that, and have not ended it, are dead. Otherwise two may be given the same bytes.
    ///
    /// ```
    /// let region = shmsync::Region::anonymous(4096)?;
    /// // SAFETY: nobody else has the region.
    /// assert_eq!(unsafe { region.recover_directory() }, 0);
    /// # Ok::<(), shmsync::Error>(())
    /// ```
    #[allow(unsafe_code)]
    pub unsafe fn recover_directory(&self) -> usize {
        let directory = usize::from(break_open(&self.store.head().lock));
        let lists = self.store.live().filter_map(|record| self.list_at("", record).ok());
        lists.fold(directory, |broken, list| broken + list.break_open())
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

    /// Its state in words, as its `Debug` says it, or its value if it is a number or a list; `None` for a kind of your own,
    /// and for a plain [`value`](Region::value) of any other type, whatever it is called. Out of date as soon as it is known.
    ///
    /// ```
    /// use shmsync::{Lock, Region};
    ///
    /// let region = Region::anonymous(4096)?;
    /// region.get_or_init::<Lock>("jobs")?.acquire().unwrap();
    /// let jobs = &region.objects()[0];
    /// assert!(jobs.state().unwrap().contains("held by tid"));
    /// assert_eq!(jobs.holder().unwrap().is_alive(), true);
    /// # Ok::<(), shmsync::Error>(())
    /// ```
    #[must_use]
    pub fn state(&self) -> Option<String> {
        match self.region.list_at("", self.record) {
            Ok(list) => Some(format!("{list:?}")),
            Err(_) => self.look().map(|object| object.state()),
        }
    }

    /// Who holds it, dead or alive: the holder of a lock, a writer and readers, those with a permit. Nobody, where none
    /// holds it or such an object has no holders. Of an `RwLock` with an odd number of slots not all readers are seen; its
    /// [`state`](Self::state) says so then. Out of date as soon as it is known.
    #[must_use]
    pub fn holders(&self) -> Vec<Owner> {
        self.look().map_or_else(Vec::new, |object| object.holders())
    }

    /// Who has been waiting for it for more than some milliseconds, as
    /// [`Shared::long_waiters`](crate::Shared::long_waiters) tells it.
    #[must_use]
    pub fn long_waiters(&self) -> Vec<Owner> {
        let within = |offset: u64| offset.checked_sub(self.record.offset).is_some_and(|byte| byte < self.record.size);
        let all = self.region.store.mapping.wait_table().waiting();
        all.filter(|&(_, offset)| within(offset)).map(|(owner, _)| owner).collect()
    }

    /// The first of them.
    #[must_use]
    pub fn holder(&self) -> Option<Owner> {
        self.holders().first().copied()
    }

    /// Takes a lock over from a dead holder and lets it go, for an operator who knows that what it guards is in order, or has
    /// put it in order. Whether there was a dead holder. A `Mutex` or `RwLock` stays poisoned, so that its users learn of it.
    ///
    /// # Errors
    /// [`Unsupported`](ErrorKind::Unsupported) if it is no `Lock`, `RLock`, `Mutex` or `RwLock`.
    pub fn recover(&self) -> Result<bool, Error> {
        let why = match self.look() {
            Some(object) => match object.recover() {
                Some(recovered) => return Ok(recovered),
                None => "which nobody need recover",
            },
            None => "of which nothing more is known here",
        };
        let message = format!("object {:?} is a {}, {why}", self.name(), self.kind());
        Err(Error::new(ErrorKind::Unsupported, message))
    }

    fn look(&self) -> Option<Box<dyn Look + '_>> {
        look(&self.region.store, &self.record)
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
