//! What Lua can call. Arguments come from this library's own Lua files, which check them.

mod engine;
mod hub;
mod lookup;
mod system;
mod wire;

use crate::lua::{entry, Called, Lua};

/// Pushes the module: its functions, and the methods of hubs and wires.
pub fn open(lua: &Lua) -> Called {
    raise_malloc_thresholds();
    lua.new_table();
    lua.set_functions(&[
        (c"accept_key", entry(engine::accept_key)),
        (c"base64", entry(engine::base64)),
        (c"unbase64", entry(engine::unbase64)),
        (c"random", entry(engine::random)),
        (c"mask", entry(engine::mask)),
        (c"valid_utf8", entry(engine::valid_utf8)),
        (c"utf8_next", entry(engine::utf8_next)),
        (c"encode", entry(engine::encode)),
        (c"reader", entry(engine::reader)),
        (c"feed", entry(engine::feed)),
        (c"release", entry(engine::release)),
        (c"hub", entry(hub::new)),
        (c"fanout", entry(wire::fanout)),
        (c"now", entry(system::now)),
        (c"file_facts", entry(system::file_facts)),
        (c"link_target", entry(system::link_target)),
        (c"look_up", entry(lookup::look_up)),
        (c"drop_privileges", entry(system::drop_privileges)),
        (c"interface_address", entry(system::interface_address)),
    ]);
    lua.new_kind::<engine::Feeder>(&[], entry(drop_object::<engine::Feeder>));
    lua.pop(2);
    lua.new_kind::<hub::HubObject>(&hub::methods(), entry(hub::collect));
    lua.set_field(-3, c"hub_methods");
    lua.pop(1);
    lua.new_kind::<wire::WireObject>(&wire::methods(), entry(wire::collect));
    lua.set_field(-3, c"wire_methods");
    lua.pop(1);
    Some(1)
}

fn drop_object<T: crate::lua::Object>(lua: &Lua) -> Called {
    lua.drop_object::<T>();
    Some(0)
}

// The C library gives large blocks back to the system and faults them in again at every large message, until it has
// seen one freed: then it keeps blocks up to that size.
fn raise_malloc_thresholds() {
    drop(std::hint::black_box(Vec::<u8>::with_capacity(4 << 20)));
}
