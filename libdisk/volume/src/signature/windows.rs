//! File systems of Windows and of DOS.
//!
//! References: Microsoft's *FAT32 File System Specification* 1.03 and *exFAT file system specification*; for
//! NTFS, "NTFS documentation" of the Linux-NTFS project.

use block::Result;

use super::head::{Piece, Volume, text};
use super::{Signature, SignatureKind, found};

/// What is read of a root directory to find the label: 2,048 entries.
const DIRECTORY: u64 = 64 << 10;
/// The entry of the label.
const VOLUME_ID: u8 = 0x08;

pub(super) fn file_system(volume: &Volume<'_>) -> Result<Option<Signature>> {
    let head = &volume.head;
    if head.is(3, b"NTFS    ") {
        let serial = format!("{:016X}", head.le64(0x48));
        return Ok(found(SignatureKind::Ntfs, Some(serial), ntfs_label(volume)?));
    }
    if head.is(3, b"EXFAT   ") {
        return Ok(found(SignatureKind::Exfat, Some(serial(head.le32(0x64))), exfat_label(volume)?));
    }
    if head.is(3, b"ReFS\0") {
        return Ok(found(SignatureKind::Refs, None, None));
    }
    let is_hpfs = head.is(8192, &[0x49, 0xe8, 0x95, 0xf9]);
    Ok(if is_hpfs { found(SignatureKind::Hpfs, None, None) } else { None })
}

/// That of the file `$Volume`, which is record 3 of the table of files.
fn ntfs_label(volume: &Volume<'_>) -> Result<Option<String>> {
    let head = &volume.head;
    let cluster = match head.u8(13) {
        // A size of more than 128 sectors is a power of two, as a negative number.
        many @ 0xe0.. => 1_u64.checked_shl(u32::from(many.wrapping_neg())),
        few => Some(u64::from(few)),
    };
    let cluster = cluster.and_then(|sectors| sectors.checked_mul(u64::from(head.le16(11)))).unwrap_or(0);
    let record = match head.u8(64).cast_signed() {
        clusters @ 1.. => u64::from(clusters.unsigned_abs()).saturating_mul(cluster),
        bits => 1_u64.checked_shl(u32::from(bits.unsigned_abs())).unwrap_or(0),
    };
    let table = head.le64(48).checked_mul(cluster);
    let place = table.and_then(|table| record.checked_mul(3)?.checked_add(table));
    let Some(place) = place.filter(|_| (512..=4096).contains(&record)) else { return Ok(None) };
    let record = volume.piece(place, record)?;
    if !record.is(0, b"FILE") {
        return Ok(None);
    }
    let mut attribute = record.after(usize::from(record.le16(20)));
    while attribute.le32(0) != 0xffff_ffff {
        if attribute.le32(0) == 0x60 && attribute.u8(8) == 0 {
            let len = usize::try_from(attribute.le32(16)).unwrap_or(0);
            return Ok(attribute.utf16(usize::from(attribute.le16(20)), len, u16::from_le_bytes));
        }
        match usize::try_from(attribute.le32(4)) {
            Ok(len @ 1..) => attribute = attribute.after(len),
            _ => break,
        }
    }
    Ok(None)
}

/// The entry of type 0x83 in the first cluster of the root directory, where those that format write it.
fn exfat_label(volume: &Volume<'_>) -> Result<Option<String>> {
    let head = &volume.head;
    let [sector_bits, cluster_bits] = [108, 109].map(|at| u32::from(head.u8(at)));
    let heap = u64::from(head.le32(88)).checked_shl(sector_bits);
    let cluster_len = 1_u64.checked_shl(sector_bits.saturating_add(cluster_bits));
    let number = u64::from(head.le32(96)).checked_sub(2);
    let place = number.and_then(|number| number.checked_mul(cluster_len?)?.checked_add(heap?));
    let (Some(place), Some(cluster_len)) = (place, cluster_len) else { return Ok(None) };
    let directory = volume.piece(place, cluster_len.min(DIRECTORY))?;
    let (entries, _) = directory.0.as_chunks::<32>();
    let mut entries = entries.iter().take_while(|entry| entry.first() != Some(&0));
    let entry = entries.find(|entry| entry.first() == Some(&0x83)).map(|entry| Piece(entry.to_vec()));
    Ok(entry.and_then(|entry| {
        let units = usize::from(entry.u8(1)).min(11);
        entry.utf16(2, units.saturating_mul(2), u16::from_le_bytes)
    }))
}

/// The numbers of a boot sector of FAT that tell what follows it.
struct Fat {
    /// Where the root directory begins, and what it can be long, in bytes.
    root: (u64, u64),
    /// Where the serial number is, and the label behind it.
    extended: usize,
}

impl Fat {
    /// As the specification has it, the type is decided by the numbers and not by the text `FAT16   `, which
    /// some writers leave out.
    fn read(head: &Piece) -> Option<Self> {
        let (sector, cluster) = (u64::from(head.le16(11)), u64::from(head.u8(13)));
        let (reserved, copies) = (u64::from(head.le16(14)), u64::from(head.u8(16)));
        let entries = u64::from(head.le16(17));
        let [short, long] = [u64::from(head.le16(22)), u64::from(head.le32(36))];
        let table = if short > 0 { short } else { long };
        let media = head.u8(21);
        let is_fat = head.le16(510) == 0xaa55
            && matches!(head.bytes(0), [0xeb, _, 0x90] | [0xe9, _, _])
            && matches!(sector, 512 | 1024 | 2048 | 4096)
            && cluster.is_power_of_two()
            && reserved > 0
            && matches!(copies, 1..=4)
            && table > 0
            && (media == 0xf0 || media >= 0xf8)
            && (head.le16(19) > 0 || head.le32(32) > 0)
            && (entries > 0) == (short > 0)
            && entries.checked_mul(32)?.checked_rem(sector)? == 0;
        if !is_fat {
            return None;
        }
        let data = copies.checked_mul(table)?.checked_add(reserved)?;
        let root = if short > 0 {
            (data, entries.checked_mul(32)?)
        } else {
            let first = u64::from(head.le32(44)).checked_sub(2)?;
            (first.checked_mul(cluster)?.checked_add(data)?, cluster.checked_mul(sector)?)
        };
        let root = (root.0.checked_mul(sector)?, root.1);
        Some(Self { root, extended: if short > 0 { 39 } else { 67 } })
    }
}

pub(super) fn fat(volume: &Volume<'_>) -> Result<Option<Signature>> {
    let head = &volume.head;
    let Some(fat) = Fat::read(head) else { return Ok(None) };
    // 0x29, or 0x28 of old: serial number and label are there.
    let has_extension = matches!(head.u8(fat.extended.saturating_sub(1)), 0x28 | 0x29);
    let serial = has_extension.then(|| serial(head.le32(fat.extended)));
    let label = fat_label(volume, &fat)?.or_else(|| {
        let label = head.text(fat.extended.saturating_add(4), 11).filter(|_| has_extension);
        label.filter(|label| label != "NO NAME")
    });
    Ok(found(SignatureKind::Vfat, serial, label))
}

/// The label in the root directory: it is the one that counts, and that programs change.
fn fat_label(volume: &Volume<'_>, fat: &Fat) -> Result<Option<String>> {
    let (place, len) = fat.root;
    let directory = volume.piece(place, len.min(DIRECTORY))?;
    let (entries, _) = directory.0.as_chunks::<32>();
    for entry in entries {
        let [first, name @ .., attributes, _] = entry.first_chunk::<13>().copied().unwrap_or_default();
        match first {
            0 => break,
            0xe5 => continue,
            // Bits of long names are those of a label and more.
            _ if attributes & 0x3f == 0x0f || attributes & (VOLUME_ID | 0x10) != VOLUME_ID => continue,
            _ => {}
        }
        // 0x05 stands for 0xE5, which means deleted.
        let first = if first == 0x05 { 0xe5 } else { first };
        let mut label = vec![first];
        label.extend(name);
        return Ok(text(&label));
    }
    Ok(None)
}

/// A serial number of four bytes as DOS writes it.
fn serial(number: u32) -> String {
    format!("{:04X}-{:04X}", number >> 16, number & 0xffff)
}
