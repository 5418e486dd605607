//! Payloads: masks, UTF-8 as strict as RFC 3629, and what a payload may be.

use multiversion::multiversion;

use crate::protocol::{Breach, CLOSE, NOT_UTF8, TEXT};

/// The state of a UTF-8 check between two characters. States 1 to 3 count the continuation bytes to come; 4 to 7 follow
/// a lead byte after which fewer bytes are allowed.
pub const BOUNDARY: u8 = 0;

/// Masks or unmasks bytes in place; the key's first byte meets the first byte.
///
/// RFC 6455 5.3
// Compiled a second time for wider registers, which serve where the processor has them.
#[multiversion(targets("x86_64+avx2"))]
pub fn mask(bytes: &mut [u8], key: [u8; 4]) {
    if key == [0; 4] {
        return;
    }
    let word = u64::from(u32::from_ne_bytes(key)) * 0x1_0000_0001;
    let (words, rest) = bytes.as_chunks_mut::<8>();
    for eight in words {
        *eight = (u64::from_ne_bytes(*eight) ^ word).to_ne_bytes();
    }
    for (byte, key_byte) in rest.iter_mut().zip(key.into_iter().cycle()) {
        *byte ^= key_byte;
    }
}

/// Tells whether a whole text is UTF-8.
///
/// RFC 6455 8.1
pub fn is_utf8(bytes: &[u8]) -> bool {
    simdutf8::basic::from_utf8(bytes).is_ok()
}

/// Continues a check where the piece before ended; `None` as soon as no further bytes could make it UTF-8.
///
/// RFC 6455 8.1
pub fn next_utf8(mut state: u8, bytes: &[u8]) -> Option<u8> {
    let mut rest = bytes;
    while let (1.., &[byte, ref others @ ..]) = (state, rest) {
        state = step_utf8(state, byte)?;
        rest = others;
    }
    match simdutf8::compat::from_utf8(rest) {
        Ok(_) => Some(state),
        Err(error) if error.error_len().is_some() => None,
        Err(error) => rest[error.valid_up_to()..].iter().copied().try_fold(BOUNDARY, step_utf8),
    }
}

fn step_utf8(state: u8, byte: u8) -> Option<u8> {
    match (state, byte) {
        (0, 0x00..=0x7f) | (1, 0x80..=0xbf) => Some(0),
        (0, 0xc2..=0xdf) | (2, 0x80..=0xbf) | (4, 0xa0..=0xbf) | (5, 0x80..=0x9f) => Some(1),
        (0, 0xe1..=0xec | 0xee..=0xef) | (3, 0x80..=0xbf) | (6, 0x90..=0xbf) | (7, 0x80..=0x8f) => Some(2),
        (0, 0xf1..=0xf3) => Some(3),
        (0, 0xe0) => Some(4),
        (0, 0xed) => Some(5),
        (0, 0xf0) => Some(6),
        (0, 0xf4) => Some(7),
        _ => None,
    }
}

/// Judges the payload of a whole frame.
///
/// # Errors
/// The rule that was broken.
///
/// RFC 6455 5.5.1, 7.4, 8.1
pub fn check(opcode: u8, payload: &[u8]) -> Result<(), Breach> {
    match opcode {
        TEXT => check_text(payload),
        CLOSE => check_close(payload),
        _ => Ok(()),
    }
}

fn check_text(text: &[u8]) -> Result<(), Breach> {
    if is_utf8(text) {
        return Ok(());
    }
    Err(match next_utf8(BOUNDARY, text) {
        Some(_) => Breach::new(NOT_UTF8, "a text that ends inside a character"),
        None => Breach::new(NOT_UTF8, "a text that is not UTF-8"),
    })
}

fn check_close(payload: &[u8]) -> Result<(), Breach> {
    let (high, low, reason) = match payload {
        [] => return Ok(()),
        [_] => return Err(Breach::protocol("a close payload of one byte")),
        [high, low, reason @ ..] => (*high, *low, reason),
    };
    match u16::from_be_bytes([high, low]) {
        // 7.4: the codes that a close frame may carry.
        1000..=1003 | 1007..=1014 | 3000..=4999 => {}
        code => return Err(Breach::protocol(format!("close code {code} is not for the wire"))),
    }
    if !is_utf8(reason) {
        return Err(Breach::new(NOT_UTF8, "a close reason that is not UTF-8"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
