//! Frame headers against slow, plain models.

use super::*;
use crate::deflate::Window;

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
            write_header(&mut target, 0x82, length, key);
            let (bytes, size) = (&target[..], target.len());
            assert_eq!(bytes, naive(0x82, length, key));
            let rules = Rules { is_server: key.is_some(), ..RULES };
            for cut in 0..size {
                assert_eq!(read(&bytes[..cut], None, &rules), Ok(None), "{length} cut at {cut}");
            }
            let header = Header { first: 0x82, length: length as u64, key: key.unwrap_or_default(), size };
            assert_eq!(read(bytes, None, &rules), Ok(Some(header)));
            assert_eq!((measure(bytes), is_needed(bytes)), (size + length, false));
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
        let begun = Some(&Begun { fragments: 1, bytes: 0, is_compressed: false });
        assert_eq!(read(&[first], None, &RULES).is_ok(), fits_outside, "{first:x}");
        assert_eq!(read(&[first], begun, &RULES).is_ok(), fits_inside, "{first:x}");
        let rules = Rules { inflate: Some(Window { bits: 15, level: 0, no_context_takeover: false }), ..RULES };
        let is_compressed = matches!(first, 0x41 | 0x42 | 0xc1 | 0xc2);
        assert_eq!(read(&[first], None, &rules).is_ok(), fits_outside || is_compressed, "{first:x}");
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
    let begun = |fragments, bytes| Begun { fragments, bytes, is_compressed: false };
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
    let rules = Rules { inflate: Some(Window { bits: 15, level: 0, no_context_takeover: false }), ..RULES };
    let long = [0xff, 0, 0, 0, 0, 0, 1, 255, 255, 1, 2, 3, 4];
    assert!(read(&[&[0xc1], &long[..]].concat(), None, &rules).is_ok());
    assert!(
        read(&[&[0x80], &long[..]].concat(), Some(&Begun { is_compressed: true, ..Begun::default() }), &rules).is_ok()
    );
    assert_eq!(read(&[&[0x81], &long[..]].concat(), None, &rules).unwrap_err().code, 1009);
}
