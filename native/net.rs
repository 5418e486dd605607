//! System calls on sockets, and the few ways in which they fail.

use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};

use rustix::buffer::spare_capacity;
use rustix::io::Errno;
use rustix::net::{self, RecvFlags, SendAncillaryBuffer, SendFlags, SocketFlags};

/// Why a socket did not do what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing there, or no room, at the moment.
    Timeout,
    /// The peer has ended the connection.
    Closed,
    /// The operating system has ended it.
    Reset,
    /// The process or the system has no descriptor left.
    Files,
}

impl Fault {
    /// The word that Lua sees.
    pub fn word(self) -> &'static str {
        match self {
            Fault::Timeout => "timeout",
            Fault::Closed => "closed",
            Fault::Reset => "reset",
            Fault::Files => "too many open files",
        }
    }
}

impl From<Errno> for Fault {
    fn from(error: Errno) -> Fault {
        match error {
            Errno::AGAIN | Errno::INTR => Fault::Timeout,
            Errno::PIPE | Errno::CONNRESET => Fault::Closed,
            Errno::MFILE | Errno::NFILE => Fault::Files,
            _ => Fault::Reset,
        }
    }
}

fn taken(result: Result<usize, Errno>) -> Result<usize, Fault> {
    match result {
        Ok(0) => Err(Fault::Closed),
        Ok(count) => Ok(count),
        Err(error) => Err(error.into()),
    }
}

/// Receives into a slice; at least one byte.
///
/// # Errors
/// `Timeout` where nothing is there.
pub fn receive(fd: impl AsFd, target: &mut [u8]) -> Result<usize, Fault> {
    taken(net::recv(fd, target, RecvFlags::DONTWAIT).map(|(count, _)| count))
}

/// Receives behind the bytes of a vector, as far as its capacity goes; at least one byte.
///
/// # Errors
/// `Timeout` where nothing is there.
pub fn receive_behind(fd: impl AsFd, target: &mut Vec<u8>) -> Result<usize, Fault> {
    taken(net::recv(fd, spare_capacity(target), RecvFlags::DONTWAIT).map(|(count, _)| count))
}

/// Sends what the socket takes.
///
/// # Errors
/// `Timeout` where it takes nothing.
pub fn send(fd: impl AsFd, bytes: &[u8]) -> Result<usize, Fault> {
    Ok(net::send(fd, bytes, SendFlags::NOSIGNAL | SendFlags::DONTWAIT)?)
}

/// Sends several slices in one call, as much as the socket takes.
///
/// # Errors
/// `Timeout` where it takes nothing.
pub fn send_all(fd: impl AsFd, slices: &[IoSlice<'_>]) -> Result<usize, Fault> {
    let mut no_space: [MaybeUninit<u8>; 0] = [];
    let mut control = SendAncillaryBuffer::new(&mut no_space);
    Ok(net::sendmsg(fd, slices, &mut control, SendFlags::NOSIGNAL | SendFlags::DONTWAIT)?)
}

/// Takes the next connection of a listening socket: non-blocking, closed on exec, without Nagle's delay.
///
/// # Errors
/// `Timeout` where none waits.
pub fn accept(listener: impl AsFd) -> Result<OwnedFd, Fault> {
    let fd = net::accept_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC)?;
    set_up(&fd);
    Ok(fd)
}

/// Switches Nagle's delay off where the socket has one.
pub fn set_up(fd: impl AsFd) {
    let _ = net::sockopt::set_tcp_nodelay(fd, true);
}

/// Ends the sending direction.
pub fn shut_down(fd: impl AsFd) {
    let _ = net::shutdown(fd, net::Shutdown::Write);
}

/// Names the peer, an IPv4 address inside IPv6 without its prefix; `None` where it has no IP address.
pub fn peer(fd: impl AsFd) -> Option<(IpAddr, u16)> {
    let address = net::getpeername(fd).ok()??;
    let address = std::net::SocketAddr::try_from(address).ok()?;
    Some((address.ip().to_canonical(), address.port()))
}
