//! The reader: what it gives must not depend on how the bytes were cut, and must be what a plain decoder gives.

use std::str;

use crate::batch::{Batch, Payload};
use crate::budget::Budget;
use crate::choices::Choices;
use crate::deflate::Window;
use crate::frame::Rules;
use crate::reader::Reader;

type Items = Vec<(u16, Vec<u8>)>;

const FIRST_CLOSE_CODE: u16 = 1000;
// What a buffer may be larger than its message: the size from which on it is not trimmed.
const SLACK_BYTES: u64 = 1 << 16;

// Feeds the stream in pieces. Gives all messages, and the most that the budget was charged.
fn feed(rules: Rules, stream: &[u8], piece_bytes: usize, limit: u64) -> (Items, u64) {
    let mut reader = Reader::new(rules);
    let mut batch = Batch::default();
    let mut budget = Budget { used: 0, limit };
    let mut items = Items::new();
    let mut rest = Vec::new();
    let mut most = 0;
    for piece in stream.chunks(piece_bytes.min(stream.len().max(1))) {
        rest.extend_from_slice(piece);
        let mut is_full = true;
        while is_full {
            let mut bytes = rest.clone();
            let taken;
            (taken, is_full) = reader.feed(&mut bytes, &mut batch, &mut budget);
            assert!(taken <= bytes.len() && (taken > 0 || !is_full));
            for (opcode, payload) in &batch.items {
                let payload = match payload {
                    Payload::Here(from, size) => bytes[*from..*from + *size].to_vec(),
                    Payload::Owned(bytes) => bytes.clone(),
                };
                assert!(payload.len() as u64 <= rules.max_message_bytes.max(125));
                items.push((*opcode, payload));
            }
            batch.clear();
            rest.drain(..taken);
            assert_eq!(budget.used, reader.held());
            most = most.max(budget.used);
        }
        // Only a header, or a control frame, may wait to be read again.
        assert!(rest.len() < 14 + 126);
    }
    reader.release(&mut budget);
    assert_eq!(budget.used, 0);
    (items, most)
}

// The frames that are there whole, and what is wrong with the first that is wrong; `None` once bytes are missing.
struct Plain<'a> {
    rules: Rules,
    bytes: &'a [u8],
    message: Option<(u16, u64, Vec<u8>)>,
}

impl Plain<'_> {
    fn next(&mut self) -> Option<Result<(u16, Vec<u8>), u16>> {
        loop {
            let [first, second, ..] = *self.bytes else { return None };
            let opcode = u16::from(first & 15);
            let is_final = first & 0x80 > 0;
            let is_control = opcode >= 8;
            let has_begun = self.message.is_some();
            let fits = match opcode {
                0 => has_begun,
                1 | 2 => !has_begun,
                8..=10 => is_final,
                _ => false,
            };
            if first & 0x70 > 0 || !fits || (second & 0x80 > 0) != self.rules.is_server {
                return Some(Err(if fits && first & 0x70 == 0 && self.is_over(opcode) { 1009 } else { 1002 }));
            }
            if self.is_over(opcode) {
                return Some(Err(1009));
            }
            if is_control && second & 0x7f > 125 {
                return Some(Err(1002));
            }
            let (size, least) = match second & 0x7f {
                126 => (2, 126),
                127 => (8, 65_536),
                _ => (0, 0),
            };
            let digits = self.bytes.get(2..2 + size)?;
            let long = digits.iter().fold(0, |sum: u128, byte| sum * 256 + u128::from(*byte));
            let length = if size == 0 { u128::from(second & 0x7f) } else { long };
            if length < least || length >= 1 << 63 {
                return Some(Err(1002));
            }
            let have = self.message.as_ref().map_or(0, |message| message.2.len()) as u128;
            if !is_control && have + length > u128::from(self.rules.max_message_bytes) {
                return Some(Err(1009));
            }
            let from = 2 + size + if self.rules.is_server { 4 } else { 0 };
            let payload = self.bytes.get(from..from + usize::try_from(length).ok()?)?;
            let key = &self.bytes[2 + size..from];
            let byte = |(index, byte): (usize, &u8)| byte ^ if key.is_empty() { 0 } else { key[index % 4] };
            let payload: Vec<u8> = payload.iter().enumerate().map(byte).collect();
            self.bytes = &self.bytes[from + payload.len()..];
            if is_control {
                return Some(judge(opcode, payload));
            }
            let (begun, frames, mut bytes) = self.message.take().unwrap_or((opcode, 0, Vec::new()));
            bytes.extend(payload);
            let is_wrong = str::from_utf8(&bytes).is_err_and(|error| error.error_len().is_some());
            if begun == 1 && is_wrong {
                return Some(Err(1007));
            }
            if is_final {
                return Some(judge(begun, bytes));
            }
            self.message = Some((begun, frames + 1, bytes));
        }
    }

    fn is_over(&self, opcode: u16) -> bool {
        opcode == 0 && self.message.as_ref().is_some_and(|message| message.1 >= self.rules.max_fragments)
    }
}

fn judge(opcode: u16, payload: Vec<u8>) -> Result<(u16, Vec<u8>), u16> {
    let is_text = |bytes: &[u8]| str::from_utf8(bytes).is_ok();
    match (opcode, &payload[..]) {
        (1, text) if !is_text(text) => Err(1007),
        (8, [_]) => Err(1002),
        (8, [high, low, reason @ ..]) => match u16::from_be_bytes([*high, *low]) {
            1000..=1003 | 1007..=1014 | 3000..=4999 if is_text(reason) => Ok((opcode, payload)),
            1000..=1003 | 1007..=1014 | 3000..=4999 => Err(1007),
            _ => Err(1002),
        },
        _ => Ok((opcode, payload)),
    }
}

fn compare_with_plain(rules: Rules, stream: &[u8], items: &Items) {
    let mut plain = Plain { rules, bytes: stream, message: None };
    let mut list = items.iter();
    loop {
        let found = list.next();
        match (plain.next(), found) {
            (Some(Ok(expected)), Some(found)) => {
                assert_eq!(&expected, found);
                if expected.0 == 8 {
                    assert!(list.next().is_none(), "something after a close frame");
                    return;
                }
            }
            (Some(Err(code)), Some((found, _))) => return assert_eq!(code, *found),
            // The reader judges what has come of a frame, the plain decoder whole frames.
            (None, Some((found, _))) => return assert!(matches!(found, 1002 | 1007 | 1009)),
            (None, None) => return,
            (expected, None) => panic!("missing: {expected:?}"),
        }
    }
}

fn is_breach(items: &Items) -> bool {
    items.last().is_some_and(|item| item.0 >= FIRST_CLOSE_CODE)
}

// Whether two ways to cut a stream gave the same. A piece of a compressed message may break two rules at once: which
// of them is seen depends on where it is cut.
fn is_same(rules: Rules, one: &Items, other: &Items) -> bool {
    let same = one.len() - usize::from(rules.inflate.is_some() && is_breach(one) && is_breach(other));
    one.len() == other.len() && one[..same] == other[..same]
}

/// Takes: role and window, limits, piece size, then a stream.
pub fn run(data: &[u8]) {
    let mut choices = Choices(data);
    let flags = choices.byte();
    let window = Window { bits: 9 + (flags >> 3) % 7, level: 0, no_context_takeover: flags & 4 > 0 };
    let rules = Rules {
        is_server: flags & 1 > 0,
        max_fragments: [1, 2, 5, 1024][choices.one_of(4)],
        max_message_bytes: [1, 125, 4000, 70_000, 1 << 20][choices.one_of(5)],
        inflate: (flags & 2 > 0).then_some(window),
    };
    let piece_bytes = choices.piece_bytes();
    let stream = choices.0;
    let (whole, _) = feed(rules, stream, usize::MAX, u64::MAX);
    let (pieces, most) = feed(rules, stream, piece_bytes, u64::MAX);
    assert!(is_same(rules, &whole, &pieces), "{whole:?}\n{pieces:?}");
    // What is held follows what has come, whatever a header declares.
    let inflated = if rules.inflate.is_some() { rules.max_message_bytes } else { 0 };
    assert!(most <= 2 * (stream.len() as u64 + inflated) + SLACK_BYTES, "{most} of {}", stream.len());
    if rules.inflate.is_none() {
        compare_with_plain(rules, stream, &whole);
    }
    // A budget ends nothing here: Lua decides that.
    let (small, _) = feed(rules, stream, piece_bytes, 200);
    assert_eq!(small, pieces);
}
