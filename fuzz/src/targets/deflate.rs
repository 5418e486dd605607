//! Messages of ours, compressed and inflated again.

use crate::choices::Choices;
use crate::deflate::{Deflater, Inflater, Window};

/// Takes: window, level, threshold, piece size, message size, then messages.
pub fn run(data: &[u8]) {
    let mut choices = Choices(data);
    let flags = choices.byte();
    let window =
        Window { bits: 9 + (flags >> 1) % 7, level: 1 + choices.one_of(9) as u8, no_context_takeover: flags & 1 > 0 };
    let threshold = [0, 1, 32, 1000][choices.one_of(4)];
    let piece_bytes = choices.piece_bytes();
    let message_bytes = 1 + usize::from(choices.byte()) * 8;
    let mut deflater = Deflater::new(window, threshold);
    let mut inflater = Inflater::new(Window { level: 0, ..window });
    for message in choices.0.chunks(message_bytes) {
        let Some(compressed) = deflater.compress(message) else {
            assert!(message.len() < threshold || window.no_context_takeover);
            continue;
        };
        assert!(message.len() >= threshold);
        assert!(compressed.len() <= message.len() + message.len() / 8 + 64);
        assert!(!compressed.is_empty() && !compressed.ends_with(&[0, 0, 255, 255]));
        let mut target = Vec::new();
        let mut rest = &compressed[..];
        while !rest.is_empty() {
            let (piece, others) = rest.split_at(piece_bytes.min(rest.len()));
            rest = others;
            inflater.inflate(piece, rest.is_empty(), message.len() as u64, &mut target).unwrap();
        }
        assert_eq!(target, message);
    }
}
