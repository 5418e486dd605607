//! UTF-8 as strict as RFC 3629, in pieces cut anywhere.

/// The state between two characters. 1 to 3: as many continuation bytes to come; 4 to 7: behind a lead byte whose
/// next byte has a narrower range.
pub const BOUNDARY: u8 = 0;

fn step(state: u8, byte: u8) -> Option<u8> {
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

/// Goes on checking where the piece before ended; `None` as soon as no further bytes could make it UTF-8.
///
/// RFC 6455 8.1
pub fn next(mut state: u8, bytes: &[u8]) -> Option<u8> {
    let mut rest = bytes;
    while let (1.., &[byte, ref others @ ..]) = (state, rest) {
        state = step(state, byte)?;
        rest = others;
    }
    match simdutf8::compat::from_utf8(rest) {
        Ok(_) => Some(state),
        Err(error) if error.error_len().is_some() => None,
        Err(error) => rest[error.valid_up_to()..].iter().copied().try_fold(BOUNDARY, step),
    }
}

/// Tells whether a whole text is UTF-8.
///
/// RFC 6455 8.1
pub fn is_valid(bytes: &[u8]) -> bool {
    simdutf8::basic::from_utf8(bytes).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(state: u8, bytes: &[u8]) -> Option<u8> {
        bytes.iter().try_fold(state, |state, &byte| step(state, byte))
    }

    const TEXTS: [&[u8]; 18] = [
        b"",
        b"plain",
        "κόσμε".as_bytes(),
        "\u{10ffff}\u{fffd}\u{7ff}\u{800}\u{ffff}\u{10000}".as_bytes(),
        b"\xed\xa0\x80",
        b"\xed\xbf\xbf",
        b"\xf4\x90\x80\x80",
        b"\xc0\xaf",
        b"\xc1\x81",
        b"\xe0\x80\xaf",
        b"\xf0\x80\x80\xaf",
        b"\xf8\x88\x80\x80\x80",
        b"\xfe",
        b"\xff",
        b"\x80",
        b"a\xe2\x82",
        b"\xf0\x9f\x98",
        b"\xe2\x28\xa1",
    ];

    #[test]
    fn whole_texts_are_judged_as_the_standard_library_does() {
        for text in TEXTS {
            assert_eq!(is_valid(text), std::str::from_utf8(text).is_ok(), "{text:x?}");
            assert_eq!(next(BOUNDARY, text), walk(BOUNDARY, text), "{text:x?}");
        }
    }

    #[test]
    fn texts_cut_anywhere_equal_the_walk_byte_by_byte() {
        for length in 0..=300usize {
            for text in TEXTS {
                let mut long = "añ€😀".repeat(length).into_bytes();
                long.truncate(length);
                long.extend_from_slice(text);
                let expected = walk(BOUNDARY, &long);
                let cuts = [0, 1, 2, length / 2, length, long.len()];
                for cut in cuts.into_iter().filter(|&cut| cut <= long.len()) {
                    let found = next(BOUNDARY, &long[..cut]).and_then(|state| next(state, &long[cut..]));
                    assert_eq!(found, expected, "{length} {text:x?} at {cut}");
                }
            }
        }
    }

    #[test]
    fn a_bad_byte_is_refused_at_once() {
        for first in 0..=255u8 {
            for second in 0..=255u8 {
                let pair = [first, second];
                let is_hopeless = matches!(std::str::from_utf8(&pair), Err(error) if error.error_len().is_some());
                assert_eq!(next(BOUNDARY, &pair).is_none(), is_hopeless, "{pair:x?}");
            }
        }
    }
}
