//! The methods of a wire.

use std::{cell::Cell, ffi::CStr, net::SocketAddr, rc::Rc};

use rustix::io::Errno;
use rustix::net::{getpeername, shutdown as shut_down, Shutdown};

use super::engine;
use super::hub::{limits, Shared};
use crate::header::{FINAL, TEXT};
use crate::hub::Hub;
use crate::lua::{functions, Answer, Functions, Item, Lua};
use crate::output::{Codec, Frame, Output, Refusal, Wire};

/// From this size on a payload leaves from where it is.
const HELD_BYTES: usize = 4096;

/// One connection of a hub.
pub struct WireObject {
    /// Whose it is.
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

/// The name of wires.
pub const KIND: &CStr = c"websockets_wire";

/// What it gives to Lua.
pub const FUNCTIONS: Functions = functions! { fanout write };

/// What `wire:name()` finds.
pub const METHODS: Functions =
    functions! { receive raw begin read heard push attend flush drop buffered watch peer getfd shutdown close };

fn with_hub<R>(lua: &Lua, work: impl FnOnce(&mut Hub, i32) -> R) -> Option<R> {
    let wire = lua.object::<WireObject>(1)?;
    wire.shared.with(lua, |hub| work(hub, wire.fd.get()))
}

fn with<R: Default>(lua: &Lua, work: impl FnOnce(&mut Wire, &mut Output) -> R) -> Option<R> {
    with_hub(lua, |hub, fd| hub.with(fd, work))
}

fn receive(lua: &Lua) -> Option<impl Answer> {
    let received = with(lua, |wire, _| Some(wire.incoming.receive(&wire.fd)))?;
    Some(received.unwrap_or(Err(Errno::PIPE)))
}

fn begin(lua: &Lua) -> Option<()> {
    let codec = lua.object::<Codec>(11).cloned();
    with(lua, |wire, _| wire.start(engine::rules(lua, 2), lua.bytes(8), limits(lua, 9), codec))
}

fn read(lua: &Lua) -> Option<impl Answer> {
    let wire = lua.object::<WireObject>(1)?;
    lua.tables(&[2])?;
    with_hub(lua, |hub, _| hub.begin_batch())?;
    let put = |index, opcode, payload: &_| lua.set_item(2, 2 * index + 1, (opcode, payload));
    let (count, read) = lua.deliver(|delivery| wire.shared.hub.borrow_mut().read(wire.fd.get(), delivery), put)?;
    with_hub(lua, |hub, _| hub.is_delivered = true)?;
    Some(read.map(|again| (count, again)))
}

fn heard(lua: &Lua) -> Option<bool> {
    with(lua, |wire, _| std::mem::take(&mut wire.incoming.has_heard))
}

fn raw(lua: &Lua) -> Option<()> {
    let bytes = lua.bytes(2);
    if bytes.len() < HELD_BYTES {
        return with(lua, |wire, output| output.append(wire, |target| target.extend_from_slice(bytes)));
    }
    let payload = lua.anchor(2, &lua.object::<WireObject>(1)?.shared.spent);
    with(lua, |wire, output| output.hold(wire, Vec::new(), Box::new(payload)))
}

fn push(lua: &Lua) -> Option<Result<bool, Refusal>> {
    let Some(frame) = engine::frame(lua) else { return Some(Err("type")) };
    let is_held = |wire: &Wire| !(wire.out.is_client || wire.out.codec.is_some() && frame.is_packable);
    let refused = match frame.payload.len() >= HELD_BYTES && with(lua, |wire, _| is_held(wire))? {
        true => {
            let payload = lua.anchor(3, &lua.object::<WireObject>(1)?.shared.spent);
            with(lua, |wire, output| output.push_held(wire, frame.first, Box::new(payload)))?
        }
        false => with(lua, |wire, output| output.push(wire, frame))?,
    };
    Some(refused.map_or(Ok(true), Err))
}

fn attend(lua: &Lua) -> Option<()> {
    with(lua, |wire, output| {
        wire.out.wants_attention = true;
        output.list(wire);
    })
}

fn flush(lua: &Lua) -> Option<impl Answer> {
    let told = with(lua, |wire, output| {
        wire.out.is_blocked = false;
        output.send(wire);
        Some(wire.out.report())
    })?;
    Some(told.unwrap_or(Err(Errno::PIPE)))
}

fn drop(lua: &Lua) -> Option<usize> {
    with(lua, |wire, output| output.drop_messages(wire, lua.number(2) as usize))
}

fn buffered(lua: &Lua) -> Option<usize> {
    with(lua, |wire, _| wire.out.queue.size)
}

fn watch(lua: &Lua) -> Option<bool> {
    with_hub(lua, |hub, fd| hub.watch(fd, lua.boolean(2)))
}

// The peer's address, an IPv4 one inside IPv6 without its prefix; empty where it has none.
fn peer(lua: &Lua) -> Option<impl Answer> {
    let found = with(lua, |wire, _| SocketAddr::try_from(getpeername(&wire.fd).ok()??).ok())?;
    Some(found.map_or(Vec::new(), |address| address.ip().to_canonical().to_string().into_bytes()))
}

fn getfd(lua: &Lua) -> Option<f64> {
    Some(lua.object::<WireObject>(1)?.fd.get().into())
}

fn shutdown(lua: &Lua) -> Option<bool> {
    with(lua, |wire, _| shut_down(&wire.fd, Shutdown::Write).is_ok())
}

fn close(lua: &Lua) -> Option<()> {
    with_hub(lua, |hub, fd| hub.close(fd))?;
    lua.object::<WireObject>(1)?.fd.set(-1);
    Some(())
}

/// The finalizer.
pub fn collect(lua: &Lua) -> Option<()> {
    let _ = close(lua);
    lua.drop_object::<WireObject>()
}

/// `write(wire, payload, kind)`: queues a small whole message within a turn; false for all that needs a closer look.
fn write(lua: &Lua) -> Option<bool> {
    let kind = if lua.is_number(3) { lua.number(3) } else { f64::from(lua.has(3)) * 2.0 };
    let is_small = |payload: &&[u8]| payload.len() < HELD_BYTES && (kind == 0.0 || kind == 1.0);
    let Some(payload) = lua.string(2).filter(is_small) else { return Some(false) };
    let frame = Frame { first: FINAL | (TEXT + kind as u8), is_packable: true, payload };
    lua.attempt(|| lua.object::<WireObject>(1).is_some_and(|wire| wire.write(frame)))
}

/// `fanout(wires, count, opcode, payload, full)`: how many were full; their positions are in `full`.
fn fanout(lua: &Lua) -> Option<usize> {
    lua.tables(&[1, 5])?;
    let frame = Frame { first: FINAL | lua.number(3) as u8, is_packable: true, payload: lua.bytes(4) };
    let full = lua.attempt(|| {
        let wire = || lua.object::<WireObject>(-1);
        let shared = lua.with(Item(1, 1), || wire().map(|wire| Rc::clone(&wire.shared)))?;
        let fd = || wire().filter(|wire| Rc::ptr_eq(&wire.shared, &shared)).map_or(-1, |wire| wire.fd.get());
        let fds = (1..=lua.number(2) as usize).map(|place| lua.with(Item(1, place), fd));
        let full = shared.hub.borrow_mut().fan_out(fds, frame);
        Some(full)
    })?;
    Some(lua.set_items(5, full.unwrap_or_default()))
}
