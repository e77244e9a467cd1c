//! Changes of a node of an index, as the log tells them (rust-fs-ntfs, "Opcodes and current dispatch").

use vfs::bytes::{index, le16, le32, put, put_le32};
use vfs::{FsError, Result};

use super::change::Change;
use super::file_record::{insert, remove, set_child, stored};
use super::opcode::Opcode;

/// Where the header of a node's entries begins.
const HEADER: usize = 0x18;

/// Does a change in a node without its update sequence.
pub(super) fn apply(block: &mut [u8], change: &Change) -> Result<()> {
    let data = &*change.data;
    let corrupt = |why: String| FsError::corrupt("index block", 0, why);
    let at = change.place.offset.saturating_add(change.place.inside);
    // The end of the entries is counted from their header.
    let used = index(le32(block, HEADER.saturating_add(4))?).saturating_add(HEADER);
    let set_used = |block: &mut [u8], used: usize| {
        put_le32(block, HEADER.saturating_add(4), stored(used.saturating_sub(HEADER)))
    };
    match change.opcode {
        Opcode::UpdateNonresidentValue => put(block, at, data),
        Opcode::AddIndexEntryAllocation => {
            insert(block, at, used, data)?;
            set_used(block, used.saturating_add(data.len()))
        }
        Opcode::DeleteIndexEntryAllocation => {
            let len = usize::from(le16(block, at.saturating_add(8))?);
            remove(block, at, len, used)?;
            set_used(block, used.saturating_sub(len))
        }
        Opcode::WriteEndOfIndexBuffer => {
            put(block, at, data)?;
            set_used(block, at.saturating_add(data.len()))
        }
        Opcode::SetIndexEntryVcnAllocation => set_child(block, at, data),
        Opcode::UpdateFileNameAllocation => put(block, at.saturating_add(0x18), data),
        other => Err(corrupt(format!("{other:?} is not for it"))),
    }
}
