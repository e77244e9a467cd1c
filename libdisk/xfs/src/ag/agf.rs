//! The header of a group's free space ("AG Free Space Block").

use vfs::{FsError, Result};
use zerocopy::big_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{Identity, Root, sector_byte};
use crate::bytes::{put, word};
use crate::checksum;
use crate::superblock::Superblock;

const MAGIC: u32 = 0x5841_4746;
const CRC_AT: usize = 216;

/// As it is on disk; names are the document's without `agf_`.
#[derive(Debug, Clone, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawAgf {
    magicnum: U32,
    versionnum: U32,
    seqno: U32,
    length: U32,
    bno_root: U32,
    cnt_root: U32,
    rmap_root: U32,
    bno_level: U32,
    cnt_level: U32,
    rmap_level: U32,
    flfirst: U32,
    fllast: U32,
    flcount: U32,
    freeblks: U32,
    longest: U32,
    btreeblks: U32,
    uuid: [u8; 16],
    rmap_blocks: U32,
    refcount_blocks: U32,
    refcount_root: U32,
    refcount_level: U32,
    spare64: [u8; 112],
    lsn: U64,
    crc: U32,
    spare2: U32,
}
const _: () = assert!(size_of::<RawAgf>() == 224);

/// Checked, and in natural types.
#[derive(Debug, Clone)]
pub(crate) struct Agf {
    raw: RawAgf,
    sector: Vec<u8>,
    /// Free space by place, and by length.
    pub(crate) by_block: Root,
    pub(crate) by_size: Root,
    /// Who owns each block, where the file system has that.
    pub(crate) rmap: Option<Root>,
    /// Blocks that several files share, where the file system has that.
    pub(crate) refcount: Option<Root>,
    /// Blocks in the free space trees; those of the free list are not among them.
    pub(crate) free_blocks: u32,
    /// The longest free run.
    pub(crate) longest: u32,
    /// Blocks of the two free space trees and of the rmap tree, their roots not counted.
    pub(crate) tree_blocks: u32,
    /// Blocks of the rmap tree and of the refcount tree, their roots counted.
    pub(crate) rmap_blocks: u32,
    pub(crate) refcount_blocks: u32,
}

impl Agf {
    pub(super) fn parse(sb: &Superblock, ag: u32, sector: Vec<u8>) -> Result<Self> {
        let byte = sector_byte(sb, ag, 1);
        let name = format!("AGF {ag}");
        let corrupt = |what: &'static str| FsError::corrupt(name.clone(), byte, what);
        let (raw, _) = RawAgf::read_from_prefix(&sector).map_err(|_| corrupt("it is too short"))?;
        let identity = Identity {
            name: name.clone(),
            magic: [raw.magicnum.get(), raw.versionnum.get()],
            seqno: raw.seqno.get(),
            length: raw.length.get(),
            uuid: raw.uuid,
        };
        identity.check(sb, ag, byte, MAGIC, &sector, CRC_AT)?;
        let root = |block: U32, levels: U32| identity.root(byte, block.get(), levels.get());
        if raw.freeblks.get() > raw.length.get() || raw.longest.get() > raw.freeblks.get() {
            return Err(corrupt("it has more free blocks than blocks"));
        }
        Ok(Self {
            by_block: root(raw.bno_root, raw.bno_level)?,
            by_size: root(raw.cnt_root, raw.cnt_level)?,
            rmap: sb.has_rmapbt().then(|| root(raw.rmap_root, raw.rmap_level)).transpose()?,
            refcount: sb.has_reflink().then(|| root(raw.refcount_root, raw.refcount_level)).transpose()?,
            free_blocks: raw.freeblks.get(),
            longest: raw.longest.get(),
            tree_blocks: raw.btreeblks.get(),
            rmap_blocks: raw.rmap_blocks.get(),
            refcount_blocks: raw.refcount_blocks.get(),
            raw,
            sector,
        })
    }

    /// First and last entry of the free list, and how many there are.
    pub(super) fn free_list(&self) -> (u32, u32, u32) {
        (self.raw.flfirst.get(), self.raw.fllast.get(), self.raw.flcount.get())
    }

    /// The free list starts at its first entry.
    pub(super) fn set_free_list(&mut self, len: usize) {
        self.raw.flfirst.set(0);
        self.raw.fllast.set(word(len).saturating_sub(1));
        self.raw.flcount.set(word(len));
    }

    /// The sector with a new checksum.
    pub(super) fn encode(&mut self, sb: &Superblock) -> Result<Vec<u8>> {
        let raw = &mut self.raw;
        for (block, level, root) in [
            (&mut raw.bno_root, &mut raw.bno_level, Some(self.by_block)),
            (&mut raw.cnt_root, &mut raw.cnt_level, Some(self.by_size)),
            (&mut raw.rmap_root, &mut raw.rmap_level, self.rmap),
            (&mut raw.refcount_root, &mut raw.refcount_level, self.refcount),
        ] {
            if let Some(root) = root {
                block.set(root.block);
                level.set(root.levels);
            }
        }
        raw.freeblks.set(self.free_blocks);
        raw.longest.set(self.longest);
        raw.btreeblks.set(self.tree_blocks);
        raw.rmap_blocks.set(self.rmap_blocks);
        raw.refcount_blocks.set(self.refcount_blocks);
        put(&mut self.sector, 0, raw.as_bytes())?;
        if sb.v5() {
            checksum::update(&mut self.sector, CRC_AT)?;
        }
        Ok(self.sector.clone())
    }
}
