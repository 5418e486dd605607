//! The methods of a wire.

use std::cell::{Cell, RefCell};
use std::ffi::CStr;
use std::rc::Rc;

use mlua_sys::lua_CFunction;

use super::engine;
use crate::hub::{Hub, Report};
use crate::lua::{entry, Called, Kind, Lua, Object, Spent};
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

fn refuse(lua: &Lua, why: &str) -> Called {
    lua.push_nil();
    lua.push_bytes(why.as_bytes());
    Some(2)
}

fn done(result: Option<()>) -> Called {
    result.map(|()| 0)
}

fn receive(lua: &Lua) -> Called {
    let wire = lua.object::<WireObject>(1)?;
    match lua.push_built(|target| wire.hub.borrow_mut().receive(wire.fd.get(), target)) {
        Some(Ok(again)) => {
            lua.push_boolean(again);
            Some(2)
        }
        Some(Err(fault)) => refuse(lua, fault.word()),
        None => None,
    }
}

fn unread(lua: &Lua) -> Called {
    done(with(lua, |hub, fd| hub.unread(fd, lua.bytes(2))))
}

fn begin(lua: &Lua) -> Called {
    let (rules, limits) = (engine::rules(lua, 2), super::hub::limits(lua, 5));
    done(with(lua, |hub, fd| hub.start(fd, rules, limits, lua.bytes(7))))
}

fn read(lua: &Lua) -> Called {
    let wire = lua.object::<WireObject>(1)?;
    lua.table(2)?;
    match lua.deliver(2, |delivery| wire.hub.borrow_mut().read(wire.fd.get(), delivery)) {
        Some(Ok((count, again))) => {
            lua.attempt(|| wire.hub.borrow_mut().delivered(wire.fd.get()))?;
            lua.push_integer(count);
            lua.push_boolean(again);
            Some(2)
        }
        Some(Err(fault)) => refuse(lua, fault.word()),
        None => None,
    }
}

fn raw(lua: &Lua) -> Called {
    let wire = lua.object::<WireObject>(1)?;
    let bytes = lua.bytes(2);
    if bytes.len() < HELD_BYTES {
        return done(with(lua, |hub, fd| hub.raw(fd, bytes)));
    }
    let payload = lua.anchor(2, &wire.spent);
    let held = lua.attempt(move || {
        let _ = wire.hub.borrow_mut().push_held(wire.fd.get(), None, Box::new(payload));
    });
    done(held)
}

fn push(lua: &Lua) -> Called {
    let wire = lua.object::<WireObject>(1)?;
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
            Some(1)
        }
        Some(Err(Refused::Full)) => {
            lua.release(&wire.spent);
            refuse(lua, "full")
        }
        Some(Err(Refused::Entropy)) => refuse(lua, "entropy"),
        None => None,
    }
}

fn attend(lua: &Lua) -> Called {
    done(with(lua, |hub, fd| hub.attend(fd)))
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

fn flush(lua: &Lua) -> Called {
    let wire = lua.object::<WireObject>(1)?;
    let report = with(lua, |hub, fd| hub.flush(fd))?;
    lua.release(&wire.spent);
    if let Err(fault) = report.pending {
        return refuse(lua, fault.word());
    }
    push_report(lua, report);
    Some(2)
}

fn drop_messages(lua: &Lua) -> Called {
    let wire = lua.object::<WireObject>(1)?;
    // More than can wait, for infinity.
    let enough = lua.number(2).clamp(0.0, 1e15) as usize;
    let dropped = with(lua, |hub, fd| hub.drop_messages(fd, enough))?;
    lua.release(&wire.spent);
    lua.push_integer(dropped);
    Some(1)
}

fn buffered(lua: &Lua) -> Called {
    let pending = with(lua, |hub, fd| hub.pending(fd))?;
    lua.push_integer(pending);
    Some(1)
}

fn watch(lua: &Lua) -> Called {
    let is_watched = with(lua, |hub, fd| hub.watch(fd, lua.boolean(2)))?;
    lua.push_boolean(is_watched);
    Some(1)
}

fn peer(lua: &Lua) -> Called {
    let wire = lua.object::<WireObject>(1)?;
    let built = lua.push_built(|target| Ok::<u16, Fault>(wire.hub.borrow_mut().peer(wire.fd.get(), target)));
    let port = built?.ok()?;
    lua.push_integer(port.into());
    Some(2)
}

fn getfd(lua: &Lua) -> Called {
    let wire = lua.object::<WireObject>(1)?;
    lua.push_number(wire.fd.get().into());
    Some(1)
}

fn shutdown(lua: &Lua) -> Called {
    done(with(lua, |hub, fd| hub.shut_down(fd)))
}

fn close_wire(lua: &Lua, wire: &WireObject) -> Option<()> {
    let closed = lua.attempt(|| wire.hub.borrow_mut().close(wire.fd.replace(-1)));
    lua.release(&wire.spent);
    closed
}

fn close(lua: &Lua) -> Called {
    let wire = lua.object::<WireObject>(1)?;
    done(close_wire(lua, wire))
}

/// The finalizer.
pub fn collect(lua: &Lua) -> Called {
    if let Some(wire) = lua.object::<WireObject>(1) {
        let _ = close_wire(lua, wire);
        lua.drop_object::<WireObject>();
    }
    Some(0)
}

fn belongs_to(lua: &Lua) -> Called {
    let wire = lua.object::<WireObject>(1);
    let hub = lua.object::<super::hub::HubObject>(2);
    lua.push_boolean(matches!((wire, hub), (Some(wire), Some(hub)) if Rc::ptr_eq(&wire.hub, &hub.hub)));
    Some(1)
}

/// `fanout(wires, count, opcode, payload, troubled)`: how many were full; their positions are in `troubled`.
pub fn fanout(lua: &Lua) -> Called {
    lua.table(1)?;
    lua.table(5)?;
    let count = usize::try_from(lua.integer(2)).unwrap_or(0);
    let frame = Frame { opcode: lua.integer(3) as u8, is_final: true, payload: lua.bytes(4) };
    let full = lua.attempt(|| fan_out(lua, count, frame))?;
    for index in 1..=full {
        let Some(Some(at)) =
            lua.with_item(1, 1, |wire: &WireObject| wire.hub.borrow().troubled.get(index - 1).copied())
        else {
            return None;
        };
        lua.push_integer(at);
        lua.set_item(5, index);
    }
    lua.push_integer(full);
    Some(1)
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
