//! What the connections of one context share: the table of connections, the memory budget, what they queue in a turn,
//! and the poller.

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

// After so many connections have been read, what they queued is sent.
const ANSWERS_AT_ONCE: usize = 64;

/// The sockets of a context, and what they share.
#[derive(Default)]
pub struct Hub {
    // The connections; the index is the descriptor.
    wires: Vec<Option<Box<Wire>>>,
    // The limits of connections that do not speak WebSocket yet.
    limits: Limits,
    /// How many bytes unfinished messages hold, and may hold.
    pub budget: Budget,
    /// What connections have queued in this turn, and what they have sent.
    pub output: Output,
    /// How much connections have received.
    pub received: Traffic,
    /// How long turns take.
    pub turns: Turns,
    // The connections whose messages were handed to Lua in this batch, in the order in which they were read.
    reading: Vec<i32>,
    // Whether Lua has got all messages of those connections.
    is_delivered: bool,
    // So many connections at the front of `output.touched` have sent already, and stay listed only for their report.
    kept: usize,
    /// What waits for descriptors; `None` once the hub is closed.
    pub poll: Option<Poll>,
    // The reports of the last flush, the first one last.
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

    /// Makes room for one more connection, with this descriptor. After that, the lists that grow with the number of
    /// connections need no memory for it any more.
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

    /// Takes a connected, non-blocking socket; its descriptor names the connection from now on. `bytes` have been
    /// received from it already. `is_foreign`: Nagle's delay may be on; it is off, on Linux, for sockets that a
    /// listening socket of ours accepts. `None` if `make_room` was not called for it.
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

    /// Does something with a connection. Gives the default if it is closed.
    pub fn with<R: Default>(&mut self, fd: i32, work: impl FnOnce(&mut Wire, &mut Output) -> R) -> R {
        self.at(fd).map_or_else(R::default, |(wire, output, _)| work(wire, output))
    }

    /// Begins a batch of reading. Lua must have delivered the batch before; `end_batch` must follow when Lua has got
    /// all messages of the new one.
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

    /// Notes that Lua has got all messages that were read since `begin_batch`.
    pub fn end_batch(&mut self) {
        self.is_delivered = true;
    }

    fn forget_batch(&mut self) {
        let mut reading = mem::take(&mut self.reading);
        if !self.is_delivered {
            // An error came while the messages of the last connection were handed to Lua. They are lost, so this
            // connection stays marked and is not read again.
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
        // Bytes that wait here unread have been counted already.
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

    /// Tells how many bytes of the budget the unfinished message of a connection holds, and how much of it has come.
    pub fn unfinished(&mut self, fd: i32) -> (u64, u64) {
        self.at(fd).map_or((0, 0), |(wire, _, budget)| wire.incoming.unfinished(budget))
    }

    /// Stops reading messages of a connection for good, and frees what its unfinished one holds.
    pub fn release(&mut self, fd: i32) {
        if let Some((wire, _, budget)) = self.at(fd) {
            wire.incoming.release(budget);
        }
    }

    /// Queues a message on many connections, named by descriptor. Returns the positions of those that had no room, the
    /// first being 1; with `is_careful` also of those whose sockets take nothing at the moment. A connection for which
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
        // A socket that is still here has no Lua object, because an error came before it was made: it is closed.
        self.opened = None;
        self.turns.mark();
        self.forget_batch();
        self.send_touched();
        // Without memory for the reports, everything is told by the next flush.
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

    /// Gives the next report of the last flush, with the descriptor of its connection. Gives the same one again until
    /// `forget_report` is called.
    pub fn next_report(&mut self) -> Option<(i32, Report)> {
        self.reports.last().copied()
    }

    /// Removes the report that `next_report` gave: Lua has it.
    pub fn forget_report(&mut self) {
        self.reports.pop();
    }

    /// Watches a connection: for new bytes always, for room to send only with `write`.
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

    /// Gives the next descriptor that the last wait found. Gives the same one again until `advance` is called.
    pub fn next_ready(&mut self, is_side: bool) -> Option<Ready> {
        let ready = self.poll.as_mut()?.part(is_side)?.next_ready()?;
        if ready.has_ended && !is_side {
            self.with(ready.fd, |wire, _| wire.incoming.has_ended = true);
        }
        Some(ready)
    }

    /// Removes the descriptor that `next_ready` gave, because Lua has it, and gives the one after it.
    pub fn advance(&mut self, is_side: bool) -> Option<Ready> {
        self.poll.as_mut()?.part(is_side)?.advance();
        self.next_ready(is_side)
    }

    /// Ends a connection and gives back what it held.
    pub fn close(&mut self, fd: i32) {
        self.remove(fd);
    }

    /// Removes a connection and gives its descriptor, which stays open and is not watched any more.
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
