//! Names of a file: FILE_NAME attributes, and what they say of it a second time (linux-ntfs documentation,
//! "$FILE_NAME").

use vfs::bytes::{byte, le32, le64, part, put, wide};
use vfs::{FsError, Result, Timestamp};

use super::Change;
use super::content::DATA;
use super::file::{File, Piece};
use super::record::Label;
use crate::attribute::{kind, units};
use crate::index::node::padded;
use crate::record::Reference;
use crate::stream::Stream;
use crate::time::from_timestamp;

/// What a file is and when it was changed.
pub(super) const STANDARD: Label<'static> = Label { kind: kind::STANDARD_INFORMATION, name: &[] };

/// Where a name says what its file is: times, sizes, attributes.
const FACTS: usize = 8;

/// The flags that only a name has: a directory, an index of another kind.
const OWN_FLAGS: u32 = 0xf000_0000;

/// What a name is for: all, or Windows, beside one for DOS, or both as one.
const POSIX: u8 = 0;
pub(super) const WIN32: u8 = 1;
const BOTH: u8 = 3;

/// What a new name is for. No second name is made for DOS, and one for Windows alone is none that chkdsk
/// takes: so Windows itself writes names where it makes none for DOS.
pub(super) fn space_of(units: &[u16]) -> u8 {
    let text = String::from_utf16_lossy(units);
    let (base, extension) = text.split_once('.').unwrap_or((&text, "x"));
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || "!#$%&'()-@^_`{}~".contains(letter);
    let fits = |part: &str, most: usize| (1..=most).contains(&part.len()) && part.chars().all(allowed);
    if fits(base, 8) && fits(extension, 3) { BOTH } else { POSIX }
}

/// A name of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) parent: Reference,
    pub(super) units: Vec<u16>,
    pub(super) space: u8,
}

impl Name {
    pub(super) fn read(value: &[u8]) -> Result<Self> {
        let len = usize::from(byte(value, 64)?).saturating_mul(2);
        Ok(Self {
            parent: Reference::of(le64(value, 0)?),
            units: units(part(value, 66, len)?),
            space: byte(value, 65)?,
        })
    }

    /// The content of a FILE_NAME attribute, nothing said of the file yet but `flags`.
    pub(super) fn value(&self, flags: u32) -> Result<Vec<u8>> {
        let mut value = vec![0; 66];
        put(&mut value, 0, &self.parent.number().to_le_bytes())?;
        put(&mut value, 56, &flags.to_le_bytes())?;
        let long = |_| FsError::Invalid("a name has 1 to 255 units of UTF-16".into());
        put(&mut value, 64, &[u8::try_from(self.units.len()).map_err(long)?, self.space])?;
        value.extend(self.units.iter().flat_map(|unit| unit.to_le_bytes()));
        Ok(value)
    }
}

impl Change<'_> {
    /// All names of a file, with where they are in it.
    pub(super) fn names(&self, file: &File) -> Result<Vec<(Piece, Name)>> {
        let pieces = file.of_kind(kind::FILE_NAME)?.into_iter();
        pieces.map(|piece| Ok((piece.clone(), Name::read(file.value(&piece)?)?))).collect()
    }

    /// Sets when the content was changed.
    pub(super) fn set_modified(&self, file: &mut File, time: Timestamp) -> Result<()> {
        let time = from_timestamp(time)?.to_le_bytes();
        let missing = || FsError::corrupt("file record", 0, "it has no times");
        let piece = file.pieces(STANDARD)?.into_iter().next().ok_or_else(missing)?;
        // Of the content, and of the record.
        file.patch(&piece, 8, &time)?;
        file.patch(&piece, 16, &time)
    }

    /// What the names of a file say of it: times, sizes, flags.
    fn facts(&self, file: &File) -> Result<(Vec<u8>, u32)> {
        let missing = || FsError::corrupt("file record", 0, "it has no times");
        let standard = file.resident(STANDARD)?.ok_or_else(missing)?;
        let (allocated, size) = match self.stream(file, DATA)? {
            _ if file.is_directory()? => (0, 0),
            None => (0, 0),
            Some(Stream::Resident(content)) => (wide(padded(content.len())), wide(content.len())),
            Some(Stream::Clusters { runs, size, .. }) => {
                let clusters = runs.last().map_or(0, crate::runs::Run::end);
                (clusters.saturating_mul(u64::from(self.fs.volume.boot.cluster_size)), size)
            }
        };
        let mut facts = part(&standard, 0, 32)?.to_vec();
        facts.extend(allocated.to_le_bytes());
        facts.extend(size.to_le_bytes());
        Ok((facts, le32(&standard, 32)? & !OWN_FLAGS))
    }

    /// Has one name of a file say what the file is.
    pub(super) fn tell_facts(&self, file: &mut File, piece: &Piece) -> Result<Vec<u8>> {
        let (mut facts, flags) = self.facts(file)?;
        let own = le32(file.value(piece)?, 56)? & OWN_FLAGS;
        facts.extend((own | flags).to_le_bytes());
        file.patch(piece, FACTS, &facts)?;
        Ok(facts)
    }

    /// Brings what the names of a file say of it up to date, in its records and in the directories.
    pub(super) fn refresh_names(&mut self, file: &mut File) -> Result<()> {
        let reference = file.reference()?;
        for (piece, name) in self.names(file)? {
            let facts = self.tell_facts(file, &piece)?;
            // The root is its own parent, and its name is in its own index.
            if name.parent.record == file.number() {
                self.update_entry(file, &name.units, reference, &facts)?;
            } else {
                let mut parent = self.load(name.parent.record)?;
                if parent.reference()? != name.parent {
                    let why = format!("record {} is in no directory", file.number());
                    return Err(FsError::corrupt("file record", 0, why));
                }
                self.update_entry(&mut parent, &name.units, reference, &facts)?;
                self.store(parent)?;
            }
        }
        Ok(())
    }
}
