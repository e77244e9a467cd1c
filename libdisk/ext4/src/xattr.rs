//! Extended attributes ("ext4 disk layout: Extended Attributes"): in the inode, then in one block that inodes
//! may share.

use vfs::{FsError, Result};

use crate::bytes::{byte, index, le16, le32, low16, low32, pad4, part, part_mut, put, put16, put32, wide};
use crate::change::Change;
use crate::checksum::crc32c;
use crate::features::{compat, incompat};
use crate::inode::{Inode, flag};
use crate::{Ext4, acl};

const MAGIC: u32 = 0xea02_0000;
/// Bytes of an entry before its name.
const ENTRY: usize = 16;
/// Bytes of the header of a block: magic, reference count, blocks, hash, checksum, reserved.
const HEADER: usize = 32;
const REFCOUNT: usize = 4;
const BLOCKS: usize = 8;
const HASH: usize = 12;
const CHECKSUM: usize = 16;
/// The most that a value in an inode of its own may have (`XATTR_SIZE_MAX`).
const VALUE_MAX: u32 = 65536;
const NAME_MAX: usize = 255;

const SYSTEM: u8 = 7;
/// The rest of inline data is stored under this name in [`SYSTEM`].
const INLINE: &[u8] = b"data";

/// "Attribute Name Indices"; the longest matching prefix is meant.
const PREFIXES: &[(u8, &[u8])] = &[
    (2, b"system.posix_acl_access"),
    (3, b"system.posix_acl_default"),
    (8, b"system.richacl"),
    (1, b"user."),
    (4, b"trusted."),
    (6, b"security."),
    (SYSTEM, b"system."),
];

fn is_acl(index: u8) -> bool {
    matches!(index, 2 | 3)
}

/// Where a value is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Value {
    Here(Vec<u8>),
    /// In an inode of its own.
    Inode {
        number: u32,
        size: u32,
        hash: u32,
    },
}

/// One attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Attribute {
    index: u8,
    name: Vec<u8>,
    value: Value,
}

impl Attribute {
    fn is(&self, index: u8, name: &[u8]) -> bool {
        self.index == index && self.name == name
    }

    fn full_name(&self) -> Option<Vec<u8>> {
        let (_, prefix) = PREFIXES.iter().find(|(index, _)| *index == self.index)?;
        Some([prefix, self.name.as_slice()].concat())
    }

    /// Bytes it takes, entry and value.
    fn len(&self) -> usize {
        let value = match &self.value {
            Value::Here(value) => pad4(value.len()),
            Value::Inode { .. } => 0,
        };
        pad4(self.name.len().saturating_add(ENTRY)).saturating_add(value)
    }

    /// `e_hash`: over the name and the value in words.
    fn hash(&self) -> u32 {
        let hash = self.name.iter().fold(0_u32, |hash, &byte| hash.rotate_left(5) ^ u32::from(byte));
        match &self.value {
            Value::Inode { hash, .. } => *hash,
            Value::Here(value) => value.chunks(4).fold(hash, |hash, bytes| {
                let word = bytes.iter().rev().fold(0_u32, |word, &byte| word << 8 | u32::from(byte));
                hash.rotate_left(16) ^ word
            }),
        }
    }
}

/// Splits a full name into index and rest.
fn split_name(full: &[u8]) -> Result<(u8, &[u8])> {
    let found =
        PREFIXES.iter().find_map(|(index, prefix)| full.strip_prefix(*prefix).map(|rest| (*index, rest)));
    let invalid = |what: &'static str| Err(FsError::Invalid(what.into()));
    match found {
        Some((index, rest)) if is_acl(index) && !rest.is_empty() => {
            invalid("an unknown attribute under system.")
        }
        Some((SYSTEM | 8, _)) => {
            Err(FsError::unsupported("setting an attribute under system. that is not a POSIX ACL"))
        }
        Some((1 | 4 | 6, [])) => invalid("an attribute name that is only a prefix"),
        Some((_, rest)) if rest.len() > NAME_MAX => invalid("an attribute name of more than 255 bytes"),
        Some(found) => Ok(found),
        None => invalid("an attribute name with an unknown prefix"),
    }
}

/// Reads entries from `at` on; values are counted from `base`.
fn parse(
    area: &[u8],
    at: usize,
    base: usize,
    corrupt: &dyn Fn(&'static str) -> FsError,
) -> Result<Vec<Attribute>> {
    let mut attributes = Vec::new();
    let mut at = at;
    while at.saturating_add(4) <= area.len() && le32(area, at)? != 0 {
        let cut_off = |_| corrupt("an entry is cut off");
        let entry = part(area, at, ENTRY).map_err(cut_off)?;
        let name_len = usize::from(byte(entry, 0)?);
        let name = part(area, at.saturating_add(ENTRY), name_len).map_err(cut_off)?;
        let (number, size) = (le32(entry, 4)?, le32(entry, 8)?);
        let value = if number != 0 {
            Value::Inode { number, size, hash: le32(entry, 12)? }
        } else if size == 0 {
            Value::Here(Vec::new())
        } else {
            let start = base.saturating_add(le16(entry, 2)?.into());
            let value = part(area, start, index(size)).map_err(|_| corrupt("a value lies outside"))?;
            Value::Here(value.to_vec())
        };
        attributes.push(Attribute { index: byte(entry, 1)?, name: name.to_vec(), value });
        at = at.saturating_add(pad4(ENTRY.saturating_add(name_len)));
    }
    Ok(attributes)
}

/// Whether these attributes and the end mark fit.
fn fits(attributes: &[Attribute], room: usize) -> bool {
    attributes.iter().fold(4_usize, |sum, attribute| sum.saturating_add(attribute.len())) <= room
}

/// In the order that blocks must have.
fn sorted(attributes: &[Attribute]) -> Vec<&Attribute> {
    let mut sorted: Vec<_> = attributes.iter().collect();
    sorted.sort_by_key(|attribute| (attribute.index, attribute.name.len(), &attribute.name));
    sorted
}

/// Writes entries from `at` on and values from the end down; the area is zero.
fn pack(attributes: &[Attribute], area: &mut [u8], at: usize, base: usize) -> Result<()> {
    let (mut at, mut end) = (at, area.len());
    for attribute in sorted(attributes) {
        put(area, at, &[low16(wide(attribute.name.len())).to_le_bytes()[0], attribute.index])?;
        put(area, at.saturating_add(ENTRY), &attribute.name)?;
        match &attribute.value {
            Value::Here(value) => {
                end = end.saturating_sub(pad4(value.len()));
                put(area, end, value)?;
                let offset = if value.is_empty() { 0 } else { low16(wide(end.saturating_sub(base))) };
                put16(area, at.saturating_add(2), offset)?;
                put32(area, at.saturating_add(8), low32(wide(value.len())))?;
            }
            Value::Inode { number, size, .. } => {
                put32(area, at.saturating_add(4), *number)?;
                put32(area, at.saturating_add(8), *size)?;
            }
        }
        put32(area, at.saturating_add(12), attribute.hash())?;
        at = at.saturating_add(pad4(ENTRY.saturating_add(attribute.name.len())));
    }
    Ok(())
}

/// The attributes in the inode.
fn inside(inode: &Inode) -> Result<Vec<Attribute>> {
    let area = inode.xattr_area()?;
    if area.len() < 8 || le32(area, 0)? != MAGIC {
        return Ok(Vec::new());
    }
    parse(area, 4, 4, &|what| FsError::corrupt(format!("attributes of inode {}", inode.number), 0, what))
}

/// Stores the attributes in the inode; they fit.
fn store_inside(inode: &mut Inode, attributes: &[Attribute]) -> Result<()> {
    let area = inode.xattr_area_mut()?;
    area.fill(0);
    if attributes.is_empty() {
        return Ok(());
    }
    put32(area, 0, MAGIC)?;
    pack(attributes, area, 4, 4)
}

/// The part of inline data that `i_block` does not hold.
pub(crate) fn inline_value(inode: &Inode) -> Result<Option<Vec<u8>>> {
    Ok(inside(inode)?.into_iter().find(|attribute| attribute.is(SYSTEM, INLINE)).and_then(
        |found| match found.value {
            Value::Here(value) => Some(value),
            Value::Inode { .. } => None,
        },
    ))
}

/// Stores or removes it; a new value has the length of the old one.
pub(crate) fn set_inline_value(inode: &mut Inode, value: Option<&[u8]>) -> Result<()> {
    let mut attributes = inside(inode)?;
    match (attributes.iter().position(|attribute| attribute.is(SYSTEM, INLINE)), value) {
        (Some(at), None) => {
            attributes.remove(at);
        }
        (Some(at), Some(value)) => {
            if let Some(attribute) = attributes.get_mut(at) {
                attribute.value = Value::Here(value.to_vec());
            }
        }
        (None, _) => return Ok(()),
    }
    store_inside(inode, &attributes)
}

/// `h_checksum`: over the block's number and its bytes, the field itself taken as zero.
fn block_checksum(seed: u32, number: u64, bytes: &[u8]) -> Result<u32> {
    let sum = crc32c(crc32c(seed, &number.to_le_bytes()), part(bytes, 0, CHECKSUM)?);
    let after = CHECKSUM.saturating_add(4);
    Ok(crc32c(crc32c(sum, &[0; 4]), bytes.get(after..).unwrap_or_default()))
}

impl Ext4 {
    /// The block of attributes, checked.
    fn xattr_bytes(&self, block: u64) -> Result<Vec<u8>> {
        let corrupt = |what| FsError::corrupt("extended attribute block", self.sb.byte(block), what);
        let bytes = self.blocks.read(block)?;
        if le32(&bytes, 0)? != MAGIC || le32(&bytes, BLOCKS)? != 1 {
            return Err(corrupt("its header makes no sense"));
        }
        if self.sb.checksums() && block_checksum(self.sb.seed, block, &bytes)? != le32(&bytes, CHECKSUM)? {
            return Err(corrupt("its checksum is wrong"));
        }
        Ok(bytes.to_vec())
    }

    /// The attributes in the block.
    fn outside(&self, inode: &Inode) -> Result<Vec<Attribute>> {
        let Some(block) = inode.xattr_block() else { return Ok(Vec::new()) };
        let bytes = self.xattr_bytes(block)?;
        parse(&bytes, HEADER, 0, &|what| {
            FsError::corrupt("extended attribute block", self.sb.byte(block), what)
        })
    }

    fn value(&self, value: Value) -> Result<Vec<u8>> {
        let (number, size) = match value {
            Value::Here(value) => return Ok(value),
            Value::Inode { number, size, .. } => (number, size),
        };
        let inode = self.inode(number)?;
        let plausible = self.sb.incompat(incompat::EA_INODE) && inode.has(flag::EA_INODE);
        if !plausible || inode.size() != u64::from(size) || size > VALUE_MAX {
            return Err(inode.corrupt("it is not the attribute value that it should be"));
        }
        let mut bytes = vec![0; index(size)];
        self.read_content(&inode, &mut bytes, 0)?;
        Ok(bytes)
    }

    /// All attributes by their full names, sorted.
    pub(crate) fn attributes(&self, inode: &Inode) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let mut found = Vec::new();
        for attribute in inside(inode)?.into_iter().chain(self.outside(inode)?) {
            let Some(name) = attribute.full_name().filter(|_| !attribute.is(SYSTEM, INLINE)) else {
                continue;
            };
            let value = self.value(attribute.value)?;
            let value = if is_acl(attribute.index) {
                acl::shown(&value).ok_or_else(|| inode.corrupt("a POSIX ACL that is not well formed"))?
            } else {
                value
            };
            found.push((name, value));
        }
        found.sort();
        Ok(found)
    }
}

impl Change<'_> {
    /// Sets or removes one attribute. The inode changes and is not staged.
    pub(crate) fn set_attribute(
        &mut self,
        inode: &mut Inode,
        full: &[u8],
        value: Option<&[u8]>,
    ) -> Result<()> {
        let (index, name) = split_name(full)?;
        let (mut inner, mut outer) = (inside(inode)?, self.fs.outside(inode)?);
        let had_outer = outer.clone();
        let is_it = |attribute: &Attribute| attribute.is(index, name);
        if inner
            .iter()
            .chain(&outer)
            .any(|attribute| is_it(attribute) && matches!(attribute.value, Value::Inode { .. }))
        {
            return Err(FsError::unsupported(
                "changing an ext4 attribute whose value has an inode of its own (ea_inode)",
            ));
        }
        inner.retain(|attribute| !is_it(attribute));
        outer.retain(|attribute| !is_it(attribute));
        if let Some(value) = value {
            let value = if is_acl(index) { acl::stored(value)? } else { value.to_vec() };
            let attribute = Attribute { index, name: name.to_vec(), value: Value::Here(value) };
            inner.push(attribute);
            if !fits(&inner, inode.xattr_area()?.len().saturating_sub(4)) {
                outer.extend(inner.pop());
            }
            if !fits(&outer, self.fs.blocks.block_size().saturating_sub(HEADER)) {
                return Err(FsError::NoSpace("the extended attributes do not fit their block"));
            }
            self.fs.sb.enable_compat(compat::EXT_ATTR);
        }
        store_inside(inode, &inner)?;
        if outer == had_outer { Ok(()) } else { self.store_outside(inode, &outer) }
    }

    /// Writes the attributes of the block, into a block of this inode's own.
    fn store_outside(&mut self, inode: &mut Inode, attributes: &[Attribute]) -> Result<()> {
        let own = match inode.xattr_block() {
            Some(block) if le32(&self.fs.xattr_bytes(block)?, REFCOUNT)? == 1 => Some(block),
            _ => None,
        };
        if attributes.is_empty() || own.is_none() {
            self.release_xattr_block(inode)?;
        }
        if attributes.is_empty() {
            return Ok(());
        }
        let block = match own {
            Some(block) => block,
            None => {
                let block = self.allocate_run(self.goal(inode), 1)?.start;
                inode.set_xattr_block(Some(block));
                inode.count_xattr_block(&self.fs.sb, true)?;
                block
            }
        };
        let mut bytes = vec![0; self.fs.blocks.block_size()];
        put32(&mut bytes, 0, MAGIC)?;
        put32(&mut bytes, REFCOUNT, 1)?;
        put32(&mut bytes, BLOCKS, 1)?;
        pack(attributes, &mut bytes, HEADER, 0)?;
        let hash =
            sorted(attributes).iter().fold(0_u32, |hash, attribute| hash.rotate_left(16) ^ attribute.hash());
        put32(&mut bytes, HASH, hash)?;
        self.stage_xattr_block(block, bytes)
    }

    fn stage_xattr_block(&mut self, block: u64, mut bytes: Vec<u8>) -> Result<()> {
        if self.fs.sb.checksums() {
            let sum = block_checksum(self.fs.sb.seed, block, &bytes)?;
            put32(part_mut(&mut bytes, CHECKSUM, 4)?, 0, sum)?;
        }
        self.fs.blocks.stage(block, bytes)
    }

    /// Lets go of the block of attributes: frees it, or counts one sharer less.
    fn release_xattr_block(&mut self, inode: &mut Inode) -> Result<()> {
        let Some(block) = inode.xattr_block() else { return Ok(()) };
        let mut bytes = self.fs.xattr_bytes(block)?;
        match le32(&bytes, REFCOUNT)? {
            0 | 1 => self.free_blocks(block..block.saturating_add(1))?,
            shared => {
                put32(&mut bytes, REFCOUNT, shared.saturating_sub(1))?;
                self.stage_xattr_block(block, bytes)?;
            }
        }
        inode.set_xattr_block(None);
        inode.count_xattr_block(&self.fs.sb, false)
    }

    /// Lets go of all attributes of an inode that goes away.
    pub(crate) fn release_attributes(&mut self, inode: &mut Inode) -> Result<()> {
        if inside(inode)?
            .iter()
            .chain(&self.fs.outside(inode)?)
            .any(|found| matches!(found.value, Value::Inode { .. }))
        {
            return Err(FsError::unsupported(
                "removing an ext4 inode with attribute values in inodes of their own (ea_inode)",
            ));
        }
        self.release_xattr_block(inode)
    }
}
