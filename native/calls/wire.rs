//! The methods of a wire.

use std::cell::{Cell, RefCell};
use std::io::Write;
use std::rc::Rc;

use super::engine::{self, CodecObject};
use crate::header::{Rules, TEXT};
use crate::hub::{report, Hub, Wire};
use crate::lua::{functions, object, Answer, Functions, Lua, Spent};
use crate::net::{self, Fault};
use crate::output::{Frame, Output, Refused};
use crate::utf8;

/// From this size on a payload leaves from where it is.
const HELD_BYTES: usize = 4096;

/// One connection of a hub.
pub struct WireObject {
    /// Whose it is.
    pub hub: Rc<RefCell<Hub>>,
    /// References that the hub's queues have given up.
    pub spent: Spent,
    /// Its descriptor, -1 once closed.
    pub fd: Cell<i32>,
}

object!(WireObject, c"websockets wire");

/// What `wire:name()` finds.
pub const METHODS: Functions = functions! {
    receive unread raw begin read push attend flush drop buffered watch peer getfd shutdown close
};

#[cfg(feature = "luajit")]
impl WireObject {
    /// Queues a whole message where nothing stands against it.
    pub fn push(&self, opcode: u8, payload: &[u8]) -> bool {
        let frame = Frame { opcode, is_final: true, is_plain: false, payload };
        (opcode != TEXT || utf8::is_valid(payload))
            && self.hub.borrow_mut().with(self.fd.get(), |wire, output| output.push(&mut wire.out, frame)).is_none()
    }
}

fn with<R: Default>(lua: &Lua, work: impl FnOnce(&mut Wire, &mut Output) -> R) -> Option<R> {
    let wire = lua.object::<WireObject>(1)?;
    lua.attempt(|| wire.hub.borrow_mut().with(wire.fd.get(), work))
}

// For what must go to the hub itself.
fn with_hub<R>(lua: &Lua, work: impl FnOnce(&mut Hub, i32) -> R) -> Option<R> {
    let wire = lua.object::<WireObject>(1)?;
    lua.attempt(|| work(&mut wire.hub.borrow_mut(), wire.fd.get()))
}

fn release(lua: &Lua) -> Option<()> {
    lua.release(&lua.object::<WireObject>(1)?.spent);
    Some(())
}

fn receive(lua: &Lua) -> Option<impl Answer> {
    let wire = lua.object::<WireObject>(1)?;
    lua.build(|target| {
        let mut hub = wire.hub.borrow_mut();
        let received = hub.with(wire.fd.get(), |wire, _| Some(wire.incoming.receive(&wire.out.fd, target)));
        received.unwrap_or(Err(Fault::Closed))
    })
}

fn unread(lua: &Lua) -> Option<()> {
    with(lua, |wire, _| wire.incoming.unread(lua.bytes(2)))
}

fn begin(lua: &Lua) -> Option<()> {
    let rules = Rules { inflate: engine::window(lua, 9), ..engine::rules(lua, 2) };
    let (limits, codec) = (super::hub::limits(lua, 5), lua.object::<CodecObject>(8));
    with_hub(lua, |hub, fd| hub.start(fd, rules, limits, lua.bytes(7), codec.map(|codec| Rc::clone(&codec.0))))
}

fn read(lua: &Lua) -> Option<impl Answer> {
    let wire = lua.object::<WireObject>(1)?;
    lua.table(2)?;
    let read = lua.deliver(2, |delivery| wire.hub.borrow_mut().read(wire.fd.get(), delivery))?;
    if read.is_ok() {
        with(lua, |wire, _| wire.incoming.is_delivering = false)?;
    }
    Some(read)
}

// Queues a payload that leaves from where it is; raw bytes where there is no first byte of a frame.
fn hold(lua: &Lua, index: i32, first: Option<u8>) -> Option<Option<Refused>> {
    let payload = lua.anchor(index, &lua.object::<WireObject>(1)?.spent);
    with(lua, move |wire, output| output.push_held(&mut wire.out, first, Box::new(payload)))
}

fn raw(lua: &Lua) -> Option<()> {
    let bytes = lua.bytes(2);
    if bytes.len() < HELD_BYTES {
        return with(lua, |wire, output| output.raw(&mut wire.out, bytes));
    }
    hold(lua, 2, None).map(|_| ())
}

fn push(lua: &Lua) -> Option<Result<bool, &'static str>> {
    let Some(frame) = engine::frame(lua) else { return Some(Err("type")) };
    if frame.opcode == TEXT && frame.is_final && !utf8::is_valid(frame.payload) {
        return Some(Err("utf8"));
    }
    let is_held = frame.payload.len() >= HELD_BYTES
        && with(lua, |wire, _| !(wire.out.is_client || wire.out.codec.is_some() && frame.is_packable()))?;
    let refused = match is_held {
        true => hold(lua, 3, Some(frame.first()))?,
        false => with(lua, |wire, output| output.push(&mut wire.out, frame))?,
    };
    if refused == Some(Refused::Full) {
        release(lua)?;
    }
    Some(refused.map_or(Ok(true), |refused| Err(refused.word())))
}

fn attend(lua: &Lua) -> Option<()> {
    with(lua, |wire, output| {
        wire.out.wants_attention = true;
        output.list(&mut wire.out);
    })
}

fn flush(lua: &Lua) -> Option<impl Answer> {
    let told = with(lua, |wire, output| {
        output.send(&mut wire.out);
        Some(report(&mut wire.out))
    })?;
    release(lua)?;
    Some(told.unwrap_or(Err(Fault::Closed)))
}

fn drop(lua: &Lua) -> Option<usize> {
    // More than can wait, for infinity.
    let enough = lua.number(2).clamp(0.0, 1e15) as usize;
    let dropped = with(lua, |wire, output| output.drop_messages(&mut wire.out, enough))?;
    release(lua)?;
    Some(dropped)
}

fn buffered(lua: &Lua) -> Option<usize> {
    with(lua, |wire, _| wire.out.pending)
}

fn watch(lua: &Lua) -> Option<bool> {
    with_hub(lua, |hub, fd| hub.watch(fd, lua.boolean(2)))
}

fn peer(lua: &Lua) -> Option<impl Answer> {
    let found = with(lua, |wire, _| net::peer(&wire.out.fd))?;
    lua.build(|target| match found {
        Some((ip, port)) => write!(target, "{ip}").map_or(Err(""), |()| Ok(usize::from(port))),
        None => Ok(0),
    })
}

fn getfd(lua: &Lua) -> Option<f64> {
    Some(lua.object::<WireObject>(1)?.fd.get().into())
}

fn shutdown(lua: &Lua) -> Option<()> {
    with(lua, |wire, _| net::shut_down(&wire.out.fd))
}

fn close(lua: &Lua) -> Option<()> {
    with_hub(lua, |hub, fd| hub.close(fd))?;
    lua.object::<WireObject>(1)?.fd.set(-1);
    release(lua)
}

/// The finalizer.
pub fn collect(lua: &Lua) -> Option<()> {
    let _ = close(lua);
    lua.drop_object::<WireObject>()
}

/// `fanout(wires, count, opcode, payload, full)`: how many were full; their positions are in `full`.
pub fn fanout(lua: &Lua) -> Option<usize> {
    lua.table(1)?;
    lua.table(5)?;
    let count = usize::try_from(lua.integer(2)).unwrap_or(0);
    let frame = Frame { opcode: lua.integer(3) as u8, is_final: true, is_plain: false, payload: lua.bytes(4) };
    let full = lua.attempt(|| {
        let hub = lua.with_item(1, 1, |wire: &WireObject| Rc::clone(&wire.hub))?;
        let name = |place| {
            let own = |wire: &WireObject| if Rc::ptr_eq(&wire.hub, &hub) { wire.fd.get() } else { -1 };
            lua.with_item(1, place, own).unwrap_or(-1)
        };
        let full = hub.borrow_mut().fan_out(count, name, frame);
        Some(full)
    })?;
    let full = full.unwrap_or(0);
    for index in 1..=full {
        let place = lua.with_item(1, 1, |wire: &WireObject| wire.hub.borrow().full.get(index - 1).copied())??;
        lua.push(place);
        lua.set_item(5, index);
    }
    Some(full)
}
