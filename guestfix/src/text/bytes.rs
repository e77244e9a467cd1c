//! Text without loss: a guest's bytes as a `String`, whatever they are.
//!
//! A configuration file is bytes. Most are UTF-8, some have a comment in Latin-1, a few are not text at all.
//! [`decode`] turns each byte that is not part of valid UTF-8 into one character of a private range, U+10FF00
//! plus the byte, and [`encode`] turns that back into the byte. The editors work on `str` all the same, and
//! what they do not know they carry along. A character of the range that a file really holds is decoded byte
//! by byte as well, so that `encode(&decode(bytes)) == bytes` for all bytes.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Where the private range starts: the last 256 code points of Unicode, in a plane that nobody assigns.
const BASE: u32 = 0x10_FF00;
/// The first byte of a character of that range in UTF-8.
const LEAD: u8 = 0xF4;

/// The text that stands for these bytes.
pub fn decode(bytes: &[u8]) -> String {
    // Nearly all text: looked at as bytes, which costs little for indexes of megabytes.
    if !bytes.contains(&LEAD)
        && let Ok(text) = std::str::from_utf8(bytes)
    {
        return text.to_owned();
    }
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for part in chunk.valid().split_inclusive(is_private) {
            let plain = part.trim_end_matches(is_private);
            text.push_str(plain);
            text.extend(part[plain.len()..].bytes().map(private));
        }
        text.extend(chunk.invalid().iter().copied().map(private));
    }
    text
}

/// The bytes that this text stands for.
pub fn encode(text: &str) -> Cow<'_, [u8]> {
    if !text.as_bytes().contains(&LEAD) || !text.contains(is_private) {
        return Cow::Borrowed(text.as_bytes());
    }
    let mut bytes = Vec::with_capacity(text.len());
    for c in text.chars() {
        match byte(c) {
            Some(byte) => bytes.push(byte),
            None => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    Cow::Owned(bytes)
}

/// The text for people: a byte that is not UTF-8 as `\xE9`.
pub fn shown(text: &str) -> Cow<'_, str> {
    if !text.as_bytes().contains(&LEAD) || !text.contains(is_private) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match byte(c) {
            Some(byte) => _ = write!(out, "\\x{byte:02X}"),
            None => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// Bytes for people: text as it is, all else as `\xE9`.
pub fn shown_bytes(bytes: &[u8]) -> String {
    shown(&decode(bytes)).into_owned()
}

/// The character that stands for a byte.
fn private(byte: u8) -> char {
    char::from_u32(BASE + u32::from(byte)).unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// The byte that a character stands for, if it does.
pub fn byte(c: char) -> Option<u8> {
    u32::from(c).checked_sub(BASE).and_then(|byte| u8::try_from(byte).ok())
}

fn is_private(c: char) -> bool {
    byte(c).is_some()
}

#[cfg(test)]
mod tests {
    use super::super::random::Random;
    use super::*;

    #[test]
    fn text_is_itself() {
        for text in ["", "UUID=1 / ext4\n", "é\0\r\n", "\u{feff}x", "\u{10fe00}"] {
            assert_eq!(decode(text.as_bytes()), text);
            assert!(matches!(encode(text), Cow::Borrowed(bytes) if bytes == text.as_bytes()));
            assert_eq!(shown(text), text);
        }
    }

    #[test]
    fn a_byte_that_is_not_utf8_is_one_character() {
        let text = decode(b"caf\xe9 \xff\xfea\0");
        assert_eq!(text.chars().count(), 9);
        assert_eq!(shown(&text), "caf\\xE9 \\xFF\\xFEa\0");
        assert_eq!(&*encode(&text), b"caf\xe9 \xff\xfea\0");
        assert_eq!(shown_bytes(b"\xe9"), "\\xE9");
        // a character cut short, one of a surrogate, and one that is longer than it needs to be
        for bytes in [&b"\xf0\x9f\x92"[..], b"\xed\xa0\x80", b"\xc0\xaf", b"\xf4\x90\x80\x80"] {
            assert_eq!(decode(bytes).chars().count(), bytes.len());
            assert_eq!(&*encode(&decode(bytes)), bytes);
        }
    }

    #[test]
    fn the_private_range_is_carried_too() {
        for c in ["\u{10ff00}", "\u{10ffe9}", "\u{10ffff}", "a\u{10ff41}\u{10ff42}b"] {
            assert_eq!(&*encode(&decode(c.as_bytes())), c.as_bytes());
        }
        assert_eq!(decode("\u{10ff41}".as_bytes()).chars().count(), 4);
    }

    #[test]
    fn any_bytes_come_back() {
        let mut random = Random(0xb17e5);
        for _ in 0..20_000 {
            let mut bytes = random.text().into_bytes();
            for _ in 0..random.below(8) {
                let at = random.below(bytes.len() + 1);
                let wild = [0x00, 0x80, 0xbf, 0xc3, 0xe9, 0xed, 0xf4, 0x8f, 0xff, 0xfe];
                bytes.insert(at, wild[random.below(wild.len())]);
            }
            let text = decode(&bytes);
            assert_eq!(&*encode(&text), bytes, "{text:?}");
            assert_eq!(text.matches('\n').count(), bytes.iter().filter(|byte| **byte == b'\n').count());
        }
    }
}
