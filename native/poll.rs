//! Waiting for descriptors and for a time, with epoll.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;

use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::time::{timerfd_create, timerfd_settime, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags};
use rustix::{event::Timespec, io::Errno};

const EVENTS_A_WAIT: usize = 1024;
// Tells the timer from the connections: no descriptor has this number, which is -1 as an `i32`.
const TIMER: u64 = u64::MAX;

/// Interest in bytes to read, and in the end behind them.
pub const READ: EventFlags = EventFlags::IN.union(EventFlags::RDHUP);
/// Nothing will come behind the bytes that are here.
pub const ENDED: EventFlags = EventFlags::RDHUP.union(EventFlags::HUP).union(EventFlags::ERR);

/// An epoll instance.
pub struct Poll {
    /// Readable when something that is watched is ready.
    pub epoll: OwnedFd,
    timer: OwnedFd,
    /// What the last wait found, the first being the last.
    pub events: Vec<Event>,
    // For outside loops that watch for reading only: readable when a full socket takes bytes again, or its timer is due.
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
        Ok(Poll { epoll, timer, events: Vec::with_capacity(EVENTS_A_WAIT), side: None })
    }

    /// Gives the side, which is made when it is first asked for, or what waits for everything.
    pub fn part(&mut self, is_side: bool) -> Option<&mut Poll> {
        if !is_side {
            return Some(self);
        }
        self.side = self.side.take().or_else(|| Poll::new().ok().map(Box::new));
        self.side.as_deref_mut()
    }

    /// Watches a descriptor, or changes how; ceases to where there is nothing to watch for.
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
        // Zero would take the timer back.
        let time = time.map_or(Duration::ZERO, |time| time.max(Duration::from_nanos(1)));
        let once =
            Itimerspec { it_interval: Timespec::default(), it_value: Timespec::try_from(time).unwrap_or_default() };
        let _ = timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &once);
    }

    /// Waits until something is ready; `None` without end.
    pub fn wait(&mut self, time: Option<Duration>) {
        // The system counts in milliseconds where it is old: rounding down would have us spin.
        let whole = |time: Duration| Duration::from_millis(time.as_nanos().div_ceil(1_000_000) as u64);
        let time = time.and_then(|time| Timespec::try_from(whole(time)).ok());
        self.events.clear();
        let room = rustix::buffer::spare_capacity(&mut self.events);
        let _ = epoll::wait(&self.epoll, room, time.as_ref());
        self.events.reverse();
    }
}
