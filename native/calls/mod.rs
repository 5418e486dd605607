//! What Lua can call. Arguments come from this library's own Lua files, which check them.
//!
//! The documentation of each function shows how it looks in Lua.

mod collector;
mod engine;
pub mod hub;
mod settings;
pub mod shared;
mod sockets;
mod system;
mod wire;

use crate::deflate::Codec;
use crate::lua::{functions, Functions, Kind, Lua, Made};

/// Raised with each change of what Lua calls here: names, arguments or results. `lua/websockets/engine/native.lua` has
/// the same number, and refuses a module with another one.
const INTERFACE: usize = 2;

/// What it gives to Lua.
const FUNCTIONS: Functions = functions! { interface };

/// `interface() -> number`
fn interface(_: &Lua) -> Option<usize> {
    Some(INTERFACE)
}

/// Makes the module: its functions, and the methods of its kinds of objects.
pub fn open(lua: &Lua) -> Option<Made> {
    // The C library returns large blocks to the system, and gets new ones for each large message, until one was freed:
    // then it keeps blocks up to that size.
    drop(std::hint::black_box(Vec::<u8>::with_capacity(4 << 20)));
    lua.new_module(
        &[FUNCTIONS, engine::FUNCTIONS, system::FUNCTIONS, hub::FUNCTIONS, wire::FUNCTIONS],
        &[
            Kind::new::<engine::Feeder>(engine::READER, &[]),
            Kind::new::<Codec>(engine::CODEC, &[]),
            Kind::new::<shared::HubObject>(hub::HUB, hub::METHODS),
            Kind::new::<shared::WireObject>(shared::WIRE, wire::METHODS),
        ],
    )
}
