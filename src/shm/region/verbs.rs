//! What one does with the objects of a region: get them, make them, remove them.

use zerocopy::FromBytes;

use super::Region;
use super::directory::Wanted;
use super::entry::Record;
use super::kind::{Kind, Object};
use crate::error::Error;

/// Objects. How each may fail is said [above](Self#errors).
#[allow(clippy::missing_errors_doc)]
impl Region {
    /// The object of that name.
    ///
    /// ```
    /// use shmsync::{ErrorKind, Event, Region};
    ///
    /// let region = Region::anonymous(4096)?;
    /// assert_eq!(region.get::<Event>("started").unwrap_err().kind(), ErrorKind::NotFound);
    /// region.get_or_init::<Event>("started")?.set();
    /// assert!(region.get::<Event>("started")?.is_set());
    /// # Ok::<(), shmsync::Error>(())
    /// ```
    pub fn get<T: Object>(&self, name: &str) -> Result<&T, Error> {
        self.find(name, Wanted::one::<T>(T::KIND))
    }

    /// The object of that name; if there is none, a new one of zero bytes: a fresh lock, an event that is not set, a
    /// barrier for one, an empty cell, a semaphore without permits, the number zero.
    ///
    /// Any number of processes may ask at once, and all get the same.
    pub fn get_or_init<T: Object>(&self, name: &str) -> Result<&T, Error> {
        self.find_or_zero(name, Wanted::one::<T>(T::KIND))
    }

    /// The object of that name; if there is none, a new one with that value.
    ///
    /// The closure may run in several processes; only the value of the one that comes first is ever seen. It runs before
    /// anything is locked, and may use the region.
    ///
    /// ```
    /// use shmsync::{Region, Semaphore};
    ///
    /// let region = Region::anonymous(4096)?;
    /// let pool = region.get_or_init_with("pool", || Semaphore::new(4))?;
    /// let same = region.get_or_init_with("pool", || Semaphore::new(9))?;
    /// assert_eq!(same.value(), 4);
    /// # Ok::<(), shmsync::Error>(())
    /// ```
    pub fn get_or_init_with<T: Object>(&self, name: &str, value: impl FnOnce() -> T) -> Result<&T, Error> {
        self.find_or_put(name, Wanted::one::<T>(T::KIND), value)
    }

    /// The value of that name; if there is none, a new one of zero bytes. Of any plain type: only its name (without its
    /// path, as the compiler tells it), its size and its alignment are compared. What changes must be atomic.
    ///
    /// ```
    /// use shmsync::Region;
    /// use std::sync::atomic::{AtomicU32, Ordering};
    ///
    /// #[derive(zerocopy::FromBytes)]
    /// #[repr(C)]
    /// struct Limits {
    ///     soft: AtomicU32,
    ///     hard: AtomicU32,
    /// }
    ///
    /// let region = Region::anonymous(4096)?;
    /// region.value::<Limits>("limits")?.soft.store(7, Ordering::Relaxed);
    /// assert_eq!(region.value::<Limits>("limits")?.soft.load(Ordering::Relaxed), 7);
    /// # Ok::<(), shmsync::Error>(())
    /// ```
    pub fn value<T: FromBytes + Sync>(&self, name: &str) -> Result<&T, Error> {
        self.find_or_zero(name, Wanted::one::<T>(Kind::of_type::<T>("value")))
    }

    /// The value of that name; if there is none, a new one that is this.
    ///
    /// ```
    /// # let region = shmsync::Region::anonymous(4096)?;
    /// assert_eq!(region.value_or_init("answer", 42_u64)?, &42);
    /// assert_eq!(region.value_or_init("answer", 43_u64)?, &42);
    /// assert!(region.value::<i64>("answer").is_err());
    /// # Ok::<(), shmsync::Error>(())
    /// ```
    pub fn value_or_init<T: FromBytes + Sync>(&self, name: &str, value: T) -> Result<&T, Error> {
        self.find_or_put(name, Wanted::one::<T>(Kind::of_type::<T>("value")), || value)
    }

    /// The value of that name, which must be there.
    pub fn get_value<T: FromBytes + Sync>(&self, name: &str) -> Result<&T, Error> {
        self.find(name, Wanted::one::<T>(Kind::of_type::<T>("value")))
    }

    /// The array of that name and length; if there is none, a new one of zero bytes. One of another length is a
    /// [`LayoutMismatch`](crate::ErrorKind::LayoutMismatch). Of any plain type, as for [`value`](Self::value).
    ///
    /// ```
    /// use shmsync::{ErrorKind, Region};
    /// use std::sync::atomic::{AtomicU32, Ordering};
    ///
    /// let region = Region::anonymous(4096)?;
    /// let hits = region.array::<AtomicU32>("hits", 100)?;
    /// hits[99].fetch_add(1, Ordering::Relaxed);
    /// assert_eq!(region.get_array::<AtomicU32>("hits")?.len(), 100);
    /// assert_eq!(region.array::<AtomicU32>("hits", 99).unwrap_err().kind(), ErrorKind::LayoutMismatch);
    /// # Ok::<(), shmsync::Error>(())
    /// ```
    pub fn array<T: FromBytes + Sync>(&self, name: &str, length: usize) -> Result<&[T], Error> {
        let wanted = Wanted::many::<T>(Some(length))?;
        let size = wanted.size.unwrap_or(0);
        let record = self.store.find_or_make(&self.attachment, name, &wanted, |at| self.store.clear(at, size))?;
        self.array_at(name, &wanted, &record)
    }

    /// The array of that name, which must be there, whatever its length.
    pub fn get_array<T: FromBytes + Sync>(&self, name: &str) -> Result<&[T], Error> {
        let wanted = Wanted::many::<T>(None)?;
        let (_, record) = self.store.find(name).ok_or_else(|| self.store.not_found(name))?;
        self.array_at(name, &wanted, &record)
    }

    /// Whether there is an object of that name. Out of date as soon as it is known.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.store.find(name).is_some()
    }

    /// Removes the object of that name. The name is free at once: what is made under it afterwards is another object.
    ///
    /// Whoever has the removed one in hand, here or elsewhere, goes on using it, among themselves. Its bytes are used again
    /// when all have gone who were attached by now, see [above](Self#removing).
    ///
    /// ```
    /// use shmsync::{Lock, Region};
    ///
    /// let region = Region::anonymous(4096)?;
    /// let old = region.get_or_init::<Lock>("jobs")?;
    /// old.acquire().unwrap();
    /// region.remove("jobs")?;
    /// let new = region.get_or_init::<Lock>("jobs")?;
    /// assert!(old.is_locked() && !new.is_locked());
    /// # Ok::<(), shmsync::Error>(())
    /// ```
    pub fn remove(&self, name: &str) -> Result<(), Error> {
        self.store.remove(name, false)
    }

    /// Removes the object of that name, and has its bytes used again at once.
    ///
    /// # Safety
    /// Nobody has a reference to the object any more, in this process or in another, and nobody is looking its name up at
    /// this moment: who has found it just now is about to have one.
    #[allow(unsafe_code)]
    pub unsafe fn remove_now(&self, name: &str) -> Result<(), Error> {
        self.store.remove(name, true)
    }

    // ---- Of one type ----

    fn find<T: FromBytes + Sync>(&self, name: &str, wanted: Wanted) -> Result<&T, Error> {
        let (_, record) = self.store.find(name).ok_or_else(|| self.store.not_found(name))?;
        self.one_at(name, &wanted, &record)
    }

    fn find_or_zero<T: FromBytes + Sync>(&self, name: &str, wanted: Wanted) -> Result<&T, Error> {
        let clear = |at| self.store.clear(at, size_of::<T>());
        let record = self.store.find_or_make(&self.attachment, name, &wanted, clear)?;
        self.one_at(name, &wanted, &record)
    }

    fn find_or_put<T: FromBytes + Sync>(
        &self,
        name: &str,
        wanted: Wanted,
        value: impl FnOnce() -> T,
    ) -> Result<&T, Error> {
        // What is found is this, be it removed by now or not: looking again might find nothing.
        if let Some((_, record)) = self.store.find(name) {
            return self.one_at(name, &wanted, &record);
        }
        let value = value();
        let record = self.store.find_or_make(&self.attachment, name, &wanted, |at| self.store.put(at, value))?;
        self.one_at(name, &wanted, &record)
    }

    fn one_at<T: FromBytes + Sync>(&self, name: &str, wanted: &Wanted, record: &Record) -> Result<&T, Error> {
        let (offset, _) = wanted.check(&self.store, name, record)?;
        self.store.at(offset).ok_or_else(|| self.store.damaged(name))
    }

    fn array_at<T: FromBytes + Sync>(&self, name: &str, wanted: &Wanted, record: &Record) -> Result<&[T], Error> {
        let (offset, size) = wanted.check(&self.store, name, record)?;
        let whole = size % size_of::<T>() == 0;
        let all = self.store.slice(offset, size / size_of::<T>()).filter(|_| whole);
        all.ok_or_else(|| self.store.damaged(name))
    }
}

impl Wanted {
    fn one<T>(kind: Kind) -> Self {
        Self { kind, size: Some(size_of::<T>()), align: align_of::<T>() }
    }

    fn many<T>(length: Option<usize>) -> Result<Self, Error> {
        const { assert!(size_of::<T>() > 0, "an array of nothing has no length") };
        let size = |length: usize| {
            size_of::<T>().checked_mul(length).ok_or_else(|| {
                let message = format!("no region has room for {length} times {} bytes", size_of::<T>());
                Error::new(crate::ErrorKind::NoSpace, message)
            })
        };
        let size = length.map(size).transpose()?;
        Ok(Self { kind: Kind::of_type::<T>("array"), size, align: align_of::<T>() })
    }
}
