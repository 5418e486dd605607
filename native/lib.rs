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
mod output;
mod poll;
mod queue;
mod reader;
mod utf8;

// With none of the Lua features, only the algorithms, for their tests.
#[cfg(feature = "lua")]
mod calls;
#[cfg(feature = "lua")]
mod lua;
