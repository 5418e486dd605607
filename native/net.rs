//! System calls on sockets, and the few ways in which they fail.

use std::io::IoSlice;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};

use rustix::buffer::Buffer;
use rustix::io::Errno;
use rustix::net::{self, RecvFlags, SendAncillaryBuffer, SendFlags, SocketFlags};

const SEND_FLAGS: SendFlags = SendFlags::NOSIGNAL.union(SendFlags::DONTWAIT);

/// The word that Lua sees for why a socket did not do what was asked.
pub fn word(fault: Errno) -> &'static str {
    match fault {
        Errno::AGAIN | Errno::INTR => "timeout",
        Errno::PIPE | Errno::CONNRESET => "closed",
        Errno::MFILE | Errno::NFILE => "too many open files",
        _ => "reset",
    }
}

/// Receives at least one byte.
///
/// # Errors
/// `AGAIN` where nothing is there, `PIPE` where nothing will come.
pub fn receive(fd: impl AsFd, target: impl Buffer<u8>) -> Result<usize, Errno> {
    match net::recv(fd, target, RecvFlags::DONTWAIT)? {
        (_, 0) => Err(Errno::PIPE),
        (_, count) => Ok(count),
    }
}

/// Sends what the socket takes.
///
/// # Errors
/// `AGAIN` where it takes nothing.
pub fn send(fd: impl AsFd, bytes: &[u8]) -> Result<usize, Errno> {
    net::send(fd, bytes, SEND_FLAGS)
}

/// Sends several slices in one call, as much as the socket takes.
///
/// # Errors
/// `AGAIN` where it takes nothing.
pub fn send_all(fd: impl AsFd, slices: &[IoSlice<'_>]) -> Result<usize, Errno> {
    net::sendmsg(fd, slices, &mut SendAncillaryBuffer::new(&mut []), SEND_FLAGS)
}

/// Takes the next connection of a listening socket: non-blocking, closed on exec, without Nagle's delay.
///
/// # Errors
/// `AGAIN` where none waits.
pub fn accept(listener: impl AsFd) -> Result<OwnedFd, Errno> {
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
    let address = SocketAddr::try_from(net::getpeername(fd).ok()??).ok()?;
    Some((address.ip().to_canonical(), address.port()))
}
