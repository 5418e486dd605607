//! What the connections of one context share: descriptors, budget, the turn's log, waiting.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

use crate::header::Rules;
use crate::input::{Delivery, Incoming};
use crate::net::Fault;
use crate::output::{Codec, Frame, Limits, Outgoing, Output};
use crate::poll::{Interest, Poll};
use crate::reader::Budget;

/// One connection.
pub struct Wire {
    /// What it receives.
    pub incoming: Incoming,
    /// What it sends, and the socket.
    pub out: Outgoing,
    interest: Option<Interest>,
}

/// What Lua hears of a connection after a flush: bytes that still wait and whether any was taken, or how it broke.
pub type Report = Result<(usize, bool), Fault>;

/// Everything that a context knows of sockets.
pub struct Hub {
    // By descriptor.
    wires: Vec<Option<Box<Wire>>>,
    /// What unfinished messages hold.
    pub budget: Budget,
    /// What connections send.
    pub output: Output,
    /// Who is ready.
    pub poll: Poll,
    // For outside loops that watch for reading only: readable when a full socket takes bytes again, or a timer is due.
    side: Option<Poll>,
    /// What the last flush has to tell.
    pub reports: Vec<(i32, Report)>,
    /// Who was full at the last fan-out.
    pub full: Vec<usize>,
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
            full: Vec::new(),
        })
    }

    /// Takes a connected, non-blocking socket; its number names it from now on.
    pub fn adopt(&mut self, fd: OwnedFd) -> i32 {
        let number = fd.as_raw_fd();
        let slot = number as usize;
        if self.wires.len() <= slot {
            self.wires.resize_with(slot + 1, || None);
        }
        let wire = Wire { incoming: Incoming::default(), out: Outgoing::new(fd), interest: None };
        self.wires[slot] = Some(Box::new(wire));
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

    /// From here on a connection speaks WebSocket.
    pub fn start(&mut self, fd: i32, rules: Rules, limits: Limits, leftover: &[u8], codec: Option<Codec>) {
        self.with(fd, |wire, output| {
            wire.out.codec = codec;
            output.set_limits(&mut wire.out, limits);
            wire.incoming.start(rules, leftover);
            wire.out.is_client = !rules.is_server;
            wire.out.wants_attention = false;
        });
    }

    /// Receives once and reads every whole message; `delivered` must follow when Lua has them.
    ///
    /// # Errors
    /// `Timeout` where nothing is there.
    pub fn read(&mut self, fd: i32, delivery: &mut Delivery) -> Result<bool, Fault> {
        self.answer();
        let Some((wire, output, budget)) = self.at(fd) else { return Err(Fault::Closed) };
        output.reading = fd;
        if wire.incoming.is_delivering {
            return Err(Fault::Reset);
        }
        let again = wire.incoming.read(&wire.out.fd, delivery, budget)?;
        wire.incoming.is_delivering = true;
        Ok(again)
    }

    // Where everybody only answers for himself, an answer leaves before the next connection is read, while the system
    // still has this one at hand. Where connections write to each other, more may come that leaves in the same call.
    fn answer(&mut self) {
        if !self.output.is_crossing {
            self.with(self.output.reading, |wire, output| output.send_if_free(&mut wire.out));
        }
    }

    /// Queues the message of a fan-out on connections, named by descriptor; `full` has the places of those that had no
    /// room, the first being 1. Returns how many.
    pub fn fan_out(&mut self, count: usize, name: impl Fn(usize) -> i32, frame: Frame<'_>) -> usize {
        self.full.clear();
        let mut fanouts = Vec::new();
        for place in 1..=count {
            let refused = self.with(name(place), |wire, output| output.fan_out(&mut wire.out, &mut fanouts, frame));
            if refused.is_some() {
                self.full.push(place);
            }
        }
        self.full.len()
    }

    /// Sends everything that was queued this turn. `reports` has the connections that broke, that wait for their peer,
    /// that do so no more, or that asked for attention. Returns how many.
    pub fn flush(&mut self) -> usize {
        let (mut reports, mut kept) = (std::mem::take(&mut self.reports), Vec::new());
        reports.clear();
        let mut touched = std::mem::take(&mut self.output.touched);
        for fd in touched.drain(..) {
            self.with(fd, |wire, output| {
                let out = &mut wire.out;
                output.send_if_free(out);
                out.is_listed = false;
                if out.needs_log() {
                    kept.push(fd);
                }
                if out.fault.is_some() || out.wants_attention || out.pending > 0 || out.is_told {
                    reports.push((fd, report(out)));
                }
            });
        }
        let log = (!kept.is_empty()).then(|| Rc::new(std::mem::take(&mut self.output.log)));
        for (fd, log) in kept.into_iter().zip(log.iter().cycle()) {
            self.with(fd, |wire, _| wire.out.settle(log));
        }
        self.output.end_turn(log);
        (self.output.touched, self.reports) = (touched, reports);
        self.reports.len()
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
        let before = wire.interest.replace(interest);
        if before == Some(interest) {
            return true;
        }
        if let Some(side) = self.side.as_ref().filter(|_| write || before.is_some_and(|interest| interest.write)) {
            side.watch(&wire.out.fd, Interest { read: false, write, edge: false });
        }
        self.poll.watch(&wire.out.fd, interest)
    }

    /// Watches a descriptor that is none of its wires', or ceases to.
    pub fn watch_other(&self, fd: impl AsFd + Copy, interest: Interest) -> bool {
        if let Some(side) = &self.side {
            side.watch(fd, Interest { read: false, ..interest });
        }
        self.poll.watch(fd, interest)
    }

    /// The side's waiting, made when it is first asked for, or that for everything.
    pub fn poll(&mut self, is_side: bool) -> Option<&mut Poll> {
        if is_side && self.side.is_none() {
            self.side = Poll::new().ok();
        }
        if is_side {
            self.side.as_mut()
        } else {
            Some(&mut self.poll)
        }
    }

    /// Waits until something is ready. Returns how much is.
    pub fn wait(&mut self, time: Option<Duration>, is_side: bool) -> usize {
        let Some(poll) = self.poll(is_side) else { return 0 };
        let count = poll.wait(time);
        for index in 0..count {
            let ready = self.poll.ready(index).filter(|ready| !is_side && ready.has_ended);
            self.with(ready.map_or(-1, |ready| ready.fd), |wire, _| wire.incoming.has_ended = true);
        }
        count
    }

    /// Ends a connection and gives back what it held.
    pub fn close(&mut self, fd: i32) {
        if let Some((wire, output, budget)) = self.at(fd) {
            wire.incoming.release(budget);
            output.release(&mut wire.out);
            self.wires[fd as usize] = None;
        }
    }
}

/// Tells Lua of a connection.
pub fn report(out: &mut Outgoing) -> Report {
    out.is_told = out.pending > 0;
    let took = std::mem::take(&mut out.took);
    out.fault.map_or(Ok((out.pending, took)), Err)
}
