//! The rules of frame headers and payloads: what a peer may send, each in one place.

use std::borrow::Cow;

use crate::{deflate::Window, mask, utf8};

/// The opcode of a text frame.
pub const TEXT: u8 = 1;
/// The opcode of a close frame.
pub const CLOSE: u8 = 8;
/// The bit of the first byte that marks the last frame of a message.
pub const FINAL: u8 = 0x80;
/// The bit of the first byte that marks a compressed message.
pub const PACKED: u8 = 0x40;

const MAX_CONTROL_BYTES: u8 = 125;

/// The close code for a rule of the protocol that was broken.
pub const PROTOCOL: u16 = 1002;
/// The close code for text that is not UTF-8.
pub const NOT_UTF8: u16 = 1007;
/// The close code for a message, or a frame of it, that passes a limit.
pub const TOO_BIG: u16 = 1009;

/// What a peer did wrong.
#[derive(Debug, PartialEq, Eq)]
pub struct Breach {
    /// The close code that follows.
    pub code: u16,
    /// What is wrong, for the log.
    pub text: Cow<'static, str>,
}

impl Breach {
    /// Says what is wrong, and by which close code.
    pub fn new(code: u16, text: impl Into<Cow<'static, str>>) -> Breach {
        Breach { code, text: text.into() }
    }
}

/// What a connection allows.
#[derive(Clone, Copy, Default)]
pub struct Rules {
    /// Whether we are the server: then the peer masks.
    pub is_server: bool,
    /// Frames of one message.
    pub max_fragments: u64,
    /// Bytes of one message.
    pub max_message_bytes: u64,
    /// How the peer compresses, where that was agreed.
    pub inflate: Option<Window>,
}

/// What is known of the unfinished message that a frame may go on with.
#[derive(Clone, Copy, Default)]
pub struct Begun {
    /// Frames so far.
    pub fragments: u64,
    /// Bytes that those frames declared.
    pub bytes: u64,
    /// Whether it is compressed.
    pub is_packed: bool,
}

/// A frame header that keeps the rules.
#[derive(Debug, PartialEq, Eq, Clone, Copy, Default)]
pub struct Header {
    /// The frame's first byte.
    pub first: u8,
    /// Bytes of payload.
    pub length: u64,
    /// The masking key; zeros where the peer does not mask.
    pub key: [u8; 4],
    /// Bytes of the header itself.
    pub size: usize,
}

impl Header {
    /// Unmasks what has come of the payload; the header is then the one for the rest.
    pub fn unmask(&mut self, piece: &mut [u8]) {
        mask::apply(piece, self.key);
        self.key.rotate_left(piece.len() % 4);
        self.length -= piece.len() as u64;
    }
}

/// Judges a rule of the protocol.
///
/// # Errors
/// What is wrong where it is not kept.
pub fn must(is_kept: bool, text: &'static str) -> Result<(), Breach> {
    is_kept.then_some(()).ok_or_else(|| Breach::new(PROTOCOL, text))
}

fn check_first(first: u8, begun: Option<&Begun>, rules: &Rules) -> Result<(), Breach> {
    let opcode = first & 0x0f;
    // 5.2: the three bits behind FIN are reserved for extensions; RFC 7692 6: the first of them marks the first frame
    // of a compressed message.
    let is_packed = first & 0x70 == PACKED && matches!(opcode, 1 | 2) && rules.inflate.is_some();
    must(first & 0x70 == 0 || is_packed, "a reserved bit is set")?;
    // 5.2: opcodes 3 to 7 and 11 to 15 are reserved.
    if opcode > 10 || (opcode > 2 && opcode < CLOSE) {
        return Err(Breach::new(PROTOCOL, format!("opcode {opcode} is reserved")));
    }
    if opcode >= CLOSE {
        // 5.5: control frames must not be fragmented.
        return must(first >= 0x80, "a control frame is fragmented");
    }
    // 5.4: a message begins with its opcode and goes on with opcode 0.
    let Some(begun) = begun else { return must(opcode > 0, "a continuation without a message") };
    must(opcode == 0, "a new message inside a fragmented one")?;
    if begun.fragments >= rules.max_fragments {
        return Err(Breach::new(TOO_BIG, format!("a message of more than {} frames", rules.max_fragments)));
    }
    Ok(())
}

fn check_second(second: u8, opcode: u8, rules: &Rules) -> Result<(), Breach> {
    // 5.1: clients mask every frame, servers none.
    must(second >= 0x80 || !rules.is_server, "a frame that is not masked")?;
    must(second < 0x80 || rules.is_server, "a masked frame from a server")?;
    // 5.5: control frames carry at most 125 bytes.
    must(opcode < CLOSE || second & 0x7f <= MAX_CONTROL_BYTES, "a control frame of more than 125 bytes")
}

// The payload length and how many bytes of header stand before the masking key.
fn read_length(bytes: &[u8]) -> Result<Option<(u64, usize)>, Breach> {
    let (size, least) = match bytes[1] & 0x7f {
        126 => (4, 126),
        127 => (10, 65536),
        short => return Ok(Some((short.into(), 2))),
    };
    let Some(found) = bytes.get(2..size) else { return Ok(None) };
    let length = found.iter().fold(0, |sum, &byte| sum << 8 | u64::from(byte));
    // 5.2: the top bit of a 64-bit length must be 0.
    must(length >> 63 == 0, "a length with its top bit set")?;
    // 5.2: the shortest form that holds the length must be used.
    must(length >= least, "a length that is not in its shortest form")?;
    Ok(Some((length, size)))
}

/// Reads a frame header and judges it as far as its bytes have come, byte by byte in their order; `None` where
/// more bytes are needed.
///
/// # Errors
/// The rule that was broken.
///
/// RFC 6455 5.2
pub fn read(bytes: &[u8], begun: Option<&Begun>, rules: &Rules) -> Result<Option<Header>, Breach> {
    let Some(&first) = bytes.first() else { return Ok(None) };
    check_first(first, begun, rules)?;
    let Some(&second) = bytes.get(1) else { return Ok(None) };
    let opcode = first & 0x0f;
    check_second(second, opcode, rules)?;
    let Some((length, mut size)) = read_length(bytes)? else { return Ok(None) };
    let (have, is_packed) = begun.map_or((0, first & PACKED > 0), |begun| (begun.bytes, begun.is_packed));
    // 10.4: judged before anything of the payload is kept; subtracting cannot overflow. What is compressed is judged
    // while it is inflated.
    if opcode < CLOSE && !is_packed && rules.max_message_bytes - have < length {
        return Err(Breach::new(TOO_BIG, format!("a message of more than {} bytes", rules.max_message_bytes)));
    }
    let mut key = [0; 4];
    if rules.is_server {
        let Some(found) = bytes.get(size..size + 4) else { return Ok(None) };
        key.copy_from_slice(found);
        size += 4;
    }
    Ok(Some(Header { first, length, key, size }))
}

/// Judges the payload of a whole frame.
///
/// # Errors
/// The rule that was broken.
///
/// RFC 6455 5.5.1, 7.4, 8.1
pub fn check_payload(opcode: u8, payload: &[u8]) -> Result<(), Breach> {
    match (opcode, payload) {
        (TEXT, text) if !utf8::is_valid(text) => Err(match utf8::next(utf8::BOUNDARY, text) {
            Some(_) => Breach::new(NOT_UTF8, "a text that ends inside a character"),
            None => Breach::new(NOT_UTF8, "a text that is not UTF-8"),
        }),
        (CLOSE, &[_]) => Err(Breach::new(PROTOCOL, "a close payload of one byte")),
        (CLOSE, &[high, low, ref reason @ ..]) => match u16::from_be_bytes([high, low]) {
            // 7.4: codes that may stand in a close frame.
            1000..=1003 | 1007..=1014 | 3000..=4999 if utf8::is_valid(reason) => Ok(()),
            1000..=1003 | 1007..=1014 | 3000..=4999 => Err(Breach::new(NOT_UTF8, "a close reason that is not UTF-8")),
            code => Err(Breach::new(PROTOCOL, format!("close code {code} is not for the wire"))),
        },
        _ => Ok(()),
    }
}

/// Appends a frame header; with a key, the frame is a client's.
///
/// RFC 6455 5.2
pub fn write(target: &mut Vec<u8>, first: u8, length: usize, key: Option<[u8; 4]>) {
    let mask_bit = if key.is_some() { 0x80 } else { 0 };
    let eight = (length as u64).to_be_bytes();
    match length {
        0..126 => target.extend_from_slice(&[first, mask_bit | length as u8]),
        126..65536 => target.extend_from_slice(&[first, mask_bit | 126, eight[6], eight[7]]),
        _ => target.extend_from_slice(&[&[first, mask_bit | 127], &eight[..]].concat()),
    }
    target.extend_from_slice(key.as_ref().map_or(&[], |key| key));
}

/// Measures a frame that we wrote: its size in all, and whether dropping it would break the stream, as with control
/// frames and fragments.
pub fn measure(frame: &[u8]) -> (usize, bool) {
    let (length, size) = read_length(frame).ok().flatten().unwrap_or_default();
    let mask_size = if frame[1] >= 0x80 { 4 } else { 0 };
    (size + mask_size + length as usize, !matches!(frame[0] & !PACKED, 0x81 | 0x82))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules = Rules { is_server: true, max_fragments: 4, max_message_bytes: 70_000, inflate: None };

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
                let mut target = Vec::new();
                write(&mut target, 0x82, length, key);
                let (bytes, size) = (&target[..], target.len());
                assert_eq!(bytes, naive(0x82, length, key));
                let rules = Rules { is_server: key.is_some(), ..RULES };
                for cut in 0..size {
                    assert_eq!(read(&bytes[..cut], None, &rules), Ok(None), "{length} cut at {cut}");
                }
                let header = Header { first: 0x82, length: length as u64, key: key.unwrap_or_default(), size };
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
            let begun = Some(&Begun { fragments: 1, bytes: 0, is_packed: false });
            assert_eq!(read(&[first], None, &RULES).is_ok(), fits_outside, "{first:x}");
            assert_eq!(read(&[first], begun, &RULES).is_ok(), fits_inside, "{first:x}");
            let rules = Rules { inflate: Some(Window { bits: 15, level: 0, forgets: false }), ..RULES };
            let is_packed = matches!(first, 0x41 | 0x42 | 0xc1 | 0xc2);
            assert_eq!(read(&[first], None, &rules).is_ok(), fits_outside || is_packed, "{first:x}");
            assert_eq!(read(&[first], begun, &rules).is_ok(), fits_inside, "{first:x}");
        }
    }

    #[test]
    fn a_payload_that_comes_in_pieces_is_unmasked_as_a_whole_one() {
        let source: Vec<u8> = (0..100).collect();
        let key = [1, 2, 3, 4];
        let plain: Vec<u8> = source.iter().enumerate().map(|(index, byte)| byte ^ key[index % 4]).collect();
        for cut in 0..=source.len() {
            let mut header = Header { key, length: 110, ..Header::default() };
            let mut bytes = source.clone();
            let (one, other) = bytes.split_at_mut(cut);
            header.unmask(one);
            header.unmask(other);
            assert_eq!((bytes, header.length), (plain.clone(), 10));
        }
    }

    #[test]
    fn limits_hold_at_and_one_past() {
        let begun = |fragments, bytes| Begun { fragments, bytes, is_packed: false };
        assert!(read(&[0x80, 0x80], Some(&begun(3, 0)), &RULES).is_ok());
        assert_eq!(read(&[0x80, 0x80], Some(&begun(4, 0)), &RULES).unwrap_err().code, 1009);
        assert!(read(&[0x80, 0x81], Some(&begun(1, 69_999)), &RULES).is_ok());
        assert_eq!(read(&[0x80, 0x81], Some(&begun(1, 70_000)), &RULES).unwrap_err().code, 1009);
        let huge = [0x82, 0xff, 0x7f, 255, 255, 255, 255, 255, 255, 255];
        assert_eq!(read(&huge, Some(&begun(1, 70_000)), &RULES).unwrap_err().code, 1002);
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
    fn the_length_of_a_compressed_frame_is_not_its_message_s() {
        let rules = Rules { inflate: Some(Window { bits: 15, level: 0, forgets: false }), ..RULES };
        let long = [0xff, 0, 0, 0, 0, 0, 1, 255, 255, 1, 2, 3, 4];
        assert!(read(&[&[0xc1], &long[..]].concat(), None, &rules).is_ok());
        assert!(
            read(&[&[0x80], &long[..]].concat(), Some(&Begun { is_packed: true, ..Begun::default() }), &rules).is_ok()
        );
        assert_eq!(read(&[&[0x81], &long[..]].concat(), None, &rules).unwrap_err().code, 1009);
    }

    #[test]
    fn every_close_code_is_judged() {
        assert_eq!(check_payload(CLOSE, b""), Ok(()));
        assert_eq!(check_payload(CLOSE, b"\x03").unwrap_err().code, 1002);
        for code in 0..=u16::MAX {
            let allowed =
                (1000..=1003).contains(&code) || (1007..=1014).contains(&code) || (3000..=4999).contains(&code);
            assert_eq!(check_payload(CLOSE, &code.to_be_bytes()).is_ok(), allowed, "{code}");
        }
        assert_eq!(check_payload(CLOSE, b"\x03\xe8\xff").unwrap_err().code, 1007);
    }
}
