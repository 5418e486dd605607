//! The loads: echo, fan-out and handshakes.

use crate::frame::Frames;
use crate::link::Link;
use crate::net::{self, Poll};
use crate::reader::Reader;
use crate::window::{Measured, Plan, Window};
use crate::{tls, Result, RECEIVE_BYTES};
use rustix::fd::OwnedFd;

/// One connection of the load.
struct Peer {
    link: Link,
    reader: Reader,
    /// Messages that it may send beyond those of the current run.
    credit: usize,
    /// The run that is being sent: number of its first message, messages, bytes already sent.
    first: u32,
    run: usize,
    offset: usize,
}

impl Peer {
    /// Sends all that its credit allows and the socket takes; messages due together leave in one call.
    fn pump(&mut self, id: usize, frames: &mut Frames, in_flight: usize) -> Result<()> {
        self.link.flush()?;
        while self.run > 0 || self.credit > 0 {
            if self.run == 0 {
                self.run = self.credit.min(in_flight);
                self.credit -= self.run;
            }
            let bytes = frames.stamped(id, self.first, self.run);
            self.offset += self.link.send(&bytes[self.offset..])?;
            if self.offset < bytes.len() {
                return Ok(());
            }
            self.first = self.first.wrapping_add(self.run as u32);
            (self.run, self.offset) = (0, 0);
        }
        Ok(())
    }

    /// Receives what is there and gives the number of messages that it completed.
    fn drain(&mut self, buffer: &mut [u8], frames: &Frames, sender: Option<usize>) -> Result<usize> {
        let before = self.reader.messages;
        while let Some(count) = self.link.receive(buffer)? {
            if count == 0 {
                return Err("the server closed a connection".into());
            }
            self.reader.feed(&buffer[..count], frames, sender)?;
            if !self.link.may_have_more(count, buffer.len()) {
                break;
            }
        }
        Ok(self.reader.messages.wrapping_sub(before) as usize)
    }
}

/// What a load sends.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Connections.
    pub connections: usize,
    /// Messages on their way at a time: of each connection, or of the one that publishes.
    pub in_flight: usize,
    /// Bytes of a payload.
    pub payload_bytes: usize,
    /// The opcode, 1 or 2.
    pub opcode: u8,
    /// One connection publishes to all instead of each for itself.
    pub fanout: bool,
    /// Whether every message is the same.
    pub alike: bool,
    /// Whether the content is checked; a raw server sends only the right lengths.
    pub check_content: bool,
    /// Whether the generator sleeps until something is ready, and so must be woken by the server.
    pub sleep: bool,
    /// Whether the connections speak TLS.
    pub tls: bool,
}

/// Open connections and the messages to send on them.
pub struct Load {
    shape: Shape,
    poll: Poll,
    peers: Vec<Peer>,
    frames: Frames,
    buffer: Vec<u8>,
    messages: u64,
    started: bool,
}

impl Load {
    /// Opens the connections, one after the other.
    ///
    /// # Errors
    /// One of them cannot be opened.
    pub fn open(port: u16, shape: Shape) -> Result<Self> {
        let poll = Poll::new(shape.sleep)?;
        let config = shape.tls.then(tls::config).transpose()?;
        let mut peers = Vec::with_capacity(shape.connections);
        for id in 0..shape.connections {
            let link = Link::open(port, id, shape.fanout, config.as_ref())?;
            poll.add(&link, id)?;
            peers.push(Peer { link, reader: Reader::default(), credit: 0, first: 0, run: 0, offset: 0 });
        }
        let mut frames = Frames::new(shape.opcode, shape.payload_bytes, shape.in_flight);
        frames.alike = shape.alike;
        Ok(Self { shape, poll, peers, frames, buffer: vec![0; RECEIVE_BYTES], messages: 0, started: false })
    }

    /// Runs until the window is over; may be called again.
    ///
    /// # Errors
    /// A connection breaks, an answer is wrong, or nothing comes in time.
    pub fn run(&mut self, plan: Plan) -> Result<Measured> {
        if !self.started {
            self.started = true;
            let senders = if self.shape.fanout { 1 } else { self.peers.len() };
            for id in 0..senders {
                self.allow(id, self.shape.in_flight)?;
            }
        }
        let mut window = Window::new(plan);
        let mut ready = Vec::new();
        loop {
            self.poll.wait_for_any(&mut ready)?;
            for id in ready.drain(..) {
                self.serve(id)?;
            }
            if let Some(measured) = window.tick(self.messages, self.poll.idle_ns)? {
                return Ok(measured);
            }
        }
    }

    fn allow(&mut self, id: usize, count: usize) -> Result<()> {
        self.peers[id].credit += count;
        self.peers[id].pump(id, &mut self.frames, self.shape.in_flight)
    }

    fn serve(&mut self, id: usize) -> Result<()> {
        let sender = if self.shape.fanout { 0 } else { id };
        let sender = self.shape.check_content.then_some(sender);
        let count = self.peers[id].drain(&mut self.buffer, &self.frames, sender)?;
        self.messages += count as u64;
        if !self.shape.fanout {
            return self.allow(id, count);
        }
        let round = (self.shape.in_flight * self.peers.len()) as u64;
        if count > 0 && self.messages.is_multiple_of(round) {
            self.allow(0, self.shape.in_flight)?;
        }
        self.allow(id, 0)
    }
}

/// A connection on its way to being open.
struct Opening {
    fd: OwnedFd,
    head: Vec<u8>,
}

/// Opens WebSockets and closes them as soon as they are open, `at_a_time` in parallel.
///
/// # Errors
/// A handshake fails, or none is answered in time.
pub fn handshakes(port: u16, at_a_time: usize, sleep: bool, plan: Plan) -> Result<Measured> {
    let mut poll = Poll::new(sleep)?;
    let request = net::request(port, false);
    let mut turn = 0;
    let mut begin = |poll: &Poll, slot: usize| -> Result<Opening> {
        turn += 1;
        let fd = net::connect(port, turn)?;
        net::send(&fd, request.as_bytes())?;
        poll.add(&fd, slot)?;
        Ok(Opening { fd, head: Vec::new() })
    };
    let mut slots = (0..at_a_time).map(|slot| begin(&poll, slot)).collect::<Result<Vec<_>>>()?;
    let (mut window, mut ready, mut done) = (Window::new(plan), Vec::new(), 0);
    loop {
        poll.wait_for_any(&mut ready)?;
        for slot in ready.drain(..) {
            if is_open(&mut slots[slot])? {
                done += 1;
                slots[slot] = begin(&poll, slot)?;
            }
        }
        if let Some(measured) = window.tick(done, poll.idle_ns)? {
            return Ok(measured);
        }
    }
}

fn is_open(opening: &mut Opening) -> Result<bool> {
    let mut buffer = [0; 2048];
    while let Some(count) = net::receive(&opening.fd, &mut buffer)? {
        if count == 0 {
            return Err("the server closed a connection during the handshake".into());
        }
        opening.head.extend_from_slice(&buffer[..count]);
        if opening.head.ends_with(b"\r\n\r\n") {
            net::check_response(&opening.head)?;
            return Ok(true);
        }
    }
    Ok(false)
}
