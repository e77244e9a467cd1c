//! The versions and feature words of the superblock, and what each of them prevents
//! ("Superblocks", `sb_versionnum`, `sb_features2`, `sb_features_ro_compat`, `sb_features_incompat`).

use vfs::features::Allows::{All, Nothing, Reading};
use vfs::features::{Feature, Word};
use vfs::{FsError, Result};

/// `sb_versionnum` bits.
pub(crate) mod version {
    pub(crate) const NUMBER: u16 = 0xf;
    pub(crate) const ATTR: u16 = 0x10;
    pub(crate) const NLINK: u16 = 0x20;
    pub(crate) const QUOTA: u16 = 0x40;
    pub(crate) const ALIGN: u16 = 0x80;
    pub(crate) const DIRV2: u16 = 0x2000;
    pub(crate) const BORG: u16 = 0x4000;
    pub(crate) const MORE: u16 = 0x8000;
}

/// `sb_features2` bits.
pub(crate) mod features2 {
    pub(crate) const LAZY_COUNT: u32 = 0x2;
    pub(crate) const ATTR2: u32 = 0x8;
    pub(crate) const FTYPE: u32 = 0x200;
}

/// `sb_features_ro_compat` bits.
pub(crate) mod ro_compat {
    pub(crate) const FINOBT: u32 = 0x1;
    pub(crate) const RMAPBT: u32 = 0x2;
    pub(crate) const REFLINK: u32 = 0x4;
    pub(crate) const INOBTCOUNT: u32 = 0x8;
}

/// `sb_features_incompat` bits.
pub(crate) mod incompat {
    pub(crate) const FTYPE: u32 = 0x1;
    pub(crate) const SPARSE: u32 = 0x2;
    pub(crate) const META_UUID: u32 = 0x4;
    pub(crate) const BIGTIME: u32 = 0x8;
    pub(crate) const NEEDS_REPAIR: u32 = 0x10;
    pub(crate) const NREXT64: u32 = 0x20;
}

const RO_COMPAT: &[Feature] = &[
    (ro_compat::FINOBT, "finobt", All),
    (ro_compat::RMAPBT, "rmapbt", All),
    (ro_compat::REFLINK, "reflink", All),
    (ro_compat::INOBTCOUNT, "inobtcount", All),
];

const INCOMPAT: &[Feature] = &[
    (incompat::FTYPE, "ftype", All),
    (incompat::SPARSE, "sparse", All),
    (incompat::META_UUID, "meta_uuid", All),
    (incompat::BIGTIME, "bigtime", All),
    (incompat::NEEDS_REPAIR, "needsrepair", Reading("xfs_repair must run first")),
    (incompat::NREXT64, "nrext64", All),
    (0x40, "exchange", All),
    (0x80, "parent", Reading("parent pointers are not kept up")),
    (0x100, "metadir", Nothing),
    (0x200, "zoned", Nothing),
    (0x400, "zone_gaps", Nothing),
];

/// The feature words of a superblock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Features {
    /// `sb_versionnum`, the number of the version included.
    pub(crate) version: u16,
    /// `sb_features2`; 0 where `sb_versionnum` has no `MORE`.
    pub(crate) features2: u32,
    pub(crate) ro_compat: u32,
    pub(crate) incompat: u32,
    pub(crate) log_incompat: u32,
}

impl Features {
    /// Version 5: checksums, and the three words of feature bits.
    pub(crate) fn v5(self) -> bool {
        self.version & version::NUMBER == 5
    }

    pub(crate) fn version(self, bit: u16) -> bool {
        self.version & bit != 0
    }

    pub(crate) fn features2(self, bit: u32) -> bool {
        self.features2 & bit != 0
    }

    pub(crate) fn ro_compat(self, bit: u32) -> bool {
        self.v5() && self.ro_compat & bit != 0
    }

    pub(crate) fn incompat(self, bit: u32) -> bool {
        self.v5() && self.incompat & bit != 0
    }

    /// Whether directory entries say what they name.
    pub(crate) fn ftype(self) -> bool {
        self.incompat(incompat::FTYPE) || !self.v5() && self.features2(features2::FTYPE)
    }

    /// Names of all features as `mkfs.xfs` and `xfs_info` write them; unknown ones in hexadecimal.
    pub(crate) fn names(self) -> Vec<String> {
        let mut names = vec![if self.v5() { "v5" } else { "v4" }.to_owned()];
        if self.v5() {
            names.extend(Word::new(self.ro_compat, RO_COMPAT).names("ro_compat"));
            names.extend(Word::new(self.incompat, INCOMPAT).names("incompat"));
        }
        if self.version(version::BORG) {
            names.push("ascii-ci".to_owned());
        }
        names
    }

    /// Refuses what we cannot even read.
    pub(crate) fn check_readable(self) -> Result<()> {
        if !matches!(self.version & version::NUMBER, 4 | 5) {
            let number = self.version & version::NUMBER;
            return Err(FsError::unsupported(format!("XFS version {number}")));
        }
        if !self.version(version::DIRV2) {
            return Err(FsError::unsupported("XFS with version 1 directories"));
        }
        if self.v5() { Word::new(self.incompat, INCOMPAT).check_readable("XFS") } else { Ok(()) }
    }

    /// Refuses what we can read but not write.
    pub(crate) fn check_writable(self) -> Result<()> {
        let refuse = |what: &str| Err(FsError::unsupported(format!("writing to XFS {what}")));
        if self.version(version::BORG) {
            return refuse("with ascii-ci: names have no case");
        }
        if !self.v5() {
            for (has, name) in [
                (self.version(version::NLINK), "32-bit link counts"),
                (self.features2(features2::LAZY_COUNT), "lazy-count"),
                (self.features2(features2::ATTR2), "attr=2"),
            ] {
                if !has {
                    return refuse(&format!("version 4 without {name}"));
                }
            }
            return Ok(());
        }
        Word::new(self.incompat, INCOMPAT).check_writable("XFS")?;
        Word::new(self.ro_compat, RO_COMPAT).check_writable("XFS")?;
        match self.log_incompat {
            0 => Ok(()),
            bits => refuse(&format!("with log features in use: {bits:#x}")),
        }
    }
}
