//! Reading memory at an address that is not to be trusted.
#![allow(unsafe_code)]

/// The eight bytes at `address` of this process, read by the kernel: where nothing is mapped, or no more file behind the
/// mapping, that is `None` and not a fault, and a write at the same time no data race.
///
/// They may be torn: read half before such a write and half after. `None` also where a sandbox forbids the call.
pub(crate) fn word(address: usize) -> Option<u64> {
    let mut word = 0_u64;
    let local = libc::iovec { iov_base: (&raw mut word).cast(), iov_len: size_of::<u64>() };
    let remote = libc::iovec { iov_base: std::ptr::without_provenance_mut(address), iov_len: size_of::<u64>() };
    // SAFETY: the kernel writes eight bytes to `word`, and checks the other address itself.
    let read = unsafe { libc::process_vm_readv(libc::getpid(), &raw const local, 1, &raw const remote, 1, 0) };
    (read == size_of::<u64>() as isize).then_some(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_read_and_what_is_not_is_none() {
        let there = 0x0123_4567_89ab_cdef_u64;
        assert_eq!(word((&raw const there).addr()), Some(there));
        assert_eq!(word(0), None);
        assert_eq!(word(usize::MAX - 7), None);
    }
}
