//! What lies between a volume and a file system: volume managers, encryption, caches, replication.
//!
//! References: "LUKS1 On-Disk Format Specification" and "LUKS2 On-Disk Format Specification" of cryptsetup;
//! the headers of the Linux kernel (`drivers/md`); those of VDO, Stratis and DRBD.

use block::Result;

use super::head::Volume;
use super::{Signature, SignatureKind, found};
use crate::lvm2;

/// Those that have no UUID or label that `blkid` would tell: place and magic number.
const PLAIN: [(SignatureKind, usize, &[u8]); 9] = [
    (SignatureKind::BitLocker, 3, b"-FVE-FS-"),
    (SignatureKind::DynamicDisk, 0xC00, b"PRIVHEAD"),
    (SignatureKind::StorageSpaces, 4096, b"SPACEDB "),
    (SignatureKind::Lvm1, 0, b"HM\x01\0"),
    (SignatureKind::Lvm1, 0, b"HM\x02\0"),
    (SignatureKind::Integrity, 0, b"integrt\0"),
    (SignatureKind::SnapshotCow, 0, b"SnAp"),
    (SignatureKind::CephBluestore, 0, b"bluestore block device"),
    (SignatureKind::Ubi, 0, b"UBI#"),
];

/// The GUID 4967D63B-2E29-4AD8-8399-F6A339E3D001, in the boot sector of BitLocker To Go.
const BITLOCKER_TO_GO: [u8; 16] =
    [0x3b, 0xd6, 0x67, 0x49, 0x29, 0x2e, 0xd8, 0x4a, 0x83, 0x99, 0xf6, 0xa3, 0x39, 0xe3, 0xd0, 0x01];
const BCACHE: [u8; 16] =
    [0xc6, 0x85, 0x73, 0xf6, 0x4e, 0x1a, 0x45, 0xca, 0x82, 0x65, 0xf5, 0x7f, 0x48, 0xba, 0x6d, 0x81];
const BCACHEFS: [u8; 16] =
    [0xc6, 0x85, 0x73, 0xf6, 0x66, 0xce, 0x90, 0xa9, 0xd9, 0x6a, 0x60, 0xcf, 0x80, 0x3d, 0xf7, 0xef];
const STRATIS: &[u8] = b"!Stra0tis\x86\xff\x02^\x41rh";

/// What is at the start of the volume.
pub(super) fn at_start(volume: &Volume<'_>) -> Result<Option<Signature>> {
    let head = &volume.head;
    if head.is(0, b"LUKS\xba\xbe") {
        let label = if head.bytes(6) == [0, 2] { head.text(24, 48) } else { None };
        return Ok(found(SignatureKind::Luks, head.text(168, 40), label));
    }
    for label in [0, 512, 1024, 1536].map(|at| head.after(at)) {
        if label.is(0, b"LABELONE") && label.is(24, b"LVM2 001") {
            return Ok(found(SignatureKind::Lvm2, lvm2::uuid(&label.bytes(32)), None));
        }
    }
    // Both have their super block at 4 KiB, and the magic number begins with the same four bytes.
    if head.is(4096 + 24, &BCACHE) {
        return Ok(found(SignatureKind::Bcache, head.uuid(4096 + 40), None));
    }
    if head.is(4096 + 24, &BCACHEFS) {
        return Ok(found(SignatureKind::Bcachefs, head.uuid(4096 + 56), head.text(4096 + 72, 32)));
    }
    for sector in [512, 9 * 512].map(|at| head.after(at)) {
        if sector.is(4, STRATIS) {
            return Ok(found(SignatureKind::Stratis, sector.text(64, 32).and_then(hyphens), None));
        }
    }
    if head.is(0, b"dmvdo001") {
        return Ok(found(SignatureKind::Vdo, head.uuid(40), None));
    }
    if head.is(0, b"verity\0\0") {
        return Ok(found(SignatureKind::Verity, head.uuid(16), None));
    }
    if head.is(3, b"MSWIN4.1") && head.is(424, &BITLOCKER_TO_GO) {
        return Ok(found(SignatureKind::BitLocker, None, None));
    }
    let plain = PLAIN.iter().find(|(_, at, magic)| head.is(*at, magic));
    Ok(plain.and_then(|(kind, ..)| found(*kind, None, None)))
}

/// A UUID that is written without its hyphens.
fn hyphens(digits: String) -> Option<String> {
    digits.parse::<uuid::Uuid>().ok().map(|uuid| uuid.to_string())
}

/// `meta_data_on_disk` of DRBD 8.4 and 9: 4 KiB before the end, its magic number at byte 60.
pub(super) fn drbd(volume: &Volume<'_>) -> Result<Option<Signature>> {
    let Some(place) = volume.size().checked_sub(4096) else { return Ok(None) };
    let block = volume.piece(place, 64)?;
    let uuid = match block.be32(60) {
        0x8374_026b | 0x8374_026c => block.be64(40),
        0x8374_026d => block.be64(48),
        _ => return Ok(None),
    };
    Ok(found(SignatureKind::Drbd, Some(format!("{uuid:x}")), None))
}
