//! Anonymous shared memory that forked children inherit, and that is gone with its last user.
#![allow(unsafe_code)]

use std::io;
use std::ops::Deref;
use std::ptr::{self, NonNull};
use zerocopy::FromZeros;

/// A `T` in `MAP_SHARED` memory. Dropping it unmaps the memory; `T`'s own destructor does not run, because other
/// processes may still be using it.
#[derive(Debug)]
pub struct Region<T> {
    at: NonNull<T>,
}

// SAFETY: a region is an owned `T`, somewhere else.
unsafe impl<T: Send> Send for Region<T> {}
// SAFETY: as above; what it gives out is `&T`.
unsafe impl<T: Sync> Sync for Region<T> {}

impl<T> Region<T> {
    /// A region with a value in it.
    ///
    /// # Errors
    /// There is no memory to be had.
    pub fn new(value: T) -> io::Result<Self> {
        let at = map::<T>()?;
        // SAFETY: the mapping is new, large enough, aligned, and nobody else has its address.
        unsafe { at.write(value) };
        Ok(Self { at })
    }

    /// A region of zeros, however large: nothing passes over the stack, and a page that is not used is not there.
    ///
    /// # Errors
    /// There is no memory to be had.
    pub fn zeroed() -> io::Result<Self>
    where
        T: FromZeros,
    {
        Ok(Self { at: map()? }) // A new mapping is all zeros, which is a valid `T`.
    }
}

/// Zeroed memory for a `T`, shared with the children to come.
fn map<T>() -> io::Result<NonNull<T>> {
    let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS);
    // SAFETY: a new mapping at an address of the kernel's choice touches no memory of ours.
    let at = unsafe { libc::mmap(ptr::null_mut(), size_of::<T>().max(1), access, kind, -1, 0) };
    if at == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    let at = NonNull::new(at.cast::<T>()).expect("a mapping is never at zero");
    assert!(at.is_aligned(), "a page is aligned enough");
    Ok(at)
}

impl<T> Deref for Region<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: there is a valid `T` at this place from the start, and only `&T` are given out.
        unsafe { self.at.as_ref() }
    }
}

impl<T> Drop for Region<T> {
    fn drop(&mut self) {
        // SAFETY: the mapping was made by `map` with this length and is not used after this.
        unsafe { libc::munmap(self.at.as_ptr().cast(), size_of::<T>().max(1)) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process;
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
    use std::time::Duration;

    #[test]
    fn children_share_it() {
        let region = Region::new([const { AtomicU64::new(1) }; 3]).unwrap();
        let mut child = process::fork(|| region[2].store(7, Relaxed));
        child.join(Duration::from_secs(10)).unwrap();
        assert_eq!([0, 1, 2].map(|i| region[i].load(Relaxed)), [1, 1, 7]);
    }

    #[test]
    fn starts_as_zeros() {
        let region = Region::<[u64; 1 << 20]>::zeroed().unwrap();
        assert!(region.iter().step_by(1000).all(|&x| x == 0));
    }
}
