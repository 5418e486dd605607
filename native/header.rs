//! The rules of frame headers and close payloads: what a peer may send, each in one place.

use std::borrow::Cow;

use crate::utf8;

/// The opcode of a close frame.
pub const CLOSE: u8 = 8;
/// The longest header of a frame.
pub const MAX_HEADER_BYTES: usize = 14;

const MAX_CONTROL_BYTES: u8 = 125;
const PROTOCOL_ERROR: u16 = 1002;

/// What a peer did wrong.
#[derive(Debug, PartialEq, Eq)]
pub struct Breach {
    /// The close code that follows.
    pub code: u16,
    /// What is wrong, for the log.
    pub text: Cow<'static, str>,
}

impl Breach {
    /// Names a breach.
    pub fn new(code: u16, text: impl Into<Cow<'static, str>>) -> Breach {
        Breach { code, text: text.into() }
    }

    fn protocol(text: impl Into<Cow<'static, str>>) -> Breach {
        Breach::new(PROTOCOL_ERROR, text)
    }

    /// A message, or a frame of it, that passes a limit or is not UTF-8.
    pub fn too_big(text: impl Into<Cow<'static, str>>) -> Breach {
        Breach::new(1009, text)
    }

    /// Text that is not UTF-8.
    pub fn utf8(text: &'static str) -> Breach {
        Breach::new(1007, text)
    }
}

/// What a connection allows.
#[derive(Clone, Copy)]
pub struct Rules {
    /// Whether we are the server: then the peer masks.
    pub is_server: bool,
    /// Frames of one message.
    pub max_fragments: u64,
    /// Bytes of one message.
    pub max_message_bytes: u64,
}

/// What is known of the unfinished message that a frame may go on with.
#[derive(Clone, Copy)]
pub struct Begun {
    /// Frames so far.
    pub fragments: u64,
    /// Bytes that those frames declared.
    pub bytes: u64,
}

/// A frame header that keeps the rules.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub struct Header {
    /// Whether the message ends with this frame.
    pub is_final: bool,
    /// What kind of frame it is.
    pub opcode: u8,
    /// Bytes of payload.
    pub length: u64,
    /// The masking key; zeros where the peer does not mask.
    pub key: [u8; 4],
    /// Bytes of the header itself.
    pub size: usize,
}

fn check_first(first: u8, begun: Option<Begun>, rules: &Rules) -> Result<(), Breach> {
    let opcode = first & 0x0f;
    // 5.2: the three bits behind FIN are reserved for extensions.
    if first & 0x70 != 0 {
        return Err(Breach::protocol("a reserved bit is set"));
    }
    // 5.2: opcodes 3 to 7 and 11 to 15 are reserved.
    if opcode > 10 || (opcode > 2 && opcode < CLOSE) {
        return Err(Breach::protocol(format!("opcode {opcode} is reserved")));
    }
    if opcode >= CLOSE {
        // 5.5: control frames must not be fragmented.
        return if first < 0x80 { Err(Breach::protocol("a control frame is fragmented")) } else { Ok(()) };
    }
    // 5.4: a message begins with its opcode and goes on with opcode 0.
    match begun {
        None if opcode == 0 => Err(Breach::protocol("a continuation without a message")),
        Some(_) if opcode > 0 => Err(Breach::protocol("a new message inside a fragmented one")),
        Some(begun) if begun.fragments >= rules.max_fragments => {
            Err(Breach::too_big(format!("a message of more than {} frames", rules.max_fragments)))
        }
        _ => Ok(()),
    }
}

fn check_second(second: u8, opcode: u8, rules: &Rules) -> Result<(), Breach> {
    // 5.1: clients mask every frame, servers none.
    if rules.is_server && second < 0x80 {
        return Err(Breach::protocol("a frame that is not masked"));
    }
    if !rules.is_server && second >= 0x80 {
        return Err(Breach::protocol("a masked frame from a server"));
    }
    // 5.5: control frames carry at most 125 bytes.
    if opcode >= CLOSE && second & 0x7f > MAX_CONTROL_BYTES {
        return Err(Breach::protocol("a control frame of more than 125 bytes"));
    }
    Ok(())
}

// The payload length and how many bytes of header stand before the masking key.
fn read_length(bytes: &[u8]) -> Result<Option<(u64, usize)>, Breach> {
    let length = match bytes[1] & 0x7f {
        126 if bytes.len() < 4 => return Ok(None),
        126 => (u64::from(u16::from_be_bytes([bytes[2], bytes[3]])), 4, 126),
        127 if bytes.len() < 10 => return Ok(None),
        127 => {
            let mut eight = [0; 8];
            eight.copy_from_slice(&bytes[2..10]);
            (u64::from_be_bytes(eight), 10, 65536)
        }
        short => (u64::from(short), 2, 0),
    };
    // 5.2: the top bit of a 64-bit length must be 0.
    if length.0 >> 63 == 1 {
        return Err(Breach::protocol("a length with its top bit set"));
    }
    // 5.2: the shortest form that holds the length must be used.
    if length.0 < length.2 {
        return Err(Breach::protocol("a length that is not in its shortest form"));
    }
    Ok(Some((length.0, length.1)))
}

/// Reads a frame header and judges it as far as its bytes have come, byte by byte in their order; `None` where
/// more bytes are needed.
///
/// # Errors
/// The rule that was broken.
///
/// RFC 6455 5.2
pub fn read(bytes: &[u8], begun: Option<Begun>, rules: &Rules) -> Result<Option<Header>, Breach> {
    let Some(&first) = bytes.first() else { return Ok(None) };
    check_first(first, begun, rules)?;
    let Some(&second) = bytes.get(1) else { return Ok(None) };
    let opcode = first & 0x0f;
    check_second(second, opcode, rules)?;
    let Some((length, mut size)) = read_length(bytes)? else { return Ok(None) };
    // 10.4: judged before anything of the payload is kept; subtracting cannot overflow.
    if opcode < CLOSE && rules.max_message_bytes - begun.map_or(0, |begun| begun.bytes) < length {
        return Err(Breach::too_big(format!("a message of more than {} bytes", rules.max_message_bytes)));
    }
    let mut key = [0; 4];
    if rules.is_server {
        let Some(found) = bytes.get(size..size + 4) else { return Ok(None) };
        key.copy_from_slice(found);
        size += 4;
    }
    Ok(Some(Header { is_final: first >= 0x80, opcode, length, key, size }))
}

// 7.4: codes that may stand in a close frame.
fn is_wire_code(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

/// Judges the payload of a close frame.
///
/// # Errors
/// The rule that was broken.
///
/// RFC 6455 5.5.1, 7.4
pub fn check_close(payload: &[u8]) -> Result<(), Breach> {
    match *payload {
        [] => Ok(()),
        [_] => Err(Breach::protocol("a close payload of one byte")),
        [high, low, ref reason @ ..] => {
            let code = u16::from_be_bytes([high, low]);
            if !is_wire_code(code) {
                return Err(Breach::protocol(format!("close code {code} is not for the wire")));
            }
            if utf8::is_valid(reason) {
                Ok(())
            } else {
                Err(Breach::utf8("a close reason that is not UTF-8"))
            }
        }
    }
}

/// Writes a frame header; with a key, the frame is a client's. Returns how many bytes it has.
///
/// RFC 6455 5.2
pub fn write(target: &mut [u8; MAX_HEADER_BYTES], first: u8, length: usize, key: Option<[u8; 4]>) -> usize {
    let mask_bit = if key.is_some() { 0x80 } else { 0 };
    target[0] = first;
    let mut size = 2;
    if length < 126 {
        target[1] = mask_bit | length as u8;
    } else if let Ok(short) = u16::try_from(length) {
        target[1] = mask_bit | 126;
        target[2..4].copy_from_slice(&short.to_be_bytes());
        size = 4;
    } else {
        target[1] = mask_bit | 127;
        target[2..10].copy_from_slice(&(length as u64).to_be_bytes());
        size = 10;
    }
    if let Some(key) = key {
        target[size..size + 4].copy_from_slice(&key);
        size += 4;
    }
    size
}

/// Measures a frame that we wrote: its size in all, and whether dropping it would break the stream, as with control
/// frames and fragments.
pub fn measure(frame: &[u8]) -> (usize, bool) {
    let (length, mut size) = match frame[1] & 0x7f {
        126 => (usize::from(u16::from_be_bytes([frame[2], frame[3]])), 4),
        127 => (frame[2..10].iter().fold(0, |sum, &byte| sum << 8 | usize::from(byte)), 10),
        short => (usize::from(short), 2),
    };
    if frame[1] >= 0x80 {
        size += 4;
    }
    (size + length, !matches!(frame[0], 0x81 | 0x82))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules = Rules { is_server: true, max_fragments: 4, max_message_bytes: 70_000 };

    // The figure of section 5.2, bit by bit.
    fn naive(first: u8, length: usize, key: Option<[u8; 4]>) -> Vec<u8> {
        let mut bits: Vec<bool> = Vec::new();
        let mut put = |value: u64, count: u32| {
            for index in (0..count).rev() {
                bits.push(value >> index & 1 == 1);
            }
        };
        put(first.into(), 8);
        put(key.is_some().into(), 1);
        match length as u64 {
            short @ 0..126 => put(short, 7),
            middle @ 126..65536 => {
                put(126, 7);
                put(middle, 16);
            }
            long => {
                put(127, 7);
                put(long, 64);
            }
        }
        for byte in key.iter().flatten() {
            put((*byte).into(), 8);
        }
        bits.chunks(8).map(|byte| byte.iter().fold(0, |sum, &bit| sum << 1 | u8::from(bit))).collect()
    }

    #[test]
    fn written_headers_equal_naive_ones_and_are_read_again_cut_anywhere() {
        for length in (0..=300).chain([65_535, 65_536, 70_000]) {
            for key in [None, Some([9, 8, 7, 6])] {
                let mut target = [0; MAX_HEADER_BYTES];
                let size = write(&mut target, 0x82, length, key);
                let bytes = &target[..size];
                assert_eq!(bytes, naive(0x82, length, key));
                let rules = Rules { is_server: key.is_some(), ..RULES };
                for cut in 0..size {
                    assert_eq!(read(&bytes[..cut], None, &rules), Ok(None), "{length} cut at {cut}");
                }
                let header =
                    Header { is_final: true, opcode: 2, length: length as u64, key: key.unwrap_or_default(), size };
                assert_eq!(read(bytes, None, &rules), Ok(Some(header)));
                assert_eq!(measure(bytes), (size + length, false));
            }
        }
    }

    #[test]
    fn every_first_byte_is_judged_by_the_rules() {
        for first in 0..=255u8 {
            let opcode = first & 15;
            let is_known = matches!(opcode, 0..=2 | 8..=10) && first & 0x70 == 0;
            let fits_outside = is_known && opcode != 0 && (opcode < 8 || first >= 0x80);
            let fits_inside = is_known && (opcode == 0 || (opcode >= 8 && first >= 0x80));
            let begun = Some(Begun { fragments: 1, bytes: 0 });
            assert_eq!(read(&[first], None, &RULES).is_ok(), fits_outside, "{first:x}");
            assert_eq!(read(&[first], begun, &RULES).is_ok(), fits_inside, "{first:x}");
        }
    }

    #[test]
    fn limits_hold_at_and_one_past() {
        let begun = |fragments, bytes| Some(Begun { fragments, bytes });
        assert!(read(&[0x80, 0x80], begun(3, 0), &RULES).is_ok());
        assert_eq!(read(&[0x80, 0x80], begun(4, 0), &RULES).unwrap_err().code, 1009);
        assert!(read(&[0x80, 0x81], begun(1, 69_999), &RULES).is_ok());
        assert_eq!(read(&[0x80, 0x81], begun(1, 70_000), &RULES).unwrap_err().code, 1009);
        let huge = [0x82, 0xff, 0x7f, 255, 255, 255, 255, 255, 255, 255];
        assert_eq!(read(&huge, begun(1, 70_000), &RULES).unwrap_err().code, 1002);
        assert_eq!(read(&huge, None, &RULES).unwrap_err().code, 1009);
        let top = [0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(read(&top, None, &RULES).unwrap_err().code, 1002);
        assert_eq!(read(&[0x82, 0xfe, 0, 125], None, &RULES).unwrap_err().code, 1002);
        assert_eq!(read(&[0x82, 0xff, 0, 0, 0, 0, 0, 0, 255, 255], None, &RULES).unwrap_err().code, 1002);
        assert_eq!(read(&[0x89, 0xfe], None, &RULES).unwrap_err().code, 1002);
        assert_eq!(read(&[0x82, 0x05], None, &RULES).unwrap_err().code, 1002);
        assert_eq!(read(&[0x82, 0x85], None, &Rules { is_server: false, ..RULES }).unwrap_err().code, 1002);
    }

    #[test]
    fn every_close_code_is_judged() {
        assert_eq!(check_close(b""), Ok(()));
        assert_eq!(check_close(b"\x03").unwrap_err().code, 1002);
        for code in 0..=u16::MAX {
            let allowed =
                (1000..=1003).contains(&code) || (1007..=1014).contains(&code) || (3000..=4999).contains(&code);
            assert_eq!(check_close(&code.to_be_bytes()).is_ok(), allowed, "{code}");
        }
        assert_eq!(check_close(b"\x03\xe8\xff").unwrap_err().code, 1007);
    }
}
