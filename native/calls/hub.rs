//! The methods of a hub.

use std::cell::{Cell, RefCell};
use std::ffi::c_int;
use std::rc::Rc;
use std::time::Duration;

use super::wire::WireObject;
use crate::hub::Hub;
use crate::lua::{functions, object, Called, Functions, Lua, Spent};
use crate::net::{self, Fault};
use crate::output::Limits;
use crate::poll::Interest;

/// The sockets of a context.
pub struct HubObject {
    /// What its wires share.
    pub hub: Rc<RefCell<Hub>>,
    spent: Spent,
}

object!(HubObject, c"websockets hub");

/// What `hub:name()` finds.
pub const METHODS: Functions = functions! {
    wire accept flush wait watch totals close getfd set_timer
};

/// Takes `high_water_bytes`, `max_buffered_bytes`.
pub fn limits(lua: &Lua, from: c_int) -> Limits {
    let limit = |index| lua.number(index).clamp(0.0, 1e15) as usize;
    Limits { high_water_bytes: limit(from), max_buffered_bytes: limit(from + 1) }
}

/// `hub(high_water_bytes, max_buffered_bytes, max_unfinished_total_bytes)`
pub fn hub(lua: &Lua) -> Called {
    let unfinished = lua.number(3).clamp(0.0, 1e15) as u64;
    lua.new_object(|| {
        let hub = Hub::new(limits(lua, 1), unfinished).ok()?;
        Some(HubObject { hub: Rc::new(RefCell::new(hub)), spent: Spent::default() })
    })
}

/// The finalizer.
pub fn collect(lua: &Lua) -> Option<()> {
    lua.release(&lua.object::<HubObject>(1)?.spent);
    lua.drop_object::<HubObject>()
}

fn with<R>(lua: &Lua, work: impl FnOnce(&mut Hub) -> R) -> Option<R> {
    let hub = lua.object::<HubObject>(1)?;
    lua.attempt(|| work(&mut hub.hub.borrow_mut()))
}

fn push_wire(lua: &Lua, fd: i32) -> Called {
    let HubObject { hub, spent } = lua.object::<HubObject>(1)?;
    lua.new_object(|| Some(WireObject { hub: Rc::clone(hub), spent: Rc::clone(spent), fd: Cell::new(fd) }))
}

/// `hub:wire(fd)`: takes over a connected socket.
fn wire(lua: &Lua) -> Called {
    let adopted = with(lua, |hub| {
        let fd = lua.take_fd(2)?;
        rustix::io::ioctl_fionbio(&fd, true).ok()?;
        net::set_up(&fd);
        Some(hub.adopt(fd))
    });
    push_wire(lua, adopted??)
}

/// `hub:accept(fd)`: the next connection that waits at a listening socket, or nil and why there is none.
fn accept(lua: &Lua) -> Option<Result<c_int, Fault>> {
    let listener = lua.fd(2)?;
    Some(match with(lua, |hub| net::accept(listener).map(|fd| hub.adopt(fd)))? {
        Ok(fd) => Ok(push_wire(lua, fd)?),
        Err(fault) => Err(fault),
    })
}

/// `hub:flush(reports, owners)`: how many triples there are of owner; bytes that wait, or nil where it broke; whether
/// any was taken, or why it broke.
fn flush(lua: &Lua) -> Option<usize> {
    lua.table(2)?;
    lua.table(3)?;
    let found = with(lua, |hub| hub.flush())?;
    lua.release(&lua.object::<HubObject>(1)?.spent);
    let mut count = 0;
    for index in 0..found {
        let (fd, report) = with(lua, |hub| hub.reports.get(index).copied())??;
        if lua.copy_item(3, fd, 2, 3 * count + 1) {
            lua.push(report);
            lua.set_item(2, 3 * count + 3);
            lua.set_item(2, 3 * count + 2);
            count += 1;
        }
    }
    Some(count)
}

fn seconds(lua: &Lua, index: c_int) -> Option<Duration> {
    lua.has(index).then(|| Duration::from_secs_f64(lua.number(index).clamp(0.0, 1e8)))
}

/// `hub:wait(seconds, owners, readable, writable, is_side)`: how many of each; nil seconds for ever.
fn wait(lua: &Lua) -> Option<(usize, usize)> {
    for index in 3..=5 {
        lua.table(index)?;
    }
    let (time, is_side) = (seconds(lua, 2), lua.boolean(6));
    let found = with(lua, |hub| hub.wait(time, is_side))?;
    let (mut reads, mut writes) = (0, 0);
    for index in 0..found {
        let ready = with(lua, |hub| hub.poll(is_side)?.ready(index))??;
        reads += usize::from(ready.read && !is_side && lua.copy_item(3, ready.fd, 4, reads + 1));
        writes += usize::from(ready.write && lua.copy_item(3, ready.fd, 5, writes + 1));
    }
    Some((reads, writes))
}

/// `hub:watch(fd, read, write)`: any other descriptor, for as long as it is ready.
fn watch(lua: &Lua) -> Option<bool> {
    let Some(fd) = lua.fd(2) else { return Some(false) };
    let interest = Interest { read: lua.boolean(3), write: lua.boolean(4), edge: false };
    with(lua, |hub| hub.watch_other(fd, interest))
}

/// `hub:totals()`: bytes that wait to be sent, bytes that unfinished messages hold, how many times sockets were offered
/// bytes.
fn totals(lua: &Lua) -> Option<(usize, f64, usize)> {
    with(lua, |hub| (hub.output.buffered, hub.budget.used as f64, hub.output.sends))
}

/// `hub:close()`: ends waiting.
fn close(lua: &Lua) -> Option<()> {
    with(lua, Hub::close_polls)
}

/// `hub:getfd(is_side)`: the descriptor of its waiting, or nil.
fn getfd(lua: &Lua) -> Option<Option<f64>> {
    with(lua, |hub| hub.poll(lua.boolean(2)).map(|poll| poll.fd().into()))
}

/// `hub:set_timer(seconds, is_side)`: makes a descriptor readable after a time, nil takes that back.
fn set_timer(lua: &Lua) -> Option<()> {
    let time = seconds(lua, 2);
    with(lua, |hub| hub.poll(lua.boolean(3)).map(|poll| poll.set_timer(time))).map(|_| ())
}
