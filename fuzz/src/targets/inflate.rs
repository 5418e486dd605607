//! Compressed messages of a peer: any bytes, cut anywhere.

use crate::choices::Choices;
use crate::deflate::{Inflater, Window};

// Inflates messages of `message_bytes` each, in pieces. Gives what came out, and the close code of a fault.
fn inflate(window: Window, messages: &[&[u8]], piece_bytes: usize, limit: u64) -> (Vec<Vec<u8>>, Option<u16>) {
    let mut inflater = Inflater::new(window);
    let mut list = Vec::new();
    for message in messages {
        let mut target = Vec::new();
        let mut rest = *message;
        loop {
            let piece = &rest[..piece_bytes.min(rest.len())];
            let is_last = piece.len() == rest.len();
            let result = inflater.inflate(piece, is_last, limit, &mut target);
            assert!(target.len() as u64 <= limit + 1);
            assert!(target.capacity() as u64 <= limit + 1, "{} of {limit}", target.capacity());
            match result {
                Err(breach) => {
                    assert!(matches!(breach.code, 1002 | 1009));
                    assert!(breach.code == 1002 || target.len() as u64 == limit + 1);
                    return (list, Some(breach.code));
                }
                // What was not taken is given again; each call takes some.
                Ok(taken) => {
                    assert!(taken > 0 || piece.is_empty());
                    rest = &rest[taken..];
                    if is_last && taken == piece.len() {
                        break;
                    }
                }
            }
        }
        assert!(target.len() as u64 <= limit);
        list.push(target);
    }
    (list, None)
}

/// Takes: window, limit, piece size, message size, then compressed messages.
pub fn run(data: &[u8]) {
    let mut choices = Choices(data);
    let flags = choices.byte();
    let window = Window { bits: 9 + (flags >> 1) % 7, level: 0, no_context_takeover: flags & 1 > 0 };
    let limit = [0, 1, 255, 256, 4000, 100_000][choices.one_of(6)];
    let piece_bytes = choices.piece_bytes();
    let message_bytes = [usize::MAX, 1, 7, 64][choices.one_of(4)];
    let messages: Vec<&[u8]> = choices.0.chunks(message_bytes.min(choices.0.len().max(1))).collect();
    let whole = inflate(window, &messages, usize::MAX, limit);
    assert_eq!(inflate(window, &messages, piece_bytes, limit), whole);
    // What other connections left in the pool changes nothing.
    assert_eq!(inflate(window, &messages, piece_bytes, limit), whole);
}
