//! Whether the guest's volumes have room for the changes.

use std::collections::{BTreeMap, BTreeSet};

use super::{content_size, path_of};
use crate::edit::{Before, Edit, Step};
use crate::path::split_str;
use crate::tree::volume_at;
use crate::{Error, Result, View};

/// Space is counted in blocks of this size, the largest that is usual.
const BLOCK: u64 = 4096;

#[derive(Default)]
struct Need {
    bytes: u64,
    nodes: u64,
}

/// Volumes with too little room, in words.
///
/// Counted for the worst case: new content stands beside the old until the change is committed, and every new
/// name takes a block of its directory.
pub(super) fn shortages(steps: &[Step], view: &dyn View) -> Result<Vec<String>> {
    let machine = view.machine();
    let mut needs: BTreeMap<&str, Need> = BTreeMap::new();
    let mut new_dirs = BTreeSet::new();
    for step in steps {
        let Some(path) = path_of(&step.edit) else { continue };
        let Some(volume) = volume_at(machine, path) else { continue };
        let need = needs.entry(&volume.name).or_default();
        let (size, before) = match &step.edit {
            Edit::PutFile { content, before, .. } => (content_size(content, view)?, before),
            Edit::PutLink { target, before, .. } => (target.len() as u64, before),
            _ => continue,
        };
        need.bytes = need.bytes.saturating_add(size.next_multiple_of(BLOCK));
        if *before == Before::Absent {
            need.bytes = need.bytes.saturating_add(BLOCK);
            need.nodes += 1;
        }
        let mut dir = path;
        while let Some((parent, _)) = split_str(dir) {
            if view.lstat(parent)?.is_some() || !new_dirs.insert(parent) {
                break;
            }
            need.bytes = need.bytes.saturating_add(2 * BLOCK);
            need.nodes += 1;
            dir = parent;
        }
    }
    let mut short = Vec::new();
    for volume in &machine.volumes {
        let Some(need) = needs.get(volume.name.as_str()) else { continue };
        let place = format!("{} ({})", volume.mounted_at.as_deref().unwrap_or("?"), volume.name);
        match (view.free(volume, need.bytes)?, volume.free_nodes) {
            (Some(free), _) if need.bytes > free => {
                short.push(format!("{place} has {free} bytes free, and the changes need {}", need.bytes));
            }
            (_, Some(free)) if need.nodes > free => {
                short.push(format!("{place} has {free} inodes free, and the changes need {}", need.nodes));
            }
            _ => {}
        }
    }
    Ok(short)
}

/// Refuses changes that have no room.
pub(super) fn require(steps: &[Step], view: &dyn View) -> Result<()> {
    let shortages = shortages(steps, view)?;
    if shortages.is_empty() { Ok(()) } else { Err(Error::Refused(shortages.join("; "))) }
}
