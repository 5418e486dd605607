//! What Lua can call. Arguments come from this library's own Lua files, which check them.

mod engine;
mod hub;
mod lookup;
mod system;
pub mod wire;

use crate::lua::{entry, At, Called, Lua};
use crate::output::Codec;

/// Pushes the module: its functions, and the methods of its kinds of objects.
pub fn open(lua: &Lua) -> Called {
    // The C library gives large blocks back to the system and faults them in again at every large message, until it has
    // seen one freed: then it keeps blocks up to that size.
    drop(std::hint::black_box(Vec::<u8>::with_capacity(4 << 20)));
    lua.new_table();
    for functions in [engine::FUNCTIONS, system::FUNCTIONS, lookup::FUNCTIONS, hub::FUNCTIONS, wire::FUNCTIONS] {
        lua.set_functions(functions);
    }
    lua.new_kind(engine::READER, &[], entry(|lua| lua.drop_object::<engine::Feeder>()));
    lua.new_kind(engine::CODEC, &[], entry(|lua| lua.drop_object::<Codec>()));
    lua.new_kind(hub::KIND, hub::METHODS, entry(|lua| lua.drop_object::<hub::HubObject>()));
    lua.new_kind(wire::KIND, wire::METHODS, entry(wire::collect));
    Some(At(-1))
}
