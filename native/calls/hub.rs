//! The methods of a hub.

use std::cell::{Cell, RefCell};
use std::ffi::{c_int, CStr};
use std::rc::Rc;
use std::time::Duration;

use mlua_sys::lua_CFunction;

use super::wire::{push_report, WireObject};
use crate::hub::Hub;
use crate::lua::{entry, Called, Kind, Lua, Object, Spent};
use crate::net;
use crate::output::Limits;
use crate::poll::{Interest, Ready};

/// The sockets of a context.
pub struct HubObject {
    /// What its wires share.
    pub hub: Rc<RefCell<Hub>>,
    spent: Spent,
}

impl Object for HubObject {
    fn kind() -> &'static Kind {
        static KIND: Kind = Kind(c"websockets hub");
        &KIND
    }
}

/// What `hub:name()` finds.
pub fn methods() -> [(&'static CStr, lua_CFunction); 12] {
    [
        (c"wire", entry(wire)),
        (c"accept", entry(accept)),
        (c"flush", entry(flush)),
        (c"wait", entry(wait)),
        (c"watch", entry(watch)),
        (c"total", entry(total)),
        (c"held", entry(held)),
        (c"sends", entry(sends)),
        (c"close", entry(close)),
        (c"getfd", entry(getfd)),
        (c"wait_side", entry(wait_side)),
        (c"set_timer", entry(set_timer)),
    ]
}

/// Takes `high_water_bytes`, `max_buffered_bytes`.
pub fn limits(lua: &Lua, from: c_int) -> Limits {
    let limit = |index| lua.number(index).clamp(0.0, 1e15) as usize;
    Limits { high_water_bytes: limit(from), max_buffered_bytes: limit(from + 1) }
}

/// `hub(high_water_bytes, max_buffered_bytes, max_unfinished_total_bytes)`
pub fn new(lua: &Lua) -> Called {
    let unfinished = lua.number(3).clamp(0.0, 1e15) as u64;
    lua.new_object(|| {
        let hub = Hub::new(limits(lua, 1), unfinished).ok()?;
        Some(HubObject { hub: Rc::new(RefCell::new(hub)), spent: Spent::default() })
    })
}

/// The finalizer.
pub fn collect(lua: &Lua) -> Called {
    if let Some(hub) = lua.object::<HubObject>(1) {
        lua.release(&hub.spent);
        lua.drop_object::<HubObject>();
    }
    Some(0)
}

fn with<R>(lua: &Lua, work: impl FnOnce(&mut Hub) -> R) -> Option<R> {
    let hub = lua.object::<HubObject>(1)?;
    lua.attempt(|| work(&mut hub.hub.borrow_mut()))
}

fn push_wire(lua: &Lua, hub: &HubObject, fd: i32) -> Called {
    lua.new_object(|| Some(WireObject { hub: Rc::clone(&hub.hub), spent: Rc::clone(&hub.spent), fd: Cell::new(fd) }))
}

/// `hub:wire(fd)`: takes over a connected socket.
fn wire(lua: &Lua) -> Called {
    let hub = lua.object::<HubObject>(1)?;
    let adopted = with(lua, |hub| {
        let fd = lua.take_fd(2)?;
        rustix::io::ioctl_fionbio(&fd, true).ok()?;
        net::set_up(&fd);
        Some(hub.adopt(fd))
    });
    push_wire(lua, hub, adopted??)
}

/// `hub:accept(fd, wires)`: how many, and why it stopped where it did before its limit.
fn accept(lua: &Lua) -> Called {
    let (Some(hub), Some(listener)) = (lua.object::<HubObject>(1), lua.fd(2)) else { return None };
    lua.table(3)?;
    let (count, fault) = with(lua, |hub| {
        let fault = hub.accept(listener);
        (hub.accepted.len(), fault)
    })?;
    for index in 0..count {
        let fd = with(lua, |hub| hub.accepted.get(index).copied())??;
        push_wire(lua, hub, fd)?;
        lua.set_item(3, index + 1);
    }
    lua.push_integer(count);
    match fault {
        Some(fault) => lua.push_bytes(fault.word().as_bytes()),
        None => lua.push_nil(),
    }
    Some(2)
}

/// `hub:flush(reports, owners)`: how many owner, pending, took triples there are, and how much waits in all.
fn flush(lua: &Lua) -> Called {
    let hub = lua.object::<HubObject>(1)?;
    lua.table(2)?;
    lua.table(3)?;
    let (found, buffered) = with(lua, |hub| {
        hub.flush_all();
        (hub.reports.len(), hub.buffered())
    })?;
    lua.release(&hub.spent);
    let mut count = 0;
    for index in 0..found {
        let report = with(lua, |hub| hub.reports.get(index).copied())??;
        if lua.copy_item(3, report.fd, 2, 3 * count + 1) {
            push_report(lua, report);
            lua.set_item(2, 3 * count + 3);
            lua.set_item(2, 3 * count + 2);
            count += 1;
        }
    }
    lua.push_integer(count);
    lua.push_integer(buffered);
    Some(2)
}

fn seconds(lua: &Lua, index: c_int) -> Option<Duration> {
    lua.has(index).then(|| Duration::from_secs_f64(lua.number(index).clamp(0.0, 1e8)))
}

/// `hub:wait(seconds, owners, readable, writable)`: how many of each; nil seconds for ever.
fn wait(lua: &Lua) -> Called {
    lua.table(3)?;
    lua.table(4)?;
    lua.table(5)?;
    let time = seconds(lua, 2);
    let found = with(lua, |hub| {
        hub.wait(time);
        hub.poll.ready.len()
    })?;
    let (mut reads, mut writes) = (0, 0);
    for index in 0..found {
        let ready = with(lua, |hub| hub.poll.ready.get(index).copied())??;
        let Ready { fd, read, write, .. } = ready;
        if read && lua.copy_item(3, fd, 4, reads + 1) {
            reads += 1;
        }
        if write && lua.copy_item(3, fd, 5, writes + 1) {
            writes += 1;
        }
    }
    lua.push_integer(reads);
    lua.push_integer(writes);
    Some(2)
}

/// `hub:watch(fd, read, write)`: any other descriptor, for as long as it is ready.
fn watch(lua: &Lua) -> Called {
    let Some(fd) = lua.fd(2) else { return Some(0) };
    let interest = Interest { read: lua.boolean(3), write: lua.boolean(4), edge: false };
    let is_watched = with(lua, |hub| hub.watch_other(fd, interest))?;
    lua.push_boolean(is_watched);
    Some(1)
}

/// `hub:total()`: how much waits in all.
fn total(lua: &Lua) -> Called {
    let buffered = with(lua, |hub| hub.buffered())?;
    lua.push_integer(buffered);
    Some(1)
}

/// `hub:held()`: what unfinished messages hold.
fn held(lua: &Lua) -> Called {
    let held = with(lua, |hub| hub.budget.used)?;
    lua.push_number(held as f64);
    Some(1)
}

/// `hub:sends()`: how many times sockets were offered bytes.
fn sends(lua: &Lua) -> Called {
    let sends = with(lua, |hub| hub.sends())?;
    lua.push_integer(sends);
    Some(1)
}

/// `hub:close()`: ends waiting.
fn close(lua: &Lua) -> Called {
    with(lua, Hub::close_polls).map(|()| 0)
}

/// `hub:getfd(is_side)`: the descriptor of its waiting, or nil.
fn getfd(lua: &Lua) -> Called {
    let found = with(lua, |hub| match lua.boolean(2) {
        true => hub.side().map(|side| side.fd()),
        false => Some(hub.poll.fd()),
    });
    match found {
        Some(Some(fd)) => lua.push_number(fd.into()),
        Some(None) => lua.push_nil(),
        None => return None,
    }
    Some(1)
}

/// `hub:wait_side(owners, writable)`: how many full sockets take bytes again.
fn wait_side(lua: &Lua) -> Called {
    lua.table(2)?;
    lua.table(3)?;
    let found = with(lua, |hub| {
        let Some(side) = hub.side() else { return 0 };
        side.wait(Some(Duration::ZERO));
        side.ready.len()
    })?;
    let mut writes = 0;
    for index in 0..found {
        let ready = with(lua, |hub| hub.side().and_then(|side| side.ready.get(index).copied()));
        let ready = ready??;
        if lua.copy_item(2, ready.fd, 3, writes + 1) {
            writes += 1;
        }
    }
    lua.push_integer(writes);
    Some(1)
}

/// `hub:set_timer(seconds, is_side)`: makes a descriptor readable after a time, nil takes that back.
fn set_timer(lua: &Lua) -> Called {
    let time = seconds(lua, 2);
    let set = with(lua, |hub| match lua.boolean(3) {
        true => hub.side().map(|side| side.set_timer(time)),
        false => Some(hub.poll.set_timer(time)),
    });
    set.map(|_| 0)
}
