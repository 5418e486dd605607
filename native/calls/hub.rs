//! Hubs: the sockets of a context, waiting for them, and reading from many at once.

use std::cell::{Cell, RefCell};
use std::os::fd::{AsRawFd, OwnedFd};
use std::{ffi::CStr, rc::Rc, time::Duration};

use rustix::event::epoll::EventFlags;
use rustix::io::{ioctl_fionbio, Errno};
use rustix::net::{accept_with, SocketFlags};

use super::collector::{make_room, LARGE_BYTES};
use super::settings::{limit, limits};
use super::shared::{with, HubObject, Shared};
use crate::errors::{accept_word, word};
use crate::frame::Frame;
use crate::hub::Hub;
use crate::input::deliver;
use crate::lua::{functions, Answer, Functions, Lua, Made, Spent, Table, Value};
use crate::poll::{Poll, READ};

/// How much a call reads before Lua takes it, and what a message counts in addition to its payload.
const READ_BYTES: usize = 1 << 16;
const MESSAGE_BYTES: usize = 512;
/// Stands in the place of an opcode for what is no message; no peer can send this opcode.
const OTHER: usize = 3;

/// One connection of a hub.
pub struct WireObject {
    /// What it shares with others.
    pub shared: Rc<Shared>,
    /// Its descriptor, -1 once closed.
    pub fd: Cell<i32>,
}

impl WireObject {
    /// Queues a whole message within a turn. Returns whether it did; where not, `wire:push` tells why.
    pub fn write(&self, frame: Frame<'_>) -> bool {
        let mut hub = self.shared.hub.borrow_mut();
        hub.output.is_in_turn && hub.with(self.fd.get(), |wire, output| output.push(wire, frame).is_none())
    }
}

impl Drop for WireObject {
    fn drop(&mut self) {
        self.shared.hub.borrow_mut().close(self.fd.get());
    }
}

/// The name of hubs.
pub const HUB: &CStr = c"websockets_hub";
/// The name of wires.
pub const WIRE: &CStr = c"websockets_wire";

/// What it gives to Lua.
pub const FUNCTIONS: Functions = functions! { hub };

/// The methods of hubs.
pub const METHODS: Functions = functions! { wire accept read flush wait watch totals charge close getfd set_timer };

/// `hub{high_water_bytes, max_buffered_bytes, max_unfinished_total_bytes} -> hub`
fn hub(lua: &Lua) -> Option<Made> {
    let settings = lua.arg(1).table()?;
    let limits = limits(settings)?;
    let [max_unfinished_bytes] = settings.fields([c"max_unfinished_total_bytes"])?;
    lua.new_object(HUB, || {
        let hub = Hub::new(limits, limit(max_unfinished_bytes)).ok()?;
        Some(HubObject::new(Shared { hub: RefCell::new(hub), spent: Spent::default() }))
    })
}

// Does something with all waiting, or with that of the side; gives the default where the hub is closed.
fn with_poll<R: Default>(lua: &Lua, is_side: bool, work: impl FnOnce(&mut Poll) -> R) -> Option<R> {
    with(lua, |hub| {
        let poll = hub.poll.as_mut().and_then(|poll| poll.part(is_side));
        poll.map(work).unwrap_or_default()
    })
}

// Makes the wire of a socket, which is taken when nothing can raise any more; `bytes` were received from it elsewhere.
fn new_wire(lua: &Lua, take: impl FnOnce(&mut Hub) -> Option<OwnedFd>, bytes: &[u8], is_foreign: bool) -> Option<Made> {
    let shared = lua.arg(1).object::<HubObject>()?;
    lua.new_object(WIRE, || {
        let mut hub = shared.hub.borrow_mut();
        let socket = take(&mut hub)?;
        let fd = hub.adopt(socket, bytes, is_foreign);
        Some(WireObject { shared: Rc::clone(shared), fd: Cell::new(fd) })
    })
}

/// `hub:wire(fd, bytes) -> wire`, or nil and why not: takes over a connected socket that has no wire yet, of
/// which `bytes` have been received
fn wire(lua: &Lua) -> Option<Result<Made, &'static str>> {
    let number = lua.arg(2).number() as i32;
    if with(lua, |hub| hub.with(number, |_, _| true))? {
        return Some(Err("reset"));
    }
    match ioctl_fionbio(lua.arg(2).fd()?, true) {
        Ok(()) => new_wire(lua, |_| lua.arg(2).take_fd(), lua.arg(3).bytes(), true).map(Ok),
        Err(error) => Some(Err(word(error))),
    }
}

/// `hub:accept(fd, is_foreign) -> wire`, or nil and why there is none, `closed` where only this one is lost: the next
/// connection of a listening socket
fn accept(lua: &Lua) -> Option<Result<Made, &'static str>> {
    let listening = lua.arg(2).fd()?;
    let accepted = with(lua, |hub| {
        if hub.accepted.is_none() {
            hub.accepted = Some(accept_with(listening, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC)?);
        }
        Ok(())
    })?;
    match accepted {
        Ok(()) => new_wire(lua, |hub| hub.accepted.take(), &[], lua.arg(3).boolean()).map(Ok),
        Err(error) => Some(Err(accept_word(error))),
    }
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
/// in a part of `readable`, but stops when enough has come, and puts false in its place. `next` is the place of the
/// next.
///
/// Fills the last three arrays: owner of the descriptor, opcode, payload. An opcode `OTHER` is no message: its payload
/// is true where more of a connection may be here, 0 where there is something to be told by `unfinished`, why nothing
/// more comes, or false for a descriptor without a wire that is direct. A descriptor without an owner is passed over.
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
        taken.put(owner, opcode, payload);
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

/// `hub:flush(reports, owners) -> count`: sends what was queued, and fills `reports` with `count` triples: owner;
/// bytes that wait, or nil where the connection broke; whether any was taken, or why it broke.
fn flush(lua: &Lua) -> Option<usize> {
    let reports = lua.arg(2).table()?;
    let owners = lua.arg(3).table()?;
    with(lua, Hub::flush)?;
    let mut count = 0;
    while let Some((fd, report)) = with(lua, Hub::next_report)? {
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
        with(lua, Hub::forget_report)?;
    }
    Some(count)
}

// The second argument as a time; nil is for ever.
fn seconds(lua: &Lua) -> Option<Duration> {
    let seconds = lua.arg(2);
    seconds.is_some().then(|| Duration::from_secs_f64(seconds.number().clamp(0.0, 1e8)))
}

/// `hub:wait(seconds, owners, readable, writable, is_side) -> reads, writes`: fills `readable` with descriptors that
/// can be read, and `writable` with owners of those that can be written. Nil seconds wait for ever. `is_side` waits for
/// the side. `reads` is -1 where waiting failed.
fn wait(lua: &Lua) -> Option<(i32, usize)> {
    let owners = lua.arg(3).table()?;
    let readable = lua.arg(4).table()?;
    let writable = lua.arg(5).table()?;
    let is_side = lua.arg(6).boolean();
    with(lua, |hub| hub.output.is_in_turn = true)?;
    if with_poll(lua, is_side, |poll| poll.wait(seconds(lua)))? {
        return Some((-1, 0));
    }
    let mut reads = 0;
    let mut writes = 0;
    while let Some(ready) = with(lua, |hub| hub.next_ready(is_side))? {
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
        with_poll(lua, is_side, Poll::advance)?;
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
fn totals(lua: &Lua) -> Option<(usize, f64, usize)> {
    with(lua, |hub| (hub.output.buffered, hub.budget.used as f64, hub.output.sends))
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
