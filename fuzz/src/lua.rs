//! Targets that are written in Lua, in `fuzz/lua`: what they raise is a find.
//!
//! libFuzzer sees which lines of Lua an input reaches: a hook counts each step from one line to the next.

use std::cell::Cell;
use std::sync::atomic::{AtomicU8, Ordering};

use mlua::{Function, HookTriggers, Lua, VmState};

const COUNTERS: usize = 1 << 14;

// libFuzzer reads what is in the section of this name as it reads the counters of compiled code.
#[used]
#[link_section = "__libfuzzer_extra_counters"]
static STEPS: [AtomicU8; COUNTERS] = [const { AtomicU8::new(0) }; COUNTERS];

thread_local! {
    static TARGET: Cell<Option<&'static (Lua, Function)>> = const { Cell::new(None) };
}

// A line is known by its number alone: to ask for its file takes longer than all the rest.
fn count_step(line: usize, before: &Cell<usize>) {
    let step = (line ^ before.replace(line) << 6) % COUNTERS;
    let count = STEPS[step].load(Ordering::Relaxed);
    STEPS[step].store(count.saturating_add(1), Ordering::Relaxed);
}

fn load(name: &str) -> &'static (Lua, Function) {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let lua = Lua::new();
    let path = format!("package.path = '{root}/?.lua;{root}/lua/?.lua;{root}/lua/?/init.lua;' .. package.path");
    lua.load(path).exec().unwrap();
    let target = lua.load(format!("return require 'fuzz.lua.{name}'")).eval().unwrap();
    let before = Cell::new(0);
    let hook = move |_: &Lua, debug: &mlua::debug::Debug| {
        count_step(debug.current_line().unwrap_or_default(), &before);
        Ok(VmState::Continue)
    };
    lua.set_hook(HookTriggers::EVERY_LINE, hook).unwrap();
    // It lives as long as the process.
    Box::leak(Box::new((lua, target)))
}

/// Runs the Lua target of this name.
pub fn run(name: &str, data: &[u8]) {
    let loaded = TARGET.get().unwrap_or_else(|| load(name));
    TARGET.set(Some(loaded));
    let (lua, target) = loaded;
    let bytes = lua.create_string(data).unwrap();
    if let Err(error) = target.call::<()>(bytes) {
        panic!("{error}");
    }
}
