//! Content of files: file extents ("File extent item").

use std::ops::Range;
use std::sync::Arc;

use vfs::{FileType, FsError, Result};
use zerocopy::little_endian::{U16, U64};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

use crate::bytes::{index, overlap, wide, window};
use crate::compress::{Compression, LIMIT};
use crate::inode::Inode;
use crate::key::{Key, kind};
use crate::node::Item;
use crate::tree::Tree;
use crate::volume::Volume;

/// The longest target of a symbolic link.
const TARGET_MAX: u64 = 4095;

/// What all forms have.
#[derive(Debug, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawExtent {
    generation: U64,
    ram_bytes: U64,
    compression: u8,
    encryption: u8,
    other_encoding: U16,
    kind: u8,
}
const _: () = assert!(size_of::<RawExtent>() == 21);

/// What follows where the data are not in the item itself.
#[derive(Debug, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawPlace {
    disk_bytenr: U64,
    disk_num_bytes: U64,
    offset: U64,
    num_bytes: U64,
}
const _: () = assert!(size_of::<RawPlace>() == 32);

/// `kind` of an extent.
const INLINE: u8 = 0;
const REGULAR: u8 = 1;
const PREALLOCATED: u8 = 2;

/// A compressed extent that was unpacked.
#[derive(Debug)]
pub(crate) struct Unpacked {
    /// Its logical address.
    logical: u64,
    content: Arc<Vec<u8>>,
}

/// Where the bytes of a piece of a file are.
enum Source<'a> {
    /// In the item; so many when unpacked.
    Inline(&'a [u8], usize),
    /// On the volume, from a logical address on, as they are.
    Plain(u64),
    /// On the volume, compressed: the extent, its length when unpacked, and where in that the piece begins.
    Compressed(Range<u64>, usize, u64),
    /// All bytes are zero.
    Zeros,
}

impl Volume {
    /// Reads content of an inode, as far as its size goes.
    pub(crate) fn read_content(
        &self,
        tree: &Tree,
        inode: &Inode,
        buf: &mut [u8],
        offset: u64,
    ) -> Result<usize> {
        let len = buf.len().min(index(inode.size().saturating_sub(offset)));
        let buf = buf.get_mut(..len).unwrap_or_default();
        if len == 0 {
            return Ok(0);
        }
        // What no extent has is a hole.
        buf.fill(0);
        let wanted = offset..offset.saturating_add(wide(len));
        let key = |offset| Key::new(inode.number, kind::EXTENT_DATA, offset);
        let before = self.last_item(tree, key(offset))?.map(|item| item.key);
        let from = before.filter(|key| key.is(inode.number, kind::EXTENT_DATA)).unwrap_or(key(offset));
        for item in self.items(tree, from..=key(wanted.end.saturating_sub(1))) {
            self.read_extent(inode, &item?, buf, &wanted)?;
        }
        Ok(len)
    }

    /// The first byte of a file from `offset` on that an extent has, one of zeros alone aside.
    pub(crate) fn next_content(&self, tree: &Tree, inode: &Inode, offset: u64) -> Result<Option<u64>> {
        let key = |offset| Key::new(inode.number, kind::EXTENT_DATA, offset);
        let before = self.last_item(tree, key(offset))?.map(|item| item.key);
        let from = before.filter(|key| key.is(inode.number, kind::EXTENT_DATA)).unwrap_or(key(offset));
        for item in self.items(tree, from..=key(u64::MAX)) {
            let item = item?;
            let (len, _, source) = extent_of(&item)?;
            let end = item.key.offset.saturating_add(len);
            if end > offset && !matches!(source, Source::Zeros) {
                return Ok(Some(item.key.offset.max(offset)).filter(|at| *at < inode.size()));
            }
        }
        Ok(None)
    }

    /// The target of a symbolic link.
    pub(crate) fn target(&self, tree: &Tree, inode: &Inode) -> Result<Vec<u8>> {
        if inode.file_type != FileType::Symlink {
            return Err(FsError::Invalid("not a symbolic link".into()));
        }
        if inode.size() == 0 || inode.size() > TARGET_MAX {
            return Err(inode.corrupt(format!("a target of {} bytes", inode.size())));
        }
        let mut target = vec![0; index(inode.size())];
        self.read_content(tree, inode, &mut target, 0)?;
        Ok(target)
    }

    /// Copies what an extent has of the bytes `wanted` of the file to `buf`.
    fn read_extent(&self, inode: &Inode, item: &Item, buf: &mut [u8], wanted: &Range<u64>) -> Result<()> {
        let (len, compression, source) = extent_of(item)?;
        let extent = item.key.offset..item.key.offset.saturating_add(len);
        let Some(part) = overlap(&extent, wanted) else { return Ok(()) };
        let skipped = part.start.saturating_sub(extent.start);
        let target = window(buf, wanted.start, &part);
        match source {
            Source::Zeros => target.fill(0),
            Source::Plain(logical) => {
                self.read_data(target, logical.saturating_add(skipped), inode.has_checksums())?;
            }
            Source::Inline(packed, len) => {
                let content = self.unpack(compression, packed, len, item)?;
                copy(target, &content, skipped);
            }
            Source::Compressed(packed, len, within) => {
                let content = self.unpacked(compression, packed, len, item, inode)?;
                copy(target, &content, within.saturating_add(skipped));
            }
        }
        Ok(())
    }

    fn unpack(&self, compression: Compression, packed: &[u8], len: usize, item: &Item) -> Result<Vec<u8>> {
        let content = compression.unpack(packed, len, self.sb.sector_size);
        content.map_err(|error| item.corrupt(format!("it cannot be unpacked: {error}")))
    }

    /// The whole content of a compressed extent.
    fn unpacked(
        &self,
        compression: Compression,
        packed: Range<u64>,
        len: usize,
        item: &Item,
        inode: &Inode,
    ) -> Result<Arc<Vec<u8>>> {
        if let Some(known) = &*self.unpacked.borrow()
            && known.logical == packed.start
            && known.content.len() == len
        {
            return Ok(known.content.clone());
        }
        let mut bytes = vec![0; index(packed.end.saturating_sub(packed.start))];
        self.read_data(&mut bytes, packed.start, inode.has_checksums())?;
        let content = Arc::new(self.unpack(compression, &bytes, len, item)?);
        self.unpacked.replace(Some(Unpacked { logical: packed.start, content: content.clone() }));
        Ok(content)
    }
}

/// Length in the file of an extent, how it is compressed, and where its data are.
fn extent_of<'a>(item: &'a Item) -> Result<(u64, Compression, Source<'a>)> {
    let (raw, rest) = item.read::<RawExtent>()?;
    if raw.encryption != 0 || raw.other_encoding.get() != 0 {
        return Err(FsError::unsupported("an encrypted file of btrfs"));
    }
    let compression = Compression::of_type(raw.compression).ok_or_else(|| {
        FsError::unsupported(format!("a file of btrfs with the unknown compression {}", raw.compression))
    })?;
    let (len, source) = match raw.kind {
        INLINE => {
            let len = if compression == Compression::None { wide(rest.len()) } else { raw.ram_bytes.get() };
            if item.key.offset != 0 || len > LIMIT {
                return Err(item.corrupt(format!("{len} bytes in the item itself")));
            }
            (len, Source::Inline(rest, index(len)))
        }
        REGULAR | PREALLOCATED => placed(&raw, compression, item, rest)?,
        other => return Err(item.corrupt(format!("an extent of the type {other}"))),
    };
    Ok((len, compression, source))
}

/// Length in the file, and place, of an extent whose data are not in the item.
fn placed<'a>(
    raw: &RawExtent,
    compression: Compression,
    item: &Item,
    rest: &[u8],
) -> Result<(u64, Source<'a>)> {
    let (place, _) =
        RawPlace::read_from_prefix(rest).map_err(|_| item.corrupt("the place of its data is cut off"))?;
    let (len, within) = (place.num_bytes.get(), place.offset.get());
    let (start, packed) = (place.disk_bytenr.get(), place.disk_num_bytes.get());
    if start == 0 || raw.kind == PREALLOCATED {
        return Ok((len, Source::Zeros));
    }
    let outside = || item.corrupt("it reaches past the end of its extent");
    let end = start.checked_add(packed).ok_or_else(outside)?;
    let used = within.checked_add(len).ok_or_else(outside)?;
    let ram = raw.ram_bytes.get();
    if compression == Compression::None {
        let source = Source::Plain(start.saturating_add(within));
        return if used > packed { Err(outside()) } else { Ok((len, source)) };
    }
    if used > ram {
        return Err(outside());
    }
    if packed > LIMIT || ram > LIMIT {
        return Err(item.corrupt(format!("{packed} bytes compressed, {ram} unpacked")));
    }
    Ok((len, Source::Compressed(start..end, index(ram), within)))
}

/// Copies from byte `from` of `content` on.
fn copy(target: &mut [u8], content: &[u8], from: u64) {
    for (to, byte) in target.iter_mut().zip(content.iter().skip(index(from))) {
        *to = *byte;
    }
}
