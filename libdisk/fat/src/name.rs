//! Long names and the short ones made from them (FAT spec, "Name Limits and Character Sets").

use vfs::{FsError, Result};

/// The longest long name in UTF-16 units.
pub(crate) const NAME_MAX: usize = 255;

/// UTF-16 units in an entry.
pub(crate) const UNITS_PER_ENTRY: usize = 13;

/// A name that may be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NewName {
    pub(crate) text: String,
    pub(crate) units: Vec<u16>,
}

impl NewName {
    /// Checks a name.
    ///
    /// # Errors
    /// `Invalid` for what FAT cannot hold, or Windows could not open.
    pub(crate) fn new(name: &[u8]) -> Result<Self> {
        let invalid = |why: &'static str| Err(FsError::Invalid(why.into()));
        let Ok(text) = std::str::from_utf8(name) else { return invalid("a FAT name is UTF-8") };
        let units: Vec<u16> = text.encode_utf16().collect();
        if text.is_empty() || units.len() > NAME_MAX {
            return invalid("a FAT name has 1 to 255 UTF-16 units");
        }
        if text.chars().any(|letter| letter < ' ' || "\"*/:<>?\\|".contains(letter)) {
            return invalid("a FAT name has no control characters and none of \"*/:<>?\\|");
        }
        if text.ends_with(['.', ' ']) {
            return invalid("a FAT name does not end with a dot or a space");
        }
        Ok(Self { text: text.to_owned(), units })
    }
}

/// What two names have in common when they differ in case only.
pub(crate) fn folded(name: &str) -> String {
    name.chars().map(upper).collect()
}

/// The upper case of a letter, where that is one letter: "ß" stays.
fn upper(letter: char) -> char {
    let mut upper = letter.to_uppercase();
    match (upper.next(), upper.next()) {
        (Some(upper), None) => upper,
        _ => letter,
    }
}

/// The name that the parts of a long name spell; `None` if it is none that may leave the volume.
pub(crate) fn from_units(units: &[u16]) -> Option<String> {
    let units = units.split(|unit| *unit == 0).next().unwrap_or_default();
    let text: String = char::decode_utf16(units.iter().copied())
        .map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect();
    let sound =
        !text.is_empty() && units.len() <= NAME_MAX && !text.contains('/') && text != "." && text != "..";
    sound.then_some(text)
}

/// A short name made from a long one, and whether it says all of it but for the case of letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ShortName {
    base: [u8; 8],
    extension: [u8; 3],
    pub(crate) lossless: bool,
}

impl ShortName {
    /// FAT spec, "The Basis-Name Generation Algorithm".
    pub(crate) fn from_long(long: &str) -> Self {
        let bare = long.trim_start_matches(['.', ' ']);
        let (base, extension) = bare.rsplit_once('.').unwrap_or((bare, ""));
        let (base, base_lossless) = squeezed::<8>(base);
        let (extension, extension_lossless) = squeezed::<3>(extension);
        let lossless = bare == long && base_lossless && extension_lossless && base != [b' '; 8];
        Self { base, extension, lossless }
    }

    /// The name as an entry holds it.
    pub(crate) fn bytes(&self) -> [u8; 11] {
        let mut bytes = [b' '; 11];
        bytes.iter_mut().zip(self.base.iter().chain(&self.extension)).for_each(|(to, from)| *to = *from);
        bytes
    }

    /// The name with "~number" at the end of its base. From 5 on, a hash of the long name takes the place of
    /// most of the base, as in Windows NT: else the thousandth of many like names would need a thousand
    /// tries.
    pub(crate) fn numbered(&self, number: u32, long: &[u16]) -> [u8; 11] {
        let stem = String::from_utf8_lossy(self.base.trim_ascii_end()).into_owned();
        let (stem, tail) = match number {
            1..=4 => (stem, format!("~{number}")),
            _ => (stem.chars().take(2).collect(), format!("{:04X}~{}", hash(long, number), number % 9)),
        };
        let mut base = [b' '; 8];
        let room = base.len().saturating_sub(tail.len());
        let bytes = stem.bytes().take(room).chain(tail.bytes());
        base.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
        Self { base, ..*self }.bytes()
    }
}

/// FNV-1a over a name and a number, folded to 16 bits.
fn hash(units: &[u16], number: u32) -> u16 {
    let bytes = units.iter().flat_map(|unit| unit.to_le_bytes()).chain(number.to_le_bytes());
    let hash = bytes.fold(0x811C_9DC5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    u16::try_from((hash >> 16) ^ (hash & 0xFFFF)).unwrap_or(0)
}

/// The first letters in upper case, and whether nothing was lost.
fn squeezed<const N: usize>(text: &str) -> ([u8; N], bool) {
    let mut lossless = true;
    let letters: Vec<u8> = text
        .chars()
        .filter_map(|letter| match letter {
            ' ' | '.' => {
                lossless = false;
                None
            }
            _ if letter.is_ascii_alphanumeric() || "$%'-_@~`!(){}^#&".contains(letter) => {
                u8::try_from(letter.to_ascii_uppercase()).ok()
            }
            _ => {
                lossless = false;
                Some(b'_')
            }
        })
        .collect();
    let mut short = [b' '; N];
    short.iter_mut().zip(&letters).for_each(|(to, from)| *to = *from);
    (short, lossless && letters.len() <= N)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn basis_names() {
        for (long, short, lossless) in [
            ("BOOTX64.EFI", b"BOOTX64 EFI", true),
            ("grubx64.efi", b"GRUBX64 EFI", true),
            ("EFI", b"EFI        ", true),
            ("a long name.text", b"ALONGNAMTEX", false),
            ("archive.tar.gz", b"ARCHIVETGZ ", false),
            (".profile", b"PROFILE    ", false),
            ("a+b=c", b"A_B_C      ", false),
            ("größe", b"GR__E      ", false),
            ("x.y", b"X       Y  ", true),
        ] {
            let name = ShortName::from_long(long);
            assert_eq!((name.bytes(), name.lossless), (*short, lossless), "{long}");
        }
    }

    #[test]
    fn numbers_fit_into_the_base() {
        let name = ShortName::from_long("a long name.text");
        assert_eq!(&name.numbered(1, &[]), b"ALONGN~1TEX");
        assert_eq!(&name.numbered(4, &[]), b"ALONGN~4TEX");
        let hashed = name.numbered(5, &[0x61]);
        assert!(hashed.starts_with(b"AL") && hashed[6] == b'~' && hashed.ends_with(b"TEX"), "{hashed:?}");
        assert_eq!(&ShortName::from_long("x+").numbered(2, &[]), b"X_~2       ");
    }

    #[test]
    fn bad_names() {
        for name in ["", ".", "..", "a.", "a ", "a/b", "a\\b", "a\0", "a:b", "\u{1}", &"x".repeat(256)] {
            assert!(matches!(NewName::new(name.as_bytes()), Err(FsError::Invalid(_))), "{name:?}");
        }
        assert!(NewName::new(b"\xff").is_err());
        // 255 units, but more bytes.
        assert!(NewName::new("ä".repeat(255).as_bytes()).is_ok());
    }

    #[test]
    fn hostile_long_names_do_not_leave_the_volume() {
        let units = |text: &str| text.encode_utf16().collect::<Vec<_>>();
        assert_eq!(from_units(&units("a\0/b")).as_deref(), Some("a"));
        assert_eq!(from_units(&[0xD800, 0x61]).as_deref(), Some("\u{fffd}a"));
        for name in ["..", ".", "", "a/b", "/", "\0a"] {
            assert_eq!(from_units(&units(name)), None, "{name:?}");
        }
    }
}
