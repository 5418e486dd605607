//! What a hub and its wires share, and what Lua has of either.

use std::cell::{Cell, RefCell};
use std::ffi::CStr;
use std::mem::ManuallyDrop;
use std::rc::Rc;

use crate::frame::Frame;
use crate::hub::Hub;
use crate::lua::{attempt, Lua, Spent};

/// What a hub and its wires share.
pub struct Shared {
    /// The sockets.
    pub hub: RefCell<Hub>,
    /// References that their queues have given up.
    pub spent: Spent,
}

impl Shared {
    /// Does something with the sockets, and lets go of the strings that have been sent.
    pub fn with<R>(&self, lua: &Lua, work: impl FnOnce(&mut Hub) -> R) -> Option<R> {
        let done = ManuallyDrop::new(attempt(|| work(&mut self.hub.borrow_mut())));
        lua.release(&self.spent);
        ManuallyDrop::into_inner(done)
    }
}

/// A hub.
pub type HubObject = Rc<Shared>;

/// Does something with the hub that is the first argument.
pub fn with<R>(lua: &Lua, work: impl FnOnce(&mut Hub) -> R) -> Option<R> {
    lua.arg(1).object::<HubObject>()?.with(lua, work)
}

/// The name of wires.
pub const WIRE: &CStr = c"websockets_wire";

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
