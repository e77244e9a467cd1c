//! Files set aside: kept under a name that no program reads, for whoever wants them back.

use crate::{Result, Stage};

/// What the names of files set aside end in.
pub(in crate::rules) const SUFFIX: &str = ".pre-azure";

/// Keeps a copy of what a file holds.
pub(in crate::rules) fn keep(stage: &mut Stage<'_>, path: &str) -> Result<()> {
    stage.keep(path, &format!("{path}{SUFFIX}"))
}

/// Takes a file away, and keeps a copy.
pub(in crate::rules) fn take(stage: &mut Stage<'_>, path: &str) -> Result<()> {
    keep(stage, path)?;
    stage.remove(path)
}
