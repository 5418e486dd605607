//! What the connections of one context share: descriptors, budget, the turn's log, waiting.

use std::mem;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::{event::epoll::EventFlags, io::Errno, net::sockopt::set_tcp_nodelay};

use crate::budget::Budget;
use crate::counts::{Traffic, Turns};
use crate::fanout::Fanout;
use crate::frame::Frame;
use crate::input::{Delivery, Reading};
use crate::memory::{self, Lacking};
use crate::output::{Limits, Output, Report, Wire};
use crate::poll::{Poll, Ready, READ};
use crate::segment::Copies;

// How many connections are read before what they queued is sent.
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
    /// What they have received.
    pub received: Traffic,
    /// How long turns take.
    pub turns: Turns,
    // The connections of which Lua has messages at the moment, in the order in which they were read.
    reading: Vec<i32>,
    // Whether Lua has all messages of those connections.
    is_delivered: bool,
    // How many connections at the front of `output.touched` were sent what they had, and are listed for a report.
    kept: usize,
    /// Which descriptors are ready; `None` once closed.
    pub poll: Option<Poll>,
    // What the last flush has to tell, in reverse order.
    reports: Vec<(i32, Report)>,
    /// A connection that has been accepted, until Lua has an object for it.
    pub accepted: Option<OwnedFd>,
    /// A socket that this side has opened, until Lua has an object for it.
    pub opened: Option<OwnedFd>,
}

impl Hub {
    /// Makes an empty hub.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn new(limits: Limits, max_unfinished_bytes: u64) -> Result<Hub, Errno> {
        let budget = Budget { used: 0, limit: max_unfinished_bytes };
        Ok(Hub { limits, budget, poll: Some(Poll::new()?), ..Hub::default() })
    }

    /// Makes room for one more connection, with this number: then nothing that grows with the number of connections
    /// needs memory later.
    ///
    /// # Errors
    /// There is no memory.
    pub fn make_room(&mut self, fd: i32) -> Result<(), Lacking> {
        let count = fd as usize + 1;
        memory::reach(&mut self.wires, count)?;
        if self.wires.len() < count {
            self.wires.resize_with(count, || None);
        }
        memory::reach(&mut self.reading, count)?;
        memory::reach(&mut self.output.touched, count)
    }

    /// Takes a connected, non-blocking socket; its number names the connection from now on. `bytes` were received
    /// elsewhere. `is_foreign` tells that it may have Nagle's delay: on Linux, sockets that a listening socket of
    /// ours accepts have none. `None` where `make_room` has not been asked.
    pub fn adopt(&mut self, fd: OwnedFd, bytes: &[u8], is_foreign: bool) -> Option<i32> {
        if is_foreign || !cfg!(target_os = "linux") {
            // Other kinds of sockets have no such delay, and refuse.
            let _ = set_tcp_nodelay(&fd, true);
        }
        self.received.bytes += bytes.len() as u64;
        let number = fd.as_raw_fd();
        *self.wires.get_mut(number as usize)? = Some(Box::new(Wire::new(fd, self.limits, bytes)));
        Some(number)
    }

    fn at(&mut self, fd: i32) -> Option<(&mut Wire, &mut Output, &mut Budget)> {
        let slot = usize::try_from(fd).ok()?;
        let wire = self.wires.get_mut(slot)?.as_deref_mut()?;
        Some((wire, &mut self.output, &mut self.budget))
    }

    /// Does something with a connection; gives the default where it is closed.
    pub fn with<R: Default>(&mut self, fd: i32, work: impl FnOnce(&mut Wire, &mut Output) -> R) -> R {
        self.at(fd).map_or_else(R::default, |(wire, output, _)| work(wire, output))
    }

    /// Begins reading. Lua is done with the messages of the batch before; `end_batch` must follow when it has all of
    /// the new one.
    pub fn begin_batch(&mut self) {
        self.forget_batch();
        self.is_delivered = false;
        self.output.is_in_turn = true;
        self.turns.begin_unless_begun();
        // Where each connection only answers its own messages, answers are sent a few at a time, while the processor
        // still has these connections and the code in its cache. Where connections write to each other, more may come
        // that can be sent in the same call.
        let has_many = self.output.touched.len() >= self.kept + ANSWERS_AT_ONCE;
        if has_many && !self.output.is_crossing {
            self.send_touched();
        }
    }

    /// Takes note that Lua has all messages that were read since `begin_batch`.
    pub fn end_batch(&mut self) {
        self.is_delivered = true;
    }

    fn forget_batch(&mut self) {
        let mut reading = mem::take(&mut self.reading);
        if !self.is_delivered {
            // An error came while Lua was given the last one's messages: they are lost, so it stays marked and is not
            // read again.
            reading.pop();
        }
        for fd in reading.drain(..) {
            self.with(fd, |wire, _| wire.incoming.is_delivering = false);
        }
        self.reading = reading;
    }

    /// Receives bytes as they are. Returns them, and whether more may be here already.
    ///
    /// # Errors
    /// Those of `Incoming::receive`.
    pub fn receive(&mut self, fd: i32) -> Result<(Vec<u8>, bool), Errno> {
        let Some((wire, ..)) = self.at(fd) else { return Err(Errno::PIPE) };
        // Those that are here already have been counted.
        let is_new = !wire.incoming.has_unread;
        let received = wire.incoming.receive(&wire.fd)?;
        if is_new {
            self.received.bytes += received.0.len() as u64;
        }
        Ok(received)
    }

    /// Receives, and reads every whole message.
    pub fn read(&mut self, fd: i32, delivery: &mut Delivery) -> Reading {
        let Some((wire, _, budget)) = self.at(fd) else { return Reading::default() };
        let result = wire.incoming.read(&wire.fd, delivery, budget);
        let has_news = mem::take(&mut wire.incoming.has_news);
        self.received.bytes += mem::take(&mut delivery.received);
        self.received.messages += delivery.messages();
        if result.is_ok() {
            self.reading.push(fd);
        }
        Reading { result, has_news }
    }

    /// Tells how many bytes of the budget the unfinished message of a connection holds, and how far it has come.
    pub fn unfinished(&mut self, fd: i32) -> (u64, u64) {
        self.at(fd).map_or((0, 0), |(wire, _, budget)| wire.incoming.unfinished(budget))
    }

    /// Reads no messages of a connection any more, and gives back what its unfinished one holds.
    pub fn release(&mut self, fd: i32) {
        if let Some((wire, _, budget)) = self.at(fd) {
            wire.incoming.release(budget);
        }
    }

    /// Queues a message on many connections, named by descriptor. Returns the positions of those that had no room, the
    /// first being 1; with `is_careful` also of those whose sockets do not take what waits. A connection for which
    /// there is no memory breaks.
    ///
    /// # Errors
    /// There is no memory for the message itself, which none that could share it has got.
    pub fn fan_out(&mut self, fds: &[i32], frame: Frame<'_>, is_careful: bool) -> Result<Vec<usize>, Lacking> {
        self.output.is_crossing = true;
        let mut fanout = Fanout::default();
        let mut full = memory::with_capacity(fds.len())?;
        for (index, &fd) in fds.iter().enumerate() {
            let Some((wire, output, _)) = self.at(fd) else { continue };
            let queue = &wire.out.queue;
            let waits = is_careful && queue.is_blocked && queue.size > 0;
            if waits || fanout.push(output, wire, frame).inspect_err(|_| fanout.count(output))?.is_some() {
                full.push(index + 1);
            }
        }
        fanout.count(&mut self.output);
        Ok(full)
    }

    // Sends what was queued in this turn. Only connections that need a report stay listed.
    fn send_touched(&mut self) {
        let mut touched = mem::take(&mut self.output.touched);
        touched.retain(|&fd| {
            self.with(fd, |wire, output| {
                output.send(wire);
                wire.out.is_listed = wire.out.must_report();
                wire.out.is_listed
            })
        });
        self.kept = touched.len();
        self.output.touched = touched;
    }

    /// Sends everything that was queued in this turn; `next_report` then tells of the connections that broke, that wait
    /// for their peer or no longer do, or that report every flush.
    pub fn flush(&mut self) {
        // An error of Lua's came before it had an object for this one.
        self.opened = None;
        self.turns.mark();
        self.forget_batch();
        self.send_touched();
        // Without memory for what there is to tell, all waits for the next flush.
        if memory::reserve(&mut self.reports, self.output.touched.len()).is_err() {
            return;
        }
        self.kept = 0;
        let mut copies = Copies::new();
        for fd in self.output.touched.drain(..).rev() {
            let Some(Some(wire)) = self.wires.get_mut(fd as usize) else { continue };
            wire.out.queue.settle(&self.output.log, &mut copies);
            wire.out.check();
            wire.out.is_listed = false;
            self.reports.push((fd, wire.out.report()));
        }
        self.output.end_turn();
    }

    /// Gives the next of what the last flush has to tell: the descriptor of a connection, and its report; the same one
    /// until `forget_report`.
    pub fn next_report(&mut self) -> Option<(i32, Report)> {
        self.reports.last().copied()
    }

    /// Takes note that Lua has the report.
    pub fn forget_report(&mut self) {
        self.reports.pop();
    }

    /// Watches a connection: for new bytes always, for room to send where `write` asks for it.
    pub fn watch(&mut self, fd: i32, write: bool) -> bool {
        let Some(Some(wire)) = self.wires.get_mut(fd as usize) else { return false };
        let mut interest = READ | EventFlags::ET;
        interest.set(EventFlags::OUT, write);
        let before = mem::replace(&mut wire.interest, interest);
        if before == interest {
            return true;
        }
        self.poll.as_ref().is_some_and(|poll| poll.watch(&wire.fd, interest))
    }

    /// Gives the next descriptor that the last wait found; the same one until `advance` of its poll.
    pub fn next_ready(&mut self, is_side: bool) -> Option<Ready> {
        let ready = self.poll.as_mut()?.part(is_side)?.next_ready()?;
        if ready.has_ended && !is_side {
            self.with(ready.fd, |wire, _| wire.incoming.has_ended = true);
        }
        Some(ready)
    }

    /// Takes note that Lua knows of the next descriptor, and gives the one after it.
    pub fn advance(&mut self, is_side: bool) -> Option<Ready> {
        self.poll.as_mut()?.part(is_side)?.advance();
        self.next_ready(is_side)
    }

    /// Ends a connection and gives back what it held.
    pub fn close(&mut self, fd: i32) {
        self.remove(fd);
    }

    /// Gives a connection up, but for its descriptor: that is watched no more.
    pub fn detach(&mut self, fd: i32) -> Option<OwnedFd> {
        let wire = self.remove(fd)?;
        self.poll.as_ref().map(|poll| poll.watch(&wire.fd, EventFlags::empty()));
        Some(wire.fd)
    }

    fn remove(&mut self, fd: i32) -> Option<Box<Wire>> {
        let (wire, output, budget) = self.at(fd)?;
        wire.incoming.release(budget);
        output.buffered -= wire.out.queue.size;
        if let Some(codec) = &wire.out.codec {
            codec.borrow_mut().release();
        }
        self.wires[fd as usize].take()
    }
}
