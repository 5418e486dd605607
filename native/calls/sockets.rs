//! How a hub gets its sockets: accepted, opened, or taken over.

use std::cell::Cell;
use std::os::fd::{AsRawFd, OwnedFd};
use std::rc::Rc;

use rustix::io::{ioctl_fionbio, Errno};
use rustix::net::{accept_with, SocketFlags};

use super::shared::{with, HubObject, WireObject, WIRE};
use crate::dial::{dial, listen_at, Address};
use crate::errors::{accept_word, dial_word, word};
use crate::hub::Hub;
use crate::lua::{attempt, Lua, Made};

fn make_room(hub: &mut Hub, socket: &OwnedFd) -> Result<(), Errno> {
    hub.make_room(socket.as_raw_fd()).map_err(|_| Errno::NOMEM)
}

// Makes the wire of a socket, which is taken when nothing can raise any more; `bytes` were received from it elsewhere.
fn new_wire(lua: &Lua, take: impl FnOnce(&mut Hub) -> Option<OwnedFd>, bytes: &[u8], is_foreign: bool) -> Option<Made> {
    let shared = lua.arg(1).object::<HubObject>()?;
    lua.new_object(WIRE, || {
        let mut hub = shared.hub.borrow_mut();
        let socket = take(&mut hub)?;
        let fd = hub.adopt(socket, bytes, is_foreign)?;
        Some(WireObject { shared: Rc::clone(shared), fd: Cell::new(fd) })
    })
}

/// `hub:wire(fd, bytes) -> wire`, or nil and why not: takes over a connected socket that has no wire yet, of
/// which `bytes` have been received
pub fn wire(lua: &Lua) -> Option<Result<Made, &'static str>> {
    let number = lua.arg(2).number() as i32;
    if with(lua, |hub| hub.with(number, |_, _| true))? {
        return Some(Err("reset"));
    }
    let fd = lua.arg(2).fd()?;
    lua.expect(with(lua, |hub| hub.make_room(number))?)?;
    match ioctl_fionbio(fd, true) {
        Ok(()) => new_wire(lua, |_| lua.arg(2).take_fd(), lua.arg(3).bytes(), true).map(Ok),
        Err(error) => Some(Err(word(error))),
    }
}

/// `hub:accept(fd, is_foreign) -> wire`, or nil and why there is none, `closed` where only this one is lost: the next
/// connection of a listening socket
pub fn accept(lua: &Lua) -> Option<Result<Made, &'static str>> {
    let listening = lua.arg(2).fd()?;
    let accepted = with(lua, |hub| {
        let socket = match hub.accepted.take() {
            Some(socket) => socket,
            None => accept_with(listening, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC)?,
        };
        let room = make_room(hub, &socket);
        hub.accepted = Some(socket);
        room
    })?;
    match accepted {
        Ok(()) => new_wire(lua, |hub| hub.accepted.take(), &[], lua.arg(3).boolean()).map(Ok),
        Err(error) => Some(Err(accept_word(error))),
    }
}

/// `hub:connect(address, is_path) -> wire, why`, or nil and why there is no socket: begins to connect to `127.0.0.1:80`,
/// `[::1]:80` or a path; `why` tells that this has failed at once
pub fn connect(lua: &Lua) -> Option<Result<(Made, Option<&'static str>), &'static str>> {
    let address = attempt(|| Address::read(lua.arg(2).bytes(), lua.arg(3).boolean()))?;
    let Some(address) = address else { return Some(Err("no address")) };
    let dialled = with(lua, |hub| {
        let (socket, fault) = dial(&address)?;
        make_room(hub, &socket)?;
        hub.opened = Some(socket);
        Ok(fault)
    })?;
    match dialled {
        Ok(fault) => new_wire(lua, |hub| hub.opened.take(), &[], true).map(|made| Ok((made, fault.map(dial_word)))),
        Err(error) => Some(Err(dial_word(error))),
    }
}

/// `hub:listen(path, mode) -> wire`, or nil and why not: a socket that listens at a path, for `hub:accept`; nil leaves
/// the permissions of its file to the system
pub fn listen(lua: &Lua) -> Option<Result<Made, &'static str>> {
    let mode = lua.arg(3);
    let mode = mode.is_some().then(|| mode.number() as u32);
    let opened = with(lua, |hub| {
        let socket = listen_at(lua.arg(2).bytes(), mode)?;
        make_room(hub, &socket)?;
        hub.opened = Some(socket);
        Ok(())
    })?;
    match opened {
        Ok(()) => new_wire(lua, |hub| hub.opened.take(), &[], true).map(Ok),
        Err(error) => Some(Err(dial_word(error))),
    }
}
