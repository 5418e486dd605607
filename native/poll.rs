//! Waiting for descriptors and for a time, with epoll.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;

use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::event::Timespec;
use rustix::io::Errno;
use rustix::time::{timerfd_create, timerfd_settime, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags};

const EVENTS_A_WAIT: usize = 1024;
// Tells the timer from the connections: no descriptor has this number, which is -1 as an `i32`.
const TIMER: u64 = u64::MAX;

/// What a descriptor is ready for.
#[derive(Clone, Copy)]
pub struct Ready {
    /// The descriptor.
    pub fd: i32,
    /// Bytes, a connection or an end can be had.
    pub read: bool,
    /// Bytes can be sent.
    pub write: bool,
    /// Nothing will come behind the bytes that are here.
    pub has_ended: bool,
}

/// An epoll instance.
pub struct Poll {
    // None once closed.
    epoll: Option<OwnedFd>,
    timer: Option<OwnedFd>,
    events: Vec<Event>,
}

/// How a descriptor is watched.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Interest {
    /// For bytes to read.
    pub read: bool,
    /// For room to send.
    pub write: bool,
    /// Only when something new happens, not for as long as it lasts.
    pub edge: bool,
}

impl Interest {
    fn flags(self) -> EventFlags {
        let mut flags = EventFlags::empty();
        flags.set(EventFlags::IN | EventFlags::RDHUP, self.read);
        flags.set(EventFlags::OUT, self.write);
        flags.set(EventFlags::ET, self.edge);
        flags
    }
}

fn timespec(time: Duration) -> Timespec {
    Timespec { tv_sec: time.as_secs().min(i64::MAX as u64) as i64, tv_nsec: time.subsec_nanos().into() }
}

impl Poll {
    /// Makes one that watches nothing.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn new() -> Result<Poll, Errno> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        Ok(Poll { epoll: Some(epoll), timer: None, events: Vec::with_capacity(EVENTS_A_WAIT) })
    }

    /// Its own descriptor: readable when something that is watched is ready; -1 once closed.
    pub fn fd(&self) -> i32 {
        self.epoll.as_ref().map_or(-1, |epoll| epoll.as_raw_fd())
    }

    /// Gives up its descriptors.
    pub fn close(&mut self) {
        (self.epoll, self.timer) = (None, None);
    }

    /// Watches a descriptor, or changes how; ceases to where there is nothing to watch for.
    pub fn watch(&self, fd: impl AsFd, interest: Interest) -> bool {
        let (Some(epoll), fd) = (&self.epoll, fd.as_fd()) else { return false };
        if !interest.read && !interest.write {
            let _ = epoll::delete(epoll, fd);
            return true;
        }
        let data = EventData::new_u64(fd.as_raw_fd() as u64);
        match epoll::add(epoll, fd, data, interest.flags()) {
            Err(Errno::EXIST) => epoll::modify(epoll, fd, data, interest.flags()).is_ok(),
            result => result.is_ok(),
        }
    }

    /// Makes it readable after a time; `None` takes that back.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn set_timer(&mut self, time: Option<Duration>) -> Result<(), Errno> {
        let Some(epoll) = &self.epoll else { return Ok(()) };
        if self.timer.is_none() {
            let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
            epoll::add(epoll, &timer, EventData::new_u64(TIMER), EventFlags::IN)?;
            self.timer = Some(timer);
        }
        let Some(timer) = &self.timer else { return Ok(()) };
        // Zero would take the timer back.
        let value = timespec(time.map_or(Duration::ZERO, |time| time.max(Duration::from_nanos(1))));
        let once = Itimerspec { it_interval: timespec(Duration::ZERO), it_value: value };
        timerfd_settime(timer, TimerfdTimerFlags::empty(), &once)?;
        Ok(())
    }

    /// Waits until something is ready; `None` without end. Returns how many are.
    pub fn wait(&mut self, time: Option<Duration>) -> usize {
        // The system counts in milliseconds where it is old: rounding down would have us spin.
        let time = time.map(|time| timespec(Duration::from_millis(time.as_nanos().div_ceil(1_000_000) as u64)));
        self.events.clear();
        let room = rustix::buffer::spare_capacity(&mut self.events);
        if let Some(epoll) = &self.epoll {
            let _ = epoll::wait(epoll, room, time.as_ref());
        }
        self.events.len()
    }

    /// What the last wait found; the timer's descriptor is -1.
    pub fn ready(&self, index: usize) -> Option<Ready> {
        let event = self.events.get(index)?;
        let (data, flags) = (event.data.u64(), event.flags);
        let has_ended = flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR);
        let (read, write) = (flags.contains(EventFlags::IN), flags.contains(EventFlags::OUT));
        Some(Ready { fd: data as i32, read: has_ended || read, write: has_ended || write, has_ended })
    }
}
