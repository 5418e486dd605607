//! What the connections of one context share: descriptors, budget, the turn's log, waiting.

use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use crate::header::Rules;
use crate::input::{Delivery, Incoming};
use crate::net::{self, Fault};
use crate::output::{Fanout, Frame, Limits, Outgoing, Output, Refused};
use crate::poll::{Interest, Poll};
use crate::queue::Held;
use crate::reader::Budget;

const ACCEPTS_A_CALL: usize = 64;

struct Wire {
    fd: OwnedFd,
    incoming: Incoming,
    outgoing: Outgoing,
    interest: Option<Interest>,
}

/// What Lua hears of a connection after a flush.
#[derive(Clone, Copy)]
pub struct Report {
    /// Its descriptor.
    pub fd: i32,
    /// Bytes that still wait, or how it broke.
    pub pending: Result<usize, Fault>,
    /// Whether any byte was taken.
    pub took: bool,
}

/// Everything that a context knows of sockets.
pub struct Hub {
    // By descriptor.
    wires: Vec<Option<Box<Wire>>>,
    /// What unfinished messages hold.
    pub budget: Budget,
    output: Output,
    /// Who is ready.
    pub poll: Poll,
    // For outside loops that watch for reading only: readable when a full socket takes bytes again, or a timer is due.
    side: Option<Poll>,
    /// What the last flush has to tell.
    pub reports: Vec<Report>,
    /// What the last `accept` found.
    pub accepted: Vec<i32>,
    /// Who was full at the last fan-out.
    pub troubled: Vec<usize>,
}

impl Hub {
    /// Makes an empty one.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn new(limits: Limits, unfinished: u64) -> Result<Hub, rustix::io::Errno> {
        Ok(Hub {
            wires: Vec::new(),
            budget: Budget { used: 0, limit: unfinished },
            output: Output::new(limits),
            poll: Poll::new()?,
            side: None,
            reports: Vec::new(),
            accepted: Vec::new(),
            troubled: Vec::new(),
        })
    }

    /// Takes a connected, non-blocking socket; its number names it from now on.
    pub fn adopt(&mut self, fd: OwnedFd) -> i32 {
        let number = fd.as_raw_fd();
        let slot = number as usize;
        if self.wires.len() <= slot {
            self.wires.resize_with(slot + 1, || None);
        }
        let mut outgoing = Outgoing::default();
        outgoing.wants_attention = true;
        self.wires[slot] = Some(Box::new(Wire { fd, incoming: Incoming::default(), outgoing, interest: None }));
        number
    }

    /// Accepts what waits, so many a call; `accepted` has the numbers. Returns why it stopped.
    pub fn accept(&mut self, listener: BorrowedFd<'_>) -> Option<Fault> {
        self.accepted.clear();
        for _ in 0..ACCEPTS_A_CALL {
            match net::accept(listener) {
                Ok(fd) => {
                    let number = self.adopt(fd);
                    self.accepted.push(number);
                }
                // The peer has gone again.
                Err(Fault::Closed | Fault::Reset) => {}
                Err(fault) => return Some(fault),
            }
        }
        None
    }

    fn wire(&mut self, fd: i32) -> Option<&mut Wire> {
        self.wires.get_mut(usize::try_from(fd).ok()?)?.as_deref_mut()
    }

    /// Receives bytes as they are.
    ///
    /// # Errors
    /// `Timeout` where nothing is there.
    pub fn receive(&mut self, fd: i32, target: &mut Vec<u8>) -> Result<bool, Fault> {
        let wire = self.wire(fd).ok_or(Fault::Closed)?;
        wire.incoming.receive(&wire.fd, target)
    }

    /// Puts bytes back that somebody else has received.
    pub fn unread(&mut self, fd: i32, bytes: &[u8]) {
        if let Some(wire) = self.wire(fd) {
            wire.incoming.unread(bytes);
        }
    }

    /// From here on a connection speaks WebSocket.
    pub fn start(&mut self, fd: i32, rules: Rules, limits: Limits, leftover: &[u8]) {
        if let Some(Some(wire)) = self.wires.get_mut(fd as usize) {
            self.output.set_limits(&mut wire.outgoing, limits);
            wire.incoming.start(rules, leftover);
            wire.outgoing.is_client = !rules.is_server;
            wire.outgoing.wants_attention = false;
        }
    }

    /// Receives once and reads every whole message; `delivered` must follow when Lua has them.
    ///
    /// # Errors
    /// `Timeout` where nothing is there.
    pub fn read(&mut self, fd: i32, delivery: &mut Delivery) -> Result<bool, Fault> {
        let Some(Some(wire)) = self.wires.get_mut(fd as usize) else { return Err(Fault::Closed) };
        if wire.incoming.is_delivering {
            return Err(Fault::Reset);
        }
        let again = wire.incoming.read(&wire.fd, delivery, &mut self.budget)?;
        wire.incoming.is_delivering = true;
        Ok(again)
    }

    /// Takes note that Lua has the messages of the last read.
    pub fn delivered(&mut self, fd: i32) {
        if let Some(wire) = self.wire(fd) {
            wire.incoming.is_delivering = false;
        }
    }

    // A log that has grown too far leaves before it grows further; the end of the turn tells what came of it.
    fn make_room(&mut self, size: usize) {
        if !self.output.is_log_full(size) {
            return;
        }
        let touched = std::mem::take(&mut self.output.touched);
        self.send_touched(&touched);
        self.output.touched = touched;
    }

    fn with_output<R>(
        &mut self,
        fd: i32,
        gone: R,
        work: impl FnOnce(&mut Output, (i32, &OwnedFd), &mut Outgoing) -> R,
    ) -> R {
        match self.wires.get_mut(fd as usize) {
            Some(Some(wire)) => work(&mut self.output, (fd, &wire.fd), &mut wire.outgoing),
            _ => gone,
        }
    }

    /// Queues bytes as they are.
    pub fn raw(&mut self, fd: i32, bytes: &[u8]) {
        self.make_room(bytes.len());
        self.with_output(fd, (), |output, (number, _), out| output.raw(number, out, bytes));
    }

    /// Queues a frame.
    ///
    /// # Errors
    /// Nothing was queued.
    pub fn push(&mut self, fd: i32, frame: Frame<'_>) -> Result<(), Refused> {
        self.make_room(frame.payload.len());
        self.with_output(fd, Ok(()), |output, wire, out| output.push(wire, out, frame))
    }

    /// Tells whether a connection's frames are masked.
    pub fn is_client(&mut self, fd: i32) -> bool {
        self.wire(fd).is_some_and(|wire| wire.outgoing.is_client)
    }

    /// Queues a server's frame, or raw bytes, that leave from where they are.
    ///
    /// # Errors
    /// Nothing was queued.
    pub fn push_held(&mut self, fd: i32, first: Option<u8>, payload: Held) -> Result<(), Refused> {
        self.with_output(fd, Ok(()), |output, wire, out| output.push_held(wire, out, first, payload))
    }

    /// Encodes a server's message for many.
    pub fn begin_fanout(&mut self, frame: Frame<'_>) -> Fanout {
        self.make_room(frame.payload.len());
        self.output.begin_fanout(frame)
    }

    /// Queues the message of a fan-out on one connection.
    ///
    /// # Errors
    /// Nothing was queued.
    pub fn fan_out(&mut self, fd: i32, fanout: &mut Fanout, frame: Frame<'_>) -> Result<(), Refused> {
        self.with_output(fd, Ok(()), |output, wire, out| match out.is_client {
            // A client masks each frame with a key of its own.
            true => output.push(wire, out, frame),
            false => output.fan_out(wire, out, fanout),
        })
    }

    /// Has the end of the turn tell of a connection whatever happens.
    pub fn attend(&mut self, fd: i32) {
        self.with_output(fd, (), |output, (number, _), out| {
            out.wants_attention = true;
            output.list(number, out);
        });
    }

    /// Sends what one connection has queued.
    pub fn flush(&mut self, fd: i32) -> Report {
        let gone = Report { fd, pending: Err(Fault::Closed), took: false };
        self.with_output(fd, gone, |output, (_, socket), out| {
            output.send(socket, out);
            report(fd, out)
        })
    }

    fn send_touched(&mut self, touched: &[i32]) {
        let mut kept = Vec::new();
        let mut is_shared = false;
        for &fd in touched {
            self.with_output(fd, (), |output, (_, socket), out| {
                if !out.is_blocked && out.fault.is_none() {
                    output.send(socket, out);
                }
                let (is_used, is_large) = output.log_use(out);
                if is_used {
                    kept.push(fd);
                    is_shared = is_shared || is_large;
                }
            });
        }
        let log = if kept.is_empty() { None } else { Some(self.output.take_log()) };
        for fd in kept {
            let Some(log) = &log else { break };
            self.with_output(fd, (), |output, _, out| output.keep(out, log));
        }
        self.output.clear_log(log);
    }

    /// Sends everything that was queued this turn. `reports` has the connections that broke, that wait for their peer,
    /// that do so no more, or that asked for attention.
    pub fn flush_all(&mut self) {
        self.reports.clear();
        let mut touched = std::mem::take(&mut self.output.touched);
        self.send_touched(&touched);
        for fd in touched.drain(..) {
            let Some(Some(wire)) = self.wires.get_mut(fd as usize) else { continue };
            let out = &mut wire.outgoing;
            out.is_listed = false;
            if out.fault.is_some() || out.wants_attention || out.pending > 0 || out.is_told {
                self.reports.push(report(fd, out));
            }
        }
        self.output.touched = touched;
    }

    /// Drops messages that have not begun to leave. Returns the bytes dropped.
    pub fn drop_messages(&mut self, fd: i32, enough: usize) -> usize {
        self.with_output(fd, 0, |output, _, out| output.drop_messages(out, enough))
    }

    /// How much waits on one connection.
    pub fn pending(&mut self, fd: i32) -> usize {
        self.wire(fd).map_or(0, |wire| wire.outgoing.pending)
    }

    /// How much waits in all.
    pub fn buffered(&self) -> usize {
        self.output.buffered
    }

    /// How many times sockets were offered bytes.
    pub fn sends(&self) -> usize {
        self.output.sends
    }

    /// Ends waiting and gives up its descriptors.
    pub fn close_polls(&mut self) {
        self.poll.close();
        self.side = None;
    }

    /// Watches one of our connections: for new bytes always, for room to send where it is asked for.
    pub fn watch(&mut self, fd: i32, write: bool) -> bool {
        let Some(Some(wire)) = self.wires.get_mut(fd as usize) else { return false };
        let interest = Interest { read: true, write, edge: true };
        if wire.interest == Some(interest) {
            return true;
        }
        let was_blocked = wire.interest.is_some_and(|interest| interest.write);
        wire.interest = Some(interest);
        if let Some(side) = &self.side {
            if write {
                side.watch(&wire.fd, Interest { read: false, write, edge: false });
            } else if was_blocked {
                side.forget(&wire.fd);
            }
        }
        self.poll.watch(&wire.fd, interest)
    }

    /// Waits until something is ready.
    pub fn wait(&mut self, time: Option<Duration>) {
        self.poll.wait(time);
        for ready in &self.poll.ready {
            if !ready.has_ended {
                continue;
            }
            if let Some(Some(wire)) = self.wires.get_mut(ready.fd as usize) {
                wire.incoming.has_ended = true;
            }
        }
    }

    /// Watches a descriptor that is none of its wires', or ceases to.
    pub fn watch_other(&self, fd: impl AsFd + Copy, interest: Interest) -> bool {
        match &self.side {
            Some(side) if interest.write => {
                side.watch(fd, Interest { read: false, ..interest });
            }
            Some(side) => side.forget(fd),
            None => {}
        }
        if interest.read || interest.write {
            return self.poll.watch(fd, interest);
        }
        self.poll.forget(fd);
        true
    }

    /// The side's waiting, made when it is first asked for.
    pub fn side(&mut self) -> Option<&mut Poll> {
        if self.side.is_none() {
            self.side = Poll::new().ok();
        }
        self.side.as_mut()
    }

    /// Names the peer: writes its IP address and returns the port.
    pub fn peer(&mut self, fd: i32, target: &mut Vec<u8>) -> u16 {
        let Some((ip, port)) = self.wire(fd).and_then(|wire| net::peer(&wire.fd)) else { return 0 };
        let _ = write!(target, "{ip}");
        port
    }

    /// Ends the sending direction.
    pub fn shut_down(&mut self, fd: i32) {
        if let Some(wire) = self.wire(fd) {
            net::shut_down(&wire.fd);
        }
    }

    /// Ends a connection and gives back what it held.
    pub fn close(&mut self, fd: i32) {
        let Some(mut wire) = self.wires.get_mut(fd as usize).and_then(Option::take) else { return };
        wire.incoming.release(&mut self.budget);
        self.output.forget(&mut wire.outgoing);
    }
}

fn report(fd: i32, out: &mut Outgoing) -> Report {
    let pending = match out.fault {
        Some(fault) => Err(fault),
        None => Ok(out.pending),
    };
    out.is_told = out.pending > 0;
    Report { fd, pending, took: std::mem::take(&mut out.took) }
}
