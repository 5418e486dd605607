//! Lua's collector while large messages come: it must neither run for each of them, nor be too slow.

use std::ffi::CStr;

use crate::lua::{Block, Collection, Lua, Table};

/// From this size on messages are large.
pub const LARGE_BYTES: usize = 1 << 16;

// LuaJIT has the system map and clear every block of 128 KiB or more each time. It keeps smaller ones next to each
// other, and they become one large block once they are free.
const BLOCKS: usize = if cfg!(feature = "luajit") { 256 } else { 1 };
const BLOCK_BYTES: usize = if cfg!(feature = "luajit") { 100 << 10 } else { 4 << 20 };
// LuaJIT gives back what is free at an end of its memory, and either end may be that; besides, the first blocks may lie
// in gaps elsewhere. So this many blocks stay at either end.
const END_BLOCKS: usize = if cfg!(feature = "luajit") { 8 } else { 0 };

// The table in Lua's registry that has the blocks, and after them how much memory was left after the last cycle.
const ROOM: &CStr = c"websockets_room";
const LEFT_KIB: usize = 1000;
// How much Lua's memory may grow before the collector is made to run.
const GROWN_KIB: i32 = 12 << 10;

/// Has Lua's memory ready for large messages, of which one has come. May raise.
///
/// Lua runs a whole cycle when its memory has doubled: where it holds little, nearly each large message causes one. A
/// block that is never touched counts as memory and takes none.
pub fn make_room(lua: &Lua) -> Option<()> {
    lua.with_registry_table(ROOM, |room, is_new| {
        if is_new {
            put_blocks(room);
        }
        // In these two a step is as long for a small string as for a large one, which is too slow.
        if cfg!(any(feature = "luajit", feature = "lua51")) {
            keep_up(lua, room);
        }
    })
}

fn put_blocks(room: Table<'_>) {
    for place in 1..=BLOCKS {
        room.set(place, Block(BLOCK_BYTES));
    }
    for place in END_BLOCKS + 1..=BLOCKS - END_BLOCKS {
        room.set(place, ());
    }
}

fn keep_up(lua: &Lua, room: Table<'_>) {
    let used = lua.collect(Collection::Count);
    let left = room.with(LEFT_KIB, |value| value.number() as i32).unwrap_or_default();
    let is_cycle_over = if used < left {
        true
    } else if used < left.saturating_add(left.max(GROWN_KIB)) {
        false
    } else if left < GROWN_KIB {
        // A whole cycle is short where little is left.
        lua.collect(Collection::Full);
        true
    } else {
        lua.collect(Collection::Step) == 1
    };
    if is_cycle_over {
        room.set(LEFT_KIB, lua.collect(Collection::Count) as usize);
    }
}
