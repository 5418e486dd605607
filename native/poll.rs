//! Waiting for descriptors and for a time, with epoll.

use std::mem;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;

use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::event::Timespec;
use rustix::io::Errno;
use rustix::time::{timerfd_create, timerfd_settime, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags};

const MAX_EVENTS: usize = 1024;
// Tells the timer from the connections: no descriptor has this number, which is -1 as an `i32`.
const TIMER: u64 = u64::MAX;

/// Interest in bytes to read, and in their end.
pub const READ: EventFlags = EventFlags::IN.union(EventFlags::RDHUP);
/// Nothing will come after the bytes that are here.
const ENDED: EventFlags = EventFlags::RDHUP.union(EventFlags::HUP).union(EventFlags::ERR);

/// What a wait has found of one descriptor.
pub struct Ready {
    /// The descriptor; -1 for the timer.
    pub fd: i32,
    /// Whether bytes, a connection or an end can be read.
    pub can_read: bool,
    /// Whether bytes can be sent.
    pub can_write: bool,
    /// Whether nothing will come after the bytes that are here.
    pub has_ended: bool,
}

/// An epoll instance.
pub struct Poll {
    /// Readable when something that is watched is ready.
    pub epoll: OwnedFd,
    timer: OwnedFd,
    // What the last wait found, and how much of it has been taken.
    events: Vec<Event>,
    taken: usize,
    // For outside loops that watch for reading only: readable when a full socket takes bytes again, or its timer is
    // due.
    side: Option<Box<Poll>>,
}

impl Poll {
    /// Makes one that watches nothing.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn new() -> Result<Poll, Errno> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        epoll::add(&epoll, &timer, EventData::new_u64(TIMER), EventFlags::IN)?;
        Ok(Poll { epoll, timer, events: Vec::with_capacity(MAX_EVENTS), taken: 0, side: None })
    }

    /// Gives the side, which is made when it is first asked for; or this, which waits for everything.
    pub fn part(&mut self, is_side: bool) -> Option<&mut Poll> {
        if !is_side {
            return Some(self);
        }
        if self.side.is_none() {
            self.side = Poll::new().ok().map(Box::new);
        }
        self.side.as_deref_mut()
    }

    /// Watches a descriptor, or changes what for; no interest ends the watch. Returns whether that was possible.
    pub fn watch(&self, fd: impl AsFd, interest: EventFlags) -> bool {
        let fd = fd.as_fd();
        if let Some(side) = &self.side {
            side.watch(fd, interest & EventFlags::OUT);
        }
        if interest.is_empty() {
            return epoll::delete(&self.epoll, fd).is_ok();
        }
        let data = EventData::new_u64(fd.as_raw_fd() as u64);
        match epoll::add(&self.epoll, fd, data, interest) {
            Err(Errno::EXIST) => epoll::modify(&self.epoll, fd, data, interest).is_ok(),
            result => result.is_ok(),
        }
    }

    /// Makes it readable after a time; `None` takes that back.
    pub fn set_timer(&self, time: Option<Duration>) {
        let time = match time {
            // Zero would take the timer back.
            Some(time) => time.max(Duration::from_nanos(1)),
            None => Duration::ZERO,
        };
        let once =
            Itimerspec { it_interval: Timespec::default(), it_value: Timespec::try_from(time).unwrap_or_default() };
        // The timer is there and the time is in range: this cannot fail.
        let _ = timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &once);
    }

    /// Waits until something is ready; `None` without end. Returns whether waiting failed. Where an error of Lua's came
    /// before all that the last wait found was taken, it is found again: it would not be reported a second time.
    pub fn wait(&mut self, time: Option<Duration>) -> bool {
        if mem::take(&mut self.taken) < self.events.len() {
            return false;
        }
        let time = time.and_then(|time| {
            // Old systems count in whole milliseconds: rounding down would make us wait in a busy loop.
            let milliseconds = time.as_nanos().div_ceil(1_000_000) as u64;
            Timespec::try_from(Duration::from_millis(milliseconds)).ok()
        });
        self.events.clear();
        let room = rustix::buffer::spare_capacity(&mut self.events);
        let result = epoll::wait(&self.epoll, room, time.as_ref());
        // A signal ends a wait early, and nothing is ready then.
        result.is_err_and(|error| error != Errno::INTR)
    }

    /// Takes note that Lua knows of the next descriptor.
    pub fn advance(&mut self) {
        self.taken += 1;
    }

    /// Gives the next descriptor that the last wait found; the same one until `advance`.
    pub fn next_ready(&self) -> Option<Ready> {
        let event = self.events.get(self.taken)?;
        let flags = event.flags;
        let has_ended = flags.intersects(ENDED);
        Some(Ready {
            fd: event.data.u64() as i32,
            can_read: has_ended || flags.contains(EventFlags::IN),
            can_write: has_ended || flags.contains(EventFlags::OUT),
            has_ended,
        })
    }
}
