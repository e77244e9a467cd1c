//! Inodes ("Inode item").

use vfs::{FileType, FsError, Metadata, Result, Timestamp};
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

use crate::key::{Key, kind};
use crate::node::Item;
use crate::tree::Tree;
use crate::volume::Volume;

/// `flags` bits.
mod flag {
    pub(super) const NO_CHECKSUMS: u64 = 0x1;
    pub(super) const IMMUTABLE: u64 = 0x40;
}

#[derive(Debug, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawTime {
    sec: U64,
    nsec: U32,
}

/// As it is on disk.
#[derive(Debug, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawInode {
    generation: U64,
    transid: U64,
    size: U64,
    nbytes: U64,
    block_group: U64,
    nlink: U32,
    uid: U32,
    gid: U32,
    mode: U32,
    rdev: U64,
    flags: U64,
    sequence: U64,
    reserved: [U64; 4],
    atime: RawTime,
    ctime: RawTime,
    mtime: RawTime,
    otime: RawTime,
}
const _: () = assert!(size_of::<RawInode>() == 160);

/// An inode of a subvolume.
#[derive(Debug)]
pub(crate) struct Inode {
    pub(crate) number: u64,
    pub(crate) file_type: FileType,
    raw: RawInode,
    item: Item,
}

fn file_type(mode: u32) -> Option<FileType> {
    match mode >> 12 {
        0o01 => Some(FileType::Fifo),
        0o02 => Some(FileType::CharDevice),
        0o04 => Some(FileType::Directory),
        0o06 => Some(FileType::BlockDevice),
        0o10 => Some(FileType::Regular),
        0o12 => Some(FileType::Symlink),
        0o14 => Some(FileType::Socket),
        _ => None,
    }
}

impl Volume {
    /// The inode with this number.
    pub(crate) fn inode(&self, tree: &Tree, number: u64) -> Result<Inode> {
        let item = self.item(tree, Key::new(number, kind::INODE_ITEM, 0))?.ok_or(FsError::NotFound)?;
        let (raw, _) = item.read::<RawInode>()?;
        let file_type = file_type(raw.mode.get());
        let file_type =
            file_type.ok_or_else(|| item.corrupt(format!("its mode is {:#o}", raw.mode.get())))?;
        Ok(Inode { number, file_type, raw, item })
    }
}

impl Inode {
    pub(crate) fn size(&self) -> u64 {
        self.raw.size.get()
    }

    /// Whether its data have checksums.
    pub(crate) fn has_checksums(&self) -> bool {
        self.raw.flags.get() & flag::NO_CHECKSUMS == 0
    }

    /// What `stat` tells.
    pub(crate) fn metadata(&self) -> Metadata {
        let raw = &self.raw;
        let is_device = matches!(self.file_type, FileType::CharDevice | FileType::BlockDevice);
        // The kernel's own form: 12 bits and 20.
        let part = |n: u64| u32::try_from(n & 0xfffff).unwrap_or_default();
        let rdev = raw.rdev.get();
        Metadata {
            file_type: self.file_type,
            mode: u16::try_from(raw.mode.get() & 0o7777).unwrap_or_default(),
            uid: raw.uid.get(),
            gid: raw.gid.get(),
            size: self.size(),
            links: raw.nlink.get().into(),
            mtime: Timestamp {
                seconds: raw.mtime.sec.get().cast_signed(),
                nanos: raw.mtime.nsec.get().min(999_999_999),
            },
            device: is_device.then(|| (part(rdev >> 20), part(rdev))),
            immutable: raw.flags.get() & flag::IMMUTABLE != 0,
        }
    }

    pub(crate) fn corrupt(&self, what: impl Into<std::borrow::Cow<'static, str>>) -> FsError {
        self.item.corrupt(what)
    }
}
