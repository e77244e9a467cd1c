//! Who may use a new file: as a file that is beside it, or else as its directory.
//!
//! No descriptor is made: `$Secure` has those of all files, and a file names one by its number. Volumes that
//! Windows did not make have them in the files.

use vfs::Result;
use vfs::bytes::le32;

use super::Change;
use super::file::File;
use super::names::STANDARD;
use super::record::Label;
use crate::attribute::kind;
use crate::record::Reference;
use crate::volume::system;

/// The descriptor of a file, in it.
pub(super) const DESCRIPTOR: Label<'static> = Label { kind: kind::SECURITY_DESCRIPTOR, name: &[] };

/// A descriptor has no more bytes.
const LARGEST: u64 = 64 << 10;

/// Neighbours that are asked.
const NEIGHBOURS: usize = 8;

/// Who may use a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Security {
    /// The number of a descriptor in `$Secure`.
    Number(u32),
    /// A descriptor.
    Own(Vec<u8>),
}

impl Change<'_> {
    /// Who may use a new file, or a new directory.
    pub(super) fn security_for(&self, dir: &File, is_directory: bool) -> Result<Option<Security>> {
        let neighbours = self.some_slots(dir)?.into_iter().filter_map(|slot| {
            let entry = slot.entry().ok()?;
            let record = entry.reference.record;
            let same = entry.directory == is_directory && !entry.reparse;
            (same && record >= system::FIRST_USER).then_some(Reference::of(slot.reference))
        });
        for neighbour in neighbours.take(NEIGHBOURS) {
            self.fs.volume.referred(neighbour)?;
            if let Some(found) = self.security_of(&self.load(neighbour.record)?)? {
                return Ok(Some(found));
            }
        }
        self.security_of(dir)
    }

    fn security_of(&self, file: &File) -> Result<Option<Security>> {
        let standard = file.resident(STANDARD)?.unwrap_or_default();
        if standard.len() >= 72 {
            let number = le32(&standard, 52)?;
            if number != 0 {
                return Ok(Some(Security::Number(number)));
            }
        }
        Ok(self.content(file, DESCRIPTOR, LARGEST)?.map(Security::Own))
    }
}
