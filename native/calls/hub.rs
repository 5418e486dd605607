//! The methods of a hub.

use std::cell::{Cell, RefCell};
use std::ffi::{c_int, CStr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::{rc::Rc, time::Duration};

use rustix::event::epoll::EventFlags;
use rustix::io::{ioctl_fionbio, Errno};
use rustix::net::{accept_with, SocketFlags};

use super::engine;
use super::wire::{self, WireObject};
use crate::lua::{functions, Answer, At, Called, Functions, Item, Lua, Own, Spent};
use crate::poll::{Poll, READ};
use crate::{hub::Hub, output::Limits};

/// How much is read before Lua takes it, and what a message counts beside its payload.
const READ_BYTES: usize = 1 << 16;
const MESSAGE_BYTES: usize = 512;
/// Stands for what is no message; no peer can send this opcode.
const OTHER: usize = 3;

/// The sockets of a context.
pub struct Shared {
    /// All of them.
    pub hub: RefCell<Hub>,
    /// References that their queues have given up.
    pub spent: Spent,
}

impl Shared {
    /// Does something with them, and lets go of the strings that have left.
    pub fn with<R>(&self, lua: &Lua, work: impl FnOnce(&mut Hub) -> R) -> Option<R> {
        let done = lua.attempt(|| work(&mut self.hub.borrow_mut()));
        lua.release(&self.spent);
        done
    }
}

/// A hub.
pub type HubObject = Rc<Shared>;

/// The name of hubs.
pub const KIND: &CStr = c"websockets_hub";

/// What it gives to Lua.
pub const FUNCTIONS: Functions = functions! { hub };

/// What `hub:name()` finds.
pub const METHODS: Functions = functions! { wire accept read flush wait watch totals close getfd set_timer };

/// Takes `high_water_bytes`, `max_buffered_bytes`.
pub fn limits(lua: &Lua, from: c_int) -> Limits {
    let limit = |index| engine::limit(lua, index) as usize;
    Limits { high_water_bytes: limit(from), max_buffered_bytes: limit(from + 1) }
}

/// `hub(high_water_bytes, max_buffered_bytes, max_unfinished_total_bytes)`
fn hub(lua: &Lua) -> Called {
    lua.new_object(KIND, || {
        let hub = Hub::new(limits(lua, 1), engine::limit(lua, 3)).ok()?;
        Some(HubObject::new(Shared { hub: RefCell::new(hub), spent: Spent::default() }))
    })
}

fn with<R>(lua: &Lua, work: impl FnOnce(&mut Hub) -> R) -> Option<R> {
    lua.object::<HubObject>(1)?.with(lua, work)
}

// For the side of its waiting that the argument asks for; nothing where it is closed.
fn with_poll<R: Default>(lua: &Lua, is_side: bool, work: impl FnOnce(&mut Poll) -> R) -> Option<R> {
    with(lua, |hub| hub.poll.as_mut().and_then(|poll| poll.part(is_side)).map(work).unwrap_or_default())
}

// Pushes the wire of a socket, whose first bytes somebody may have received; or why there is none.
fn push_wire(lua: &Lua, socket: Result<OwnedFd, Errno>, is_foreign: bool) -> Option<Result<At, Errno>> {
    let shared = lua.object::<HubObject>(1)?;
    let adopted = socket.map(|socket| with(lua, |hub| hub.adopt(socket, lua.bytes(3), is_foreign)));
    let make = |fd| lua.new_object(wire::KIND, || Some(WireObject { shared: Rc::clone(shared), fd: Cell::new(fd) }));
    adopted.map(|fd| make(fd?)).transpose()
}

/// `hub:wire(fd, bytes)`: takes over a connected socket, of which somebody else has received bytes.
fn wire(lua: &Lua) -> Option<Result<At, Errno>> {
    let socket = lua.take_fd(2)?;
    push_wire(lua, ioctl_fionbio(&socket, true).map(|()| socket), true)
}

/// `hub:accept(fd, is_foreign)`: the next connection that waits at a listening socket, or nil and why there is none.
fn accept(lua: &Lua) -> Option<Result<At, Errno>> {
    push_wire(lua, accept_with(lua.fd(2)?, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC), lua.boolean(3))
}

/// `hub:read(readable, first, last, owners, opcodes, payloads)`: reads once from each that is ready, but no further when
/// enough has come, and puts false in its place. Fills the arrays with messages; and with `OTHER` for who has no wire in
/// `plain`; with true behind it for who may have more, or with why there is nothing. How many; the place of the next.
fn read(lua: &Lua) -> Option<(usize, usize)> {
    lua.tables(&[2, 5, 6, 7])?;
    with(lua, Hub::begin_batch)?;
    let read = lua.with("plain", || read_ready(lua, &Own(lua.top())))?;
    with(lua, |hub| hub.is_delivered = true).map(|()| read)
}

fn read_ready(lua: &Lua, plain: &Own) -> Option<(usize, usize)> {
    let (mut place, last, mut count, mut weight) = (lua.number(3) as usize, lua.number(4) as usize, 0, 0);
    while place <= last && weight < READ_BYTES {
        let mut read = || lua.with(plain, || read_one(lua, count + 1, &mut weight));
        count += lua.with(Item(2, place), || lua.tables(&[-1]).map_or(Some(0), |()| read()))?;
        lua.set_item(2, place, false);
        place += 1;
    }
    Some((count, place))
}

// Reads from the wire on top of the stack, above its owner, into the arrays of `hub:read`, from a place on. Returns how
// many places that were.
fn read_one(lua: &Lua, from: usize, weight: &mut usize) -> Option<usize> {
    let Some(wire) = lua.object::<WireObject>(-1) else { return Some(put(lua, from, OTHER, false)) };
    let put_message = |index, opcode, payload: &[u8]| {
        *weight += MESSAGE_BYTES + payload.len();
        put(lua, from + index, opcode, payload);
    };
    let read = |delivery: &mut _| wire.shared.hub.borrow_mut().read(wire.fd.get(), delivery);
    let (count, read) = lua.deliver(read, put_message)?;
    let others = match read {
        Ok(false) | Err(Errno::AGAIN | Errno::INTR) => 0,
        Ok(true) => put(lua, from + count, OTHER, true),
        Err(why) => put(lua, from + count, OTHER, why),
    };
    Some(count + others)
}

fn put(lua: &Lua, place: usize, opcode: usize, payload: impl Answer) -> usize {
    lua.set_item(6, place, opcode);
    lua.set_item(7, place, payload);
    // Last, so that an error leaves nothing half said.
    lua.set_item(5, place, At(-2));
    1
}

/// `hub:flush(reports, owners)`: how many triples there are of owner; bytes that wait, or nil where it broke; whether
/// any was taken, or why it broke.
fn flush(lua: &Lua) -> Option<usize> {
    lua.tables(&[2, 3])?;
    with(lua, Hub::flush)?;
    let mut count = 0;
    while let Some((fd, report)) = with(lua, |hub| hub.reports.pop())? {
        if lua.copy_item(3, fd, 2, 3 * count + 1) {
            lua.set_item(2, 3 * count + 2, report);
            count += 1;
        }
    }
    Some(count)
}

fn seconds(lua: &Lua) -> Option<Duration> {
    lua.has(2).then(|| Duration::from_secs_f64(lua.number(2).clamp(0.0, 1e8)))
}

/// `hub:wait(seconds, owners, readable, writable, is_side)`: how many of each; nil seconds for ever.
fn wait(lua: &Lua) -> Option<(usize, usize)> {
    lua.tables(&[3, 4, 5])?;
    let is_side = lua.boolean(6);
    with(lua, |hub| hub.output.is_in_turn = true)?;
    with_poll(lua, is_side, |poll| poll.wait(seconds(lua)))?;
    let (mut reads, mut writes) = (0, 0);
    while let Some((fd, read, write)) = with(lua, |hub| hub.next_ready(is_side))? {
        reads += usize::from(read && !is_side && lua.copy_item(3, fd, 4, reads + 1));
        writes += usize::from(write && lua.copy_item(3, fd, 5, writes + 1));
    }
    Some((reads, writes))
}

/// `hub:watch(fd, read, write)`: any other descriptor, for as long as it is ready.
fn watch(lua: &Lua) -> Option<bool> {
    let Some(fd) = lua.fd(2) else { return Some(false) };
    let mut interest = EventFlags::empty();
    interest.set(READ, lua.boolean(3));
    interest.set(EventFlags::OUT, lua.boolean(4));
    with_poll(lua, false, |poll| poll.watch(fd, interest))
}

/// `hub:totals()`: bytes that wait to be sent, bytes that unfinished messages hold, how many times sockets were offered
/// bytes.
fn totals(lua: &Lua) -> Option<((usize, f64), usize)> {
    with(lua, |hub| ((hub.output.buffered, hub.budget.used as f64), hub.output.sends))
}

/// `hub:close()`: ends waiting, and gives up its descriptors.
fn close(lua: &Lua) -> Option<()> {
    with(lua, |hub| hub.poll = None)
}

/// `hub:getfd(is_side)`: the descriptor of its waiting, -1 where there is none.
fn getfd(lua: &Lua) -> Option<f64> {
    Some(with_poll(lua, lua.boolean(2), |poll| Some(poll.epoll.as_raw_fd()))?.unwrap_or(-1).into())
}

/// `hub:set_timer(seconds, is_side)`: makes a descriptor readable after a time, nil takes that back.
fn set_timer(lua: &Lua) -> Option<()> {
    with_poll(lua, lua.boolean(3), |poll| poll.set_timer(seconds(lua)))
}
