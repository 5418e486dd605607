//! Fan-outs over sockets.

use std::cell::RefCell;
use std::os::unix::net::UnixStream;

use super::*;
use crate::deflate::{Deflater, Window};
use crate::output::Limits;
use crate::protocol::{FINAL, TEXT};

const LIMITS: Limits = Limits { high_water_bytes: usize::MAX, max_buffered_bytes: usize::MAX };

fn codec(bits: u8, no_context_takeover: bool) -> Codec {
    Codec::new(RefCell::new(Deflater::new(Window { bits, level: 6, no_context_takeover }, 0)))
}

#[test]
fn a_fan_out_is_encoded_once_for_all_that_share_a_codec() {
    let mut output = Output::default();
    let mut fanout = Fanout::default();
    let mut far_ends = Vec::new();
    let (wide, narrow) = (codec(15, true), codec(10, true));
    let codecs = [Some(&wide), Some(&narrow), Some(&wide), None, Some(&wide), None, Some(&narrow)];
    let frame = Frame { first: FINAL | TEXT, is_compressible: true, payload: &[b'a'; 300] };
    for (codec, seen) in codecs.into_iter().zip([1, 2, 2, 3, 3, 3, 3]) {
        let (near, far) = UnixStream::pair().expect("a pair of sockets");
        far_ends.push(far);
        let mut wire = Wire::new(near.into(), LIMITS, &[]);
        wire.out.codec = codec.cloned();
        assert_eq!(fanout.push(&mut output, &mut wire, frame), Ok(None));
        assert_eq!(fanout.encoded.len(), seen);
        assert!(wire.out.queue.size > 0);
    }
    // With context takeover a connection has bytes of its own.
    let (near, _far) = UnixStream::pair().expect("a pair of sockets");
    let mut wire = Wire::new(near.into(), LIMITS, &[]);
    wire.out.codec = Some(codec(15, false));
    assert_eq!(fanout.push(&mut output, &mut wire, frame), Ok(None));
    assert_eq!(fanout.encoded.len(), 3);
}
