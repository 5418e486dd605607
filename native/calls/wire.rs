//! The methods of a wire.

use std::cell::{Cell, RefCell};
use std::io::Write;
use std::rc::Rc;

use super::engine;
use crate::hub::{report, Hub, Report, Wire};
use crate::lua::{functions, object, Called, Functions, Lua, Spent};
use crate::net::{self, Fault};
use crate::output::{Frame, Output, Refused};
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

object!(WireObject, c"websockets wire");

/// What `wire:name()` finds.
pub const METHODS: Functions = functions! {
    receive unread raw begin read push attend flush drop buffered watch peer getfd shutdown close
};

fn with<R: Default>(lua: &Lua, work: impl FnOnce(&mut Wire, &mut Output) -> R) -> Option<R> {
    let wire = lua.object::<WireObject>(1)?;
    lua.attempt(|| wire.hub.borrow_mut().with(wire.fd.get(), work))
}

/// Pushes nil and why.
pub fn refuse(lua: &Lua, why: &str) -> Called {
    lua.push_nil();
    lua.push_bytes(why.as_bytes());
    Some(2)
}

fn done(result: Option<()>) -> Called {
    result.map(|()| 0)
}

fn receive(lua: &Lua) -> Called {
    let wire = lua.object::<WireObject>(1)?;
    let built = lua.push_built(|target| {
        let mut hub = wire.hub.borrow_mut();
        let received = hub.with(wire.fd.get(), |wire, _| Some(wire.incoming.receive(&wire.out.fd, target)));
        received.unwrap_or(Err(Fault::Closed))
    });
    match built? {
        Ok(again) => {
            lua.push_boolean(again);
            Some(2)
        }
        Err(fault) => refuse(lua, fault.word()),
    }
}

fn unread(lua: &Lua) -> Called {
    done(with(lua, |wire, _| wire.incoming.unread(lua.bytes(2))))
}

fn begin(lua: &Lua) -> Called {
    let (rules, limits) = (engine::rules(lua, 2), super::hub::limits(lua, 5));
    let wire = lua.object::<WireObject>(1)?;
    done(lua.attempt(|| wire.hub.borrow_mut().start(wire.fd.get(), rules, limits, lua.bytes(7))))
}

fn read(lua: &Lua) -> Called {
    let wire = lua.object::<WireObject>(1)?;
    lua.table(2)?;
    match lua.deliver(2, |delivery| wire.hub.borrow_mut().read(wire.fd.get(), delivery))? {
        Ok((count, again)) => {
            with(lua, |wire, _| wire.incoming.is_delivering = false)?;
            lua.push_integer(count);
            lua.push_boolean(again);
            Some(2)
        }
        Err(fault) => refuse(lua, fault.word()),
    }
}

// Queues a payload that leaves from where it is; raw bytes where there is no first byte of a frame.
fn hold(lua: &Lua, index: i32, first: Option<u8>) -> Option<Option<Refused>> {
    let payload = lua.anchor(index, &lua.object::<WireObject>(1)?.spent);
    with(lua, move |wire, output| output.push_held(&mut wire.out, first, Box::new(payload)))
}

fn raw(lua: &Lua) -> Called {
    let bytes = lua.bytes(2);
    if bytes.len() < HELD_BYTES {
        return done(with(lua, |wire, output| output.raw(&mut wire.out, bytes)));
    }
    hold(lua, 2, None).map(|_| 0)
}

fn push(lua: &Lua) -> Called {
    let Some(payload) = lua.string(3) else { return refuse(lua, "type") };
    let is_final = !lua.has(4) || lua.boolean(4);
    let frame = Frame { opcode: lua.integer(2) as u8, is_final, payload };
    if frame.opcode == TEXT && is_final && !utf8::is_valid(payload) {
        return refuse(lua, "utf8");
    }
    let is_held = payload.len() >= HELD_BYTES && !with(lua, |wire, _| wire.out.is_client)?;
    let refused = match is_held {
        true => hold(lua, 3, Some(frame.first()))?,
        false => with(lua, |wire, output| output.push(&mut wire.out, frame))?,
    };
    match refused {
        None => {
            lua.push_boolean(true);
            Some(1)
        }
        Some(Refused::Full) => {
            lua.release(&lua.object::<WireObject>(1)?.spent);
            refuse(lua, "full")
        }
        Some(Refused::Entropy) => refuse(lua, "entropy"),
    }
}

fn attend(lua: &Lua) -> Called {
    done(with(lua, |wire, output| {
        wire.out.wants_attention = true;
        output.list(&mut wire.out);
    }))
}

/// Pushes what Lua hears of a connection: bytes that wait and whether any was taken, or false and why it broke.
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
    let told = with(lua, |wire, output| {
        output.send(&mut wire.out);
        Some(report(-1, &mut wire.out))
    });
    lua.release(&lua.object::<WireObject>(1)?.spent);
    push_report(lua, told?.unwrap_or(Report { fd: -1, pending: Err(Fault::Closed), took: false }));
    Some(2)
}

fn drop(lua: &Lua) -> Called {
    // More than can wait, for infinity.
    let enough = lua.number(2).clamp(0.0, 1e15) as usize;
    let dropped = with(lua, |wire, output| output.drop_messages(&mut wire.out, enough))?;
    lua.release(&lua.object::<WireObject>(1)?.spent);
    lua.push_integer(dropped);
    Some(1)
}

fn buffered(lua: &Lua) -> Called {
    let pending = with(lua, |wire, _| wire.out.pending)?;
    lua.push_integer(pending);
    Some(1)
}

fn watch(lua: &Lua) -> Called {
    let wire = lua.object::<WireObject>(1)?;
    let is_watched = lua.attempt(|| wire.hub.borrow_mut().watch(wire.fd.get(), lua.boolean(2)))?;
    lua.push_boolean(is_watched);
    Some(1)
}

fn peer(lua: &Lua) -> Called {
    let found = with(lua, |wire, _| net::peer(&wire.out.fd))?;
    lua.push_built(|target| found.map_or(Ok(()), |(ip, _)| write!(target, "{ip}")).map_err(|_| ()))?.ok()?;
    lua.push_integer(found.map_or(0, |(_, port)| port.into()));
    Some(2)
}

fn getfd(lua: &Lua) -> Called {
    lua.push_number(lua.object::<WireObject>(1)?.fd.get().into());
    Some(1)
}

fn shutdown(lua: &Lua) -> Called {
    done(with(lua, |wire, _| net::shut_down(&wire.out.fd)))
}

fn close(lua: &Lua) -> Called {
    let wire = lua.object::<WireObject>(1)?;
    let closed = lua.attempt(|| wire.hub.borrow_mut().close(wire.fd.replace(-1)));
    lua.release(&wire.spent);
    done(closed)
}

/// The finalizer.
pub fn collect(lua: &Lua) -> Called {
    let _ = close(lua);
    lua.drop_object::<WireObject>();
    Some(0)
}

/// `fanout(wires, count, opcode, payload, full)`: how many were full; their positions are in `full`.
pub fn fanout(lua: &Lua) -> Called {
    lua.table(1)?;
    lua.table(5)?;
    let count = usize::try_from(lua.integer(2)).unwrap_or(0);
    let frame = Frame { opcode: lua.integer(3) as u8, is_final: true, payload: lua.bytes(4) };
    let Some(hub) = lua.with_item(1, 1, |wire: &WireObject| Rc::clone(&wire.hub)) else {
        lua.push_integer(0);
        return Some(1);
    };
    // The first wire keeps it alive: nothing here must be dropped when setting an item raises.
    let hub = std::mem::ManuallyDrop::new(hub);
    let full = lua.attempt(|| {
        let mut of = hub.borrow_mut();
        let name = |place| {
            let own = |wire: &WireObject| if Rc::ptr_eq(&wire.hub, &hub) { wire.fd.get() } else { -1 };
            lua.with_item(1, place, own).unwrap_or(-1)
        };
        of.fan_out(count, name, frame);
        of.full.len()
    });
    let full = full?;
    for index in 1..=full {
        let place = hub.borrow().full.get(index - 1).copied()?;
        lua.push_integer(place);
        lua.set_item(5, index);
    }
    std::mem::drop(std::mem::ManuallyDrop::into_inner(hub));
    lua.push_integer(full);
    Some(1)
}
