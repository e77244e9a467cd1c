//! The feature words of the superblock; names are those of `/sys/fs/btrfs/features`.

use vfs::features::Allows::{All, Nothing};
use vfs::features::{Feature, Word};
use vfs::{FsError, Result};

/// `incompat_flags` bits.
pub(crate) mod incompat {
    pub(crate) const MIXED_BACKREF: u32 = 0x1;
    pub(crate) const METADATA_UUID: u32 = 0x400;
}

/// `compat_ro_flags` bits.
pub(crate) mod compat_ro {
    pub(crate) const BLOCK_GROUP_TREE: u32 = 0x8;
}

const INCOMPAT: &[Feature] = &[
    (incompat::MIXED_BACKREF, "mixed_backref", All),
    (0x2, "default_subvol", All),
    (0x4, "mixed_groups", All),
    (0x8, "compress_lzo", All),
    (0x10, "compress_zstd", All),
    (0x20, "big_metadata", All),
    (0x40, "extended_iref", All),
    // Chunks of RAID5 and RAID6 are refused one by one.
    (0x80, "raid56", All),
    (0x100, "skinny_metadata", All),
    (0x200, "no_holes", All),
    (incompat::METADATA_UUID, "metadata_uuid", All),
    (0x800, "raid1c34", All),
    (0x1000, "zoned", Nothing),
    (0x2000, "extent_tree_v2", Nothing),
    (0x4000, "raid_stripe_tree", Nothing),
    (0x1_0000, "simple_quota", All),
    (0x2_0000, "remap_tree", Nothing),
];

/// None of them keeps anybody from reading.
const COMPAT_RO: &[Feature] = &[
    (0x1, "free_space_tree", All),
    (0x2, "free_space_tree_valid", All),
    (0x4, "verity", All),
    (compat_ro::BLOCK_GROUP_TREE, "block_group_tree", All),
];

/// The feature words.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Features {
    pub(crate) incompat: u64,
    pub(crate) compat_ro: u64,
}

impl Features {
    /// All names, unknown bits in hexadecimal.
    pub(crate) fn names(self) -> Vec<String> {
        let incompat = Word::new(self.incompat, INCOMPAT).names("incompat");
        [incompat, Word::new(self.compat_ro, COMPAT_RO).names("compat_ro")].concat()
    }

    pub(crate) fn incompat(self, bit: u32) -> bool {
        self.incompat & u64::from(bit) != 0
    }

    pub(crate) fn compat_ro(self, bit: u32) -> bool {
        self.compat_ro & u64::from(bit) != 0
    }

    /// Refuses what we cannot read.
    pub(crate) fn check_readable(self) -> Result<()> {
        Word::new(self.incompat, INCOMPAT).check_readable("btrfs")?;
        if !self.incompat(incompat::MIXED_BACKREF) {
            return Err(FsError::unsupported("btrfs without mixed_backref, from before Linux 2.6.31"));
        }
        Ok(())
    }
}
