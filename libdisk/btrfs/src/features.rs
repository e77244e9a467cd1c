//! The feature words of the superblock; names are those of `/sys/fs/btrfs/features`.

use vfs::{FsError, Result};

/// `incompat_flags` bits.
pub(crate) mod incompat {
    pub(crate) const MIXED_BACKREF: u64 = 0x1;
    pub(crate) const METADATA_UUID: u64 = 0x400;
}

/// `compat_ro_flags` bits.
pub(crate) mod compat_ro {
    pub(crate) const BLOCK_GROUP_TREE: u64 = 0x8;
}

/// A bit, its name, and whether we read what it stands for.
type Feature = (u64, &'static str, bool);

const INCOMPAT: &[Feature] = &[
    (incompat::MIXED_BACKREF, "mixed_backref", true),
    (0x2, "default_subvol", true),
    (0x4, "mixed_groups", true),
    (0x8, "compress_lzo", true),
    (0x10, "compress_zstd", true),
    (0x20, "big_metadata", true),
    (0x40, "extended_iref", true),
    // Chunks of RAID5 and RAID6 are refused one by one.
    (0x80, "raid56", true),
    (0x100, "skinny_metadata", true),
    (0x200, "no_holes", true),
    (incompat::METADATA_UUID, "metadata_uuid", true),
    (0x800, "raid1c34", true),
    (0x1000, "zoned", false),
    (0x2000, "extent_tree_v2", false),
    (0x4000, "raid_stripe_tree", false),
    (0x1_0000, "simple_quota", true),
    (0x2_0000, "remap_tree", false),
];

/// None of them keeps anybody from reading.
const COMPAT_RO: &[Feature] = &[
    (0x1, "free_space_tree", true),
    (0x2, "free_space_tree_valid", true),
    (0x4, "verity", true),
    (compat_ro::BLOCK_GROUP_TREE, "block_group_tree", true),
];

/// The feature words.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Features {
    pub(crate) incompat: u64,
    pub(crate) compat_ro: u64,
}

fn unknown(bits: u64, table: &[Feature]) -> u64 {
    table.iter().fold(bits, |rest, (bit, ..)| rest & !bit)
}

impl Features {
    /// All names, unknown bits in hexadecimal.
    pub(crate) fn names(self) -> Vec<String> {
        let mut names = Vec::new();
        for (word, bits, table) in
            [("incompat", self.incompat, INCOMPAT), ("compat_ro", self.compat_ro, COMPAT_RO)]
        {
            let set = table.iter().filter(|(bit, ..)| bits & bit != 0);
            names.extend(set.map(|(_, name, _)| (*name).to_owned()));
            let unknown = unknown(bits, table);
            if unknown != 0 {
                names.push(format!("{word}_{unknown:#x}"));
            }
        }
        names
    }

    /// Refuses what we cannot read.
    pub(crate) fn check_readable(self) -> Result<()> {
        let refused = INCOMPAT.iter().find(|(bit, _, readable)| self.incompat & bit != 0 && !readable);
        if let Some((_, name, _)) = refused {
            return Err(FsError::unsupported(format!("btrfs feature {name}")));
        }
        if self.incompat & incompat::MIXED_BACKREF == 0 {
            return Err(FsError::unsupported("btrfs without mixed_backref, from before Linux 2.6.31"));
        }
        match unknown(self.incompat, INCOMPAT) {
            0 => Ok(()),
            bits => Err(FsError::unsupported(format!("unknown btrfs features, incompatible: {bits:#x}"))),
        }
    }
}
