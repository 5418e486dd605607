//! The parts that the load generator and the raw servers share.

pub mod args;
pub mod frame;
pub mod link;
pub mod load;
pub mod net;
pub mod process;
pub mod reader;
pub mod tls;
pub mod window;

/// The sample key of RFC 6455, section 1.3: every handshake here uses it.
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
/// What a server must answer to [`KEY`].
pub const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
/// The subprotocol whose messages go to all of its connections.
pub const FANOUT: &str = "fanout";
/// Bytes that one `recv` may bring.
pub const RECEIVE_BYTES: usize = 256 * 1024;

/// What ends a program: one sentence for the person who reads it.
pub type Result<T> = std::result::Result<T, String>;
