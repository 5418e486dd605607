//! Counts the messages in what a server sent, checks their lengths, and the content of a sample.

use crate::frame::{Frames, STAMP_BYTES};
use crate::Result;

const SAMPLE_EVERY: u32 = 16;
const LONGEST_HEADER: usize = 10;

/// Where one connection stands in the stream of its frames.
#[derive(Debug, Default)]
pub struct Reader {
    /// Messages received in full.
    pub messages: u32,
    header: Vec<u8>,
    left: u64,
    control: bool,
    fin: bool,
    position: usize,
}

impl Reader {
    /// Reads bytes; `sender` stamped the messages, `None` leaves the content unchecked.
    ///
    /// # Errors
    /// A frame that no server may send, a close frame, a wrong length or a wrong content.
    pub fn feed(&mut self, mut bytes: &[u8], frames: &Frames, sender: Option<usize>) -> Result<()> {
        while !bytes.is_empty() {
            if self.left == 0 {
                bytes = self.begin(bytes, frames)?;
            }
            let count = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
            let (piece, rest) = bytes.split_at(count);
            bytes = rest;
            self.left -= count as u64;
            if !self.control {
                self.take(piece, frames, sender)?;
            }
        }
        Ok(())
    }

    fn begin<'a>(&mut self, bytes: &'a [u8], frames: &Frames) -> Result<&'a [u8]> {
        if self.header.is_empty() && bytes.starts_with(&frames.answer_header) {
            (self.left, self.fin, self.control) = (frames.payload.len() as u64, true, false);
            return Ok(&bytes[frames.answer_header.len()..]);
        }
        for (at, byte) in bytes.iter().enumerate() {
            self.header.push(*byte);
            if self.header_is_whole() {
                self.parse_header()?;
                return Ok(&bytes[at + 1..]);
            }
        }
        // The rest of the header is still to come: nothing of a payload is here.
        self.control = true;
        Ok(&[])
    }

    fn header_is_whole(&self) -> bool {
        let wanted = match self.header.get(1).map(|byte| byte & 0x7f) {
            None => 2,
            Some(127) => LONGEST_HEADER,
            Some(126) => 4,
            Some(_) => 2,
        };
        self.header.len() >= wanted
    }

    fn parse_header(&mut self) -> Result<()> {
        let (first, second) = (self.header[0], self.header[1]);
        if first & 0x70 != 0 || second & 0x80 != 0 {
            return Err(format!("a server may not send a frame that begins {first:02x} {second:02x}"));
        }
        if first & 0x0f == 8 {
            return Err("the server sent a close frame".into());
        }
        let extended = self.header[2..].iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
        self.left = if second < 126 { u64::from(second) } else { extended };
        self.control = first & 8 != 0;
        if !self.control {
            self.fin = first & 0x80 != 0;
        }
        self.header.clear();
        Ok(())
    }

    fn take(&mut self, piece: &[u8], frames: &Frames, sender: Option<usize>) -> Result<()> {
        let end = self.position + piece.len();
        if end > frames.payload.len() {
            return Err(format!("a message is longer than {} bytes", frames.payload.len()));
        }
        if let Some(sender) = sender.filter(|_| self.messages.is_multiple_of(SAMPLE_EVERY)) {
            self.compare(piece, frames, sender)?;
        }
        self.position = end;
        if self.left == 0 && self.fin {
            if end != frames.payload.len() {
                return Err(format!("a message of {end} bytes instead of {}", frames.payload.len()));
            }
            self.position = 0;
            self.messages = self.messages.wrapping_add(1);
        }
        Ok(())
    }

    fn compare(&self, piece: &[u8], frames: &Frames, sender: usize) -> Result<()> {
        let stamped = STAMP_BYTES.saturating_sub(self.position).min(piece.len());
        let expected = frames.stamp(sender, self.messages);
        let same = piece[..stamped] == expected[self.position.min(STAMP_BYTES)..][..stamped]
            && piece[stamped..] == frames.payload[self.position + stamped..self.position + piece.len()];
        if same {
            return Ok(());
        }
        Err(format!("message {} came back changed, at or after byte {}", self.messages, self.position))
    }
}
