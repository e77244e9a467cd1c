//! What volumes hold, beside what blkid says of them.

use std::path::{Path, PathBuf};
use std::process::Command;

use block::{Disk, FileDisk, Memory};
use testimages::judge;
use volume::{Signature, signature};

fn image(folder: &Path, size: u64) -> PathBuf {
    let path = folder.join("volume.img");
    std::fs::File::create(&path).unwrap().set_len(size).unwrap();
    path
}

fn ours(path: &Path) -> Option<Signature> {
    signature(&Disk::new(FileDisk::open(path).unwrap())).unwrap()
}

/// TYPE, UUID and LABEL as blkid probes them.
fn blkid(path: &Path) -> Signature {
    let out = judge::run(Command::new(judge::need("blkid").unwrap()).args(["-p", "-o", "export"]).arg(path));
    let text = String::from_utf8(out.stdout).unwrap();
    let field = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)).map(|v| v.replace('\\', ""));
    let kind = field("TYPE=").unwrap();
    Signature { kind: kind.leak(), uuid: field("UUID="), label: field("LABEL=") }
}

#[test]
fn volumes_made_by_the_real_tools() {
    let makers: [(&str, &[&str]); 11] = [
        ("mkfs.xfs", &["-q", "-L", "data"]),
        ("mkfs.btrfs", &["-q", "-L", "my data"]),
        ("mkswap", &["-q", "-L", "swap0"]),
        ("mkswap", &["-q", "-p", "65536"]),
        ("mke2fs", &["-q", "-t", "ext4", "-L", "root"]),
        ("mke2fs", &["-q", "-t", "ext3"]),
        ("mke2fs", &["-q", "-t", "ext2"]),
        ("mke2fs", &["-q", "-O", "journal_dev"]),
        ("mkfs.vfat", &["-F", "32", "-n", "ESP"]),
        ("mkfs.vfat", &["-F", "16"]),
        ("mkfs.vfat", &["-F", "12", "-S", "2048", "-s", "128", "-i", "0badcafe"]),
    ];
    let folder = tempfile::tempdir().unwrap();
    for (program, options) in makers {
        let (Some(maker), Some(_)) = (judge::need(program), judge::need("blkid")) else { continue };
        let path = image(folder.path(), 320 << 20);
        judge::run(Command::new(maker).args(options).arg(&path));
        let expected = blkid(&path);
        let found = ours(&path).unwrap_or_else(|| panic!("{program} {options:?}: nothing found"));
        assert!(!found.describe().is_empty());
        assert_eq!(found, expected, "{program} {options:?}");
        // A partition table is not seen in a volume, nor a volume where there is none.
        let table = volume::read(&Disk::new(FileDisk::open(&path).unwrap())).unwrap();
        assert_eq!(table.kind, volume::Kind::None, "{program}");
    }
}

/// Containers that need a device mapper to be made: their headers written by hand, and blkid asked whether they are.
#[test]
fn containers() {
    if judge::need("blkid").is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let uuid = b"12345678-9abc-4def-8123-456789abcdef";
    let lvm_id = b"abcdefghijklmnopqrstuvwxyzABCDEF";
    let raid_id: Vec<u8> = (1..=16).collect();
    type Marks<'a> = &'a [(usize, &'a [u8])];
    let cases: [(&str, Marks<'_>); 7] = [
        ("crypto_LUKS", &[(0, b"LUKS\xba\xbe\0\x01"), (168, uuid)]),
        ("crypto_LUKS", &[(0, b"LUKS\xba\xbe\0\x02"), (24, b"secret"), (168, uuid)]),
        // Sector 1, and the checksum of its 492 bytes from 20 on.
        (
            "LVM2_member",
            &[(512, b"LABELONE\x01"), (532, &[0x20, 0, 0, 0]), (536, b"LVM2 001"), (544, lvm_id)],
        ),
        (
            "linux_raid_member",
            &[(4096, &[0xfc, 0x4e, 0x2b, 0xa9, 1]), (4112, &raid_id), (4128, b"host:0"), (4240, &[8])],
        ),
        ("BitLocker", &[(0, b"\xeb\x58\x90-FVE-FS-"), (510, &[0x55, 0xaa])]),
        ("ntfs", &[(0, b"\xeb\x52\x90NTFS    "), (72, &[1, 2, 3, 4, 5, 6, 7, 8]), (510, &[0x55, 0xaa])]),
        ("swsuspend", &[(4086, b"S1SUSPEND")]),
    ];
    for (kind, marks) in cases {
        let path = image(folder.path(), 4 << 20);
        let mut bytes = vec![0; 4 << 20];
        for (at, mark) in marks {
            bytes[*at..*at + mark.len()].copy_from_slice(mark);
        }
        if kind == "LVM2_member" {
            // The label's checksum covers its sector from byte 20 on; LVM's CRC starts with 0xf597a6cf.
            let crc = lvm_crc(&bytes[512 + 20..1024]);
            bytes[512 + 16..512 + 20].copy_from_slice(&crc.to_le_bytes());
        }
        std::fs::write(&path, &bytes).unwrap();
        let found = ours(&path).unwrap_or_else(|| panic!("{kind}: nothing found"));
        assert_eq!(found.kind, kind);
        if matches!(kind, "crypto_LUKS" | "LVM2_member") {
            assert_eq!(found, blkid(&path));
        }
    }
}

fn lvm_crc(bytes: &[u8]) -> u32 {
    let mut crc = 0xf597_a6cf_u32;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    crc
}

#[test]
fn raid_metadata_at_the_end_hides_what_is_at_the_start() {
    let size = (4 << 20) + 512 * 5;
    for (place, version) in [((size - 8192) & !4095, 1), ((size & !0xffff) - 65536, 0)] {
        let mut bytes = vec![0; size];
        bytes[..4].copy_from_slice(b"XFSB");
        bytes[place..place + 5].copy_from_slice(&[0xfc, 0x4e, 0x2b, 0xa9, version]);
        let found = signature(&Disk::new(Memory::new(bytes))).unwrap().unwrap();
        assert_eq!(found.kind, "linux_raid_member");
    }
}

#[test]
fn nothing_is_found_where_nothing_is() {
    for size in [0, 1, 511, 4096, 70 << 10, 1 << 20] {
        assert_eq!(signature(&Disk::new(Memory::new(vec![0; size]))).unwrap(), None);
        assert_eq!(signature(&Disk::new(Memory::new(vec![0xff; size]))).unwrap(), None);
    }
}
