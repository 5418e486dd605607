//! What the fuzzers run: each target takes any bytes and panics where a promise of the accelerator is broken.
//!
//! The modules of the accelerator are included from where they are, because its crate is a `cdylib` that gives nothing
//! to Rust.

#![allow(dead_code)]

#[path = "../../native/batch.rs"]
mod batch;
#[path = "../../native/budget.rs"]
mod budget;
#[path = "../../native/deflate.rs"]
mod deflate;
#[path = "../../native/frame.rs"]
mod frame;
#[path = "../../native/memory.rs"]
mod memory;
#[path = "../../native/payload.rs"]
mod payload;
#[path = "../../native/protocol.rs"]
mod protocol;
#[path = "../../native/queue.rs"]
mod queue;
#[path = "../../native/reader.rs"]
mod reader;
#[path = "../../native/segment.rs"]
mod segment;

pub mod choices;
#[cfg(feature = "lua")]
pub mod lua;
pub mod targets;
