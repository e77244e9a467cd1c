//! Replay: analysis, redo and undo over an overlay, and then all of it at once.

use block::{DiskMut, Overlay};
use vfs::Result;

use super::analysis::{Analysis, refuse};
use super::change::Change;
use super::opcode::Target;
use super::page::{Log, corrupt};
use super::record::{Kind, Record};
use super::refused;
use super::restart::LogState;
use super::staged::{Direction, Staged};
use super::tables::Dirty;
use crate::read::Ntfs;
use crate::volume::Volume;

/// Brings a volume into the state that its log says, and leaves the log empty; `false` if there is nothing to
/// do. After an error `device` is as it was.
///
/// # Errors
/// `Unsupported` by name for what cannot be replayed: a log of Windows 7, an operation that no recovery by
/// Windows has shown, a volume of a Windows that hibernates. `Corrupt` for a log that is damaged, or is not of
/// this volume.
pub(crate) fn replay(device: &DiskMut) -> Result<bool> {
    let volume = Volume::open(device.disk())?;
    match super::state(&volume)? {
        LogState::Empty | LogState::Clean { .. } => return Ok(false),
        LogState::Pending { .. } | LogState::Unreadable => {}
    }
    let log = Log::open(&volume)?;
    let analysis = Analysis::of(&log)?;
    let overlay = Overlay::new(device.disk())?;
    let mut staged = Staged::new(&volume, log.stream(), &overlay)?;
    let end = log.each(analysis.redo_from, |record| redo(record, &analysis, &mut staged))?;
    if end != analysis.end {
        return Err(corrupt(end, "the log ends here, and elsewhere when read again"));
    }
    for lsn in &analysis.undo {
        let change = log.needed(*lsn)?.backward()?;
        apply(&change, &analysis, &mut staged, Direction::Undo { end })?;
    }
    staged.finish()?;
    // A Windows that sleeps goes on with what it knows of the volume.
    let replayed = Ntfs::open(overlay.disk())?;
    if replayed.hibernated()? {
        return Err(refused("Windows hibernates, or shut down in its fast way"));
    }
    overlay.merge_into(device)?;
    Ok(true)
}

/// Does what a record says, if its page may not have it.
fn redo(record: &Record, analysis: &Analysis, staged: &mut Staged<'_>) -> Result<()> {
    if record.kind != Kind::Change || record.redo()?.target() == Target::Nothing {
        return Ok(());
    }
    match analysis.tables.dirty.get(&record.page()?) {
        Some(dirty) if dirty.oldest <= record.lsn => {}
        _ => return Ok(()),
    }
    apply(&record.forward()?, analysis, staged, Direction::Redo)
}

fn apply(change: &Change, analysis: &Analysis, staged: &mut Staged<'_>, direction: Direction) -> Result<()> {
    let (tables, place, lsn) = (&analysis.tables, &change.place, change.lsn);
    if change.opcode.target() == Target::Unproven {
        return Err(refuse(lsn, change.opcode));
    }
    let open = tables.open.get(&place.attribute).filter(|open| open.since <= lsn);
    let open = open.ok_or_else(|| corrupt(lsn, format!("attribute {:#x} is not open", place.attribute)))?;
    for (lcn, vcn) in place.lcns.iter().zip(place.vcn..) {
        let said: Option<&Dirty> = tables.dirty.get(&(place.attribute, vcn));
        if let Some(other) = said.and_then(|dirty| dirty.lcn).filter(|other| other != lcn) {
            let why = format!("cluster {vcn} is at {lcn:#x}, and at {other:#x} for the checkpoint");
            return Err(corrupt(lsn, why));
        }
    }
    staged.apply(change, open, direction)
}
