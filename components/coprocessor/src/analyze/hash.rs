//! `MurmurHash3`, the 128-bit variant for 64-bit machines, seed 0.
//!
//! Clients look values up in a sketch by the same hash, so it cannot be another one.

const C1: u64 = 0x87c3_7b91_1142_53d5;
const C2: u64 = 0x4cf5_ad43_2745_937f;

/// The first half of the hash.
pub(crate) fn hash64(bytes: &[u8]) -> u64 {
    hash128(bytes).0
}

/// Both halves of the hash.
pub(crate) fn hash128(bytes: &[u8]) -> (u64, u64) {
    let (mut h1, mut h2) = (0_u64, 0_u64);
    let (blocks, tail) = bytes.as_chunks::<16>();
    for block in blocks {
        let (k1, k2) = words(*block);
        h1 ^= mix1(k1);
        h1 = h1.rotate_left(27).wrapping_add(h2).wrapping_mul(5).wrapping_add(0x52dc_e729);
        h2 ^= mix2(k2);
        h2 = h2.rotate_left(31).wrapping_add(h1).wrapping_mul(5).wrapping_add(0x3849_5ab5);
    }
    if !tail.is_empty() {
        let mut block = [0; 16];
        block[..tail.len()].copy_from_slice(tail);
        // The mix of zero is zero, so it does not matter whether the tail reaches into the second word.
        let (k1, k2) = words(block);
        h2 ^= mix2(k2);
        h1 ^= mix1(k1);
    }
    let len = bytes.len() as u64;
    h1 ^= len;
    h2 ^= len;
    h1 = h1.wrapping_add(h2);
    h2 = h2.wrapping_add(h1);
    h1 = scatter(h1);
    h2 = scatter(h2);
    h1 = h1.wrapping_add(h2);
    h2 = h2.wrapping_add(h1);
    (h1, h2)
}

fn words(block: [u8; 16]) -> (u64, u64) {
    let bits = u128::from_le_bytes(block);
    #[expect(clippy::cast_possible_truncation, reason = "it is cut in two")]
    let halves = (bits as u64, (bits >> 64) as u64);
    halves
}

fn mix1(word: u64) -> u64 {
    word.wrapping_mul(C1).rotate_left(31).wrapping_mul(C2)
}

fn mix2(word: u64) -> u64 {
    word.wrapping_mul(C2).rotate_left(33).wrapping_mul(C1)
}

fn scatter(mut word: u64) -> u64 {
    word ^= word >> 33;
    word = word.wrapping_mul(0xff51_afd7_ed55_8ccd);
    word ^= word >> 33;
    word = word.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    word ^ (word >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_the_published_ones() {
        let cases: [(&[u8], u64, u64); 8] = [
            (b"", 0, 0),
            (b"hello", 0xcbd8_a7b3_41bd_9b02, 0x5b1e_906a_48ae_1d19),
            (b"\x08\x02", 0x4a08_c13a_200d_b448, 0x1585_0c26_4aaa_4475),
            (b"\x02\x04\x08\x02", 0x214a_aa43_90e3_b8a5, 0x602e_1390_ddfa_9667),
            (b"\x02\x02\x00", 0xabf8_e4ff_e17c_80ac, 0x7888_74f7_506f_3cdd),
            (b"0123456789abcdef", 0x4be0_6d94_cf4a_d1a7, 0x87c3_5b5c_63a7_08da),
            (b"0123456789abcdefg", 0x8e32_612d_aa45_f9de, 0x0800_f4c2_06c3_72ee),
            (b"\x03\x80\0\0\0\0\0\0\x01", 0x4a99_1196_6325_b004, 0x90c5_5b36_f802_daeb),
        ];
        for (bytes, h1, h2) in cases {
            assert_eq!(hash128(bytes), (h1, h2), "{bytes:x?}");
        }
    }
}
