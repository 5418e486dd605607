//! Frames: their headers, what a peer may send in them, and how they are written.

use crate::deflate::{Codec, Window};
use crate::payload::mask;
use crate::protocol::{Breach, CLOSE, COMPRESSED, TOO_BIG};

const MAX_CONTROL_BYTES: u8 = 125;
const MAX_HEADER_BYTES: usize = 14;

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

/// What is known of the unfinished message that a frame may continue.
#[derive(Clone, Copy, Default)]
pub struct Begun {
    /// Frames so far.
    pub fragments: u64,
    /// Bytes that those frames declared.
    pub bytes: u64,
    /// Whether it is compressed.
    pub is_compressed: bool,
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
        mask(piece, self.key);
        self.pass(piece.len());
    }

    /// Takes note that so many bytes of the payload were taken.
    pub fn pass(&mut self, count: usize) {
        self.key.rotate_left(count % 4);
        self.length -= count as u64;
    }
}

fn must(is_kept: bool, text: &'static str) -> Result<(), Breach> {
    if !is_kept {
        return Err(Breach::protocol(text));
    }
    Ok(())
}

fn check_first(first: u8, begun: Option<&Begun>, rules: &Rules) -> Result<(), Breach> {
    let opcode = first & 0x0f;
    // 5.2: the three bits after FIN are reserved for extensions; RFC 7692 6: the first of them marks the first frame
    // of a compressed message.
    let is_compressed = first & 0x70 == COMPRESSED && matches!(opcode, 1 | 2) && rules.inflate.is_some();
    must(first & 0x70 == 0 || is_compressed, "a reserved bit is set")?;
    // 5.2: opcodes 3 to 7 and 11 to 15 are reserved.
    if opcode > 10 || (opcode > 2 && opcode < CLOSE) {
        return Err(Breach::protocol(format!("opcode {opcode} is reserved")));
    }
    if opcode >= CLOSE {
        // 5.5: control frames must not be fragmented.
        return must(first >= 0x80, "a control frame is fragmented");
    }
    // 5.4: a message begins with its opcode and continues with opcode 0.
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
    let (have, is_compressed) = match begun {
        Some(begun) => (begun.bytes, begun.is_compressed),
        None => (0, first & COMPRESSED > 0),
    };
    // 10.4: judged before anything of the payload is kept; the difference cannot be negative. The size of a compressed
    // message is judged while it is inflated.
    if opcode < CLOSE && !is_compressed && rules.max_message_bytes - have < length {
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

/// Appends a frame header; with a key, the frame is a client's.
///
/// RFC 6455 5.2
pub fn write_header(target: &mut Vec<u8>, first: u8, length: usize, key: Option<[u8; 4]>) {
    let mask_bit = if key.is_some() { 0x80 } else { 0 };
    let length_bytes = (length as u64).to_be_bytes();
    match length {
        0..126 => target.extend_from_slice(&[first, mask_bit | length as u8]),
        126..65536 => target.extend_from_slice(&[first, mask_bit | 126, length_bytes[6], length_bytes[7]]),
        _ => {
            target.extend_from_slice(&[first, mask_bit | 127]);
            target.extend_from_slice(&length_bytes);
        }
    }
    if let Some(key) = key {
        target.extend_from_slice(&key);
    }
}

/// Measures a frame that we wrote: its size in all.
pub fn measure(frame: &[u8]) -> usize {
    let (length, size) = read_length(frame).ok().flatten().unwrap_or_default();
    let mask_size = if frame[1] >= 0x80 { 4 } else { 0 };
    size + mask_size + length as usize
}

/// Tells whether dropping a frame that we wrote would break the stream, as with control frames and fragments.
pub fn is_needed(frame: &[u8]) -> bool {
    !matches!(frame[0] & !COMPRESSED, 0x81 | 0x82)
}

/// One frame to send.
#[derive(Clone, Copy)]
pub struct Frame<'a> {
    /// Its first byte: opcode, and whether the message ends with it.
    pub first: u8,
    /// Whether it is a whole data message that may be compressed.
    pub is_compressible: bool,
    /// What it carries.
    pub payload: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Gives the frame, compressed into `target` where that was agreed and is worth it.
    ///
    /// RFC 7692 6
    pub fn compress(self, codec: Option<&Codec>, target: &'a mut Vec<u8>) -> Frame<'a> {
        let Some(codec) = codec else { return self };
        if !self.is_compressible {
            return self;
        }
        let Some(compressed) = codec.borrow_mut().compress(self.payload) else { return self };
        *target = compressed;
        Frame { first: self.first | COMPRESSED, payload: target, ..self }
    }

    /// Tells how many bytes it has at most.
    pub fn most(&self) -> usize {
        MAX_HEADER_BYTES + self.payload.len()
    }

    /// Appends the frame; with a key, a client's.
    ///
    /// RFC 6455 5.2, 5.3
    pub fn encode(&self, target: &mut Vec<u8>, key: Option<[u8; 4]>) {
        write_header(target, self.first, self.payload.len(), key);
        let from = target.len();
        target.extend_from_slice(self.payload);
        if let Some(key) = key {
            mask(&mut target[from..], key);
        }
    }
}

#[cfg(test)]
mod tests;
