//! Compression against the examples of RFC 7692, and there and back.

use super::*;

const HELLO: [u8; 7] = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];

fn window(bits: u8, no_context_takeover: bool) -> Window {
    Window { bits, level: 6, no_context_takeover }
}

// Gives what was not taken again, until all of it is taken.
fn append(
    inflater: &mut Inflater,
    bytes: &[u8],
    is_last: bool,
    limit: u64,
    target: &mut Vec<u8>,
) -> Result<(), Breach> {
    let mut taken = inflater.inflate(bytes, is_last, limit, target)?;
    while taken < bytes.len() {
        let more = inflater.inflate(&bytes[taken..], is_last, limit, target)?;
        assert!(more > 0);
        taken += more;
    }
    Ok(())
}

fn inflate(inflater: &mut Inflater, bytes: &[u8], limit: u64) -> Result<Vec<u8>, u16> {
    let mut target = Vec::new();
    let result = append(inflater, bytes, true, limit, &mut target);
    assert!(target.capacity() as u64 <= limit + 1, "{} of {limit}", target.capacity());
    result.map(|()| target).map_err(|breach| breach.code)
}

#[test]
fn the_examples_of_rfc_7692() {
    let mut kept = Deflater::new(window(15, false), 0);
    assert_eq!(kept.compress(b"Hello").unwrap(), HELLO);
    assert_eq!(kept.compress(b"Hello").unwrap(), [0xf2, 0x00, 0x11, 0x00, 0x00]);
    let mut fresh = Deflater::new(window(15, true), 0);
    for _ in 0..3 {
        assert_eq!(fresh.compress(b"Hello").unwrap(), HELLO);
        assert_eq!(fresh.compress(b"").unwrap(), [0]);
    }
    let mut inflater = Inflater::new(window(15, false));
    let examples: [&[u8]; 6] = [
        &HELLO,
        &[0xf2, 0x00, 0x11, 0x00, 0x00],
        &[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00],
        &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00],
        &[0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00],
        &HELLO,
    ];
    for example in examples {
        assert_eq!(inflate(&mut inflater, example, 5).unwrap(), b"Hello");
        assert_eq!(inflate(&mut inflater, &[0], 5).unwrap(), b"");
        assert_eq!(inflate(&mut inflater, &[], 5).unwrap(), b"");
    }
}

#[test]
fn messages_of_all_lengths_come_back_through_every_window_cut_anywhere() {
    let source: Vec<u8> = (0..90_000u32).map(|index| (index.wrapping_mul(index) / 7 % 11) as u8).collect();
    for bits in 9..=15 {
        for forgets in [false, true] {
            let mut deflater = Deflater::new(Window { level: bits - 8, ..window(bits, forgets) }, 0);
            let mut inflater = Inflater::new(window(bits, forgets));
            for size in (0..=300).chain([511, 512, 513, 33_000, source.len()]) {
                let compressed = deflater.compress(&source[..size]).unwrap();
                let cut = compressed.len() * (size % 5) / 4;
                let mut target = Vec::new();
                append(&mut inflater, &compressed[..cut], false, size as u64, &mut target).unwrap();
                append(&mut inflater, &compressed[cut..], true, size as u64, &mut target).unwrap();
                assert_eq!(target, source[..size], "{bits} {forgets} {size}");
            }
        }
    }
}

#[test]
fn what_does_not_shrink_goes_plain_where_no_context_needs_it() {
    assert_eq!(Deflater::new(window(15, true), 1).compress(b"abc"), None);
    assert!(Deflater::new(window(15, true), 0).compress(b"abc").is_some());
    assert!(Deflater::new(window(15, false), 1).compress(b"abc").is_some());
    assert_eq!(Deflater::new(window(15, false), 4).compress(b"abc"), None);
}

#[test]
fn the_limit_holds_at_and_one_past() {
    let bomb = Deflater::new(window(15, true), 0).compress(&[0; 100_000]).unwrap();
    for limit in [0, 1, 255, 256, 257, 65_536, 99_999] {
        assert_eq!(inflate(&mut Inflater::new(window(15, true)), &bomb, limit), Err(1009), "{limit}");
    }
    assert_eq!(inflate(&mut Inflater::new(window(15, true)), &bomb, 100_000).unwrap().len(), 100_000);
}

#[test]
fn what_inflates_to_much_is_taken_in_parts() {
    let bomb = Deflater::new(window(15, false), 0).compress(&vec![0; 10_000_000]).unwrap();
    let mut inflater = Inflater::new(window(15, false));
    let mut target = Vec::new();
    let mut at = 0;
    while at < bomb.len() {
        let before = target.len();
        at += inflater.inflate(&bomb[at..], true, 10_000_000, &mut target).unwrap();
        assert!(target.len() - before <= 2 * MOST_ROOM);
    }
    assert_eq!(target.len(), 10_000_000);
}

#[test]
fn no_message_sees_what_was_there_before() {
    for bits in [9, 15] {
        let mut inflater = Inflater::new(window(bits, true));
        assert_eq!(inflate(&mut inflater, &HELLO, 5).unwrap(), b"Hello");
        assert_eq!(inflate(&mut inflater, &[0xf2, 0x00, 0x11, 0x00, 0x00], 5), Err(1002));
        assert_eq!(inflate(&mut Inflater::new(window(bits, true)), &[0xf2, 0x00, 0x11, 0x00, 0x00], 5), Err(1002));
    }
}

#[test]
fn garbage_and_endless_streams_are_refused() {
    for bytes in [&[255, 255, 255][..], &[7], &[0, 5, 0, 0, 0], &[3, 0].repeat(1000)] {
        assert_eq!(inflate(&mut Inflater::new(window(15, false)), bytes, 100), Err(1002));
    }
}
