//! The value of `Sec-WebSocket-Accept`, and random bytes.

use base64::prelude::{Engine, BASE64_STANDARD};
use rustix::io::{retry_on_intr, Errno};
use rustix::rand::{getrandom, GetRandomFlags};

const KEYS_A_CALL: usize = 64;
const HANDSHAKE_GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Computes the value of `Sec-WebSocket-Accept`.
///
/// RFC 6455 4.2.2
pub fn accept_key(key: &[u8]) -> String {
    let mut sha1 = sha1_smol::Sha1::new();
    sha1.update(key);
    sha1.update(HANDSHAKE_GUID);
    BASE64_STANDARD.encode(sha1.digest().bytes())
}

/// Fills a buffer with bytes from the operating system that nobody can foresee.
///
/// # Errors
/// What the operating system says.
pub fn random(target: &mut [u8]) -> Result<(), Errno> {
    // So few at a time always come whole.
    for piece in target.chunks_mut(256) {
        retry_on_intr(|| getrandom(&mut *piece, GetRandomFlags::empty()))?;
    }
    Ok(())
}

/// Masking keys, whose bytes are fetched for many at a time.
#[derive(Default)]
pub struct Keys(Vec<[u8; 4]>);

impl Keys {
    /// Makes a masking key.
    ///
    /// # Errors
    /// What the operating system says.
    ///
    /// RFC 6455 10.3
    pub fn next(&mut self) -> Result<[u8; 4], Errno> {
        if let Some(key) = self.0.pop() {
            return Ok(key);
        }
        let mut keys = [0; 4 * KEYS_A_CALL];
        random(&mut keys)?;
        self.0.extend_from_slice(keys.as_chunks().0);
        self.next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // FIPS 180-4, straight from its text.
    fn naive_sha1(message: &[u8]) -> [u8; 20] {
        let mut state: [u32; 5] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];
        let mut padded = message.to_vec();
        padded.push(0x80);
        while padded.len() % 64 != 56 {
            padded.push(0);
        }
        padded.extend_from_slice(&(message.len() as u64 * 8).to_be_bytes());
        for block in padded.chunks(64) {
            let mut w = [0u32; 80];
            for (index, word) in block.chunks(4).enumerate() {
                w[index] = u32::from_be_bytes([word[0], word[1], word[2], word[3]]);
            }
            for t in 16..80 {
                w[t] = (w[t - 3] ^ w[t - 8] ^ w[t - 14] ^ w[t - 16]).rotate_left(1);
            }
            let [mut a, mut b, mut c, mut d, mut e] = state;
            for (t, word) in w.iter().enumerate() {
                let (f, k) = match t / 20 {
                    0 => ((b & c) | (!b & d), 0x5a82_7999),
                    1 => (b ^ c ^ d, 0x6ed9_eba1),
                    2 => ((b & c) | (b & d) | (c & d), 0x8f1b_bcdc),
                    _ => (b ^ c ^ d, 0xca62_c1d6u32),
                };
                let next = a.rotate_left(5).wrapping_add(f).wrapping_add(e).wrapping_add(*word).wrapping_add(k);
                (e, d, c, b, a) = (d, c, b.rotate_left(30), a, next);
            }
            for (sum, value) in state.iter_mut().zip([a, b, c, d, e]) {
                *sum = sum.wrapping_add(value);
            }
        }
        let mut digest = [0; 20];
        for (bytes, word) in digest.chunks_mut(4).zip(state) {
            bytes.copy_from_slice(&word.to_be_bytes());
        }
        digest
    }

    fn naive_base64(bytes: &[u8]) -> String {
        const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut text = String::new();
        for group in bytes.chunks(3) {
            let byte = |index: usize| u32::from(group.get(index).copied().unwrap_or(0));
            let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
            for digit in 0..4u32 {
                let is_padding = digit as usize > group.len();
                let value = (bits >> (18 - 6 * digit)) & 63;
                text.push(if is_padding { '=' } else { ALPHABET[value as usize] as char });
            }
        }
        text
    }

    #[test]
    fn the_example_of_the_standard() {
        assert_eq!(accept_key(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn accept_keys_and_base64_equal_naive_ones_at_all_lengths() {
        let source: Vec<u8> = (0..320u32).map(|index| (index * 91 % 256) as u8).collect();
        for from in 0..4 {
            for size in 0..=300 {
                let bytes = &source[from..from + size];
                let whole = [bytes, HANDSHAKE_GUID].concat();
                assert_eq!(accept_key(bytes), naive_base64(&naive_sha1(&whole)));
                assert_eq!(BASE64_STANDARD.encode(bytes), naive_base64(bytes));
                assert_eq!(BASE64_STANDARD.decode(naive_base64(bytes)).as_deref(), Ok(bytes));
            }
        }
    }

    #[test]
    fn loose_base64_is_refused() {
        for text in ["A", "AA", "AAA", "AB==", "AAB=", "AA=A", "A===", "AA==\n", "A A=", "AA-_", "===="] {
            assert!(BASE64_STANDARD.decode(text).is_err(), "{text}");
        }
    }

    #[test]
    fn random_bytes_differ() {
        let (mut one, mut other, mut keys) = ([0; 5000], [0; 5000], Keys::default());
        random(&mut one).expect("random bytes");
        random(&mut other).expect("random bytes");
        for (one, other) in one.chunks(250).zip(other.chunks(250)) {
            assert_ne!(one, other);
        }
        for _ in 0..3 * KEYS_A_CALL {
            assert_ne!(keys.next(), keys.next());
        }
    }
}
