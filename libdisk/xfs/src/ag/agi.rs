//! The header of a group's inodes ("AG Inode Management").

use vfs::{FsError, Result};
use zerocopy::big_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{Identity, Root, sector_byte};
use crate::bytes::put;
use crate::checksum;
use crate::features::ro_compat;
use crate::superblock::Superblock;

const MAGIC: u32 = 0x5841_4749;
const CRC_AT: usize = 312;

/// Lists of inodes that have no name any more but are still open.
pub(crate) const UNLINKED_BUCKETS: usize = 64;

/// As it is on disk; names are the document's without `agi_`.
#[derive(Debug, Clone, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawAgi {
    magicnum: U32,
    versionnum: U32,
    seqno: U32,
    length: U32,
    count: U32,
    root: U32,
    level: U32,
    freecount: U32,
    newino: U32,
    dirino: U32,
    unlinked: [U32; UNLINKED_BUCKETS],
    uuid: [u8; 16],
    crc: U32,
    pad32: U32,
    lsn: U64,
    free_root: U32,
    free_level: U32,
    iblocks: U32,
    fblocks: U32,
}
const _: () = assert!(size_of::<RawAgi>() == 344);

/// Checked, and in natural types.
#[derive(Debug, Clone)]
pub(crate) struct Agi {
    raw: RawAgi,
    sector: Vec<u8>,
    /// All chunks of inodes.
    pub(crate) inodes: Root,
    /// The chunks that have a free inode, where the file system has that.
    pub(crate) free_inodes: Option<Root>,
    /// Inodes, and free ones.
    pub(crate) count: u32,
    pub(crate) free_count: u32,
    /// The chunk made last, as its first inode; [`NULL`](super::NULL) for none.
    pub(crate) newest: u32,
    /// Heads of the lists of inodes without a name; [`NULL`](super::NULL) for none.
    pub(crate) unlinked: [u32; UNLINKED_BUCKETS],
    /// Blocks of the two trees, their roots counted; kept with the feature `inobtcount` only.
    pub(crate) inode_blocks: u32,
    pub(crate) free_inode_blocks: u32,
}

impl Agi {
    pub(super) fn parse(sb: &Superblock, ag: u32, sector: Vec<u8>) -> Result<Self> {
        let byte = sector_byte(sb, ag, 2);
        let name = format!("AGI {ag}");
        let corrupt = |what: &'static str| FsError::corrupt(name.clone(), byte, what);
        let (raw, _) = RawAgi::read_from_prefix(&sector).map_err(|_| corrupt("it is too short"))?;
        let identity = Identity {
            name: name.clone(),
            magic: [raw.magicnum.get(), raw.versionnum.get()],
            seqno: raw.seqno.get(),
            length: raw.length.get(),
            uuid: raw.uuid,
        };
        identity.check(sb, ag, byte, MAGIC, &sector, CRC_AT)?;
        let root = |block: U32, levels: U32| identity.root(byte, block.get(), levels.get());
        if raw.freecount.get() > raw.count.get() {
            return Err(corrupt("it has more free inodes than inodes"));
        }
        Ok(Self {
            inodes: root(raw.root, raw.level)?,
            free_inodes: sb.has_finobt().then(|| root(raw.free_root, raw.free_level)).transpose()?,
            count: raw.count.get(),
            free_count: raw.freecount.get(),
            newest: raw.newino.get(),
            unlinked: raw.unlinked.map(U32::get),
            inode_blocks: raw.iblocks.get(),
            free_inode_blocks: raw.fblocks.get(),
            raw,
            sector,
        })
    }

    /// The sector with a new checksum.
    pub(super) fn encode(&mut self, sb: &Superblock) -> Result<Vec<u8>> {
        let raw = &mut self.raw;
        raw.root.set(self.inodes.block);
        raw.level.set(self.inodes.levels);
        if let Some(root) = self.free_inodes {
            raw.free_root.set(root.block);
            raw.free_level.set(root.levels);
        }
        raw.count.set(self.count);
        raw.freecount.set(self.free_count);
        raw.newino.set(self.newest);
        raw.unlinked = self.unlinked.map(U32::new);
        if sb.features.ro_compat(ro_compat::INOBTCOUNT) {
            raw.iblocks.set(self.inode_blocks);
            raw.fblocks.set(self.free_inode_blocks);
        }
        put(&mut self.sector, 0, raw.as_bytes())?;
        if sb.v5() {
            checksum::update(&mut self.sector, CRC_AT)?;
        }
        Ok(self.sector.clone())
    }
}
