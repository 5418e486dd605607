//! Frame headers: judged byte by byte as they come, and written as they are read.

use crate::choices::Choices;
use crate::deflate::Window;
use crate::frame::{is_needed, measure, read, write_header, Begun, Rules};
use crate::protocol::{COMPRESSED, FINAL};

/// Takes: role and window, limits, what has begun, then a header and more.
pub fn run(data: &[u8]) {
    let mut choices = Choices(data);
    let flags = choices.byte();
    let rules = Rules {
        is_server: flags & 1 > 0,
        max_fragments: 1 + choices.byte() as u64,
        max_message_bytes: [1, 125, 126, 65_535, 65_536, 1 << 20, 1 << 40, 1 << 53][choices.one_of(8)],
        inflate: (flags & 2 > 0).then_some(Window { bits: 15, level: 0, no_context_takeover: flags & 4 > 0 }),
    };
    let begun = Begun {
        fragments: choices.byte().into(),
        bytes: rules.max_message_bytes.min(choices.byte().into()),
        is_compressed: rules.inflate.is_some() && flags & 8 > 0,
    };
    let begun = (flags & 16 > 0).then_some(&begun);
    let bytes = choices.0;
    let whole = read(bytes, begun, &rules);
    let mut has_ended = false;
    for end in 0..=bytes.len().min(16) {
        let part = read(&bytes[..end], begun, &rules);
        if has_ended || part != Ok(None) {
            // What was said of the first bytes is not taken back.
            assert_eq!(part, whole);
            has_ended = true;
        }
    }
    let Ok(Some(header)) = whole else { return };
    assert!(header.size <= 14 && header.size <= bytes.len());
    assert!(header.length < 1 << 63);
    let key = rules.is_server.then_some(header.key);
    let mut written = Vec::new();
    write_header(&mut written, header.first, header.length as usize, key);
    assert_eq!(written, bytes[..header.size]);
    assert_eq!(measure(bytes) as u64, header.size as u64 + header.length);
    let is_whole_data = header.first & FINAL > 0 && header.first & 15 < 8 && header.first & 15 > 0;
    assert_eq!(is_needed(bytes), !is_whole_data);
    assert!(header.first & COMPRESSED == 0 || rules.inflate.is_some());
}
