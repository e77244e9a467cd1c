//! Names of keys and values, and the order in which keys stand (regf specification, "Key node").

use std::cmp::Ordering;

/// A name in Latin-1, or in UTF-16.
pub(crate) fn decode(bytes: &[u8], latin: bool) -> String {
    if latin { bytes.iter().map(|byte| char::from(*byte)).collect() } else { utf16(bytes) }
}

/// Text in UTF-16; halves of a pair that stand alone are replaced.
pub(crate) fn utf16(bytes: &[u8]) -> String {
    let units = bytes.as_chunks::<2>().0.iter().map(|unit| u16::from_le_bytes(*unit));
    char::decode_utf16(units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
}

/// A name as it is stored: in Latin-1 if it can be, and whether it is.
pub(crate) fn encode(name: &str) -> (Vec<u8>, bool) {
    let latin: Option<Vec<u8>> = name.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect();
    match latin {
        Some(latin) => (latin, true),
        None => (name.encode_utf16().flat_map(u16::to_le_bytes).collect(), false),
    }
}

/// A unit of UTF-16 as Windows makes it a capital: only where the capital's small letter is that one.
fn capital(unit: u16) -> u16 {
    if let Ok(ascii @ 0..0x80) = u8::try_from(unit) {
        return u16::from(ascii.to_ascii_uppercase());
    }
    let only = |mut of: std::char::ToUppercase| of.next().filter(|_| of.next().is_none());
    let Some(c) = char::from_u32(u32::from(unit)) else { return unit };
    let Some(upper) = only(c.to_uppercase()).filter(|upper| upper.to_lowercase().eq([c])) else {
        return unit;
    };
    u16::try_from(u32::from(upper)).unwrap_or(unit)
}

/// A name's capitals in UTF-16.
pub(crate) fn capitals(name: &str) -> impl Iterator<Item = u16> + '_ {
    name.encode_utf16().map(capital)
}

/// The order of keys.
pub(crate) fn order(a: &str, b: &str) -> Ordering {
    capitals(a).cmp(capitals(b))
}

/// Whether two names are of the same thing.
pub(crate) fn same(a: &str, b: &str) -> bool {
    if a.is_ascii() && b.is_ascii() {
        return a.eq_ignore_ascii_case(b);
    }
    order(a, b).is_eq()
}

/// What stands beside a key in a list of the kind `lh`.
pub(crate) fn hash(name: &str) -> u32 {
    capitals(name).fold(0, |hash: u32, unit| hash.wrapping_mul(37).wrapping_add(u32::from(unit)))
}

/// What stands beside a key in a list of the kind `lf`: its first four letters, if they are of Latin-1.
pub(crate) fn hint(name: &str) -> [u8; 4] {
    let mut hint = [0; 4];
    let (stored, latin) = encode(name);
    if latin {
        hint.iter_mut().zip(&stored).for_each(|(to, from)| *to = *from);
    }
    hint
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_by_their_capitals() {
        assert!(same("Services", "SERVICES") && same("é", "É") && same("ÿ", "Ÿ") && same("я", "Я"));
        // Their capitals have other small letters, or are two.
        assert!(!same("ı", "I") && !same("ß", "SS") && !same("ſ", "S") && !same("µ", "Μ"));
        assert_eq!(order("a_b", "aab"), Ordering::Greater);
        assert_eq!(order("a", "AB"), Ordering::Less);
    }

    #[test]
    fn a_name_is_of_latin_1_where_it_can_be() {
        for name in ["Select", "Größe", "Имя", ""] {
            let (bytes, latin) = encode(name);
            assert_eq!((decode(&bytes, latin), latin), (name.to_owned(), name != "Имя"));
        }
        // As in the lists of a real Windows 10 BCD and SYSTEM.
        assert_eq!((hint("Description"), hint("ab"), hint("Имя")), (*b"Desc", *b"ab\0\0", [0; 4]));
        assert_eq!(hash("ab"), 65 * 37 + 66);
    }
}
