//! Sockets and epoll, as far as these programs need them.

use crate::{Result, ACCEPT, FANOUT, KEY};
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::event::Timespec;
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::sockopt::{self, Timeout};
use rustix::net::{self, AddressFamily, RecvFlags, SendFlags, SocketType};
use rustix::process::{getrlimit, setrlimit, Resource, Rlimit};
use rustix::time::{clock_gettime, ClockId};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::{Duration, Instant};

const LISTEN_BACKLOG: i32 = 4096;
const EVENTS_PER_WAIT: usize = 1024;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const PATIENCE_MS: u32 = 10_000;
const SOURCE_ADDRESSES: usize = 250;

/// Names what failed, for `map_err`.
pub fn failed(what: &str) -> impl Fn(Errno) -> String + '_ {
    move |error| format!("{what}: {error}")
}

/// Raises the limit of open files as far as it goes.
pub fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    // Where it may not be raised, connecting fails later with a message of its own.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

fn own_ns() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Edge-triggered waiting on many sockets.
pub struct Poll {
    /// Processor time spent polling while nothing was ready.
    pub idle_ns: u64,
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
    sleep: bool,
}

impl Poll {
    /// Makes a poll that watches nothing yet; `sleep` gives the processor away while nothing is ready.
    ///
    /// # Errors
    /// The system has no epoll instance left.
    pub fn new(sleep: bool) -> Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC).map_err(failed("epoll_create"))?;
        Ok(Self { idle_ns: 0, epoll, events: Vec::with_capacity(EVENTS_PER_WAIT), sleep })
    }

    /// Watches a socket for both directions; `key` comes back with its events.
    ///
    /// # Errors
    /// The system cannot watch it.
    pub fn add(&self, fd: impl AsFd, key: usize) -> Result<()> {
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::ET;
        epoll::add(&self.epoll, fd, EventData::new_u64(key as u64), flags).map_err(failed("epoll_ctl"))
    }

    /// Waits for at most `timeout_ms` and adds the keys of what is ready to `ready`.
    ///
    /// # Errors
    /// The wait failed for another reason than a signal.
    pub fn wait(&mut self, timeout_ms: Option<u32>, ready: &mut Vec<usize>) -> Result<()> {
        let timeout =
            timeout_ms.map(|ms| Timespec { tv_sec: i64::from(ms / 1000), tv_nsec: i64::from(ms % 1000) * 1_000_000 });
        self.events.clear();
        match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut self.events), timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(failed("epoll_wait")(error)),
        }
        ready.extend(self.events.iter().map(|event| { event.data }.u64() as usize));
        Ok(())
    }

    /// Waits until something is ready. Awake, unless made to sleep: the server then never pays for waking us.
    ///
    /// # Errors
    /// Nothing is ready for ten seconds.
    pub fn wait_for_any(&mut self, ready: &mut Vec<usize>) -> Result<()> {
        let pause_ms = if self.sleep { PATIENCE_MS } else { 0 };
        self.wait(Some(pause_ms), ready)?;
        if !ready.is_empty() {
            return Ok(());
        }
        let (begun, deadline) = (own_ns(), Instant::now() + Duration::from_millis(PATIENCE_MS.into()));
        while ready.is_empty() {
            if self.sleep || Instant::now() > deadline {
                return Err(format!("nothing came for {} s", PATIENCE_MS / 1000));
            }
            self.wait(Some(0), ready)?;
        }
        self.idle_ns += own_ns() - begun;
        Ok(())
    }
}

/// Opens a listening socket on 127.0.0.1.
///
/// # Errors
/// The port is taken.
pub fn listen(port: u16) -> Result<OwnedFd> {
    let fd = net::socket(AddressFamily::INET, SocketType::STREAM, None).map_err(failed("socket"))?;
    sockopt::set_socket_reuseaddr(&fd, true).map_err(failed("SO_REUSEADDR"))?;
    net::bind(&fd, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)).map_err(failed("bind"))?;
    net::listen(&fd, LISTEN_BACKLOG).map_err(failed("listen"))?;
    rustix::io::ioctl_fionbio(&fd, true).map_err(failed("FIONBIO"))?;
    Ok(fd)
}

/// Connects to 127.0.0.1, from one of several loopback addresses so that ports do not run out.
///
/// # Errors
/// Nobody listens there.
pub fn connect(port: u16, turn: usize) -> Result<OwnedFd> {
    let fd = net::socket(AddressFamily::INET, SocketType::STREAM, None).map_err(failed("socket"))?;
    sockopt::set_tcp_nodelay(&fd, true).map_err(failed("TCP_NODELAY"))?;
    for way in [Timeout::Recv, Timeout::Send] {
        sockopt::set_socket_timeout(&fd, way, Some(CONNECT_TIMEOUT)).map_err(failed("SO_RCVTIMEO"))?;
    }
    let source = Ipv4Addr::new(127, 0, 0, 2 + (turn % SOURCE_ADDRESSES) as u8);
    net::bind(&fd, &SocketAddrV4::new(source, 0)).map_err(failed("bind"))?;
    net::connect(&fd, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)).map_err(failed("connect"))?;
    Ok(fd)
}

/// Sends what the socket takes now: 0 where it takes nothing.
///
/// # Errors
/// The connection is broken.
pub fn send(fd: &OwnedFd, bytes: &[u8]) -> Result<usize> {
    match net::send(fd, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
        Err(Errno::AGAIN) => Ok(0),
        other => other.map_err(failed("send")),
    }
}

/// Receives what is there: `None` where there is nothing, 0 bytes at the end.
///
/// # Errors
/// The connection is broken.
pub fn receive(fd: &OwnedFd, buffer: &mut [u8]) -> Result<Option<usize>> {
    match net::recv(fd, buffer, RecvFlags::DONTWAIT) {
        Ok((count, _)) => Ok(Some(count)),
        Err(Errno::AGAIN) => Ok(None),
        Err(error) => Err(failed("recv")(error)),
    }
}

/// The request that opens a WebSocket.
#[must_use]
pub fn request(port: u16, fanout: bool) -> String {
    let subprotocol = if fanout { format!("Sec-WebSocket-Protocol: {FANOUT}\r\n") } else { String::new() };
    format!(
        "GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n{subprotocol}\r\n"
    )
}

/// Checks a complete response to [`request`].
///
/// # Errors
/// It is not a 101 with the right accept value.
pub fn check_response(head: &[u8]) -> Result<()> {
    let text = String::from_utf8_lossy(head);
    if text.starts_with("HTTP/1.1 101 ") && text.contains(ACCEPT) {
        return Ok(());
    }
    Err(format!("the handshake was answered with {:?}", text.lines().next().unwrap_or("")))
}
