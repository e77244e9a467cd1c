//! The feature words of the superblock, and what each of them prevents
//! ("ext4 disk layout: The Super Block", `s_feature_compat`, `s_feature_incompat`, `s_feature_ro_compat`).

use vfs::Result;
use vfs::features::Allows::{All, Nothing, Reading};
use vfs::features::{Feature, Word};

/// `s_feature_compat` bits.
pub(crate) mod compat {
    pub(crate) const HAS_JOURNAL: u32 = 0x4;
    pub(crate) const EXT_ATTR: u32 = 0x8;
    pub(crate) const DIR_INDEX: u32 = 0x20;
    pub(crate) const SPARSE_SUPER2: u32 = 0x200;
    pub(crate) const ORPHAN_FILE: u32 = 0x1000;
}

/// `s_feature_incompat` bits.
pub(crate) mod incompat {
    pub(crate) const FILETYPE: u32 = 0x2;
    pub(crate) const RECOVER: u32 = 0x4;
    pub(crate) const META_BG: u32 = 0x10;
    pub(crate) const EXTENTS: u32 = 0x40;
    pub(crate) const BIT64: u32 = 0x80;
    pub(crate) const EA_INODE: u32 = 0x400;
    pub(crate) const CSUM_SEED: u32 = 0x2000;
    pub(crate) const LARGEDIR: u32 = 0x4000;
}

/// `s_feature_ro_compat` bits.
pub(crate) mod ro_compat {
    pub(crate) const SPARSE_SUPER: u32 = 0x1;
    pub(crate) const LARGE_FILE: u32 = 0x2;
    pub(crate) const HUGE_FILE: u32 = 0x8;
    pub(crate) const GDT_CSUM: u32 = 0x10;
    pub(crate) const DIR_NLINK: u32 = 0x20;
    pub(crate) const BIGALLOC: u32 = 0x200;
    pub(crate) const METADATA_CSUM: u32 = 0x400;
    pub(crate) const ORPHAN_PRESENT: u32 = 0x10000;
}

const COMPAT: &[Feature] = &[
    (0x1, "dir_prealloc", All),
    (0x2, "imagic_inodes", All),
    (compat::HAS_JOURNAL, "has_journal", All),
    (compat::EXT_ATTR, "ext_attr", All),
    (0x10, "resize_inode", All),
    (compat::DIR_INDEX, "dir_index", All),
    (0x40, "lazy_bg", All),
    (0x100, "snapshot_bitmap", All),
    (compat::SPARSE_SUPER2, "sparse_super2", All),
    (0x400, "fast_commit", All),
    (0x800, "stable_inodes", All),
    (compat::ORPHAN_FILE, "orphan_file", All),
];

const INCOMPAT: &[Feature] = &[
    (0x1, "compression", Nothing),
    (incompat::FILETYPE, "filetype", All),
    (incompat::RECOVER, "needs_recovery", Reading("the journal must be replayed first")),
    (0x8, "journal_dev", Nothing),
    (incompat::META_BG, "meta_bg", All),
    (incompat::EXTENTS, "extent", All),
    (incompat::BIT64, "64bit", All),
    (0x100, "mmp", Reading("another host may hold it mounted")),
    (0x200, "flex_bg", All),
    (incompat::EA_INODE, "ea_inode", All),
    (0x1000, "dirdata", Nothing),
    (incompat::CSUM_SEED, "metadata_csum_seed", All),
    (incompat::LARGEDIR, "large_dir", All),
    (0x8000, "inline_data", All),
    // Encrypted and case-folding inodes are refused one by one.
    (0x10000, "encrypt", All),
    (0x20000, "casefold", All),
];

const RO_COMPAT: &[Feature] = &[
    (ro_compat::SPARSE_SUPER, "sparse_super", All),
    (ro_compat::LARGE_FILE, "large_file", All),
    (0x4, "btree_dir", All),
    (ro_compat::HUGE_FILE, "huge_file", All),
    (ro_compat::GDT_CSUM, "uninit_bg", All),
    (ro_compat::DIR_NLINK, "dir_nlink", All),
    (0x40, "extra_isize", All),
    (0x80, "snapshot", Reading("snapshots share its blocks")),
    (0x100, "quota", Reading("the quota files would go stale")),
    (ro_compat::BIGALLOC, "bigalloc", Reading("allocation in clusters is not there yet")),
    (ro_compat::METADATA_CSUM, "metadata_csum", All),
    (0x800, "replica", Reading("replicas would go stale")),
    (0x1000, "read-only", Reading("it was made to be never written")),
    (0x2000, "project", All),
    (0x4000, "shared_blocks", Reading("files share blocks")),
    // Verity files are refused one by one.
    (0x8000, "verity", All),
    (ro_compat::ORPHAN_PRESENT, "orphan_present", Reading("orphans must be removed first")),
];

/// The feature words.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Features {
    pub(crate) compat: u32,
    pub(crate) incompat: u32,
    pub(crate) ro_compat: u32,
}

impl Features {
    /// All names as `tune2fs` and `dumpe2fs` write them, unknown bits in hexadecimal.
    pub(crate) fn names(self) -> Vec<String> {
        let compat = Word::new(self.compat, COMPAT).names("FEATURE_C");
        let incompat = self.incompat().names("FEATURE_I");
        [compat, incompat, self.ro_compat().names("FEATURE_R")].concat()
    }

    fn incompat(self) -> Word {
        Word::new(self.incompat, INCOMPAT)
    }

    fn ro_compat(self) -> Word {
        Word::new(self.ro_compat, RO_COMPAT)
    }

    /// Refuses what we cannot even read.
    pub(crate) fn check_readable(self) -> Result<()> {
        self.incompat().check_readable("ext4")
    }

    /// Refuses what we can read but not write.
    pub(crate) fn check_writable(self) -> Result<()> {
        self.incompat().check_writable("ext4")?;
        self.ro_compat().check_writable("ext4")
    }

    /// Refuses what not even recovery may write.
    pub(crate) fn check_recoverable(self) -> Result<()> {
        let incompat = self.incompat & !incompat::RECOVER;
        let ro_compat = self.ro_compat & !ro_compat::ORPHAN_PRESENT;
        Self { incompat, ro_compat, ..self }.check_writable()
    }

    /// The format as `blkid` names it: what ext2 and ext3 could not read is ext4.
    pub(crate) fn kind(self) -> &'static str {
        let old_incompat = incompat::FILETYPE | incompat::RECOVER | incompat::META_BG;
        let old_ro_compat = ro_compat::SPARSE_SUPER | ro_compat::LARGE_FILE | 0x4;
        if self.incompat & !old_incompat != 0 || self.ro_compat & !old_ro_compat != 0 {
            "ext4"
        } else if self.compat & compat::HAS_JOURNAL != 0 {
            "ext3"
        } else {
            "ext2"
        }
    }
}
