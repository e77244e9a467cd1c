//! Reparse points: links, and files whose content is elsewhere (MS-FSCC, 2.1.2).

use vfs::bytes::{le16, le32, part};
use vfs::{FsError, Result};

use crate::attribute::units;
use crate::name;

const MOUNT_POINT: u32 = 0xa000_0003;
const SYMLINK: u32 = 0xa000_000c;
const WOF: u32 = 0x8000_0017;
const DEDUPLICATED: u32 = 0x8000_0013;

/// What a reparse point makes of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reparse {
    /// A link to this path.
    Link(Vec<u8>),
    /// The content is not in the file; what has it.
    Elsewhere(&'static str),
    /// Another one, which leaves the content as it is.
    Other,
}

impl Reparse {
    /// What the data of a reparse point says.
    pub(crate) fn read(data: &[u8]) -> Result<Self> {
        let tag = le32(data, 0)?;
        let paths = match tag {
            SYMLINK => 20,
            MOUNT_POINT => 16,
            WOF => return Ok(Self::Elsewhere("a file that is compressed for WOF (CompactOS)")),
            DEDUPLICATED => return Ok(Self::Elsewhere("a file that is deduplicated")),
            _ => return Ok(Self::Other),
        };
        let names = data.get(paths..).ok_or_else(|| FsError::corrupt("reparse point", 0, "it is cut off"))?;
        let path = |at: usize| -> Result<Vec<u16>> {
            let (offset, len) = (le16(data, at)?, le16(data, at.saturating_add(2))?);
            Ok(units(part(names, usize::from(offset), usize::from(len))?))
        };
        // The name to show, or else the one to open.
        let shown = path(12)?;
        Ok(Self::Link(name::to_bytes(&if shown.is_empty() { path(8)? } else { shown })))
    }
}
