//! What Lua can call. Arguments come from this library's own Lua files, which check them.

mod engine;
mod hub;
mod lookup;
mod system;
mod wire;

use engine::{accept_key, base64, codec, deflations, encode, feed, inflate, mask};
use engine::{random, reader, release, release_codec, unbase64, utf8_next, valid_utf8};
use hub::hub as new_hub;
use lookup::look_up;
use system::{drop_privileges, file_facts, interface_address, link_target, now};
use wire::fanout;

#[cfg(feature = "luajit")]
pub use wire::WireObject as Wire;

use crate::lua::{entry, functions, Called, Functions, Lua, Object};

const FUNCTIONS: Functions = functions! {
    accept_key base64 unbase64 random mask valid_utf8 utf8_next encode codec inflate release_codec deflations
    reader feed release new_hub fanout now file_facts link_target look_up drop_privileges interface_address
};

/// Pushes the module: its functions, and the methods of hubs and wires.
pub fn open(lua: &Lua) -> Called {
    raise_malloc_thresholds();
    lua.new_table();
    lua.set_functions(FUNCTIONS);
    lua.new_kind::<engine::Feeder>(c"reader_methods", &[], entry(drop_object::<engine::Feeder>));
    lua.new_kind::<engine::CodecObject>(c"codec_methods", &[], entry(drop_object::<engine::CodecObject>));
    lua.new_kind::<hub::HubObject>(c"hub_methods", hub::METHODS, entry(hub::collect));
    lua.new_kind::<wire::WireObject>(c"wire_methods", wire::METHODS, entry(wire::collect));
    Some(1)
}

fn drop_object<T: Object>(lua: &Lua) -> Option<()> {
    lua.drop_object::<T>()
}

// The C library gives large blocks back to the system and faults them in again at every large message, until it has
// seen one freed: then it keeps blocks up to that size.
fn raise_malloc_thresholds() {
    drop(std::hint::black_box(Vec::<u8>::with_capacity(4 << 20)));
}
