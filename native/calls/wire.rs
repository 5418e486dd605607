//! The methods of a wire.

use std::cell::{Cell, RefCell};
use std::ffi::{c_int, CStr};
use std::rc::Rc;

use mlua_sys::lua_CFunction;

use super::engine;
use crate::hub::{Hub, Report};
use crate::lua::{entry, Kind, Lua, Object, Spent};
use crate::net::Fault;
use crate::output::{Frame, Refused};
use crate::utf8;

/// From this size on a payload leaves from where it is.
const HELD_BYTES: usize = 4096;
const TEXT: u8 = 1;

/// One connection of a hub.
pub struct WireObject {
    /// Whose it is.
    pub hub: Rc<RefCell<Hub>>,
    /// References that the hub's queues have given up.
    pub spent: Spent,
    /// Its descriptor, -1 once closed.
    pub fd: Cell<i32>,
}

impl Object for WireObject {
    fn kind() -> &'static Kind {
        static KIND: Kind = Kind(c"websockets wire");
        &KIND
    }
}

/// What `wire:name()` finds.
pub fn methods() -> [(&'static CStr, lua_CFunction); 16] {
    [
        (c"receive", entry(receive)),
        (c"unread", entry(unread)),
        (c"raw", entry(raw)),
        (c"begin", entry(begin)),
        (c"read", entry(read)),
        (c"push", entry(push)),
        (c"attend", entry(attend)),
        (c"flush", entry(flush)),
        (c"drop", entry(drop_messages)),
        (c"buffered", entry(buffered)),
        (c"watch", entry(watch)),
        (c"peer", entry(peer)),
        (c"getfd", entry(getfd)),
        (c"shutdown", entry(shutdown)),
        (c"close", entry(close)),
        (c"belongs_to", entry(belongs_to)),
    ]
}

fn with<R>(lua: &Lua, work: impl FnOnce(&mut Hub, i32) -> R) -> Option<R> {
    let wire = lua.object::<WireObject>(1)?;
    lua.attempt(|| work(&mut wire.hub.borrow_mut(), wire.fd.get()))
}

fn refuse(lua: &Lua, why: &str) -> c_int {
    lua.push_nil();
    lua.push_bytes(why.as_bytes());
    2
}

fn done(lua: &Lua, result: Option<()>) -> c_int {
    if result.is_some() {
        0
    } else {
        lua.fail()
    }
}

fn receive(lua: &Lua) -> c_int {
    let Some(wire) = lua.object::<WireObject>(1) else { return lua.fail() };
    match lua.push_built(|target| wire.hub.borrow_mut().receive(wire.fd.get(), target)) {
        Some(Ok(again)) => {
            lua.push_boolean(again);
            2
        }
        Some(Err(fault)) => refuse(lua, fault.word()),
        None => lua.fail(),
    }
}

fn unread(lua: &Lua) -> c_int {
    done(lua, with(lua, |hub, fd| hub.unread(fd, lua.bytes(2))))
}

fn begin(lua: &Lua) -> c_int {
    let rules = engine::rules(lua, 2);
    done(lua, with(lua, |hub, fd| hub.start(fd, rules, lua.bytes(5))))
}

fn read(lua: &Lua) -> c_int {
    let Some(wire) = lua.object::<WireObject>(1) else { return lua.fail() };
    if !lua.is_table(2) {
        return lua.fail();
    }
    match lua.deliver(2, |delivery| wire.hub.borrow_mut().read(wire.fd.get(), delivery)) {
        Some(Ok((count, again))) => {
            if lua.attempt(|| wire.hub.borrow_mut().delivered(wire.fd.get())).is_none() {
                return lua.fail();
            }
            lua.push_integer(count);
            lua.push_boolean(again);
            2
        }
        Some(Err(fault)) => refuse(lua, fault.word()),
        None => lua.fail(),
    }
}

fn raw(lua: &Lua) -> c_int {
    let Some(wire) = lua.object::<WireObject>(1) else { return lua.fail() };
    let bytes = lua.bytes(2);
    if bytes.len() < HELD_BYTES {
        return done(lua, with(lua, |hub, fd| hub.raw(fd, bytes)));
    }
    let payload = lua.anchor(2, &wire.spent);
    let held = lua.attempt(move || {
        let _ = wire.hub.borrow_mut().push_held(wire.fd.get(), None, Box::new(payload));
    });
    done(lua, held)
}

fn push(lua: &Lua) -> c_int {
    let Some(wire) = lua.object::<WireObject>(1) else { return lua.fail() };
    let is_final = !lua.has(4) || lua.boolean(4);
    let frame = Frame { opcode: lua.integer(2) as u8, is_final, payload: lua.bytes(3) };
    if !lua.is_string(3) {
        return refuse(lua, "type");
    }
    if frame.opcode == TEXT && is_final && !utf8::is_valid(frame.payload) {
        return refuse(lua, "utf8");
    }
    let is_large = frame.payload.len() >= HELD_BYTES;
    let result = if is_large && with(lua, |hub, fd| hub.is_client(fd)) == Some(false) {
        let payload = lua.anchor(3, &wire.spent);
        lua.attempt(move || wire.hub.borrow_mut().push_held(wire.fd.get(), Some(frame.first()), Box::new(payload)))
    } else {
        lua.attempt(|| wire.hub.borrow_mut().push(wire.fd.get(), frame))
    };
    match result {
        Some(Ok(())) => {
            lua.push_boolean(true);
            1
        }
        Some(Err(Refused::Full)) => {
            lua.release(&wire.spent);
            refuse(lua, "full")
        }
        Some(Err(Refused::Entropy)) => refuse(lua, "entropy"),
        None => lua.fail(),
    }
}

fn attend(lua: &Lua) -> c_int {
    done(lua, with(lua, |hub, fd| hub.attend(fd)))
}

/// Pushes what Lua hears of a connection: bytes that wait and whether any was taken, or a false value and why it broke.
pub fn push_report(lua: &Lua, report: Report) {
    match report.pending {
        Ok(pending) => {
            lua.push_integer(pending);
            lua.push_boolean(report.took);
        }
        Err(fault) => {
            lua.push_boolean(false);
            lua.push_bytes(fault.word().as_bytes());
        }
    }
}

fn flush(lua: &Lua) -> c_int {
    let Some(wire) = lua.object::<WireObject>(1) else { return lua.fail() };
    let Some(report) = with(lua, |hub, fd| hub.flush(fd)) else { return lua.fail() };
    lua.release(&wire.spent);
    if let Err(fault) = report.pending {
        return refuse(lua, fault.word());
    }
    push_report(lua, report);
    2
}

fn drop_messages(lua: &Lua) -> c_int {
    let Some(wire) = lua.object::<WireObject>(1) else { return lua.fail() };
    // More than can wait, for infinity.
    let enough = lua.number(2).clamp(0.0, 1e15) as usize;
    let Some(dropped) = with(lua, |hub, fd| hub.drop_messages(fd, enough)) else { return lua.fail() };
    lua.release(&wire.spent);
    lua.push_integer(dropped);
    1
}

fn buffered(lua: &Lua) -> c_int {
    let Some(pending) = with(lua, |hub, fd| hub.pending(fd)) else { return lua.fail() };
    lua.push_integer(pending);
    1
}

fn watch(lua: &Lua) -> c_int {
    let Some(is_watched) = with(lua, |hub, fd| hub.watch(fd, lua.boolean(2))) else { return lua.fail() };
    lua.push_boolean(is_watched);
    1
}

fn peer(lua: &Lua) -> c_int {
    let Some(wire) = lua.object::<WireObject>(1) else { return lua.fail() };
    let built = lua.push_built(|target| Ok::<u16, Fault>(wire.hub.borrow_mut().peer(wire.fd.get(), target)));
    let Some(Ok(port)) = built else { return lua.fail() };
    lua.push_integer(port.into());
    2
}

fn getfd(lua: &Lua) -> c_int {
    let Some(wire) = lua.object::<WireObject>(1) else { return lua.fail() };
    lua.push_number(wire.fd.get().into());
    1
}

fn shutdown(lua: &Lua) -> c_int {
    done(lua, with(lua, |hub, fd| hub.shut_down(fd)))
}

fn close_wire(lua: &Lua, wire: &WireObject) -> Option<()> {
    let closed = lua.attempt(|| wire.hub.borrow_mut().close(wire.fd.replace(-1)));
    lua.release(&wire.spent);
    closed
}

fn close(lua: &Lua) -> c_int {
    let Some(wire) = lua.object::<WireObject>(1) else { return lua.fail() };
    done(lua, close_wire(lua, wire))
}

/// The finalizer.
pub fn collect(lua: &Lua) -> c_int {
    if let Some(wire) = lua.object::<WireObject>(1) {
        let _ = close_wire(lua, wire);
        lua.drop_object::<WireObject>();
    }
    0
}

fn belongs_to(lua: &Lua) -> c_int {
    let wire = lua.object::<WireObject>(1);
    let hub = lua.object::<super::hub::HubObject>(2);
    lua.push_boolean(matches!((wire, hub), (Some(wire), Some(hub)) if Rc::ptr_eq(&wire.hub, &hub.hub)));
    1
}

/// `fanout(wires, count, opcode, payload, troubled)`: how many were full; their positions are in `troubled`.
pub fn fanout(lua: &Lua) -> c_int {
    if !lua.is_table(1) || !lua.is_table(5) {
        return lua.fail();
    }
    let count = usize::try_from(lua.integer(2)).unwrap_or(0);
    let frame = Frame { opcode: lua.integer(3) as u8, is_final: true, payload: lua.bytes(4) };
    let Some(full) = lua.attempt(|| fan_out(lua, count, frame)) else { return lua.fail() };
    for index in 1..=full {
        let Some(Some(at)) =
            lua.with_item(1, 1, |wire: &WireObject| wire.hub.borrow().troubled.get(index - 1).copied())
        else {
            return lua.fail();
        };
        lua.push_integer(at);
        lua.set_item(5, index);
    }
    lua.push_integer(full);
    1
}

fn fan_out(lua: &Lua, count: usize, frame: Frame<'_>) -> usize {
    let Some(shared) = lua.with_item(1, 1, |wire: &WireObject| Rc::clone(&wire.hub)) else { return 0 };
    let hub = &mut *shared.borrow_mut();
    hub.troubled.clear();
    let mut fanout = hub.begin_fanout(frame);
    for index in 1..=count {
        let fd = lua.with_item(
            1,
            index,
            |wire: &WireObject| if Rc::ptr_eq(&wire.hub, &shared) { wire.fd.get() } else { -1 },
        );
        if hub.fan_out(fd.unwrap_or(-1), &mut fanout, frame).is_err() {
            hub.troubled.push(index);
        }
    }
    hub.troubled.len()
}
