//! Making a disk larger.

use block::{Concat, Disk, Overlay, Result};

use crate::gpt;

/// `disk` with zeros after it, up to the size that `fit` gives for its own; where a GPT needs more room, for
/// that. If it has a GPT whose backup is then not at the end (or is missing, or damaged), the GPT is
/// repaired, in an overlay; where a partition lies in the backup's place, it gets room behind it. A disk that
/// needs nothing is given back as it is.
///
/// # Errors
/// What the device and `fit` report; `Corrupt` if the GPT cannot be repaired.
pub fn pad(disk: Disk, fit: impl FnOnce(u64) -> Result<u64>) -> Result<Disk> {
    let size = disk.size().max(gpt::size_needed(&disk)?);
    let padded = Concat::padded(disk, fit(size)?)?;
    if !gpt::needed(&padded)? {
        return Ok(padded);
    }
    let overlay = Overlay::new(padded)?;
    gpt::move_backup_to_end(&overlay.writer())?;
    Ok(overlay.seal()?.disk())
}
