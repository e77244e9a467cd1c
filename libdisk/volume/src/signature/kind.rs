//! The kinds of thing that a volume can hold, each with its name.

use std::fmt;
use std::str::FromStr;

/// One line for each kind: the name of `blkid`, which fstab and udev use too, and what it is in words.
macro_rules! kinds {
    ($($kind:ident $name:literal $what:literal;)+) => {
        /// What a volume holds. Shown as `blkid` names it: "ext4", "LVM2_member".
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum SignatureKind {
            $(#[doc = $what] $kind,)+
        }

        const KINDS: &[(SignatureKind, &str, &str)] = &[$((SignatureKind::$kind, $name, $what),)+];
    };
}

kinds! {
    Ext2 "ext2" "an ext2 file system";
    Ext3 "ext3" "an ext3 file system";
    Ext4 "ext4" "an ext4 file system";
    Ext4Dev "ext4dev" "an ext4 file system of a kernel in development";
    ExtJournal "jbd" "an external ext journal";
    Xfs "xfs" "an XFS file system";
    XfsLog "xfs_external_log" "an external XFS log";
    Btrfs "btrfs" "a btrfs file system";
    Vfat "vfat" "a FAT file system";
    Exfat "exfat" "an exFAT file system";
    Ntfs "ntfs" "an NTFS file system";
    Refs "ReFS" "a ReFS file system";
    Swap "swap" "swap space";
    Suspended "swsuspend" "swap space with a hibernated system in it";
    Jfs "jfs" "a JFS file system";
    Reiserfs "reiserfs" "a ReiserFS file system";
    Reiser4 "reiser4" "a Reiser4 file system";
    F2fs "f2fs" "an F2FS file system";
    Nilfs2 "nilfs2" "a NILFS2 file system";
    Bcachefs "bcachefs" "a bcachefs file system";
    Zfs "zfs_member" "a member of a ZFS pool";
    Gfs "gfs" "a GFS file system";
    Gfs2 "gfs2" "a GFS2 file system";
    Ocfs2 "ocfs2" "an OCFS2 file system";
    OracleAsm "oracleasm" "a disk of Oracle ASM";
    CephBluestore "ceph_bluestore" "a store of Ceph (BlueStore)";
    Hfs "hfs" "an HFS file system";
    HfsPlus "hfsplus" "an HFS+ file system";
    Apfs "apfs" "an APFS container";
    Ufs "ufs" "a UFS file system";
    Hpfs "hpfs" "an HPFS file system";
    Minix "minix" "a Minix file system";
    Vxfs "vxfs" "a Veritas file system (VxFS)";
    Befs "befs" "a BeFS file system";
    Bfs "bfs" "an SCO boot file system (BFS)";
    Iso9660 "iso9660" "an ISO 9660 file system";
    Udf "udf" "a UDF file system";
    Squashfs "squashfs" "a SquashFS file system";
    Squashfs3 "squashfs3" "a SquashFS file system of a version before 4";
    Erofs "erofs" "an EROFS file system";
    Cramfs "cramfs" "a cramfs file system";
    Romfs "romfs" "a romfs file system";
    Ubi "ubi" "a UBI device";
    Ubifs "ubifs" "a UBIFS file system";
    Vmfs "VMFS" "a VMFS file system";
    VmfsMember "VMFS_volume_member" "a member of a VMFS volume";
    Lvm2 "LVM2_member" "an LVM physical volume";
    Lvm1 "LVM1_member" "an LVM physical volume of version 1";
    Luks "crypto_LUKS" "an encrypted volume (LUKS)";
    BitLocker "BitLocker" "an encrypted volume (BitLocker)";
    Stratis "stratis" "a member of a Stratis pool";
    Vdo "vdo" "a VDO volume";
    Drbd "drbd" "a DRBD device";
    Bcache "bcache" "a bcache device";
    SnapshotCow "DM_snapshot_cow" "the changes of a device-mapper snapshot";
    Verity "DM_verity_hash" "the hashes of a dm-verity device";
    Integrity "DM_integrity" "a dm-integrity device";
    DynamicDisk "ldm" "a Windows dynamic disk";
    StorageSpaces "storage_spaces" "a member of Windows Storage Spaces";
    LinuxRaid "linux_raid_member" "a member of a Linux RAID";
    DdfRaid "ddf_raid_member" "a member of a firmware RAID (DDF)";
    IntelRaid "isw_raid_member" "a member of a firmware RAID (Intel)";
    LsiRaid "lsi_mega_raid_member" "a member of a firmware RAID (LSI MegaRAID)";
    ViaRaid "via_raid_member" "a member of a firmware RAID (VIA)";
    SiliconRaid "silicon_medley_raid_member" "a member of a firmware RAID (Silicon Image)";
    NvidiaRaid "nvidia_raid_member" "a member of a firmware RAID (NVIDIA)";
    PromiseRaid "promise_fasttrack_raid_member" "a member of a firmware RAID (Promise FastTrak)";
    Highpoint37Raid "hpt37x_raid_member" "a member of a firmware RAID (HighPoint 37x)";
    Highpoint45Raid "hpt45x_raid_member" "a member of a firmware RAID (HighPoint 45x)";
    AdaptecRaid "adaptec_raid_member" "a member of a firmware RAID (Adaptec)";
    JmicronRaid "jmicron_raid_member" "a member of a firmware RAID (JMicron)";
}

impl SignatureKind {
    /// The name that `blkid` has for it, or would have.
    pub fn name(self) -> &'static str {
        KINDS.iter().find(|(kind, ..)| *kind == self).map_or("", |(_, name, _)| name)
    }

    /// A sentence fragment for refusals: "an LVM physical volume".
    pub fn describe(self) -> &'static str {
        KINDS.iter().find(|(kind, ..)| *kind == self).map_or("", |(.., what)| what)
    }

    /// Whether names in it are looked up without regard to case.
    pub fn ignores_case(self) -> bool {
        matches!(self, Self::Vfat | Self::Ntfs | Self::Exfat | Self::Refs)
    }

    /// Whether it begins with a boot sector, code and 0xAA55 included.
    pub(crate) fn has_boot_sector(self) -> bool {
        matches!(self, Self::Vfat | Self::Ntfs | Self::Exfat | Self::Refs | Self::BitLocker)
    }
}

impl fmt::Display for SignatureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The text is no name of a kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not the name of a file system or of anything else that a volume holds")]
pub struct UnknownKind(String);

impl FromStr for SignatureKind {
    type Err = UnknownKind;

    fn from_str(name: &str) -> Result<Self, UnknownKind> {
        let found = KINDS.iter().find(|(_, known, _)| *known == name);
        found.map(|(kind, ..)| *kind).ok_or_else(|| UnknownKind(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for (kind, name, what) in KINDS {
            assert_eq!(name.parse(), Ok(*kind));
            assert_eq!(kind.to_string(), *name);
            assert_eq!(kind.describe(), *what);
        }
        assert!("ext5".parse::<SignatureKind>().is_err());
    }
}
