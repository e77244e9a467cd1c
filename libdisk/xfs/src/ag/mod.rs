//! Allocation groups: the three header sectors after each (super)block sector ("AG Free Space Management",
//! "AG Inode Management").

mod agf;
mod agfl;
mod agi;

use vfs::{FsError, Result};

use crate::Xfs;
use crate::checksum;
use crate::superblock::Superblock;

pub(crate) use agf::Agf;
pub(crate) use agi::Agi;

/// "No block", "no inode" where numbers are relative to a group.
pub(crate) const NULL: u32 = u32::MAX;

/// The deepest B+tree in a group that any kernel makes (`XFS_BTREE_MAXLEVELS`).
pub(crate) const MAX_LEVELS: u32 = 9;

/// The root of a B+tree in a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Root {
    /// The block of the group where it lies.
    pub(crate) block: u32,
    /// Levels, at least 1; the root is at `levels - 1`.
    pub(crate) levels: u32,
}

/// The headers of a group, as a change sees them.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    pub(crate) number: u32,
    pub(crate) agf: Agf,
    pub(crate) agi: Agi,
    /// Blocks set aside for the free space trees, the first to be used first.
    pub(crate) free_list: Vec<u32>,
}

/// What both large headers start with, and what tells them apart from strays.
struct Identity {
    name: String,
    magic: [u32; 2],
    seqno: u32,
    length: u32,
    uuid: [u8; 16],
}

impl Identity {
    /// Checks that a sector is the header that belongs at `byte`.
    fn check(
        &self,
        sb: &Superblock,
        ag: u32,
        byte: u64,
        magic: u32,
        sector: &[u8],
        crc: usize,
    ) -> Result<()> {
        let corrupt = |what: &'static str| Err(FsError::corrupt(self.name.clone(), byte, what));
        if self.magic != [magic, 1] {
            return corrupt("its magic number or version is wrong");
        }
        if sb.v5() && !checksum::is_right(sector, crc) {
            return corrupt("its checksum is wrong");
        }
        if sb.v5() && self.uuid != sb.meta_uuid {
            return corrupt("it belongs to another file system");
        }
        if self.seqno != ag || self.length != sb.ag_len(ag) {
            return corrupt("its number or length is wrong");
        }
        Ok(())
    }

    /// The root of a tree that this header tells of.
    fn root(&self, byte: u64, block: u32, levels: u32) -> Result<Root> {
        if block == 0 || block >= self.length || !(1..=MAX_LEVELS).contains(&levels) {
            let what = format!("a tree of {levels} levels with its root in block {block}");
            return Err(FsError::corrupt(self.name.clone(), byte, what));
        }
        Ok(Root { block, levels })
    }
}

/// Where a header sector lies: the superblock is 0, then AGF, AGI and AGFL.
fn sector_byte(sb: &Superblock, ag: u32, sector: u32) -> u64 {
    let within = u64::from(sector).saturating_mul(sb.sector_size.into());
    sb.ag_byte(ag, 0).saturating_add(within)
}

impl Group {
    /// Reads and checks all headers.
    pub(crate) fn read(fs: &Xfs, number: u32) -> Result<Self> {
        let sector = |place: u32| {
            let len = crate::bytes::index(fs.sb.sector_size);
            fs.blocks.disk().read_vec(sector_byte(&fs.sb, number, place), len)
        };
        if number >= fs.sb.ag_count {
            return Err(FsError::corrupt("block pointer", 0, format!("there is no group {number}")));
        }
        let agf = Agf::parse(&fs.sb, number, sector(1)?)?;
        let agi = Agi::parse(&fs.sb, number, sector(2)?)?;
        let free_list = agfl::parse(&fs.sb, number, &agf, &sector(3)?)?;
        Ok(Self { number, agf, agi, free_list })
    }

    /// The three sectors and where they go.
    pub(crate) fn encode(&mut self, sb: &Superblock) -> Result<[(u64, Vec<u8>); 3]> {
        let list = agfl::encode(sb, self.number, &self.free_list)?;
        self.agf.set_free_list(self.free_list.len());
        let place = |sector: u32| sector_byte(sb, self.number, sector);
        Ok([(place(1), self.agf.encode(sb)?), (place(2), self.agi.encode(sb)?), (place(3), list)])
    }
}

impl Xfs {
    /// The headers of a group: as staged, else as on the volume.
    pub(crate) fn group(&self, number: u32) -> Result<Group> {
        match self.groups.get(&number) {
            Some(group) => Ok(group.clone()),
            None => Group::read(self, number),
        }
    }
}
