//! What Lua can call. Arguments come from this library's own Lua files, which check them.
//!
//! The documentation of each function shows how it looks in Lua.

mod collector;
mod engine;
pub mod hub;
mod settings;
pub mod shared;
mod system;
mod wire;

use crate::deflate::Codec;
use crate::lua::{Kind, Lua, Made};

/// Makes the module: its functions, and the methods of its kinds of objects.
pub fn open(lua: &Lua) -> Option<Made> {
    // The C library returns large blocks to the system, and gets new ones for each large message, until one was freed:
    // then it keeps blocks up to that size.
    drop(std::hint::black_box(Vec::<u8>::with_capacity(4 << 20)));
    lua.new_module(
        &[engine::FUNCTIONS, system::FUNCTIONS, hub::FUNCTIONS, wire::FUNCTIONS],
        &[
            Kind::new::<engine::Feeder>(engine::READER, &[]),
            Kind::new::<Codec>(engine::CODEC, &[]),
            Kind::new::<shared::HubObject>(hub::HUB, hub::METHODS),
            Kind::new::<hub::WireObject>(hub::WIRE, wire::METHODS),
        ],
    )
}
