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
    Signature { kind: kind.leak(), uuid: field("UUID="), label: field("LABEL="), raid: None }
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

/// The super block of metadata version 1, which says that it is at byte `place`.
fn raid_1(place: usize, level: u32, members: u32) -> Vec<u8> {
    let mut block = vec![0; 1024];
    let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &[0xfc, 0x4e, 0x2b, 0xa9, 1]);
    put(16, &(1..=16).collect::<Vec<u8>>());
    put(32, b"host:0");
    put(72, &level.to_le_bytes());
    put(80, &4096_u64.to_le_bytes()); // sectors of each member
    put(88, &128_u32.to_le_bytes()); // sectors of a chunk
    put(92, &members.to_le_bytes());
    put(128, &2048_u64.to_le_bytes()); // where the data begin
    put(136, &4096_u64.to_le_bytes());
    put(144, &(place as u64 / 512).to_le_bytes());
    put(220, &members.to_le_bytes());
    for member in 0..members as u16 {
        put(256 + 2 * usize::from(member), &member.to_le_bytes());
    }
    let words = block[..256 + 2 * members as usize]
        .chunks(4)
        .map(|word| word.iter().rev().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte)));
    let sum: u64 = words.sum();
    block[216..220].copy_from_slice(&((sum & 0xffff_ffff) as u32 + (sum >> 32) as u32).to_le_bytes());
    block
}

/// The super block of metadata version 0.90: words.
fn raid_0_90(level: u32, members: u32) -> Vec<u8> {
    let mut words = [0_u32; 1024];
    let fields = [
        (0, 0xa92b_4efc),
        (2, 90),
        (5, 0x0102_0304),
        (7, level),
        (8, 1024), // KiB of each member
        (9, members),
        (10, members),
        (13, 0x0506_0708),
        (14, 0x090a_0b0c),
        (15, 0x0d0e_0f10),
    ];
    for (at, word) in fields {
        words[at] = word;
    }
    let sum: u64 = words.iter().map(|word| u64::from(*word)).sum();
    words[38] = (sum & 0xffff_ffff) as u32 + (sum >> 32) as u32;
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// A kernel without RAID cannot make them: super blocks written by hand, and `mdadm` and `blkid` asked what they are.
#[test]
fn members_of_a_raid() {
    if !judge::need_all(&["mdadm", "blkid"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let size = 4 << 20;
    for (place, version, level, members) in [
        ((size & !0xffff) - 65536, "0.90", 1, 2),
        ((size - 8192) & !4095, "1.0", 5, 3),
        (0, "1.1", 0, 4),
        (4096, "1.2", 6, 5),
    ] {
        let block = if version == "0.90" { raid_0_90(level, members) } else { raid_1(place, level, members) };
        let mut bytes = vec![0; size];
        bytes[place..place + block.len()].copy_from_slice(&block);
        let path = image(folder.path(), 0);
        std::fs::write(&path, &bytes).unwrap();
        let found = ours(&path).unwrap();
        assert_eq!(Signature { raid: None, ..found.clone() }, blkid(&path));
        let told = judge::run(judge::tool("mdadm").arg("--examine").arg(&path));
        let told = String::from_utf8(told.stdout).unwrap();
        let field = |key: &str| {
            let value =
                told.lines().find_map(|line| line.trim().strip_prefix(key)?.trim().strip_prefix(": "));
            value.unwrap_or_else(|| panic!("no {key} in {told}")).to_owned()
        };
        assert!(field("Checksum").ends_with("correct"), "{told}");
        let raid = found.raid.clone().unwrap();
        assert!(field("Version").starts_with(raid.version), "{told}");
        assert_eq!((raid.level.as_str(), raid.version), (field("Raid Level").as_str(), version));
        assert_eq!(raid.members.to_string(), field("Raid Devices"));
        let words = format!("raid{level} of {members} devices, metadata {version}");
        assert!(found.describe().contains(&words), "{}", found.describe());
    }
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
