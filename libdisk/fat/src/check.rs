//! What must hold before anything is written: no cluster belongs to two nodes.

use vfs::{FsError, Result};

use crate::boot_sector::Place;
use crate::directory::Directory;
use crate::read::Volume;
use crate::to_usize;

/// The clusters that a chain was seen to hold.
struct Seen {
    bits: Vec<u64>,
}

impl Seen {
    /// Marks a cluster; whether it was marked already.
    fn mark(&mut self, cluster: u32) -> bool {
        let Some(word) = self.bits.get_mut(to_usize(cluster / 64)) else { return true };
        let bit = 1_u64.checked_shl(cluster % 64).unwrap_or(0);
        let was = *word & bit != 0;
        *word |= bit;
        was
    }
}

/// Walks the whole tree. Clusters that belong to nobody, and chains longer than their file, are harmless and
/// let be.
///
/// # Errors
/// `Corrupt` if chains meet, run in circles, or leave the volume.
pub(crate) fn check(volume: &Volume) -> Result<()> {
    // A bit for each cluster: at most 32 MiB, for a volume of that many clusters.
    let mut seen = Seen { bits: vec![0; to_usize(volume.boot.end().div_ceil(64))] };
    if let Place::Chain(first) = volume.boot.root {
        mark_chain(volume, &mut seen, "the root directory", first)?;
    }
    let mut to_do = vec![volume.boot.root];
    while let Some(place) = to_do.pop() {
        // Not kept in memory: each is needed once.
        let directory = Directory::read(volume, place)?;
        for (slot, entry) in directory.entries() {
            let first = volume.first(&volume.entry_at(directory.offset(volume, *slot)?)?);
            if first != 0 || entry.is_directory {
                mark_chain(volume, &mut seen, &entry.name, first)?;
            }
            if entry.is_directory {
                to_do.push(Place::Chain(first));
            }
        }
    }
    Ok(())
}

fn mark_chain(volume: &Volume, seen: &mut Seen, name: &str, first: u32) -> Result<()> {
    let mut next = Some(first);
    while let Some(cluster) = next {
        if !volume.boot.has(cluster) || seen.mark(cluster) {
            let what = format!("cluster {cluster} belongs to another file or to no file, too");
            let structure = format!("cluster chain of {}", name.escape_debug());
            return Err(FsError::corrupt(structure, volume.boot.offset(cluster), what));
        }
        next = volume.next(cluster)?;
    }
    Ok(())
}
