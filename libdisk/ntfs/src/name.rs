//! Names: UTF-16 on the volume, UTF-8 outside; a half of a pair that stands alone is kept as three bytes
//! (WTF-8), so that each name has its own bytes.

/// A name as bytes.
pub(crate) fn to_bytes(units: &[u16]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for unit in char::decode_utf16(units.iter().copied()) {
        match unit {
            Ok(c) => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            Err(half) => {
                let [low, high] = half.unpaired_surrogate().to_le_bytes();
                // 1110xxxx 10xxxxxx 10xxxxxx
                bytes.push(0xe0 | high >> 4);
                bytes.push(0x80 | (high & 0xf) << 2 | low >> 6);
                bytes.push(0x80 | low & 0x3f);
            }
        }
    }
    bytes
}

/// Bytes as a name; `None` for what is no name.
pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Vec<u16>> {
    let mut units = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let valid = match str::from_utf8(rest) {
            Ok(text) => text,
            Err(error) => str::from_utf8(rest.get(..error.valid_up_to())?).ok()?,
        };
        units.extend(valid.encode_utf16());
        rest = rest.get(valid.len()..)?;
        if let [0xed, b @ 0xa0..=0xbf, c @ 0x80..=0xbf, behind @ ..] = rest {
            units.push(0xd000 | u16::from(b & 0x3f) << 6 | u16::from(c & 0x3f));
            rest = behind;
        } else if !rest.is_empty() {
            return None;
        }
    }
    Some(units)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lone_half_is_kept() {
        for units in [&[0x41, 0xd800, 0x42][..], &[0xd83d, 0xde00], &[0xdfff], &[0xe4]] {
            assert_eq!(from_bytes(&to_bytes(units)).as_deref(), Some(units));
        }
        assert_eq!(to_bytes(&[0xd83d, 0xde00]), "😀".as_bytes());
        assert_eq!(from_bytes(&[0xff]), None);
    }
}
