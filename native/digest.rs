//! The value of `Sec-WebSocket-Accept`, and random bytes.

use std::cell::RefCell;

use base64::prelude::{Engine, BASE64_STANDARD};
use rustix::io::{retry_on_intr, Errno};
use rustix::rand::{getrandom, GetRandomFlags};
use sha1_smol::Sha1;

// How many masking keys are made at a time.
const KEYS_A_CALL: usize = 64;
const HANDSHAKE_GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

thread_local! {
    static KEYS: RefCell<Vec<[u8; 4]>> = const { RefCell::new(Vec::new()) };
}

/// Computes the value of `Sec-WebSocket-Accept`.
///
/// RFC 6455 4.2.2
pub fn accept_key(key: &[u8]) -> String {
    BASE64_STANDARD.encode(Sha1::from([key, HANDSHAKE_GUID].concat()).digest().bytes())
}

/// Fills a buffer with unpredictable bytes from the operating system.
///
/// # Errors
/// What the operating system says.
pub fn random(target: &mut [u8]) -> Result<(), Errno> {
    // Up to 256 bytes at a time always come whole.
    for piece in target.chunks_mut(256) {
        retry_on_intr(|| getrandom(&mut *piece, GetRandomFlags::empty()))?;
    }
    Ok(())
}

/// Makes a masking key.
///
/// # Errors
/// What the operating system says.
///
/// RFC 6455 10.3
pub fn masking_key() -> Result<[u8; 4], Errno> {
    KEYS.with_borrow_mut(|keys| {
        if keys.is_empty() {
            let mut bytes = [0; 4 * KEYS_A_CALL];
            random(&mut bytes)?;
            keys.extend_from_slice(bytes.as_chunks().0);
        }
        keys.pop().ok_or(Errno::IO)
    })
}

#[cfg(test)]
mod tests;
