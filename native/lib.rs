//! The accelerator of `websockets`: frames, sockets and waiting.
//!
//! The algorithms take bytes and know no Lua. `calls` has what Lua can call. `lua` moves values between Lua's stack and
//! safe Rust; it alone may hold `unsafe` code.

// Without any of the Lua features only the algorithms are built, for their tests.
#![cfg_attr(not(feature = "lua"), allow(dead_code))]

mod batch;
mod budget;
mod counts;
mod deflate;
mod dial;
mod digest;
mod errors;
mod fanout;
mod frame;
mod hub;
mod input;
mod lookup;
mod memory;
mod output;
mod payload;
mod poll;
mod protocol;
mod queue;
mod reader;
mod segment;
mod watchdog;

#[cfg(feature = "lua")]
mod calls;
#[cfg(feature = "lua")]
#[allow(unsafe_code)]
mod lua;
