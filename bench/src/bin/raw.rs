//! The limit of the machine: a server that knows the length of every message and looks at none of them. It makes
//! one `recv` for a readable socket and one `send` for all answers due, or one `send` to each recipient.

use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{accept_with, sockopt, SocketFlags};
use websockets_bench::args::Args;
use websockets_bench::frame::header;
use websockets_bench::net::{failed, listen, raise_file_limit, receive, send, Poll};
use websockets_bench::{Result, ACCEPT, FANOUT, RECEIVE_BYTES};

const LISTENER: usize = usize::MAX;

struct Connection {
    fd: OwnedFd,
    open: bool,
    received: usize,
    /// Bytes that are due, and the place in an answer where they begin.
    due: usize,
    position: usize,
}

struct Server {
    request_bytes: usize,
    reply_bytes: usize,
    replies: Vec<u8>,
    fanout: bool,
    listener: OwnedFd,
    poll: Poll,
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    recipients: Vec<usize>,
    buffer: Vec<u8>,
}

impl Server {
    fn new(args: &Args) -> Result<Self> {
        let payload_bytes = args.get("bytes", 64)?;
        let opcode = if args.has("binary") { 2 } else { 1 };
        let request_bytes = header(opcode, payload_bytes, true).len() + 4 + payload_bytes;
        let mut reply = header(opcode, payload_bytes, false);
        reply.resize(reply.len() + payload_bytes, b'x');
        let listener = listen(args.get("port", 0)?)?;
        let poll = Poll::new(true)?;
        poll.add(&listener, LISTENER)?;
        Ok(Self {
            request_bytes,
            reply_bytes: reply.len(),
            replies: reply.repeat(2 + 2 * RECEIVE_BYTES / reply.len()),
            fanout: args.has("fanout"),
            listener,
            poll,
            connections: Vec::new(),
            free: Vec::new(),
            recipients: Vec::new(),
            buffer: vec![0; RECEIVE_BYTES],
        })
    }

    fn run(&mut self) -> Result<()> {
        let mut ready = Vec::new();
        loop {
            self.poll.wait(None, &mut ready)?;
            for key in ready.drain(..) {
                if key == LISTENER {
                    self.accept()?;
                } else if self.serve(key).is_err() {
                    self.connections[key] = None;
                    self.free.push(key);
                    self.recipients.retain(|other| *other != key);
                }
            }
        }
    }

    fn accept(&mut self) -> Result<()> {
        loop {
            let fd = match accept_with(&self.listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
                Ok(fd) => fd,
                Err(Errno::AGAIN | Errno::CONNABORTED | Errno::MFILE) => return Ok(()),
                Err(error) => return Err(failed("accept")(error)),
            };
            sockopt::set_tcp_nodelay(&fd, true).map_err(failed("TCP_NODELAY"))?;
            let key = self.free.pop().unwrap_or(self.connections.len());
            self.poll.add(&fd, key)?;
            let connection = Connection { fd, open: false, received: 0, due: 0, position: 0 };
            if key == self.connections.len() {
                self.connections.push(None);
            }
            self.connections[key] = Some(connection);
        }
    }

    fn serve(&mut self, key: usize) -> Result<()> {
        let Some(connection) = &mut self.connections[key] else { return Ok(()) };
        if connection.due > 0 {
            flush(connection, &self.replies, self.reply_bytes)?;
        }
        loop {
            let Some(connection) = &mut self.connections[key] else { return Ok(()) };
            let Some(count) = receive(&connection.fd, &mut self.buffer)? else { return Ok(()) };
            if count == 0 {
                return Err("closed".into());
            }
            if !connection.open {
                return self.open(key, count);
            }
            connection.received += count;
            let messages = connection.received / self.request_bytes;
            connection.received %= self.request_bytes;
            if messages > 0 {
                self.answer(key, messages)?;
            }
            if count < self.buffer.len() {
                return Ok(());
            }
        }
    }

    /// Answers a request that came in one piece, as those of the generator do.
    fn open(&mut self, key: usize, count: usize) -> Result<()> {
        let Some(connection) = &mut self.connections[key] else { return Ok(()) };
        let subprotocol = format!("Sec-WebSocket-Protocol: {FANOUT}\r\n");
        let head = String::from_utf8_lossy(&self.buffer[..count]);
        let chosen = if head.contains(&subprotocol) { subprotocol.as_str() } else { "" };
        let response = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {ACCEPT}\r\n{chosen}\r\n"
        );
        send(&connection.fd, response.as_bytes())?;
        connection.open = true;
        if !chosen.is_empty() {
            self.recipients.push(key);
        }
        Ok(())
    }

    fn answer(&mut self, key: usize, messages: usize) -> Result<()> {
        let one = [key];
        let recipients = if self.fanout { &self.recipients[..] } else { &one[..] };
        for recipient in recipients {
            if let Some(connection) = &mut self.connections[*recipient] {
                connection.due += messages * self.reply_bytes;
                flush(connection, &self.replies, self.reply_bytes)?;
            }
        }
        Ok(())
    }
}

/// Sends what is due, as far as the socket takes it.
fn flush(connection: &mut Connection, replies: &[u8], reply_bytes: usize) -> Result<()> {
    while connection.due > 0 {
        let end = replies.len().min(connection.position + connection.due);
        let sent = send(&connection.fd, &replies[connection.position..end])?;
        let all = connection.position + sent == end;
        connection.due -= sent;
        connection.position = (connection.position + sent) % reply_bytes;
        if !all {
            break;
        }
    }
    Ok(())
}

fn main() {
    let known = ["port", "bytes", "binary", "fanout"];
    raise_file_limit();
    let ended = Args::parse(std::env::args().skip(1), &known).and_then(|args| Server::new(&args)?.run());
    if let Err(message) = ended {
        eprintln!("{message}");
        std::process::exit(1);
    }
}
