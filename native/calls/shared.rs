//! What a hub and its wires share.

use std::cell::RefCell;
use std::mem::ManuallyDrop;
use std::rc::Rc;

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
