//! Settings that Lua gives as tables with named fields.

use crate::deflate::Window;
use crate::frame::Rules;
use crate::lua::{Table, Value};
use crate::output::Limits;

/// Takes a number of bytes or frames as far as doubles are exact, which serves for infinity too.
pub fn limit(value: Value<'_>) -> u64 {
    value.number().min(9_007_199_254_740_992.0) as u64
}

/// Takes `high_water_bytes` and `max_buffered_bytes`. May raise.
pub fn limits(table: Table<'_>) -> Option<Limits> {
    let [high_water_bytes, max_buffered_bytes] = table.fields([c"high_water_bytes", c"max_buffered_bytes"])?;
    Some(Limits {
        high_water_bytes: limit(high_water_bytes) as usize,
        max_buffered_bytes: limit(max_buffered_bytes) as usize,
    })
}

/// Takes the rules of a connection: `is_server`, `max_message_bytes`, `max_fragments`, and the window that the peer
/// compresses with. May raise.
pub fn rules(table: Table<'_>) -> Option<Rules> {
    let inflate = window(table)?;
    let [is_server, max_message_bytes, max_fragments] =
        table.fields([c"is_server", c"max_message_bytes", c"max_fragments"])?;
    Some(Rules {
        is_server: is_server.boolean(),
        max_message_bytes: limit(max_message_bytes),
        max_fragments: limit(max_fragments),
        inflate,
    })
}

/// Takes what was agreed about compression in one direction: `window_bits`, nil for none, `level`, which only the side
/// that compresses has, and `no_context_takeover`. May raise.
pub fn window(table: Table<'_>) -> Option<Option<Window>> {
    let [bits, level, no_context_takeover] = table.fields([c"window_bits", c"level", c"no_context_takeover"])?;
    let window = Window {
        bits: bits.number() as u8,
        level: level.number().clamp(0.0, 9.0) as u8,
        no_context_takeover: no_context_takeover.boolean(),
    };
    Some((9..=15).contains(&window.bits).then_some(window))
}
