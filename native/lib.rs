#![deny(missing_docs)]
//! The accelerator of `websockets`: frames, sockets and waiting.
//!
//! The algorithms take bytes and know no Lua. `lua` alone holds `unsafe` code: it moves values between Lua's stack and
//! safe Rust. What Lua can call stands in `calls`.

mod deflate;
mod digest;
mod header;
mod hub;
mod input;
mod mask;
mod net;
mod output;
mod poll;
mod queue;
mod reader;
mod utf8;

#[cfg(any(
    feature = "lua51",
    feature = "lua52",
    feature = "lua53",
    feature = "lua54",
    feature = "lua55",
    feature = "luajit"
))]
mod calls;
#[cfg(any(
    feature = "lua51",
    feature = "lua52",
    feature = "lua53",
    feature = "lua54",
    feature = "lua55",
    feature = "luajit"
))]
mod lua;
