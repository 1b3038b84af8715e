//! The checksum CRC32C (Castagnoli), as RFC 4960, appendix B, has it.

/// The polynomial, its bits in reverse.
const POLYNOMIAL: u32 = 0x82F6_3B78;

/// What each value of a byte does to the checksum.
const TABLE: [u32; 256] = table();

#[expect(clippy::cast_possible_truncation, reason = "the index is below 256")]
const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut index = 0;
    while index < table.len() {
        let mut value = index as u32;
        let mut bit = 0;
        while bit < 8 {
            let is_odd = value & 1 == 1;
            value >>= 1;
            if is_odd {
                value ^= POLYNOMIAL;
            }
            bit += 1;
        }
        table[index] = value;
        index += 1;
    }
    table
}

/// The checksum of these parts, one after the other.
pub(crate) fn crc32c(parts: &[&[u8]]) -> u32 {
    let bytes = parts.iter().copied().flatten();
    !bytes.fold(u32::MAX, |value, byte| {
        let [low, ..] = value.to_le_bytes();
        TABLE[usize::from(low ^ byte)] ^ (value >> 8)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_checksum_of_the_rfc() {
        // RFC 3720, appendix B.4, and the check value of the catalogues.
        let rising: Vec<_> = (0..32).collect();
        for (bytes, expected) in [
            (&b""[..], 0),
            (b"123456789", 0xE306_9283),
            (&[0; 32], 0x8A91_36AA),
            (&[0xFF; 32], 0x62A8_AB43),
            (&rising, 0x46DD_794E),
        ] {
            assert_eq!(crc32c(&[bytes]), expected, "{bytes:?}");
            let (start, end) = bytes.split_at(bytes.len() / 3);
            assert_eq!(crc32c(&[start, end]), expected, "{bytes:?} in parts");
        }
    }
}
