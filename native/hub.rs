//! What the connections of one context share: descriptors, budget, the turn's log, waiting.

use std::os::fd::{AsRawFd, OwnedFd};

use rustix::{event::epoll::EventFlags, io::Errno, net::sockopt::set_tcp_nodelay};

use crate::output::{Frame, Limits, Output, Report, Wire};
use crate::poll::{Poll, ENDED, READ};
use crate::{input::Delivery, reader::Budget};

// How many connections are answered before others are read.
const ANSWERS_AT_ONCE: usize = 64;

/// Everything that a context knows of sockets.
#[derive(Default)]
pub struct Hub {
    // By descriptor.
    wires: Vec<Option<Box<Wire>>>,
    // Those of connections that do not speak WebSocket yet.
    limits: Limits,
    /// What unfinished messages hold.
    pub budget: Budget,
    /// What connections send.
    pub output: Output,
    // Whose messages Lua has at the moment.
    reading: Vec<i32>,
    /// Whether it has got them all.
    pub is_delivered: bool,
    // How many of those that queued something have been sent it this turn, and have more to be said of them.
    kept: usize,
    /// Who is ready; `None` once closed.
    pub poll: Option<Poll>,
    /// What the last flush has to tell, the first being the last.
    pub reports: Vec<(i32, Report)>,
}

impl Hub {
    /// Makes an empty one.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn new(limits: Limits, unfinished: u64) -> Result<Hub, Errno> {
        let budget = Budget { used: 0, limit: unfinished };
        Ok(Hub { limits, budget, poll: Some(Poll::new()?), ..Hub::default() })
    }

    /// Takes a connected, non-blocking socket, which sends without Nagle's delay where it knows one; its number names
    /// it from now on. `bytes` were received by somebody else. What a listening socket of ours accepts is not
    /// `is_foreign`: on Linux it is without that delay already.
    pub fn adopt(&mut self, fd: OwnedFd, bytes: &[u8], is_foreign: bool) -> i32 {
        let _ = (is_foreign || !cfg!(target_os = "linux")) && set_tcp_nodelay(&fd, true).is_ok();
        let number = fd.as_raw_fd();
        let slot = number as usize;
        self.wires.resize_with(self.wires.len().max(slot + 1), || None);
        self.wires[slot] = Some(Box::new(Wire::new(fd, self.limits, bytes)));
        number
    }

    fn at(&mut self, fd: i32) -> Option<(&mut Wire, &mut Output, &mut Budget)> {
        let wire = self.wires.get_mut(usize::try_from(fd).ok()?)?.as_deref_mut()?;
        Some((wire, &mut self.output, &mut self.budget))
    }

    /// Does something with a connection, if it is still there.
    pub fn with<R: Default>(&mut self, fd: i32, work: impl FnOnce(&mut Wire, &mut Output) -> R) -> R {
        self.at(fd).map_or_else(R::default, |(wire, output, _)| work(wire, output))
    }

    fn end_batch(&mut self) {
        let mut reading = std::mem::take(&mut self.reading);
        // What was lost on its way to Lua is the last one's: it cannot be read again.
        reading.truncate(reading.len().saturating_sub(usize::from(!self.is_delivered)));
        reading.drain(..).for_each(|fd| self.with(fd, |wire, _| wire.incoming.is_delivering = false));
        self.reading = reading;
    }

    /// Begins reading; the messages of the batch before are Lua's. `is_delivered` must follow when it has these.
    pub fn begin_batch(&mut self) {
        self.end_batch();
        (self.is_delivered, self.output.is_in_turn) = (false, true);
        // Where everybody only answers for himself, answers leave a few at a time, while the processor still has these
        // connections and the code at hand. Where connections write to each other, more may come that leaves in the same
        // call.
        if self.output.touched.len() >= self.kept + ANSWERS_AT_ONCE && !self.output.is_crossing {
            self.send_touched();
        }
    }

    /// Receives, and reads every whole message. Returns whether more may be here already.
    ///
    /// # Errors
    /// `AGAIN` where nothing is there, or nothing whole.
    pub fn read(&mut self, fd: i32, delivery: &mut Delivery) -> Result<bool, Errno> {
        let Some((wire, _, budget)) = self.at(fd) else { return Err(Errno::PIPE) };
        wire.incoming.read(&wire.fd, delivery, budget).inspect(|_| self.reading.push(fd))
    }

    /// Queues the message of a fan-out on connections, named by descriptor. Returns the places of those that had no
    /// room, the first being 1.
    pub fn fan_out(&mut self, fds: impl Iterator<Item = i32>, frame: Frame<'_>) -> Vec<usize> {
        self.output.is_crossing = true;
        let mut fanouts = Vec::new();
        let mut is_refused = |fd| self.with(fd, |wire, output| output.fan_out(wire, &mut fanouts, frame)).is_some();
        (1..).zip(fds).filter(|&(_, fd)| is_refused(fd)).map(|(place, _)| place).collect()
    }

    // Sends what was queued this turn. Only those stay listed of whom more is to be said.
    fn send_touched(&mut self) {
        let mut touched = std::mem::take(&mut self.output.touched);
        touched.retain(|&fd| {
            let Some((wire, output, _)) = self.at(fd) else { return false };
            output.send(wire);
            let out = &mut wire.out;
            out.is_listed = out.wants_attention || out.is_told || out.fault.is_some() || out.queue.size > 0;
            out.is_listed
        });
        (self.kept, self.output.touched) = (touched.len(), touched);
    }

    /// Sends everything that was queued this turn. `reports` has the connections that broke, that wait for their peer or
    /// do so no more, or that asked for attention.
    pub fn flush(&mut self) {
        self.end_batch();
        self.send_touched();
        self.kept = 0;
        let Hub { wires, output, reports, .. } = self;
        for fd in output.touched.drain(..).rev() {
            let Some(Some(wire)) = wires.get_mut(fd as usize) else { continue };
            wire.out.queue.settle(&output.log);
            wire.out.is_listed = false;
            reports.push((fd, wire.out.report()));
        }
        output.end_turn();
    }

    /// Watches a connection: for new bytes always, for room to send where it is asked for.
    pub fn watch(&mut self, fd: i32, write: bool) -> bool {
        let Some(Some(wire)) = self.wires.get_mut(fd as usize) else { return false };
        let mut interest = READ | EventFlags::ET;
        interest.set(EventFlags::OUT, write);
        let before = std::mem::replace(&mut wire.interest, interest);
        before == interest || self.poll.as_ref().is_some_and(|poll| poll.watch(&wire.fd, interest))
    }

    /// Takes one of those that the last wait found: its descriptor, whether bytes, a connection or an end can be had,
    /// whether bytes can be sent. The timer's is -1.
    pub fn next_ready(&mut self, is_side: bool) -> Option<(i32, bool, bool)> {
        let event = self.poll.as_mut()?.part(is_side)?.events.pop()?;
        let (fd, flags) = (event.data.u64() as i32, event.flags);
        let has_ended = flags.intersects(ENDED);
        if has_ended && !is_side {
            self.with(fd, |wire, _| wire.incoming.has_ended = true);
        }
        Some((fd, has_ended || flags.contains(EventFlags::IN), has_ended || flags.contains(EventFlags::OUT)))
    }

    /// Ends a connection and gives back what it held.
    pub fn close(&mut self, fd: i32) {
        if let Some((wire, output, budget)) = self.at(fd) {
            wire.incoming.release(budget);
            output.buffered -= wire.out.queue.size;
            wire.out.codec.iter().for_each(|codec| codec.borrow_mut().release());
            self.wires[fd as usize] = None;
        }
    }
}
