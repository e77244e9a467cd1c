//! Logs of Windows up to 8: one write, as a map of sectors and the sectors (regf specification, "Old
//! format").

use super::{SECTOR, Writes};
use crate::base_block::BaseBlock;
use crate::cells::{index, narrow};
use crate::error::{Error, Result};

/// The write in a log, if it is one in this format: the one that the hive's base block says was begun.
pub(super) fn read<'l>(hive: &BaseBlock, log: &'l [u8]) -> Result<Option<Writes<'l>>> {
    let fault = |at: usize, why: &str| Error::Log { offset: u64::from(narrow(at)), why: why.to_owned() };
    let Some(rest) = log.get(SECTOR..).filter(|rest| rest.starts_with(b"DIRT")) else { return Ok(None) };
    let base = BaseBlock::read(log)?;
    if !base.is_clean() {
        return Err(fault(0, "it was not written to its end itself"));
    }
    base.fits()?;
    if hive.is_whole() && base.primary != hive.primary {
        return Err(fault(4, &format!("it has write {}, and the hive began {}", base.primary, hive.primary)));
    }
    let sectors = index(base.bins_size.get()).div_euclid(SECTOR);
    let map = rest.get(4..).and_then(|rest| rest.get(..sectors.div_ceil(8)));
    let map = map.ok_or_else(|| fault(SECTOR, "its map of sectors is cut off"))?;
    let head = SECTOR.saturating_add(4).saturating_add(map.len()).next_multiple_of(SECTOR);
    let mut data = log.get(head..).unwrap_or_default().chunks_exact(SECTOR);
    let dirty =
        (0..sectors).filter(|n| map.get(n.div_euclid(8)).is_some_and(|byte| byte >> (n % 8) & 1 == 1));
    let mut pages = Vec::new();
    for sector in dirty {
        let page = data.next().ok_or_else(|| fault(log.len(), "it has fewer sectors than its map says"))?;
        pages.push((narrow(sector.saturating_mul(SECTOR)), page));
    }
    Ok(Some(Writes { base, pages, count: 1, left: None }))
}
