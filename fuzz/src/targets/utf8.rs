//! UTF-8, whole and in pieces, against the standard library.

use std::str;

use crate::choices::Choices;
use crate::payload::{check, is_utf8, mask, next_utf8, BOUNDARY};
use crate::protocol::{CLOSE, TEXT};

// Checks the text piece by piece. Returns the state after it, and how many bytes were looked at.
fn check_pieces(text: &[u8], piece_bytes: usize) -> (Option<u8>, usize) {
    let mut state = BOUNDARY;
    let mut seen = 0;
    for piece in text.chunks(piece_bytes.min(text.len().max(1))) {
        seen += piece.len();
        let Some(next) = next_utf8(state, piece) else { return (None, seen) };
        state = next;
    }
    (Some(state), seen)
}

/// Takes: piece size, then text.
pub fn run(data: &[u8]) {
    let mut choices = Choices(data);
    let piece_bytes = choices.piece_bytes();
    let text = choices.0;
    let plain = str::from_utf8(text);
    // Whether more bytes could make it UTF-8.
    let may_become = plain.map_or_else(|error| error.error_len().is_none(), |_| true);
    assert_eq!(is_utf8(text), plain.is_ok());
    let (state, seen) = check_pieces(text, piece_bytes);
    assert_eq!(state.is_some(), may_become);
    assert_eq!(state == Some(BOUNDARY), plain.is_ok());
    if let (None, Err(error)) = (state, plain) {
        // What is wrong is seen in the piece that has it: the bytes before are a prefix of some text.
        assert!(seen > error.valid_up_to() && seen - error.valid_up_to() <= piece_bytes.saturating_add(3));
    }
    assert_eq!(check(TEXT, text).is_ok(), plain.is_ok());
    check_close(text);
    check_mask(text, piece_bytes);
}

fn check_close(payload: &[u8]) {
    let is_good = match payload {
        [] => true,
        [_] => false,
        [high, low, reason @ ..] => {
            let code = u32::from(*high) * 256 + u32::from(*low);
            let is_code =
                (1000..5000).contains(&code) && !(1015..3000).contains(&code) && !(1004..1007).contains(&code);
            is_code && str::from_utf8(reason).is_ok()
        }
    };
    assert_eq!(check(CLOSE, payload).is_ok(), is_good);
}

fn check_mask(bytes: &[u8], piece_bytes: usize) {
    let mut key = [0x5a, 0, 0xff, 1];
    let plain: Vec<u8> = bytes.iter().enumerate().map(|(index, byte)| byte ^ key[index % 4]).collect();
    let mut masked = bytes.to_vec();
    for piece in masked.chunks_mut(piece_bytes.min(bytes.len().max(1))) {
        mask(piece, key);
        key.rotate_left(piece.len() % 4);
    }
    assert_eq!(masked, plain);
}
