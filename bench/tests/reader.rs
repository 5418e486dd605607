//! The generator's checks must be able to fail.

use websockets_bench::frame::{header, stamp, Frames};
use websockets_bench::reader::Reader;

fn answer(opcode: u8, size: usize, sender: usize, number: u32) -> Vec<u8> {
    let mut payload = Frames::new(opcode, size, 1).payload;
    payload[..8].copy_from_slice(&stamp(sender, number));
    [header(opcode, size, false), payload].concat()
}

#[test]
fn counts_messages_however_they_are_cut() {
    for size in [8, 64, 126, 65_536] {
        let frames = Frames::new(1, size, 1);
        let bytes: Vec<u8> = (0..40).flat_map(|number| answer(1, size, 3, number)).collect();
        for chunk in [1, 7, 67, bytes.len()].into_iter().filter(|chunk| bytes.len() / chunk < 10_000) {
            let mut reader = Reader::default();
            for piece in bytes.chunks(chunk) {
                reader.feed(piece, &frames, Some(3)).expect("a good answer");
            }
            assert_eq!(reader.messages, 40, "{size} bytes in pieces of {chunk}");
        }
    }
}

#[test]
fn takes_fragments_and_pings() {
    let frames = Frames::new(1, 64, 1);
    let whole = answer(1, 64, 0, 0);
    let parts: [&[u8]; 6] = [&[0x01, 10], &whole[2..12], &[0x89, 2, 1, 2], &[0x80, 54], &whole[12..], &[0x8a, 0]];
    let mut reader = Reader::default();
    parts.concat().iter().for_each(|byte| reader.feed(&[*byte], &frames, Some(0)).expect("legal"));
    assert_eq!(reader.messages, 1);
}

#[test]
fn refuses_what_is_wrong() {
    let frames = Frames::new(1, 64, 1);
    let good = answer(1, 64, 0, 0);
    let mut changed = good.clone();
    changed[60] ^= 1;
    let masked: &[u8] = &[0x81, 0xc0];
    let cases: [(&str, &[u8]); 6] = [
        ("another message's stamp", &answer(1, 64, 0, 1)),
        ("a changed byte", &changed),
        ("too short", &answer(1, 63, 0, 0)),
        ("too long", &answer(1, 65, 0, 0)),
        ("a masked frame", masked),
        ("a close frame", &[0x88, 0]),
    ];
    for (what, bytes) in cases {
        assert!(Reader::default().feed(bytes, &frames, Some(0)).is_err(), "{what}");
    }
}

#[test]
fn alike_messages_have_one_stamp_and_no_other() {
    let mut frames = Frames::new(1, 64, 2);
    frames.alike = true;
    let (size, sent) = (frames.frame_bytes, frames.stamped(5, 7, 2).to_vec());
    assert_eq!(sent[..size], sent[size..]);
    assert!(Reader::default().feed(&answer(1, 64, 0, 0), &frames, Some(3)).is_ok());
    assert!(Reader::default().feed(&answer(1, 64, 3, 0), &frames, Some(3)).is_err());
}

#[test]
fn a_stamped_frame_unmasks_to_its_payload() {
    let mut frames = Frames::new(1, 200, 4);
    let (size, expected) = (frames.frame_bytes, stamp(5, 9));
    let last = &frames.stamped(5, 7, 3)[2 * size..];
    let payload: Vec<u8> = last[8..].iter().enumerate().map(|(at, byte)| byte ^ last[4 + at % 4]).collect();
    assert_eq!(payload[..8], expected);
    assert_eq!(payload[8..], frames.payload[8..]);
}
