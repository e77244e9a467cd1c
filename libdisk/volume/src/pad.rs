//! Making a disk larger.

use std::ops::Range;

use block::{Concat, Disk, Overlay, Result};

use crate::gpt;

/// A disk that was made to fit.
#[derive(Debug, Clone)]
pub struct Fitted {
    /// The disk.
    pub disk: Disk,
    /// Where it is other than the one that it was made of, apart from zeros at its end: ascending.
    pub changed: Vec<Range<u64>>,
}

impl From<Disk> for Fitted {
    /// A disk that needed nothing.
    fn from(disk: Disk) -> Self {
        Self { disk, changed: Vec::new() }
    }
}

/// `disk` with zeros after it, up to the size that `fit` gives for its own; where a GPT needs more room, for
/// that. If it has a GPT whose backup is then not at the end (or is missing, or damaged), the GPT is
/// repaired, in an overlay; where a partition lies in the backup's place, it gets room behind it. A disk that
/// needs nothing is given back as it is.
///
/// # Errors
/// What the device and `fit` report; `Corrupt` if the GPT cannot be repaired.
pub fn pad(disk: Disk, fit: impl FnOnce(u64) -> Result<u64>) -> Result<Disk> {
    Ok(fitted(disk, fit)?.disk)
}

/// The same as [`pad`], and where the GPT was repaired.
///
/// # Errors
/// As [`pad`].
pub fn fitted(disk: Disk, fit: impl FnOnce(u64) -> Result<u64>) -> Result<Fitted> {
    let size = disk.size().max(gpt::size_needed(&disk)?);
    let padded = Concat::padded(disk, fit(size)?)?;
    if !gpt::needed(&padded)? {
        return Ok(padded.into());
    }
    let overlay = Overlay::new(padded)?;
    gpt::move_backup_to_end(&overlay.writer())?;
    let sealed = overlay.seal()?;
    Ok(Fitted { disk: sealed.disk(), changed: sealed.dirty() })
}
