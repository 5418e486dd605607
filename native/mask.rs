//! Masking: exclusive or of a payload with a key of four bytes.

use multiversion::multiversion;

/// Masks or unmasks bytes in place; the key's first byte meets the first byte.
///
/// RFC 6455 5.3
// Once more for wider registers, which serve where the processor has them.
#[multiversion(targets("x86_64+avx2"))]
pub fn apply(bytes: &mut [u8], key: [u8; 4]) {
    if key == [0; 4] {
        return;
    }
    let word = u64::from(u32::from_ne_bytes(key)) * 0x1_0000_0001;
    let (words, rest) = bytes.as_chunks_mut::<8>();
    for eight in words {
        *eight = (u64::from_ne_bytes(*eight) ^ word).to_ne_bytes();
    }
    for (byte, other) in rest.iter_mut().zip(key.into_iter().cycle()) {
        *byte ^= other;
    }
}

#[cfg(test)]
mod tests {
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
                apply(&mut bytes[from..from + size], key);
                assert_eq!(bytes[from..from + size], naive(&source[from..from + size], key)[..]);
                assert_eq!(bytes[..from], source[..from]);
                assert_eq!(bytes[from + size..], source[from + size..]);
            }
        }
    }
}
