//! Sockets that this side opens: those that connect, and those that listen at a path.

use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{chmod, Mode};
use rustix::io::Errno;
use rustix::net::sockopt::socket_error;
use rustix::net::{bind, connect, getpeername, getsockname, listen, socket_with};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

const BACKLOG: i32 = 4096;

/// Where a socket connects to.
pub enum Address {
    /// An IP address and a port.
    Internet(SocketAddr),
    /// A path.
    Unix(SocketAddrUnix),
}

impl Address {
    /// Reads `127.0.0.1:80` or `[::1]:80`; or a path as it is.
    pub fn read(text: &[u8], is_path: bool) -> Option<Address> {
        if is_path {
            return SocketAddrUnix::new(text).ok().map(Address::Unix);
        }
        std::str::from_utf8(text).ok()?.parse().ok().map(Address::Internet)
    }

    fn family(&self) -> AddressFamily {
        match self {
            Address::Internet(SocketAddr::V4(_)) => AddressFamily::INET,
            Address::Internet(SocketAddr::V6(_)) => AddressFamily::INET6,
            Address::Unix(_) => AddressFamily::UNIX,
        }
    }
}

fn open(family: AddressFamily) -> Result<OwnedFd, Errno> {
    socket_with(family, SocketType::STREAM, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC, None)
}

/// Begins to connect. Gives the socket, and why it failed where that is known at once.
///
/// # Errors
/// Why there is no socket.
pub fn dial(address: &Address) -> Result<(OwnedFd, Option<Errno>), Errno> {
    let socket = open(address.family())?;
    let result = match address {
        Address::Internet(address) => connect(&socket, address),
        Address::Unix(address) => connect(&socket, address),
    };
    let fault = result.err().filter(|&error| error != Errno::INPROGRESS && error != Errno::INTR);
    Ok((socket, fault))
}

/// Tells whether a socket is connected; false while that is not known.
///
/// # Errors
/// Why it cannot be connected.
pub fn is_connected(socket: impl AsFd) -> Result<bool, Errno> {
    let Ok(peer) = getpeername(&socket) else {
        return socket_error(socket)?.map(|()| false);
    };
    // Where no program listens at a port from which the system takes those of clients, it may choose that very port, and
    // the socket is connected to itself.
    if peer.is_some() && peer == getsockname(&socket).ok() {
        return Err(Errno::CONNREFUSED);
    }
    Ok(true)
}

/// Listens at a path, where no file may be. `mode` are the permissions of the file; nobody connects before it has them.
///
/// # Errors
/// What the operating system says. The file is there then only if it could not get its permissions.
pub fn listen_at(path: &[u8], mode: Option<u32>) -> Result<OwnedFd, Errno> {
    let socket = open(AddressFamily::UNIX)?;
    bind(&socket, &SocketAddrUnix::new(path)?)?;
    if let Some(mode) = mode {
        chmod(path, Mode::from_raw_mode(mode))?;
    }
    listen(&socket, BACKLOG)?;
    Ok(socket)
}

#[cfg(test)]
mod tests;
