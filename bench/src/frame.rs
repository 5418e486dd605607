//! The messages of a run: all of one size, and each with a number of its own in its first eight bytes, or all alike.

/// Bytes at the start of each payload that differ from message to message.
pub const STAMP_BYTES: usize = 8;
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// Gives the stamp of message `number` of connection `connection`: eight letters.
#[must_use]
pub fn stamp(connection: usize, number: u32) -> [u8; STAMP_BYTES] {
    let id = u64::from((connection as u32).wrapping_mul(0x9e37_79b1).wrapping_add(number));
    let id = (id | id << 16) & 0x0000_ffff_0000_ffff;
    let id = (id | id << 8) & 0x00ff_00ff_00ff_00ff;
    let id = (id | id << 4) & 0x0f0f_0f0f_0f0f_0f0f;
    (id + 0x4141_4141_4141_4141).to_le_bytes()
}

/// Gives the header of an unfragmented frame without its mask.
#[must_use]
pub fn header(opcode: u8, payload_bytes: usize, masked: bool) -> Vec<u8> {
    let bit = if masked { 0x80 } else { 0 };
    let mut bytes = vec![0x80 | opcode];
    match payload_bytes {
        0..=125 => bytes.push(bit | payload_bytes as u8),
        126..=0xffff => {
            bytes.push(bit | 126);
            bytes.extend((payload_bytes as u16).to_be_bytes());
        }
        _ => {
            bytes.push(bit | 127);
            bytes.extend((payload_bytes as u64).to_be_bytes());
        }
    }
    bytes
}

/// The frames of a run, ready to be sent.
#[derive(Debug)]
pub struct Frames {
    /// The payload; its stamp is zero.
    pub payload: Vec<u8>,
    /// The header that an unfragmented answer has.
    pub answer_header: Vec<u8>,
    /// Whether all messages have the same number.
    pub alike: bool,
    /// Bytes of one masked frame.
    pub frame_bytes: usize,
    bytes: Vec<u8>,
}

impl Frames {
    /// Makes room for `count` frames of `payload_bytes` each, letters throughout.
    #[must_use]
    pub fn new(opcode: u8, payload_bytes: usize, count: usize) -> Self {
        let letters = (0..payload_bytes).map(|at| b'a' + (at % 26) as u8);
        let payload: Vec<u8> = letters.enumerate().map(|(at, b)| if at < STAMP_BYTES { 0 } else { b }).collect();
        let mut frame = header(opcode, payload_bytes, true);
        frame.extend(MASK);
        frame.extend(payload.iter().enumerate().map(|(at, byte)| byte ^ MASK[at % 4]));
        let answer_header = header(opcode, payload_bytes, false);
        Self { payload, answer_header, alike: false, frame_bytes: frame.len(), bytes: frame.repeat(count) }
    }

    /// Gives the stamp that message `number` of a connection has here.
    #[must_use]
    pub fn stamp(&self, connection: usize, number: u32) -> [u8; STAMP_BYTES] {
        if self.alike {
            stamp(0, 0)
        } else {
            stamp(connection, number)
        }
    }

    /// Gives the frames of messages `first` to `first + count - 1` of a connection, one after the other.
    pub fn stamped(&mut self, connection: usize, first: u32, count: usize) -> &[u8] {
        let start = self.frame_bytes - self.payload.len();
        for at in 0..count {
            let mut letters = self.stamp(connection, first.wrapping_add(at as u32));
            letters.iter_mut().enumerate().for_each(|(at, letter)| *letter ^= MASK[at % 4]);
            let from = at * self.frame_bytes + start;
            self.bytes[from..from + STAMP_BYTES].copy_from_slice(&letters);
        }
        &self.bytes[..count * self.frame_bytes]
    }
}
