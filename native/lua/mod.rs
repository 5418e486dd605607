//! The only room with `unsafe` code: it moves values between Lua's stack and safe Rust, and does nothing else.
//!
//! A Lua error leaves a C function by a jump that runs no destructor. A function here that says "may raise" is
//! therefore called only where no value with a destructor is alive; what Lua needs meanwhile is kept in `ManuallyDrop`,
//! and an error leaks it. Panics are caught where they begin.

mod anchor;
mod answer;
mod descriptor;
mod either;
mod exports;
mod lack;
mod memory;
mod module;
mod stack;

pub use anchor::Spent;
pub use answer::{Answer, Made};
pub use descriptor::unsent_bytes;
pub use either::Either;
pub use memory::{Block, Collection};
pub use module::{entry, Functions, Kind};
pub use stack::{attempt, Lua, Table, Value};

/// Lists functions, each under its own name.
macro_rules! functions {
    ($($function:ident)*) => {
        &[$(crate::lua::entry(concat!(stringify!($function), "\0"), $function)),*]
    };
}
pub(crate) use functions;
