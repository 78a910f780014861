//! A [`Handle`] sent to another process, which need be no child: one message over a Unix socket.
//!
//! | bytes | what |
//! |-------|------|
//! | 0–7   | `shmsync` and a NUL |
//! | 8–15  | 1: the version of this table |
//! | 16–23 | the device of the file |
//! | 24–31 | its inode |
//!
//! and with the first byte its descriptor (`SCM_RIGHTS`). Numbers are in the machine's own order, for no socket of this
//! kind leaves it. The kernel does not split so short a message, so one that comes in pieces is none.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::handle::{Descriptor, Handle};
use crate::error::{Error, ErrorKind};
use crate::sys::{file, socket};

const MAGIC: [u8; 8] = *b"shmsync\0";
const VERSION: u64 = 1;

#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Message {
    magic: [u8; 8],
    version: u64,
    device: u64,
    inode: u64,
}

const SIZE: usize = size_of::<Message>();
const _: () = assert!(SIZE == 32);

/// Over a Unix socket, to any process of this machine.
impl Handle {
    /// Sends the region to the process at the other end, which [receives](Self::receive) it.
    ///
    /// It is one message of 32 bytes, between whatever else goes over the stream. The region is on its way from here on,
    /// whatever becomes of this handle or of this process.
    ///
    /// ```
    /// use shmsync::{Handle, Shared};
    /// use std::os::unix::net::UnixStream;
    /// use std::sync::atomic::{AtomicU32, Ordering};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let (here, there) = UnixStream::pair()?; // or a connection to a UnixListener
    /// let jobs = Shared::anonymous(AtomicU32::new(3))?;
    /// jobs.handle().send(&here)?;
    ///
    /// // The other process:
    /// let jobs = Shared::<AtomicU32>::from_handle(&Handle::receive(&there)?)?;
    /// assert_eq!(jobs.load(Ordering::Relaxed), 3);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Os`](ErrorKind::Os), with the reason as its source: the peer is gone (`EPIPE`, without a signal), or the stream does
    /// not block and is full (`WouldBlock`, and nothing was sent). [`NotFound`](ErrorKind::NotFound) for a handle that was
    /// parsed and whose descriptor this process did not inherit.
    pub fn send(&self, to: &UnixStream) -> Result<(), Error> {
        let opened;
        let file = match self.held() {
            Some(descriptor) => descriptor.file(),
            None => {
                opened = self.open()?;
                &opened
            }
        };
        let file::Identity { device, inode } = self.identity();
        let message = Message { magic: MAGIC, version: VERSION, device, inode };
        let cannot_send = |e| Error::os(format!("cannot send the region of handle {self}"), e);
        match socket::send(to, message.as_bytes(), file.as_fd()).map_err(cannot_send)? {
            SIZE => Ok(()),
            // The kernel has no such case; if it had, the peer would take the message for none.
            _ => Err(cannot_send(io::ErrorKind::WriteZero.into())),
        }
    }

    /// Waits for a region that the process at the other end [sends](Self::send), as long as reading from the stream does.
    ///
    /// The handle owns the descriptor that came, and closes it in the end. Like any other handle it lets the programs that
    /// this process starts inherit it, as long as it lives: drop it when you have attached. It may be sent on.
    ///
    /// # Who sends
    ///
    /// Whatever the peer sends, this ends in a handle or an error, and no descriptor is left behind. Whether it is a region
    /// is found out when it is attached to. But the peer may cut off the file later, which ends this process by `SIGBUS`,
    /// unless the handle [is sealed](Self::is_sealed). The permissions of the socket's path, or `SO_PEERCRED`, tell who
    /// the peer is.
    ///
    /// # Errors
    /// [`NotARegion`](ErrorKind::NotARegion) when what comes is no such message: other bytes, no descriptor or several, one
    /// of another file than the message says or of something that is no file. [`Os`](ErrorKind::Os), with the reason as its
    /// source: the peer has closed its end (`UnexpectedEof`), nothing came in time (`WouldBlock`, if the stream does not
    /// block or has a timeout), or this process can have no more descriptors. Except after `WouldBlock`, what follows in the
    /// stream has no known beginning.
    pub fn receive(from: &UnixStream) -> Result<Self, Error> {
        let cannot = |e: io::Error| Error::os("cannot receive the handle of a region", e);
        let mut bytes = [0; SIZE];
        let received = socket::receive(from, &mut bytes).map_err(cannot)?;
        let mut descriptors = received.descriptors.into_iter();
        let descriptor = match (descriptors.next(), descriptors.next()) {
            (None, _) if received.length == 0 => return Err(cannot(io::ErrorKind::UnexpectedEof.into())),
            (None, _) if received.cut_off => return Err(cannot(io::Error::from_raw_os_error(libc::EMFILE))),
            (Some(one), None) if !received.cut_off => one,
            (None, _) => return Err(none("no descriptor came with it")),
            _ => return Err(none("several descriptors came with it")),
        };
        let message: Message = zerocopy::transmute!(bytes);
        if received.length != SIZE || message.magic != MAGIC {
            return Err(none("the bytes are not those of a handle"));
        }
        if message.version != VERSION {
            return Err(none(&format!("its version is {}, expected {VERSION}", message.version)));
        }
        let file = File::from(descriptor);
        if !file.metadata().map_err(cannot)?.is_file() {
            return Err(none("its descriptor is no file's"));
        }
        let said = file::Identity { device: message.device, inode: message.inode };
        let descriptor = Descriptor::new(file).map_err(cannot)?;
        if descriptor.identity() != said {
            return Err(none("its descriptor is another file's than it says"));
        }
        Ok(Self::holding(Arc::new(descriptor)))
    }
}

fn none(why: &str) -> Error {
    Error::new(ErrorKind::NotARegion, format!("what was received is not the handle of a region: {why}"))
}
