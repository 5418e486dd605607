//! A connection to a server, with TLS or without.

use crate::net::{self, failed};
use crate::{tls, Result};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::net::{RecvFlags, SendFlags};
use rustls::{ClientConfig, ClientConnection};
use std::io::{self, ErrorKind, Read, Write};
use std::sync::Arc;

/// A socket as the TLS library wants it.
struct Socket<'a> {
    fd: &'a OwnedFd,
    waits: bool,
}

impl Read for Socket<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let flags = if self.waits { RecvFlags::empty() } else { RecvFlags::DONTWAIT };
        Ok(rustix::net::recv(self.fd, buffer, flags)?.0)
    }
}

impl Write for Socket<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let flags = if self.waits { SendFlags::empty() } else { SendFlags::DONTWAIT };
        Ok(rustix::net::send(self.fd, bytes, flags | SendFlags::NOSIGNAL)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An open WebSocket.
pub struct Link {
    fd: OwnedFd,
    tls: Option<Box<ClientConnection>>,
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Link {
    /// Opens a WebSocket and waits until it is open.
    ///
    /// # Errors
    /// It cannot be opened, or the server speaks before it is spoken to.
    pub fn open(port: u16, turn: usize, fanout: bool, config: Option<&Arc<ClientConfig>>) -> Result<Self> {
        let tls = config.map(tls::client).transpose()?.map(Box::new);
        let mut link = Self { fd: net::connect(port, turn)?, tls };
        if let Some(tls) = &mut link.tls {
            let mut socket = Socket { fd: &link.fd, waits: true };
            tls.complete_io(&mut socket).map_err(|error| format!("TLS handshake: {error}"))?;
        }
        if link.send(net::request(port, fanout).as_bytes())? == 0 {
            return Err("a new connection takes no bytes".into());
        }
        let (mut head, mut buffer) = (Vec::new(), [0; 2048]);
        while !head.ends_with(b"\r\n\r\n") {
            let count = link.take(&mut buffer, true)?.unwrap_or(0);
            if count == 0 {
                return Err("the server closed the connection during the handshake".into());
            }
            head.extend_from_slice(&buffer[..count]);
        }
        net::check_response(&head)?;
        Ok(link)
    }

    /// Sends what the socket takes now: 0 where it takes nothing. With TLS all is taken, unless something waits.
    ///
    /// # Errors
    /// The connection is broken.
    pub fn send(&mut self, bytes: &[u8]) -> Result<usize> {
        if self.tls.is_none() {
            return net::send(&self.fd, bytes);
        }
        if !self.flush()? {
            return Ok(0);
        }
        let Some(tls) = &mut self.tls else { return Ok(0) };
        tls.writer().write_all(bytes).map_err(|error| format!("send: {error}"))?;
        self.flush()?;
        Ok(bytes.len())
    }

    /// Sends what TLS holds; tells whether nothing is left.
    ///
    /// # Errors
    /// The connection is broken.
    pub fn flush(&mut self) -> Result<bool> {
        let Some(tls) = &mut self.tls else { return Ok(true) };
        let mut socket = Socket { fd: &self.fd, waits: false };
        while tls.wants_write() {
            match tls.write_tls(&mut socket) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(format!("send: {error}")),
            }
        }
        Ok(true)
    }

    /// Receives what is there: `None` where there is nothing, 0 bytes at the end.
    ///
    /// # Errors
    /// The connection is broken.
    pub fn receive(&mut self, buffer: &mut [u8]) -> Result<Option<usize>> {
        self.take(buffer, false)
    }

    /// Tells whether there may be more after `count` bytes that filled a buffer in part: TLS gives what it has
    /// decrypted.
    #[must_use]
    pub fn may_have_more(&self, count: usize, capacity: usize) -> bool {
        self.tls.is_some() || count == capacity
    }

    fn take(&mut self, buffer: &mut [u8], waits: bool) -> Result<Option<usize>> {
        let Some(tls) = &mut self.tls else {
            if !waits {
                return net::receive(&self.fd, buffer);
            }
            let (count, _) = rustix::net::recv(&self.fd, buffer, RecvFlags::empty()).map_err(failed("recv"))?;
            return Ok(Some(count));
        };
        let mut socket = Socket { fd: &self.fd, waits };
        loop {
            match tls.reader().read(buffer) {
                Ok(count) => return Ok(Some(count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(format!("recv: {error}")),
            }
            match tls.read_tls(&mut socket) {
                Ok(0) => return Ok(Some(0)),
                Ok(_) => tls.process_new_packets().map_err(|error| format!("TLS: {error}"))?,
                Err(error) if error.kind() == ErrorKind::WouldBlock && !waits => return Ok(None),
                Err(error) => return Err(format!("recv: {error}")),
            };
        }
    }
}
