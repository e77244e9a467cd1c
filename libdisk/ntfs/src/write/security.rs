//! Who may use a new file: as a file that is beside it; or as one in another directory with the descriptor
//! that its own has, for both inherit the same; or else as its directory.
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
use crate::volume::system;

/// The descriptor of a file, in it.
pub(super) const DESCRIPTOR: Label<'static> = Label { kind: kind::SECURITY_DESCRIPTOR, name: &[] };

/// A descriptor has no more bytes.
const LARGEST: u64 = 64 << 10;

/// Neighbours that are asked, and directories above.
const NEIGHBOURS: usize = 8;
const LEVELS: usize = 4;

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
        let beside = self.neighbours(dir, is_directory)?.into_iter().find_map(|(_, security)| security);
        let own = self.security_of(dir)?;
        if beside.is_some() || is_directory {
            return Ok(beside.or(own));
        }
        let mut at = dir.number();
        for _ in 0..LEVELS {
            let parent = self.names(&self.load(at)?)?.into_iter().next().map(|(_, name)| name.parent.record);
            let Some(parent) = parent.filter(|parent| *parent != at) else { break };
            for (cousin, security) in self.neighbours(&self.load(parent)?, true)? {
                if security == own {
                    let files = self.neighbours(&self.load(cousin)?, false)?;
                    if let Some(found) = files.into_iter().find_map(|(_, security)| security) {
                        return Ok(Some(found));
                    }
                }
            }
            at = parent;
        }
        Ok(own)
    }

    /// Some files of a directory, or directories, and who may use them.
    fn neighbours(&self, dir: &File, directories: bool) -> Result<Vec<(u64, Option<Security>)>> {
        let mut found = Vec::new();
        for slot in self.some_slots(dir)? {
            let entry = slot.entry()?;
            let same = entry.directory == directories && !entry.reparse;
            if !same || entry.reference.record < system::FIRST_USER {
                continue;
            }
            self.fs.volume.referred(entry.reference)?;
            let number = entry.reference.record;
            found.push((number, self.security_of(&self.load(number)?)?));
            if found.len() >= NEIGHBOURS {
                break;
            }
        }
        Ok(found)
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
