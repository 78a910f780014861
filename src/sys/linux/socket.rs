//! Descriptors over Unix sockets: one message out, one message in.
//!
//! Whatever comes in is owned at once, so that what nobody asked for is closed.
#![allow(unsafe_code)]

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::ptr;

use super::{done, uninterrupted};

/// Descriptor of a process (Linux 6.5), which comes to who has asked for it with `SO_PASSPIDFD`.
const SCM_PIDFD: i32 = 4;

/// Room for what is of use, and for what else the socket's options may add; of a hostile crowd of descriptors the kernel
/// drops what does not fit. Words, because control messages are aligned to words.
type Control = [u64; 32];

/// Sends these bytes, and a descriptor with the first of them. A peer that is gone is `EPIPE` and no signal.
pub(crate) fn send(to: &UnixStream, bytes: &[u8], descriptor: BorrowedFd<'_>) -> io::Result<usize> {
    let mut control: Control = [0; 32];
    let mut part = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    let mut message = message(&mut part, &mut control);
    let size = size_of::<RawFd>() as u32;
    // SAFETY: CMSG_SPACE and CMSG_LEN are arithmetic. The buffer is zeroed, aligned, and has room for one control message
    // with one descriptor, so that the first header lies in it, and so does its data.
    unsafe {
        message.msg_controllen = libc::CMSG_SPACE(size) as _;
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        (*header).cmsg_level = libc::SOL_SOCKET;
        (*header).cmsg_type = libc::SCM_RIGHTS;
        (*header).cmsg_len = libc::CMSG_LEN(size) as _;
        libc::CMSG_DATA(header).cast::<RawFd>().write_unaligned(descriptor.as_raw_fd());
    }
    // SAFETY: the message names buffers that outlive the call; sendmsg does not write to them.
    let sent = || done(unsafe { libc::sendmsg(to.as_raw_fd(), &raw const message, libc::MSG_NOSIGNAL) });
    uninterrupted(sent).map(isize::unsigned_abs)
}

/// What one message had.
#[derive(Debug)]
pub(crate) struct Received {
    /// How many bytes; zero when the peer has closed its end.
    pub(crate) length: usize,
    /// All descriptors that the peer sent with them, close-on-exec.
    pub(crate) descriptors: Vec<OwnedFd>,
    /// Whether there were more: too many for us, or for this process.
    pub(crate) cut_off: bool,
}

/// Waits for bytes, and takes no more of them than `bytes` has room for, nor any behind those that descriptors came with.
pub(crate) fn receive(from: &UnixStream, bytes: &mut [u8]) -> io::Result<Received> {
    let mut control: Control = [0; 32];
    let mut part = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    let mut message = message(&mut part, &mut control);
    // SAFETY: the message names writable buffers of the lengths that it says, which outlive the call.
    let received = || done(unsafe { libc::recvmsg(from.as_raw_fd(), &raw mut message, libc::MSG_CMSG_CLOEXEC) });
    let length = uninterrupted(received)?.unsigned_abs();
    let cut_off = message.msg_flags & libc::MSG_CTRUNC != 0;
    Ok(Received { length, descriptors: descriptors(&message), cut_off })
}

fn message(part: &mut libc::iovec, control: &mut Control) -> libc::msghdr {
    // SAFETY: plain integers and pointers, for which zero stands for nothing.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    (message.msg_iov, message.msg_iovlen) = (ptr::from_mut(part), 1);
    (message.msg_control, message.msg_controllen) = (control.as_mut_ptr().cast(), size_of::<Control>() as _);
    message
}

/// Takes over all that came.
fn descriptors(message: &libc::msghdr) -> Vec<OwnedFd> {
    let mut descriptors = Vec::new();
    // SAFETY: recvmsg has filled the control buffer up to msg_controllen with whole messages, where these walk.
    let mut header = unsafe { libc::CMSG_FIRSTHDR(message) };
    while !header.is_null() {
        // SAFETY: not null, so it is a whole message in the buffer.
        let (this, data) = unsafe { (*header, libc::CMSG_DATA(header)) };
        if this.cmsg_level == libc::SOL_SOCKET && matches!(this.cmsg_type, libc::SCM_RIGHTS | SCM_PIDFD) {
            #[allow(clippy::unnecessary_cast)] // 32 bits wide in some libcs.
            // SAFETY: arithmetic.
            let size = (this.cmsg_len as usize).saturating_sub(unsafe { libc::CMSG_LEN(0) } as usize);
            for n in 0..size / size_of::<RawFd>() {
                // SAFETY: the data of this message are `size` bytes of descriptors, which the kernel has just made for this
                // process, so that nobody else owns them.
                let descriptor = unsafe { OwnedFd::from_raw_fd(data.cast::<RawFd>().add(n).read_unaligned()) };
                // The other kind is not the peer's doing, and nobody asked for it here.
                if this.cmsg_type == libc::SCM_RIGHTS {
                    descriptors.push(descriptor);
                }
            }
        }
        // SAFETY: as for the first.
        header = unsafe { libc::CMSG_NXTHDR(message, header) };
    }
    descriptors
}
