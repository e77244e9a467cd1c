//! What a volume holds, by its magic numbers: to name what is refused.
//!
//! Places and names are those of `blkid`; each format's own document has them, too.

use block::{Disk, Result};
use uuid::Uuid;

use crate::lvm2;

/// How much of the start of a volume is looked at: the super block of btrfs is at 64 KiB.
const HEAD: u64 = 68 << 10;

/// What a volume holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// The format as `blkid` names it: "LVM2_member", "crypto_LUKS", "xfs", "swap".
    pub kind: &'static str,
    /// Its UUID or serial number as `blkid` and fstab write it, where the format has one.
    pub uuid: Option<String>,
    /// Its label, if it has one.
    pub label: Option<String>,
    /// The RAID that it is a member of, if it is a "linux_raid_member".
    pub raid: Option<Raid>,
}

/// A RAID of Linux, as one of its members tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raid {
    /// Version of the metadata: "0.90", "1.0", "1.1", "1.2".
    pub version: &'static str,
    /// As `mdadm` calls it: "raid1", "raid10", "linear".
    pub level: String,
    /// How many members it has when it is whole.
    pub members: u32,
}

impl Signature {
    /// Whether the volume starts with a boot sector, code and 0xAA55 included.
    pub(crate) fn has_boot_sector(&self) -> bool {
        matches!(self.kind, "vfat" | "ntfs" | "exfat" | "ReFS" | "BitLocker")
    }

    /// A sentence fragment for refusals: "a BitLocker volume".
    pub fn describe(&self) -> String {
        if let Some(Raid { version, level, members }) = &self.raid {
            return format!("a member of a Linux RAID ({level} of {members} devices, metadata {version})");
        }
        let what = match self.kind {
            "LVM2_member" => "an LVM physical volume",
            "crypto_LUKS" => "an encrypted volume (LUKS)",
            "linux_raid_member" => "a member of a Linux RAID",
            "BitLocker" => "an encrypted volume (BitLocker)",
            "isw_ldm" => "a Windows dynamic disk",
            "storage_spaces" => "a member of Windows Storage Spaces",
            "bcache" => "a bcache device",
            "btrfs" => "a btrfs file system",
            "xfs" => "an XFS file system",
            "ext2" | "ext3" | "ext4" => "an ext file system",
            "jbd" => "an external ext journal",
            "ntfs" => "an NTFS file system",
            "ReFS" => "a ReFS file system",
            "exfat" => "an exFAT file system",
            "vfat" => "a FAT file system",
            "swap" => "swap space",
            "swsuspend" => "swap space with a hibernated system in it",
            "squashfs" => "a SquashFS file system",
            "erofs" => "an EROFS file system",
            "f2fs" => "an F2FS file system",
            "jfs" => "a JFS file system",
            "reiserfs" => "a ReiserFS file system",
            "iso9660" => "an ISO 9660 file system",
            other => other,
        };
        what.to_owned()
    }
}

/// The start of a volume; what lies outside of it reads as nothing.
struct Head(Vec<u8>);

impl Head {
    fn bytes<const N: usize>(&self, at: usize) -> [u8; N] {
        self.0.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; N])
    }

    fn is(&self, at: usize, magic: &[u8]) -> bool {
        self.0.get(at..).is_some_and(|rest| rest.starts_with(magic))
    }

    fn le16(&self, at: usize) -> u16 {
        u16::from_le_bytes(self.bytes(at))
    }

    fn le32(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.bytes(at))
    }

    fn uuid(&self, at: usize) -> Option<String> {
        Some(Uuid::from_bytes(self.bytes(at))).filter(|uuid| !uuid.is_nil()).map(|uuid| uuid.to_string())
    }

    /// Text that ends at its first zero, without blanks at its end.
    fn text<const N: usize>(&self, at: usize) -> Option<String> {
        let bytes: [u8; N] = self.bytes(at);
        let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
        Some(String::from_utf8_lossy(text).trim_end().to_owned()).filter(|text| !text.is_empty())
    }

    fn found(&self, kind: &'static str, uuid: Option<String>, label: Option<String>) -> Option<Signature> {
        Some(Signature { kind, uuid, label, raid: None })
    }
}

/// Names what `volume` holds; `None` if nothing is known of it.
///
/// # Errors
/// What the device reports.
pub fn signature(volume: &Disk) -> Result<Option<Signature>> {
    let len = usize::try_from(volume.size().min(HEAD)).unwrap_or(0);
    let head = Head(volume.read_vec(0, len)?);
    // Containers first: a RAID of mirrors starts with the file system in it.
    if let Some(found) = raid_at_end(volume)? {
        return Ok(Some(found));
    }
    Ok(container(&head).or_else(|| swap(&head)).or_else(|| file_system(&head)))
}

fn container(head: &Head) -> Option<Signature> {
    if head.is(0, b"LUKS\xba\xbe") {
        let label = if head.bytes(6) == [0, 2] { head.text::<48>(24) } else { None };
        return head.found("crypto_LUKS", head.text::<40>(168), label);
    }
    for label in [0, 512, 1024, 1536] {
        if head.is(label, b"LABELONE") && head.is(label.saturating_add(24), b"LVM2 001") {
            return head.found("LVM2_member", lvm2::uuid(&head.bytes(label.saturating_add(32))), None);
        }
    }
    for (superblock, version) in [(0, "1.1"), (4096, "1.2")] {
        if head.is(superblock, &RAID_MAGIC) && head.le32(superblock.saturating_add(4)) == 1 {
            return raid_1(head, superblock, version);
        }
    }
    if head.is(3, b"-FVE-FS-") || (head.is(3, b"MSWIN4.1") && head.is(424, &BITLOCKER_TO_GO)) {
        return head.found("BitLocker", None, None);
    }
    if head.is(0xC00, b"PRIVHEAD") {
        return head.found("isw_ldm", None, None);
    }
    if head.is(4096, b"SPACEDB ") {
        return head.found("storage_spaces", None, None);
    }
    if head.is(4096 + 24, &[0xc6, 0x85, 0x73, 0xf6, 0x4e, 0x1a, 0x45, 0xca]) {
        return head.found("bcache", None, None);
    }
    None
}

/// The GUID 4967D63B-2E29-4AD8-8399-F6A339E3D001.
const BITLOCKER_TO_GO: [u8; 16] =
    [0x3b, 0xd6, 0x67, 0x49, 0x29, 0x2e, 0xd8, 0x4a, 0x83, 0x99, 0xf6, 0xa3, 0x39, 0xe3, 0xd0, 0x01];

/// 0xa92b4efc.
const RAID_MAGIC: [u8; 4] = [0xfc, 0x4e, 0x2b, 0xa9];

/// A super block of metadata version 1 (`mdp_superblock_1` of Linux).
fn raid_1(head: &Head, superblock: usize, version: &'static str) -> Option<Signature> {
    let at = |field: usize| superblock.saturating_add(field);
    let raid = Raid { version, level: level(head.le32(at(72))), members: head.le32(at(92)) };
    let found = head.found("linux_raid_member", head.uuid(at(16)), head.text::<32>(at(32)))?;
    Some(Signature { raid: Some(raid), ..found })
}

/// A super block of metadata version 0.90 (`mdp_super_t` of Linux): words, and the UUID is four of them.
fn raid_0_90(head: &Head) -> Option<Signature> {
    let [a, b, c, d] = [20, 52, 56, 60].map(|at| u128::from(head.le32(at)));
    let uuid = Uuid::from_u128(a << 96 | b << 64 | c << 32 | d);
    let raid = Raid { version: "0.90", level: level(head.le32(28)), members: head.le32(40) };
    let uuid = Some(uuid).filter(|uuid| !uuid.is_nil()).map(|uuid| uuid.to_string());
    Some(Signature { raid: Some(raid), ..head.found("linux_raid_member", uuid, None)? })
}

/// What `mdadm` calls a level.
fn level(number: u32) -> String {
    match number.cast_signed() {
        -1 => "linear".to_owned(),
        -4 => "multipath".to_owned(),
        -5 => "faulty".to_owned(),
        number => format!("raid{number}"),
    }
}

/// Metadata versions 1.0 and 0.90 of Linux RAID are at the end of the volume.
fn raid_at_end(volume: &Disk) -> Result<Option<Signature>> {
    let size = volume.size();
    let version_1_0 = size.checked_sub(8 << 10).map(|at| at & !4095);
    let version_0_90 = (size & !0xffff).checked_sub(64 << 10);
    for (place, version) in [(version_1_0, 1), (version_0_90, 0)] {
        let Some(place) = place else { continue };
        let len = usize::try_from(size.saturating_sub(place).min(256)).unwrap_or(0);
        let head = Head(volume.read_vec(place, len)?);
        if head.is(0, &RAID_MAGIC) && head.le32(4) == version {
            return Ok(if version == 1 { raid_1(&head, 0, "1.0") } else { raid_0_90(&head) });
        }
    }
    Ok(None)
}

fn swap(head: &Head) -> Option<Signature> {
    for page in [4096_usize, 8192, 16384, 32768, 65536] {
        let at = page.saturating_sub(10);
        if head.is(at, b"SWAPSPACE2") {
            return head.found("swap", head.uuid(0x40c), head.text::<16>(0x41c));
        }
        if head.is(at, b"SWAP-SPACE") {
            return head.found("swap", None, None);
        }
        if [&b"S1SUSPEND"[..], b"S2SUSPEND", b"ULSUSPEND", b"LINHIB0001"]
            .iter()
            .any(|magic| head.is(at, magic))
        {
            return head.found("swsuspend", head.uuid(0x40c), head.text::<16>(0x41c));
        }
    }
    None
}

fn file_system(head: &Head) -> Option<Signature> {
    if head.is(0, b"XFSB") {
        return head.found("xfs", head.uuid(32), head.text::<12>(108));
    }
    if head.is(0x10040, b"_BHRfS_M") {
        return head.found("btrfs", head.uuid(0x10020), head.text::<256>(0x1012b));
    }
    if head.is(3, b"NTFS    ") {
        let serial = u64::from_le_bytes(head.bytes(0x48));
        return head.found("ntfs", Some(format!("{serial:016X}")), None);
    }
    if head.is(3, b"EXFAT   ") {
        return head.found("exfat", Some(serial(head.le32(0x64))), None);
    }
    if head.is(0x438, &[0x53, 0xef]) {
        return head.found(ext_kind(head), head.uuid(0x468), head.text::<16>(0x478));
    }
    if head.le16(510) == 0xAA55 {
        let fat = [(0x52, &b"FAT32   "[..]), (0x36, b"FAT16   "), (0x36, b"FAT12   "), (0x36, b"FAT     ")];
        if let Some((at, _)) = fat.into_iter().find(|(at, magic)| head.is(*at, magic)) {
            // The serial number and the label stand before the name of the type.
            let label = head.text::<11>(at.saturating_sub(11)).filter(|label| label != "NO NAME");
            return head.found("vfat", Some(serial(head.le32(at.saturating_sub(15)))), label);
        }
    }
    const PLAIN: [(usize, &[u8], &str); 8] = [
        (3, b"ReFS\0", "ReFS"),
        (0, b"hsqs", "squashfs"),
        (1024, &[0xe2, 0xe1, 0xf5, 0xe0], "erofs"),
        (1024, &[0x10, 0x20, 0xf5, 0xf2], "f2fs"),
        (32768, b"JFS1", "jfs"),
        (32769, b"CD001", "iso9660"),
        (65536 + 52, b"ReIsEr", "reiserfs"),
        (8192 + 52, b"ReIsEr", "reiserfs"),
    ];
    let (_, _, kind) = PLAIN.into_iter().find(|(at, magic, _)| head.is(*at, magic))?;
    head.found(kind, None, None)
}

/// As `blkid` tells the generations apart: by the features that the older ones did not have.
fn ext_kind(head: &Head) -> &'static str {
    let (compat, incompat, ro_compat) = (head.le32(0x45c), head.le32(0x460), head.le32(0x464));
    let journal = compat & 0x4 != 0;
    let ext3_only = incompat & !0x16 == 0 && ro_compat & !0x7 == 0;
    match (incompat & 0x8 != 0, journal, ext3_only) {
        (true, _, _) => "jbd",
        (_, false, true) => "ext2",
        (_, true, true) => "ext3",
        _ => "ext4",
    }
}

fn serial(number: u32) -> String {
    format!("{:04X}-{:04X}", number >> 16, number & 0xffff)
}
