//! Making a disk a whole number of MiB.

use block::{Concat, Disk, Overlay, Result};

use crate::gpt;

/// Azure takes disks of a whole number of MiB.
const MIB: u64 = 1 << 20;

/// `disk` with zeros after it, up to a whole number of MiB. If it has a GPT whose backup is then not at the end (or is
/// missing, or damaged), the GPT is repaired, in an overlay; where a partition lies in the backup's place, one MiB more makes
/// room for it. A disk that needs nothing is given back as it is.
///
/// # Errors
/// What the device reports; `Corrupt` if the GPT cannot be repaired.
pub fn pad_to_mib(disk: Disk) -> Result<Disk> {
    let size = disk.size().max(gpt::size_needed(&disk)?);
    let padded = Concat::padded(disk, size.next_multiple_of(MIB))?;
    if !gpt::needed(&padded)? {
        return Ok(padded);
    }
    let overlay = Overlay::new(padded)?;
    gpt::move_backup_to_end(&overlay.writer())?;
    Ok(overlay.seal()?.disk())
}
