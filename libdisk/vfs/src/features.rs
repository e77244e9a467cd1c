//! Words of feature bits, as the superblocks of drivers have them: what is known of each bit, and what it
//! allows.

use crate::{FsError, Result};

/// What a feature allows us to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allows {
    /// Reading and writing.
    All,
    /// Reading only; the text says why.
    Reading(&'static str),
    /// Nothing.
    Nothing,
}

/// A bit, its name as the format's own tools write it, and what it allows.
pub type Feature = (u32, &'static str, Allows);

/// A word of feature bits. Bits that are not known allow what the driver asks for by the word they are in:
/// those of an incompatible word not even reading, those of a read-only one no writing.
#[derive(Debug, Clone, Copy)]
pub struct Word {
    bits: u64,
    known: &'static [Feature],
}

impl Word {
    /// The bits of a volume, and all features that are known of this word.
    pub fn new(bits: impl Into<u64>, known: &'static [Feature]) -> Self {
        Self { bits: bits.into(), known }
    }

    fn set(self) -> impl Iterator<Item = (&'static str, Allows)> {
        let is_set = move |(bit, ..): &&Feature| self.bits & u64::from(*bit) != 0;
        self.known.iter().filter(is_set).map(|(_, name, allows)| (*name, *allows))
    }

    fn unknown(self) -> u64 {
        self.known.iter().fold(self.bits, |rest, (bit, ..)| rest & !u64::from(*bit))
    }

    /// The names of the bits that are set; unknown ones are one name, `word` and their hexadecimal.
    pub fn names(self, word: &str) -> Vec<String> {
        let unknown = Some(self.unknown()).filter(|bits| *bits != 0);
        let unknown = unknown.map(|bits| format!("{word}_{bits:#x}"));
        self.set().map(|(name, _)| name.to_owned()).chain(unknown).collect()
    }

    /// Refuses to read a volume of the format `format` with these bits in an incompatible word.
    ///
    /// # Errors
    /// `Unsupported`, with the name of the feature.
    pub fn check_readable(self, format: &str) -> Result<()> {
        if let Some((name, _)) = self.set().find(|(_, allows)| *allows == Allows::Nothing) {
            return Err(FsError::unsupported(format!("{format} feature {name}")));
        }
        match self.unknown() {
            0 => Ok(()),
            bits => Err(FsError::unsupported(format!("unknown {format} features, incompatible: {bits:#x}"))),
        }
    }

    /// Refuses to write to a volume that has these bits, and is readable.
    ///
    /// # Errors
    /// As [`check_readable`](Self::check_readable).
    pub fn check_writable(self, format: &str) -> Result<()> {
        let refuse = |what: String| Err(FsError::unsupported(format!("writing to {format} with {what}")));
        for (name, allows) in self.set() {
            if let Allows::Reading(why) = allows {
                return refuse(format!("{name}: {why}"));
            }
        }
        match self.unknown() {
            0 => Ok(()),
            bits => refuse(format!("unknown read-only features: {bits:#x}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &[Feature] = &[
        (1, "plain", Allows::All),
        (2, "shared", Allows::Reading("it is shared")),
        (4, "zoned", Allows::Nothing),
    ];

    fn word(bits: u32) -> Word {
        Word::new(bits, KNOWN)
    }

    #[test]
    fn each_bit_allows_what_it_says() {
        let said = |result: Result<()>| result.map_err(|error| error.to_string());
        assert_eq!(word(3).names("ro"), ["plain", "shared"]);
        assert_eq!(word(0x31).names("ro"), ["plain", "ro_0x30"]);
        assert_eq!(said(word(3).check_readable("x")), Ok(()));
        assert_eq!(said(word(1).check_writable("x")), Ok(()));
        assert_eq!(said(word(5).check_readable("x")), Err("not supported: x feature zoned".into()));
        assert_eq!(
            said(word(3).check_writable("x")),
            Err("not supported: writing to x with shared: it is shared".into())
        );
        assert_eq!(
            said(word(0x10).check_readable("x")),
            Err("not supported: unknown x features, incompatible: 0x10".into())
        );
        assert_eq!(
            said(word(0x10).check_writable("x")),
            Err("not supported: writing to x with unknown read-only features: 0x10".into())
        );
    }
}
