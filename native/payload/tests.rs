//! Masks and UTF-8 against slow, plain models.

use super::*;

fn naive(bytes: &[u8], key: [u8; 4]) -> Vec<u8> {
    bytes.iter().enumerate().map(|(index, byte)| byte ^ key[index % 4]).collect()
}

#[test]
fn equals_the_naive_one_at_all_lengths_and_alignments() {
    let source: Vec<u8> = (0..400u32).map(|index| (index * 37 % 251) as u8).collect();
    let key = [0x12, 0xfe, 0x00, 0x9a];
    for from in 0..16 {
        for size in 0..=300 {
            let mut bytes = source.clone();
            mask(&mut bytes[from..from + size], key);
            assert_eq!(bytes[from..from + size], naive(&source[from..from + size], key)[..]);
            assert_eq!(bytes[..from], source[..from]);
            assert_eq!(bytes[from + size..], source[from + size..]);
        }
    }
}

fn walk(state: u8, bytes: &[u8]) -> Option<u8> {
    bytes.iter().try_fold(state, |state, &byte| step_utf8(state, byte))
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
        assert_eq!(is_utf8(text), std::str::from_utf8(text).is_ok(), "{text:x?}");
        assert_eq!(next_utf8(BOUNDARY, text), walk(BOUNDARY, text), "{text:x?}");
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
                let found = next_utf8(BOUNDARY, &long[..cut]).and_then(|state| next_utf8(state, &long[cut..]));
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
            assert_eq!(next_utf8(BOUNDARY, &pair).is_none(), is_hopeless, "{pair:x?}");
        }
    }
}

#[test]
fn every_close_code_is_judged() {
    assert_eq!(check(CLOSE, b""), Ok(()));
    assert_eq!(check(CLOSE, b"\x03").unwrap_err().code, 1002);
    for code in 0..=u16::MAX {
        let allowed = (1000..=1003).contains(&code) || (1007..=1014).contains(&code) || (3000..=4999).contains(&code);
        assert_eq!(check(CLOSE, &code.to_be_bytes()).is_ok(), allowed, "{code}");
    }
    assert_eq!(check(CLOSE, b"\x03\xe8\xff").unwrap_err().code, 1007);
}
