//! Who may use a new file: as most files that are beside it; or as some in another directory with the
//! descriptor that its own has, for both inherit the same; or else as its directory.
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
const NEIGHBOURS: usize = 16;
const LEVELS: usize = 4;

/// Attributes of a file.
const HIDDEN: u32 = 2;
const SYSTEM: u32 = 4;

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
        let beside = most(self.neighbours(dir, is_directory)?);
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
                    let files = most(self.neighbours(&self.load(cousin)?, false)?);
                    if files.is_some() {
                        return Ok(files);
                    }
                }
            }
            at = parent;
        }
        Ok(own)
    }

    /// Some files of a directory, or directories, and who may use them. Those that are hidden or of the
    /// system are for others than their neighbours: the recycle bin, the page file.
    fn neighbours(&self, dir: &File, directories: bool) -> Result<Vec<(u64, Option<Security>)>> {
        let mut found = Vec::new();
        for slot in self.some_slots(dir)? {
            let entry = slot.entry()?;
            let same = entry.directory == directories && !entry.reparse && !entry.dos;
            if !same || entry.reference.record < system::FIRST_USER {
                continue;
            }
            self.fs.volume.referred(entry.reference)?;
            let file = self.load(entry.reference.record)?;
            let standard = file.resident(STANDARD)?.unwrap_or_default();
            if le32(&standard, 32)? & (HIDDEN | SYSTEM) == 0 {
                found.push((file.number(), self.security_of(&file)?));
            }
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

/// What most of some neighbours have; of several, what comes first.
fn most(neighbours: Vec<(u64, Option<Security>)>) -> Option<Security> {
    let all: Vec<Security> = neighbours.into_iter().filter_map(|(_, security)| security).collect();
    let count = |one: &&Security| all.iter().filter(|other| other == one).count();
    all.iter().rev().max_by_key(count).cloned()
}
