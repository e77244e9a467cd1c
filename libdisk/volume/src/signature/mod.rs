//! What a volume holds, by its magic numbers: to name what is refused.
//!
//! Places and names are those of `blkid`; each format's own document has them, too.

mod container;
mod firmware_raid;
mod head;
mod kind;
mod linux;
mod linux_raid;
mod optical;
mod other;
mod windows;
mod zfs;

use block::{Disk, Result};

use head::Volume;
pub use kind::{SignatureKind, UnknownKind};
pub use linux_raid::Raid;

/// What a volume holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// The format.
    pub kind: SignatureKind,
    /// Its UUID or serial number as `blkid` and fstab write it, where the format has one.
    pub uuid: Option<String>,
    /// Its label, if it has one.
    pub label: Option<String>,
    /// The RAID that it is a member of, if it is one of a Linux RAID.
    pub raid: Option<Raid>,
}

impl Signature {
    /// A sentence fragment for refusals: "an encrypted volume (BitLocker)".
    pub fn describe(&self) -> String {
        match &self.raid {
            Some(Raid { version, level, members }) => {
                format!("a member of a Linux RAID ({level} of {members} devices, metadata {version})")
            }
            None => self.kind.describe().to_owned(),
        }
    }
}

/// What a probe found; most formats have no more than this.
fn found(kind: SignatureKind, uuid: Option<String>, label: Option<String>) -> Option<Signature> {
    Some(Signature { kind, uuid, label, raid: None })
}

/// A look at a volume for some formats.
type Probe = fn(&Volume<'_>) -> Result<Option<Signature>>;

/// All of them, in their order. Containers first: a RAID of mirrors starts with the file system in it. Last
/// what is looked for beyond the start of the volume, for a block of a snapshot may have to be fetched for
/// it.
const PROBES: [Probe; 13] = [
    linux_raid::probe,
    firmware_raid::probe,
    container::at_start,
    container::drbd,
    linux::swap,
    linux::file_system,
    windows::file_system,
    windows::fat,
    other::file_system,
    optical::udf,
    optical::iso9660,
    zfs::probe,
    other::vmfs,
];

/// Whether `volume` is a member of an array or a mirror that keeps its own data at the end. A file system that
/// begins where such a volume does is the array's: one member has a part of it or an old one, and must not be
/// changed by itself.
///
/// # Errors
/// What the device reports.
pub fn is_member(volume: &Disk) -> Result<bool> {
    let volume = Volume::new(volume)?;
    Ok(linux_raid::at_the_end(&volume)?.is_some() || container::drbd(&volume)?.is_some())
}

/// Names what `volume` holds; `None` if nothing is known of it.
///
/// # Errors
/// What the device reports.
pub fn signature(volume: &Disk) -> Result<Option<Signature>> {
    let volume = Volume::new(volume)?;
    for probe in PROBES {
        if let Some(found) = probe(&volume)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}
