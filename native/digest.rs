//! The value of `Sec-WebSocket-Accept`, base64, and random bytes.

use base64::engine::general_purpose::STANDARD;
use base64::Engine;
use rustix::rand::{getrandom, GetRandomFlags};

const HANDSHAKE_GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Computes the value of `Sec-WebSocket-Accept`.
///
/// RFC 6455 4.2.2
pub fn accept_key(key: &[u8]) -> String {
    let mut sha1 = sha1_smol::Sha1::new();
    sha1.update(key);
    sha1.update(HANDSHAKE_GUID);
    STANDARD.encode(sha1.digest().bytes())
}

/// Encodes bytes as RFC 4648 says.
pub fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Decodes what is the one encoding of some bytes; `None` for anything else.
pub fn unbase64(text: &[u8]) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

/// Random bytes from the operating system, fetched many at a time.
#[derive(Default)]
pub struct Random {
    pool: Vec<u8>,
}

impl Random {
    const POOL_BYTES: usize = 4096;

    /// Fills a buffer with bytes that nobody can foresee.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn fill(&mut self, target: &mut [u8]) -> Result<(), rustix::io::Errno> {
        if target.len() > Self::POOL_BYTES {
            return fetch(target);
        }
        if self.pool.len() < target.len() {
            self.pool.resize(Self::POOL_BYTES, 0);
            fetch(&mut self.pool)?;
        }
        let rest = self.pool.len() - target.len();
        target.copy_from_slice(&self.pool[rest..]);
        self.pool.truncate(rest);
        Ok(())
    }

    /// Makes a masking key.
    ///
    /// # Errors
    /// What the operating system says.
    ///
    /// RFC 6455 10.3
    pub fn key(&mut self) -> Result<[u8; 4], rustix::io::Errno> {
        let mut key = [0; 4];
        self.fill(&mut key)?;
        Ok(key)
    }
}

fn fetch(target: &mut [u8]) -> Result<(), rustix::io::Errno> {
    let mut done = 0;
    while done < target.len() {
        match getrandom(&mut target[done..], GetRandomFlags::empty()) {
            Ok(count) => done += count,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
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
                assert_eq!(base64(bytes), naive_base64(bytes));
                assert_eq!(unbase64(base64(bytes).as_bytes()).as_deref(), Some(bytes));
            }
        }
    }

    #[test]
    fn loose_base64_is_refused() {
        for text in ["A", "AA", "AAA", "AB==", "AAB=", "AA=A", "A===", "AA==\n", "A A=", "AA-_", "===="] {
            assert_eq!(unbase64(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn random_bytes_differ() {
        let mut random = Random::default();
        let (mut one, mut other) = ([0; 5000], [0; 16]);
        random.fill(&mut one).expect("random bytes");
        random.fill(&mut other).expect("random bytes");
        assert_ne!(one[..16], other);
        assert_ne!(random.key(), random.key());
    }
}
