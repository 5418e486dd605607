//! The numbers of RFC 6455, and what a peer does wrong.

use std::borrow::Cow;
use std::collections::TryReserveError;

use crate::memory::Lacking;

/// The opcode of a text frame.
pub const TEXT: u8 = 1;
/// The opcode of a close frame; control frames have this one or a higher one.
pub const CLOSE: u8 = 8;
/// The bit of a frame's first byte that marks the last frame of a message.
pub const FINAL: u8 = 0x80;
/// The bit of a frame's first byte that marks a compressed message (RFC 7692 6).
pub const COMPRESSED: u8 = 0x40;

/// The close code for a broken rule of the protocol.
pub const PROTOCOL: u16 = 1002;
/// The close code for text that is not UTF-8.
pub const NOT_UTF8: u16 = 1007;
/// The close code for a message, or a frame of it, that passes a limit.
pub const TOO_BIG: u16 = 1009;

/// What is said where there is no memory for a message.
pub const NO_MEMORY: &str = "no memory for a message";
/// The close code where this side cannot go on.
pub const INTERNAL_ERROR: u16 = 1011;

/// Why a connection fails: what a peer did wrong, or what this side cannot do.
#[derive(Debug, PartialEq, Eq)]
pub struct Breach {
    /// The close code that answers it.
    pub code: u16,
    /// What is wrong, for the log.
    pub text: Cow<'static, str>,
}

impl Breach {
    /// Says what is wrong, and by which close code.
    pub fn new(code: u16, text: impl Into<Cow<'static, str>>) -> Breach {
        Breach { code, text: text.into() }
    }

    /// Says which rule of the protocol was broken.
    pub fn protocol(text: impl Into<Cow<'static, str>>) -> Breach {
        Breach::new(PROTOCOL, text)
    }
}

impl From<Lacking> for Breach {
    fn from(_: Lacking) -> Breach {
        Breach::new(INTERNAL_ERROR, NO_MEMORY)
    }
}

impl From<TryReserveError> for Breach {
    fn from(_: TryReserveError) -> Breach {
        Lacking.into()
    }
}
