//! Recovery: a hive that was not written to its end, completed by its logs as Windows does when it loads it
//! (regf specification, "Format of transaction log files").
//!
//! Up to Windows 8 a log has a map of the sectors that were to be written, and the sectors (`DIRT`). From
//! Windows 8.1 on two logs in turn have entries, each with the pages of one write and two sums of them
//! (`HvLE`), and the hive itself may lie behind for an hour.

mod dirt;
mod hvle;
mod marvin;

use crate::base_block::{self, BaseBlock};
use crate::cells::index;
use crate::error::{Error, Result};
use crate::hive::Hive;

/// The sector of logs, in bytes.
const SECTOR: usize = 512;

/// A hive that was completed.
#[derive(Debug)]
pub struct Recovered {
    /// The hive, marked as written to its end.
    pub hive: Hive,
    /// How many writes of its logs were carried out: one, of a log in the old format.
    pub writes: usize,
    /// Why later ones in the logs were not, where there are any: what comes behind a write that was torn is
    /// not looked at.
    pub left: Option<String>,
}

/// What a log gives: the pages of some writes.
#[derive(Debug)]
struct Writes<'l> {
    /// The hive's base block after them, where the log has a newer one.
    base: BaseBlock,
    /// Offsets in the bins, each with what belongs there.
    pages: Vec<(u32, &'l [u8])>,
    count: usize,
    left: Option<String>,
}

impl Hive {
    /// A hive from its file and its logs, of which either may be absent. Of a hive that was written to its
    /// end the logs are not looked at.
    ///
    /// # Errors
    /// As [`Hive::open`]; `Dirty` if the logs do not complete it, `Log` if one is damaged or of another hive.
    pub fn recover(file: Vec<u8>, logs: &[&[u8]]) -> Result<Recovered> {
        let base = BaseBlock::read(&file)?;
        if base.is_clean() {
            return Ok(Recovered { hive: Self::open(file)?, writes: 0, left: None });
        }
        let (primary, secondary) = (base.primary.get(), base.secondary.get());
        let dirty = |why: &str| Error::Dirty { primary, secondary, why: why.to_owned() };
        let logs: Vec<&[u8]> = logs.iter().copied().filter(|log| !log.is_empty()).collect();
        if logs.is_empty() {
            return Err(dirty("there are no logs of it"));
        }
        let mut writes = None;
        let mut why = None;
        for log in &logs {
            match dirt::read(&base, log) {
                Ok(Some(found)) => writes = Some(found),
                Ok(None) => {}
                Err(error) => why = Some(error),
            }
        }
        if writes.is_none() && why.is_none() {
            writes = hvle::read(&base, &logs)?;
        }
        match (writes, why) {
            (Some(writes), _) => carry_out(file, writes),
            (None, Some(error)) => Err(error),
            (None, None) => Err(dirty("no write in its logs is newer")),
        }
    }
}

/// Writes the pages, and a base block that says that all is written.
fn carry_out(mut file: Vec<u8>, writes: Writes<'_>) -> Result<Recovered> {
    let Writes { mut base, pages, count, left } = writes;
    base.fits()?;
    let outside = |at: u32| Error::Log { offset: 0, why: format!("a page at {at:#x} lies outside the hive") };
    let end = index(base.bins_size.get()).saturating_add(base_block::LEN);
    // What the hive lacks comes from the log: a size alone makes nothing larger.
    let brought = pages.iter().fold(0_usize, |sum, (_, page)| sum.saturating_add(page.len()));
    if end > file.len().saturating_add(brought) {
        let why = format!("its {} bytes of bins are more than hive and log have", base.bins_size);
        return Err(Error::Log { offset: 40, why });
    }
    if file.len() < end {
        file.resize(end, 0);
    }
    for (at, page) in pages {
        let start = index(at).saturating_add(base_block::LEN);
        let place = file.get_mut(start..).and_then(|rest| rest.get_mut(..page.len()));
        place.ok_or_else(|| outside(at))?.copy_from_slice(page);
    }
    base.kind = 0.into();
    base.seal();
    zerocopy::IntoBytes::write_to_prefix(&base, &mut file).map_err(|_| Error::NoHive("it is too short"))?;
    Ok(Recovered { hive: Hive::from_parts(file, base)?, writes: count, left })
}
