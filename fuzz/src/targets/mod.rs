//! One module for each target.

pub mod deflate;
pub mod frame;
pub mod inflate;
pub mod queue;
pub mod reader;
pub mod utf8;

/// A target: its name, which is also the folder of its seeds, and what it runs.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const ALL: [Target; 6] = [
    ("deflate", deflate::run),
    ("frame", frame::run),
    ("inflate", inflate::run),
    ("queue", queue::run),
    ("reader", reader::run),
    ("utf8", utf8::run),
];
