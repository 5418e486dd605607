//! Descriptors that Lua names by number.

use std::ffi::c_int;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::io::fcntl_getfd;
use rustix::ioctl::{ioctl, Getter, Opcode};

use super::stack::Value;

const TIOCOUTQ: Opcode = nix::libc::TIOCOUTQ as Opcode;

impl<'a> Value<'a> {
    /// Borrows a descriptor; `None` where no open one has that number.
    pub fn fd(self) -> Option<BorrowedFd<'a>> {
        let number = self.number() as i32;
        if !self.is_number() || number < 0 {
            return None;
        }
        // SAFETY: it is not -1. Only Lua's code closes descriptors that are not ours, and none of it runs during a
        // call.
        let fd = unsafe { BorrowedFd::borrow_raw(number) };
        fcntl_getfd(fd).is_ok().then_some(fd)
    }

    /// Takes over a descriptor that its owner has given up; `None` where no open one has that number.
    pub fn take_fd(self) -> Option<OwnedFd> {
        let number = self.fd()?.as_raw_fd();
        // SAFETY: it is open, and `websockets.wire.native` takes it out of the object that has owned it.
        Some(unsafe { OwnedFd::from_raw_fd(number) })
    }
}

/// Tells how many bytes of a socket the other side has not acknowledged yet; `None` where the system does not tell.
pub fn unsent_bytes(fd: BorrowedFd<'_>) -> Option<usize> {
    // SAFETY: this request writes one `c_int`, and nothing else.
    let count = unsafe { ioctl(fd, Getter::<TIOCOUTQ, c_int>::new()) };
    count.ok().and_then(|count| usize::try_from(count).ok())
}
