//! `$LogFile`: what changes of the volume's own structures were begun, and the replay of those that may not
//! have reached their places.
//!
//! Written from the linux-ntfs documentation ("$LogFile"), the specification of rust-fs-ntfs and the notes of
//! checkdisk, and from volumes of Windows of which the state before and after Windows' own recovery is known.
//! What none of them shows is refused by name.
//!
//! Recovery has three steps. *Analysis* goes from the last checkpoint to the end of the log, and finds which
//! pages may not be on the volume and which transactions are open. *Redo* repeats every change of such a page
//! that the page does not have. *Undo* takes back the open transactions, newest change first. All of it goes to
//! an overlay, which is merged at the end or thrown away, so a replay that is cut off was never there.

mod analysis;
mod change;
mod file_record;
mod index_block;
mod opcode;
mod page;
mod record;
mod replay;
mod restart;
mod staged;
mod tables;

use std::fmt::Display;

use vfs::bytes::index;
use vfs::{FsError, Result};

pub(crate) use replay::replay;
pub(crate) use restart::LogState;

use crate::attribute::kind;
use crate::stream::Stream;
use crate::volume::{Volume, system};

/// Why a log is not replayed, and what to do instead.
fn refused(why: impl Display) -> FsError {
    let what = "shut Windows down before the snapshot is taken";
    FsError::unsupported(format!("replaying the log of NTFS: {why}; {what}"))
}

/// The content of the log.
fn stream(volume: &Volume) -> Result<Option<Stream>> {
    volume.stream(&*volume.file(system::LOG_FILE)?, kind::DATA, &[])
}

/// The state of a volume's log, from its restart pages.
pub(crate) fn state(volume: &Volume) -> Result<LogState> {
    let Some(stream) = stream(volume)? else { return Ok(LogState::Empty) };
    let mut head = vec![0; restart::RESTART.min(index(stream.size()))];
    stream.read(&volume.disk, &volume.boot, &mut head, 0)?;
    Ok(restart::state(&head))
}
