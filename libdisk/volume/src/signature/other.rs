//! File systems of other systems than Linux and Windows.
//!
//! References: Apple's *Inside Macintosh: Files*, TN1150 (HFS+) and *Apple File System Reference*;
//! `sys/ufs/ffs/fs.h` of FreeBSD; headers of the Linux kernel for the others.

use block::Result;

use super::head::{Piece, Volume};
use super::{Signature, SignatureKind, found};

/// Those that have no UUID or label that `blkid` would tell: place and magic number.
const PLAIN: [(SignatureKind, usize, &[u8]); 7] = [
    (SignatureKind::HfsPlus, 1024, b"H+\0\x04"),
    (SignatureKind::HfsPlus, 1024, b"HX\0\x05"),
    (SignatureKind::Vxfs, 1024, &[0xf5, 0xfc, 0x01, 0xa5]),
    (SignatureKind::Vxfs, 8192, &[0xa5, 0x01, 0xfc, 0xf5]),
    (SignatureKind::Bfs, 0, &[0xce, 0xfa, 0xad, 0x1b]),
    (SignatureKind::Befs, 512 + 32, b"1SFB"),
    (SignatureKind::Befs, 32, b"1SFB"),
];

pub(super) fn file_system(volume: &Volume<'_>) -> Result<Option<Signature>> {
    let head = &volume.head;
    if head.is(32, b"NXSB") {
        return Ok(found(SignatureKind::Apfs, head.uuid(72), None));
    }
    if head.is(1024, b"BD") {
        // The wrapper of an HFS+ volume has its mark where HFS has something else.
        let is_wrapper = head.is(1024 + 124, b"H+") || head.is(1024 + 124, b"HX");
        let name = usize::from(head.u8(1024 + 36)).min(27);
        return Ok(match is_wrapper {
            true => found(SignatureKind::HfsPlus, None, None),
            false => found(SignatureKind::Hfs, None, head.text(1024 + 37, name)),
        });
    }
    if let Some((kind, at, _)) = PLAIN.iter().find(|(_, at, magic)| head.is(*at, magic)) {
        let label = if *kind == SignatureKind::Befs { head.text(at.saturating_sub(32), 32) } else { None };
        return Ok(found(*kind, None, label));
    }
    ufs(volume)
}

/// Its super block may be in four places, and is in the byte order of its machine.
fn ufs(volume: &Volume<'_>) -> Result<Option<Signature>> {
    for place in [0, 8 << 10, 64 << 10, 256 << 10] {
        let block = volume.piece(place, 1376)?;
        if let Some(found) = ufs_at(&block, u32::from_le_bytes).or_else(|| ufs_at(&block, u32::from_be_bytes))
        {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

fn ufs_at(block: &Piece, order: fn([u8; 4]) -> u32) -> Option<Signature> {
    let field = |at: usize| order(block.bytes(at));
    let is_second = match field(1372) {
        0x0001_1954 => false,
        0x1954_0119 => true,
        _ => return None,
    };
    let id = format!("{:08x}{:08x}", field(144), field(148));
    let label = if is_second { block.text(680, 32) } else { None };
    found(SignatureKind::Ufs, Some(id), label)
}

/// 1 and 2 MiB into the volume.
pub(super) fn vmfs(volume: &Volume<'_>) -> Result<Option<Signature>> {
    if volume.piece(1 << 20, 4)?.is(0, &[0x0d, 0xd0, 0x01, 0xc0]) {
        return Ok(found(SignatureKind::VmfsMember, None, None));
    }
    let is_vmfs = volume.piece(2 << 20, 4)?.is(0, &[0x5e, 0xf1, 0xab, 0x2f]);
    Ok(if is_vmfs { found(SignatureKind::Vmfs, None, None) } else { None })
}
