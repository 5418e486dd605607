//! Hubs: the sockets of a context, waiting for them, and reading from many at once.

use std::cell::RefCell;
use std::os::fd::AsRawFd;
use std::{ffi::CStr, time::Duration};

use rustix::event::epoll::EventFlags;
use rustix::io::Errno;

use super::collector::{make_room, LARGE_BYTES};
use super::settings::{limit, limits};
use super::shared::{with, HubObject, Shared};
use super::sockets::{accept, connect, listen, wire};
use crate::errors::{accept_word, word};
use crate::hub::Hub;
use crate::input::deliver;
use crate::lua::{functions, Answer, Functions, Lua, Made, Spent, Table, Value};
use crate::poll::{Poll, READ};
use crate::protocol::{INTERNAL_ERROR, NO_MEMORY};

/// How much a call reads before Lua takes it, and what a message counts in addition to its payload.
const READ_BYTES: usize = 1 << 16;
const MESSAGE_BYTES: usize = 512;
/// Stands in the place of an opcode for what is no message; no peer can send this opcode.
const OTHER: usize = 3;

/// The name of hubs.
pub const HUB: &CStr = c"websockets_hub";
/// What it gives to Lua.
pub const FUNCTIONS: Functions = functions! { hub };

/// The methods of hubs.
pub const METHODS: Functions = functions! {
    wire accept connect listen read flush wait watch totals traffic time_turns turns charge close getfd set_timer
};

/// `hub{high_water_bytes, max_buffered_bytes, max_unfinished_total_bytes} -> hub`, or nil and what the system lacks
fn hub(lua: &Lua) -> Option<Result<Made, &'static str>> {
    let settings = lua.arg(1).table()?;
    let limits = limits(settings)?;
    let [max_unfinished_bytes] = settings.fields([c"max_unfinished_total_bytes"])?;
    let mut why = None;
    let made = lua.new_object(HUB, || {
        let hub = Hub::new(limits, limit(max_unfinished_bytes)).map_err(|error| why = Some(error)).ok()?;
        Some(HubObject::new(Shared { hub: RefCell::new(hub), spent: Spent::default() }))
    });
    match why {
        Some(error) => Some(Err(accept_word(error))),
        None => made.map(Ok),
    }
}

// Works on the poller of the whole context, or on its part for outside loops (`Poll::part`). Gives the default if the
// hub is closed.
fn with_poll<R: Default>(lua: &Lua, is_side: bool, work: impl FnOnce(&mut Poll) -> R) -> Option<R> {
    with(lua, |hub| {
        let poll = hub.poll.as_mut().and_then(|poll| poll.part(is_side));
        poll.map(work).unwrap_or_default()
    })
}

// The arrays that `hub:read` fills.
struct Taken<'a> {
    takers: Table<'a>,
    opcodes: Table<'a>,
    payloads: Table<'a>,
    // How many places of them are filled.
    count: usize,
    // What those messages count.
    weight: usize,
}

impl Taken<'_> {
    fn put(&mut self, taker: Value<'_>, opcode: usize, payload: impl Answer) {
        let place = self.count + 1;
        self.opcodes.set(place, opcode);
        self.payloads.set(place, payload);
        // Last, so that an error leaves no entry half written.
        self.takers.set(place, taker);
        self.count = place;
    }
}

/// `hub:read(readable, first, last, owners, takers, opcodes, payloads) -> count, next`: reads once from each descriptor
/// from `first` to `last` of `readable`, and puts false in its place. It stops when enough has come; `next` is where
/// the next call goes on.
///
/// Fills the last three arrays: owner of the descriptor, opcode, payload. An entry with the opcode `OTHER` is no
/// message. Its payload is true if more may be here of this connection; 0 if Lua is to ask `unfinished`; a string that
/// says why nothing more comes; or false if the descriptor has no wire that is direct. Skips descriptors without an
/// owner.
fn read(lua: &Lua) -> Option<(usize, usize)> {
    let readable = lua.arg(2).table()?;
    let owners = lua.arg(5).table()?;
    let mut taken = Taken {
        takers: lua.arg(6).table()?,
        opcodes: lua.arg(7).table()?,
        payloads: lua.arg(8).table()?,
        count: 0,
        weight: 0,
    };
    let mut place = lua.arg(3).number() as usize;
    let last = lua.arg(4).number() as usize;
    with(lua, Hub::begin_batch)?;
    while place <= last && taken.weight < READ_BYTES {
        // False marks a place that is done with.
        if let Some(fd) = readable.with(place, |value| value.is_number().then(|| value.number() as usize))? {
            owners.with(fd, |owner| read_one(lua, fd as i32, owner, &mut taken))??;
        }
        readable.set(place, false);
        place += 1;
    }
    with(lua, Hub::end_batch)?;
    Some((taken.count, place))
}

fn read_one(lua: &Lua, fd: i32, owner: Value<'_>, taken: &mut Taken<'_>) -> Option<()> {
    if !owner.is_some() {
        return Some(());
    }
    let hub = &lua.arg(1).object::<HubObject>()?.hub;
    if !hub.borrow_mut().with(fd, |wire, _| wire.incoming.is_direct) {
        taken.put(owner, OTHER, false);
        return Some(());
    }
    let read = |delivery: &mut _| hub.borrow_mut().read(fd, delivery);
    let delivered = deliver(read, |_, opcode, payload| {
        taken.weight += MESSAGE_BYTES + payload.len();
        if payload.len() < LARGE_BYTES {
            taken.put(owner, opcode, payload);
        } else {
            lua.with_string(payload, |string| match string {
                Some(string) => taken.put(owner, opcode, string),
                None => taken.put(owner, INTERNAL_ERROR.into(), NO_MEMORY),
            });
        }
    })?;
    if delivered.result.has_news {
        taken.put(owner, OTHER, 0_usize);
        // Before more is held, Lua decides what ends.
        taken.weight += READ_BYTES;
    }
    match delivered.result.result {
        Ok(false) | Err(Errno::AGAIN | Errno::INTR) => {}
        Ok(true) => taken.put(owner, OTHER, true),
        Err(error) => taken.put(owner, OTHER, word(error)),
    }
    if delivered.largest >= LARGE_BYTES {
        make_room(lua)?;
    }
    Some(())
}

/// `hub:flush(reports, owners) -> count`: sends what was queued, and fills `reports` with `count` triples: owner; how
/// many bytes wait, or nil if the connection broke; whether the socket took any, or why the connection broke.
fn flush(lua: &Lua) -> Option<usize> {
    let reports = lua.arg(2).table()?;
    let owners = lua.arg(3).table()?;
    let mut next = with(lua, |hub| {
        hub.flush();
        hub.next_report()
    })?;
    let mut count = 0;
    while let Some((fd, report)) = next {
        let place = 3 * count + 1;
        count += owners.with(fd as usize, |owner| {
            if !owner.is_some() {
                return 0;
            }
            reports.set(place + 1, report.map_err(word));
            // Last, so that an error leaves no report half written.
            reports.set(place, owner);
            1
        })?;
        next = with(lua, |hub| {
            hub.forget_report();
            hub.next_report()
        })?;
    }
    Some(count)
}

// The second argument as a time; nil is for ever.
fn seconds(lua: &Lua) -> Option<Duration> {
    let seconds = lua.arg(2);
    seconds.is_some().then(|| Duration::from_secs_f64(seconds.number().clamp(0.0, 1e8)))
}

/// `hub:wait(seconds, owners, readable, writable, is_side) -> reads, writes`: fills `readable` with descriptors that
/// can be read, and `writable` with owners of those that can be written. Nil seconds wait for ever. With `is_side` it
/// waits by the part for outside loops. `reads` is -1 if waiting failed.
fn wait(lua: &Lua) -> Option<(i32, usize)> {
    let owners = lua.arg(3).table()?;
    let readable = lua.arg(4).table()?;
    let writable = lua.arg(5).table()?;
    let is_side = lua.arg(6).boolean();
    let found = with(lua, |hub| {
        hub.output.is_in_turn = true;
        let poll = hub.poll.as_mut().and_then(|poll| poll.part(is_side));
        if poll.is_some_and(|poll| poll.wait(seconds(lua))) {
            return None;
        }
        // The part for outside loops is only looked at, within a turn.
        if !is_side {
            hub.turns.begin();
        }
        Some(hub.next_ready(is_side))
    })?;
    let Some(mut next) = found else { return Some((-1, 0)) };
    let mut reads = 0;
    let mut writes = 0;
    while let Some(ready) = next {
        // The timer has no descriptor.
        if ready.can_read && !is_side && ready.fd >= 0 {
            reads += 1;
            readable.set(reads as usize, ready.fd);
        }
        if ready.can_write && ready.fd >= 0 {
            owners.with(ready.fd as usize, |owner| {
                if owner.is_some() {
                    writes += 1;
                    writable.set(writes, owner);
                }
            })?;
        }
        next = with(lua, |hub| hub.advance(is_side))?;
    }
    Some((reads, writes))
}

/// `hub:watch(fd, read, write) -> boolean`: reports any other descriptor, for as long as it is ready
fn watch(lua: &Lua) -> Option<bool> {
    let Some(fd) = lua.arg(2).fd() else { return Some(false) };
    let mut interest = EventFlags::empty();
    interest.set(READ, lua.arg(3).boolean());
    interest.set(EventFlags::OUT, lua.arg(4).boolean());
    with_poll(lua, false, |poll| poll.watch(fd, interest))
}

/// `hub:totals() -> buffered, unfinished, sends`: bytes that wait to be sent, bytes that unfinished messages hold, how
/// many times sockets were offered bytes
fn totals(lua: &Lua) -> Option<(usize, usize, usize)> {
    with(lua, |hub| (hub.output.buffered, hub.budget.used as usize, hub.output.sends))
}

/// `hub:traffic() -> received messages, received bytes, sent messages, sent bytes`: since it was made
fn traffic(lua: &Lua) -> Option<(usize, usize, usize, usize)> {
    with(lua, |hub| {
        let (received, sent) = (&hub.received, &hub.output.sent);
        (received.messages as usize, received.bytes as usize, sent.messages as usize, sent.bytes as usize)
    })
}

/// `hub:time_turns(bounds, count)`: counts turns by how long they take: up to each bound in seconds, and above the last
fn time_turns(lua: &Lua) -> Option<()> {
    let bounds = lua.arg(2).table()?;
    for place in 1..=lua.arg(3).number() as usize {
        let nanoseconds = bounds.with(place, |bound| bound.number() * 1e9)?;
        with(lua, |hub| hub.turns.bounds.push(nanoseconds as u64))?;
    }
    with(lua, |hub| hub.turns.counts = vec![0; hub.turns.bounds.len() + 1])
}

/// `hub:turns(counts) -> seconds`: fills `counts` with how many turns there were for each bound, and tells how long all
/// of them have taken
fn turns(lua: &Lua) -> Option<f64> {
    let counts = lua.arg(2).table()?;
    with(lua, |hub| {
        if !hub.output.is_in_turn {
            hub.turns.settle();
        }
    })?;
    let mut place = 0;
    while let Some(count) = with(lua, |hub| hub.turns.counts.get(place).copied())? {
        place += 1;
        counts.set(place, count as usize);
    }
    with(lua, |hub| hub.turns.sum as f64 / 1e9)
}

/// `hub:charge(bytes)`: counts what others hold, or give back, as if unfinished messages held it
fn charge(lua: &Lua) -> Option<()> {
    let bytes = lua.arg(2).number() as i64;
    with(lua, |hub| hub.budget.used = hub.budget.used.saturating_add_signed(bytes))
}

/// `hub:close()`: ends waiting, and gives up the descriptors for it
fn close(lua: &Lua) -> Option<()> {
    with(lua, |hub| hub.poll = None)
}

/// `hub:getfd(is_side) -> fd`: the descriptor of its waiting, -1 where there is none
fn getfd(lua: &Lua) -> Option<i32> {
    let fd = with_poll(lua, lua.arg(2).boolean(), |poll| Some(poll.epoll.as_raw_fd()))?;
    Some(fd.unwrap_or(-1))
}

/// `hub:set_timer(seconds, is_side)`: makes that descriptor readable after a time; nil takes that back
fn set_timer(lua: &Lua) -> Option<()> {
    with_poll(lua, lua.arg(3).boolean(), |poll| poll.set_timer(seconds(lua)))
}
