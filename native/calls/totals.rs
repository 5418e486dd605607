//! What a hub counts over all its connections.

use super::hub::with;
use crate::lua::Lua;

/// `hub:totals() -> buffered, unfinished, sends`: bytes that wait to be sent, bytes that unfinished messages hold, how
/// many times sockets were offered bytes
pub fn totals(lua: &Lua) -> Option<(usize, f64, usize)> {
    with(lua, |hub| (hub.output.buffered, hub.budget.used as f64, hub.output.sends))
}

/// `hub:charge(bytes)`: counts what others hold, or give back, as if unfinished messages held it
pub fn charge(lua: &Lua) -> Option<()> {
    let bytes = lua.arg(2).number() as i64;
    with(lua, |hub| hub.budget.used = hub.budget.used.saturating_add_signed(bytes))
}
