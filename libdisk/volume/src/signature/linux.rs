//! File systems and swap of Linux, each with its super block in the first 68 KiB.
//!
//! References: the documentation and headers of each in the Linux kernel (`fs/`).

use block::Result;

use super::head::{Piece, Volume};
use super::{Signature, SignatureKind, found};

/// `SWAPSPACE2` and its kin stand at the end of the first page, whose size is that of the processor.
pub(super) fn swap(volume: &Volume<'_>) -> Result<Option<Signature>> {
    let head = &volume.head;
    for at in [4096 - 10, 8192 - 10, 16384 - 10, 32768 - 10, 65536 - 10] {
        let is = |magic: &[u8]| head.is(at, magic);
        if is(b"SWAPSPACE2") {
            return Ok(found(SignatureKind::Swap, head.uuid(0x40c), head.text(0x41c, 16)));
        }
        if is(b"SWAP-SPACE") {
            return Ok(found(SignatureKind::Swap, None, None));
        }
        if is(b"S1SUSPEND") || is(b"S2SUSPEND") || is(b"ULSUSPEND") || is(b"LINHIB0001") {
            return Ok(found(SignatureKind::Suspended, head.uuid(0x40c), head.text(0x41c, 16)));
        }
    }
    Ok(None)
}

/// A format whose UUID and label have their fixed places.
struct Plain {
    kind: SignatureKind,
    /// Where the magic number is, and the number.
    magic: (usize, &'static [u8]),
    /// Where the UUID is.
    uuid: Option<usize>,
    /// Where the label is, and how long it can be.
    label: Option<(usize, usize)>,
}

const fn plain(
    kind: SignatureKind,
    magic: (usize, &'static [u8]),
    uuid: Option<usize>,
    label: Option<(usize, usize)>,
) -> Plain {
    Plain { kind, magic, uuid, label }
}

/// Where the super blocks of ReiserFS, of GFS, and of others begin.
const AT_64K: usize = 64 << 10;
const AT_32K: usize = 32 << 10;

use SignatureKind as Kind;

const PLAINS: [Plain; 23] = [
    plain(Kind::Xfs, (0, b"XFSB"), Some(32), Some((108, 12))),
    plain(Kind::Btrfs, (AT_64K + 64, b"_BHRfS_M"), Some(AT_64K + 32), Some((AT_64K + 299, 256))),
    plain(Kind::Jfs, (AT_32K, b"JFS1"), Some(AT_32K + 136), Some((AT_32K + 152, 16))),
    plain(Kind::Reiserfs, (AT_64K + 52, b"ReIsEr2Fs"), Some(AT_64K + 84), Some((AT_64K + 100, 16))),
    plain(Kind::Reiserfs, (AT_64K + 52, b"ReIsEr3Fs"), Some(AT_64K + 84), Some((AT_64K + 100, 16))),
    plain(Kind::Reiserfs, (AT_64K + 52, b"ReIsErFs"), None, None),
    plain(Kind::Reiserfs, (8192 + 52, b"ReIsErFs"), None, None),
    plain(Kind::Reiser4, (AT_64K, b"ReIsEr4"), Some(AT_64K + 20), Some((AT_64K + 36, 16))),
    plain(Kind::Ocfs2, (1024, b"OCFSV2"), Some(1024 + 336), Some((1024 + 272, 64))),
    plain(Kind::Ocfs2, (2048, b"OCFSV2"), Some(2048 + 336), Some((2048 + 272, 64))),
    plain(Kind::Ocfs2, (4096, b"OCFSV2"), Some(4096 + 336), Some((4096 + 272, 64))),
    plain(Kind::Ocfs2, (8192, b"OCFSV2"), Some(8192 + 336), Some((8192 + 272, 64))),
    plain(Kind::OracleAsm, (32, b"ORCLDISK"), None, Some((40, 24))),
    plain(Kind::Erofs, (1024, &[0xe2, 0xe1, 0xf5, 0xe0]), Some(1024 + 48), Some((1024 + 64, 16))),
    plain(Kind::Cramfs, (0, &[0x45, 0x3d, 0xcd, 0x28]), None, Some((48, 16))),
    plain(Kind::Cramfs, (0, &[0x28, 0xcd, 0x3d, 0x45]), None, Some((48, 16))),
    plain(Kind::Romfs, (0, b"-rom1fs-"), None, Some((16, 16))),
    plain(Kind::Ubifs, (0, &[0x31, 0x18, 0x10, 0x06]), None, None),
    plain(Kind::Minix, (1024 + 24, &[0x5a, 0x4d]), None, None),
    plain(Kind::Minix, (1024 + 16, &[0x7f, 0x13]), None, None),
    plain(Kind::Minix, (1024 + 16, &[0x8f, 0x13]), None, None),
    plain(Kind::Minix, (1024 + 16, &[0x68, 0x24]), None, None),
    plain(Kind::Minix, (1024 + 16, &[0x78, 0x24]), None, None),
];

pub(super) fn file_system(volume: &Volume<'_>) -> Result<Option<Signature>> {
    let head = &volume.head;
    let special = ext(head).or_else(|| xfs_log(head)).or_else(|| f2fs(head)).or_else(|| nilfs2(head));
    if let Some(found) = special.or_else(|| gfs(head)).or_else(|| squashfs(head)) {
        return Ok(Some(found));
    }
    let plain = PLAINS.iter().find(|Plain { kind, magic: (at, magic), .. }| {
        // Two bytes are no magic number: Minix is believed if the counts of its super block are those of a
        // file system.
        head.is(*at, magic) && (*kind != Kind::Minix || is_minix(head))
    });
    Ok(plain.and_then(|plain| {
        let uuid = plain.uuid.and_then(|at| head.uuid(at));
        found(plain.kind, uuid, plain.label.and_then(|(at, len)| head.text(at, len)))
    }))
}

/// As `blkid` tells the generations apart: by the features that the older ones did not have.
fn ext(head: &Piece) -> Option<Signature> {
    if !head.is(0x438, &[0x53, 0xef]) {
        return None;
    }
    let (compat, incompat, ro_compat) = (head.le32(0x45c), head.le32(0x460), head.le32(0x464));
    let (journal, is_journal) = (compat & 0x4 != 0, incompat & 0x8 != 0);
    let is_older = incompat & !0x16 == 0 && ro_compat & !0x7 == 0;
    // EXT2_FLAGS_TEST_FILESYS: it wants the module ext4dev.
    let is_test = head.le32(0x560) & 0x4 != 0;
    let kind = match (is_journal, journal, is_older) {
        (true, _, _) => Kind::ExtJournal,
        (_, false, true) => Kind::Ext2,
        (_, true, true) => Kind::Ext3,
        _ if is_test => Kind::Ext4Dev,
        _ => Kind::Ext4,
    };
    found(kind, head.uuid(0x468), head.text(0x478, 16))
}

/// The header of a log record, version 2, with the UUID of the file system.
fn xfs_log(head: &Piece) -> Option<Signature> {
    let is_log = head.is(0, &[0xfe, 0xed, 0xba, 0xbe]) && matches!(head.be32(8), 1 | 2);
    if is_log { found(Kind::XfsLog, head.uuid(304), None) } else { None }
}

fn f2fs(head: &Piece) -> Option<Signature> {
    let label = || head.utf16(1024 + 124, 1024, u16::from_le_bytes);
    let is_f2fs = head.is(1024, &[0x10, 0x20, 0xf5, 0xf2]);
    if is_f2fs { found(Kind::F2fs, head.uuid(1024 + 108), label()) } else { None }
}

/// The magic number is 0x3434, so the checksum has to be right as well.
fn nilfs2(head: &Piece) -> Option<Signature> {
    let len = usize::from(head.le16(1024 + 8));
    if !head.is(1024 + 6, &[0x34, 0x34]) || !(256..=1024).contains(&len) {
        return None;
    }
    let mut crc = crc32fast::Hasher::new_with_initial(!head.le32(1024 + 12));
    let block = head.slice(1024, len);
    crc.update(block.get(..16).unwrap_or_default());
    crc.update(&[0; 4]);
    crc.update(block.get(20..).unwrap_or_default());
    let is_nilfs = !crc.finalize() == head.le32(1024 + 16);
    if is_nilfs { found(Kind::Nilfs2, head.uuid(1024 + 152), head.text(1024 + 168, 80)) } else { None }
}

/// The label is the name of the lock table.
fn gfs(head: &Piece) -> Option<Signature> {
    if !head.is(AT_64K, &[0x01, 0x16, 0x19, 0x70]) {
        return None;
    }
    let label = head.text(AT_64K + 160, 64);
    match head.be32(AT_64K + 24) {
        1309 => found(Kind::Gfs, head.uuid(AT_64K + 256), label),
        _ => found(Kind::Gfs2, head.uuid(AT_64K + 256), label),
    }
}

fn squashfs(head: &Piece) -> Option<Signature> {
    let big_endian = head.is(0, b"sqsh");
    if !big_endian && !head.is(0, b"hsqs") {
        return None;
    }
    let major = if big_endian { u16::from_be_bytes(head.bytes(28)) } else { head.le16(28) };
    found(if major < 4 { Kind::Squashfs3 } else { Kind::Squashfs }, None, None)
}

/// Bitmaps of inodes and zones, and zones of 1 KiB or so.
fn is_minix(head: &Piece) -> bool {
    let version_3 = head.is(1024 + 24, &[0x5a, 0x4d]);
    let [maps, log_zone_size] = if version_3 { [6, 12] } else { [4, 10] };
    let field = |at: usize| head.le16(at.saturating_add(1024));
    field(maps) > 0 && field(maps.saturating_add(2)) > 0 && field(log_zone_size) < 3
}
