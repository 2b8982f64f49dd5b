//! The byte alphabet of byte-level BPE: each byte has a visible character, so that token texts are valid UTF-8.
//!
//! From OpenAI's GPT-2 (`encoder.py`, `bytes_to_unicode`): printable Latin-1 bytes stand for themselves, the other 68
//! take U+0100 onwards in order.

/// The character that stands for `byte`.
pub(crate) fn char_of(byte: u8) -> char {
    if stands_for_itself(byte) {
        return char::from(byte);
    }
    let before = (0..byte).filter(|&b| !stands_for_itself(b)).count();
    // At most 68 bytes come before, so this stays below U+0144.
    char::from_u32(0x100 + before as u32).unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// The byte that `c` stands for.
pub(crate) fn byte_of(c: char) -> Option<u8> {
    match u32::from(c) {
        code @ 0..=0xFF => u8::try_from(code).ok().filter(|&b| stands_for_itself(b)),
        code => (0..=u8::MAX).filter(|&b| !stands_for_itself(b)).nth(usize::try_from(code).ok()?.checked_sub(0x100)?),
    }
}

fn stands_for_itself(byte: u8) -> bool {
    matches!(byte, 0x21..=0x7E | 0xA1..=0xAC | 0xAE..=0xFF)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_its_own_character() {
        for byte in 0..=u8::MAX {
            assert_eq!(byte_of(char_of(byte)), Some(byte));
        }
        assert_eq!((char_of(b' '), char_of(b'\n'), char_of(0xAD)), ('Ġ', 'Ċ', 'Ń'));
        assert_eq!(byte_of(' '), None);
        assert_eq!(byte_of('漢'), None);
        assert_eq!(byte_of('\u{144}'), None);
    }
}
