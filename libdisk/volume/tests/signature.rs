//! What volumes hold, beside what blkid says of them.

use std::path::{Path, PathBuf};
use std::process::Command;

use block::{Disk, FileDisk, Memory, Overlay};
use testimages::hostile::Rng;
use testimages::judge;
use volume::{Signature, SignatureKind, is_member, signature};

fn image(folder: &Path, size: u64) -> PathBuf {
    let path = folder.join("volume.img");
    std::fs::File::create(&path).unwrap().set_len(size).unwrap();
    path
}

fn ours(path: &Path) -> Option<Signature> {
    signature(&Disk::new(FileDisk::open(path).unwrap())).unwrap()
}

/// TYPE, UUID and LABEL as blkid probes them; `None` where it knows nothing.
fn blkid(path: &Path) -> Option<Signature> {
    let out = judge::tool("blkid").args(["-p", "-o", "udev"]).arg(path).output().unwrap();
    let text = String::from_utf8(out.stdout).unwrap();
    let field = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    let plain = |key: &str| {
        let value = field(key)?.replace("\\x20", " ").replace("\\x3a", ":").replace("\\x5c", "\\");
        Some(value.trim_end().to_owned())
    };
    let kind = field("ID_FS_TYPE")?.parse().unwrap();
    Some(Signature { kind, uuid: plain("ID_FS_UUID_ENC"), label: plain("ID_FS_LABEL_ENC"), raid: None })
}

/// A program that makes a volume: its options, `IMAGE` for the file and `TREE` for a folder; the size in MiB.
type Maker = (&'static str, &'static [&'static str], u64);

const MAKERS: [Maker; 37] = [
    ("mkfs.xfs", &["-q", "-L", "data", "IMAGE"], 320),
    ("mkfs.btrfs", &["-q", "-L", "my data", "IMAGE"], 320),
    ("mkswap", &["-q", "-L", "swap0", "IMAGE"], 4),
    ("mkswap", &["-q", "-p", "65536", "IMAGE"], 4),
    ("mke2fs", &["-q", "-t", "ext4", "-L", "root", "IMAGE"], 64),
    ("mke2fs", &["-q", "-t", "ext4", "-L", "gr\u{fc}n", "IMAGE"], 64),
    ("mke2fs", &["-q", "-t", "ext3", "IMAGE"], 64),
    ("mke2fs", &["-q", "-t", "ext2", "IMAGE"], 64),
    ("mke2fs", &["-q", "-O", "journal_dev", "IMAGE"], 64),
    ("mke2fs", &["-q", "-t", "ext4", "-b", "1024", "-O", "bigalloc", "IMAGE"], 64),
    ("mkfs.vfat", &["-F", "32", "-n", "ESP", "IMAGE"], 320),
    ("mkfs.vfat", &["-F", "16", "IMAGE"], 64),
    ("mkfs.vfat", &["-F", "12", "-S", "2048", "-s", "128", "-i", "0badcafe", "IMAGE"], 320),
    ("mkfs.exfat", &["-L", "\u{e9}t\u{e9} data", "IMAGE"], 64),
    ("mkfs.exfat", &["IMAGE"], 8),
    ("mkntfs", &["-q", "-F", "-f", "-L", "win \u{e9}", "IMAGE"], 64),
    ("mkntfs", &["-q", "-F", "-f", "-c", "65536", "IMAGE"], 64),
    ("mkfs.jfs", &["-q", "-L", "myjfs", "IMAGE"], 64),
    ("mkfs.f2fs", &["-f", "-l", "my f2fs \u{e9}", "IMAGE"], 64),
    ("mkfs.nilfs2", &["-q", "-L", "nil", "IMAGE"], 160),
    ("mkfs.reiserfs", &["-q", "-f", "-f", "-l", "rei", "IMAGE"], 64),
    ("mkfs.ocfs2", &["-q", "-F", "-x", "-L", "ocf", "-N", "1", "-M", "local", "IMAGE"], 300),
    ("mkfs.gfs2", &["-q", "-O", "-p", "lock_dlm", "-t", "cluster:fs", "-J", "8", "-j", "1", "IMAGE"], 64),
    ("mkfs.gfs2", &["-q", "-O", "-p", "lock_nolock", "-J", "8", "IMAGE"], 64),
    ("mkfs.minix", &["IMAGE"], 16),
    ("mkfs.minix", &["-2", "IMAGE"], 16),
    ("mkfs.minix", &["-3", "IMAGE"], 16),
    ("mkfs.bfs", &["-V", "vol", "-F", "fs", "IMAGE"], 16),
    ("mkfs.cramfs", &["-n", "crm", "TREE", "IMAGE"], 0),
    ("mksquashfs", &["TREE", "IMAGE", "-quiet", "-no-progress"], 0),
    ("mkfs.erofs", &["IMAGE", "TREE"], 0),
    ("genisoimage", &["-quiet", "-R", "-J", "-V", "ISO label", "-o", "IMAGE", "TREE"], 0),
    ("genisoimage", &["-quiet", "-V", "PLAIN", "-o", "IMAGE", "TREE"], 0),
    ("mkudffs", &["--label=udf label \u{e9}", "IMAGE"], 64),
    ("mkudffs", &["--label=\u{65e5}\u{672c}", "--uuid=0123456789abcdef", "--blocksize=2048", "IMAGE"], 64),
    ("make-bcache", &["-B", "IMAGE"], 16),
    ("make-bcache", &["-C", "IMAGE"], 64),
];

/// Makes the volume; `None` without the program.
fn made(folder: &Path, (program, options, mib): Maker) -> Option<PathBuf> {
    let (maker, _) = (judge::need(program)?, judge::need("blkid")?);
    let path = image(folder, mib << 20);
    if mib == 0 {
        std::fs::remove_file(&path).unwrap();
    }
    let tree = folder.join("tree");
    std::fs::create_dir_all(&tree).unwrap();
    std::fs::write(tree.join("file"), "content").unwrap();
    let mut command = Command::new(maker);
    options.iter().for_each(|option| {
        match *option {
            "IMAGE" => command.arg(&path),
            "TREE" => command.arg(&tree),
            option => command.arg(option),
        };
    });
    judge::run(&mut command);
    Some(path)
}

#[test]
fn volumes_made_by_the_real_tools() {
    let folder = tempfile::tempdir().unwrap();
    for maker in MAKERS {
        let Some(path) = made(folder.path(), maker) else { continue };
        let expected = blkid(&path).unwrap_or_else(|| panic!("{maker:?}: blkid finds nothing"));
        let found = ours(&path).unwrap_or_else(|| panic!("{maker:?}: nothing found"));
        assert!(!found.describe().is_empty());
        assert_eq!(found, expected, "{maker:?}");
        // A partition table is not seen in a volume, nor a volume where there is none.
        let table = volume::read(&Disk::new(FileDisk::open(&path).unwrap())).unwrap();
        assert_eq!(table.kind, volume::Kind::None, "{maker:?}");
    }
}

/// Encrypted volumes of both versions, as cryptsetup makes them.
#[test]
fn encrypted_volumes() {
    if !judge::need_all(&["cryptsetup", "blkid"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    std::fs::write(&key, "secret").unwrap();
    let label: &[&str] = &["--label", "vault", "--pbkdf", "pbkdf2"];
    for (version, more) in [("luks1", &[][..]), ("luks2", label)] {
        let path = image(folder.path(), 32 << 20);
        let mut command = judge::tool("cryptsetup");
        command.args(["luksFormat", "-q", "--pbkdf-force-iterations", "1000", "--type", version]).args(more);
        judge::run(command.arg(&path).arg(&key));
        assert_eq!(ours(&path), blkid(&path), "{version}");
        assert_eq!(ours(&path).unwrap().kind, SignatureKind::Luks);
    }
}

/// Labels in the root folder count, not their copy in the boot sector; letters of DOS are shown as bytes. The
/// name of the type in the boot sector decides nothing.
#[test]
fn labels_and_types_of_fat() {
    if !judge::need_all(&["mkfs.vfat", "mlabel", "blkid"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for (width, mib, cluster) in [("12", 4, "4"), ("16", 64, "4"), ("32", 64, "1")] {
        let path = image(folder.path(), mib << 20);
        judge::run(judge::tool("mkfs.vfat").args(["-F", width, "-s", cluster, "-n", "OLD"]).arg(&path));
        judge::run(judge::tool("mlabel").arg("-i").arg(&path).arg("::NEW"));
        let mut bytes = std::fs::read(&path).unwrap();
        assert_eq!(ours(&path).unwrap().label.as_deref(), Some("NEW"));
        // What mlabel makes of other letters depends on the locale.
        let entry = bytes.windows(12).position(|entry| entry == b"NEW        \x08").unwrap();
        bytes[entry..entry + 3].copy_from_slice(b"\x90T\x90");
        let name = if width == "32" { 82 } else { 54 };
        bytes[name..name + 8].copy_from_slice(b"MSDOS   ");
        std::fs::write(&path, bytes).unwrap();
        let found = ours(&path).unwrap();
        assert_eq!(found.label.as_deref(), Some("\\x90T\\x90"), "FAT{width}");
        assert_eq!(Some(found), blkid(&path), "FAT{width}");
        let table = volume::read(&Disk::new(FileDisk::open(&path).unwrap())).unwrap();
        assert_eq!(table.kind, volume::Kind::None, "FAT{width}");
    }
}

/// Any byte of a super block may be wrong: that is no reason to panic.
#[test]
fn damaged_volumes() {
    let folder = tempfile::tempdir().unwrap();
    for maker in MAKERS {
        let Some(path) = made(folder.path(), maker) else { continue };
        let overlay = Overlay::new(Disk::new(FileDisk::open(&path).unwrap())).unwrap();
        let mut random = Rng::with_seed(1);
        for _ in 0..60 {
            let place = 512 * random.u64(..136);
            let Ok(mut sector) = overlay.disk().read_vec(place, 512) else { continue };
            testimages::hostile::damage(&mut random, &mut sector, 0..128);
            overlay.writer().write_at(&sector, place).unwrap();
            signature(&overlay.disk()).unwrap();
        }
    }
}

/// Bytes and where they are.
type Marks = Vec<(usize, Vec<u8>)>;

/// The size of volumes that are written by hand.
const SIZE: usize = 8 << 20;

fn marks(marks: &[(usize, &[u8])]) -> Marks {
    marks.iter().map(|(at, bytes)| (*at, bytes.to_vec())).collect()
}

/// What needs a device mapper, a cluster, a controller or another system to be made: written by hand, with
/// what it is, and blkid asked whether that is so. The last word says whether it knows the format.
fn by_hand() -> Vec<(SignatureKind, Marks, bool)> {
    use SignatureKind as Kind;
    let id: Vec<u8> = (1..=16).collect();
    let last = SIZE - 512;
    let boot: (usize, &[u8]) = (510, &[0x55, 0xaa]);
    let bitlocker_to_go = b"\x3b\xd6\x67\x49\x29\x2e\xd8\x4a\x83\x99\xf6\xa3\x39\xe3\xd0\x01";
    vec![
        (
            Kind::Luks,
            marks(&[(0, b"LUKS\xba\xbe\0\x01"), (168, b"12345678-9abc-4def-8123-456789abcdef")]),
            true,
        ),
        (Kind::Lvm2, lvm(), true),
        (Kind::Lvm1, marks(&[(0, b"HM\x01\0")]), true),
        (Kind::Lvm1, marks(&[(0, b"HM\x02\0")]), true),
        (Kind::BitLocker, marks(&[(0, b"\xeb\x58\x90-FVE-FS-"), boot]), false),
        (Kind::BitLocker, marks(&[(0, b"\xeb\x58\x90MSWIN4.1"), (424, bitlocker_to_go), boot]), false),
        (Kind::Ntfs, marks(&[(0, b"\xeb\x52\x90NTFS    "), (72, &[1, 2, 3, 4, 5, 6, 7, 8]), boot]), false),
        (Kind::Refs, marks(&[(3, b"ReFS\0")]), false),
        (Kind::Suspended, marks(&[(4086, b"S1SUSPEND")]), false),
        (Kind::DynamicDisk, marks(&[(0xc00, b"PRIVHEAD")]), false),
        (Kind::StorageSpaces, marks(&[(4096, b"SPACEDB ")]), false),
        (Kind::Drbd, marks(&[(SIZE - 4056, &id[..8]), (SIZE - 4036, b"\x83\x74\x02\x6b")]), true),
        (Kind::Drbd, marks(&[(SIZE - 4048, &id[..8]), (SIZE - 4036, b"\x83\x74\x02\x6d")]), true),
        (Kind::Vdo, marks(&[(0, b"dmvdo001"), (40, &id)]), true),
        (Kind::Stratis, stratis(), true),
        (Kind::Verity, marks(&[(0, b"verity\0\0\x01\0\0\0"), (16, &id)]), true),
        (Kind::Integrity, marks(&[(0, b"integrt\0\x01")]), true),
        (Kind::SnapshotCow, marks(&[(0, b"SnAp\x01\0\0\0\x01\0\0\0")]), true),
        (Kind::CephBluestore, marks(&[(0, b"bluestore block device\n")]), true),
        (Kind::OracleAsm, marks(&[(32, b"ORCLDISKdata")]), true),
        (Kind::Ubi, marks(&[(0, b"UBI#\x01")]), true),
        (Kind::Romfs, marks(&[(0, b"-rom1fs-"), (16, b"rom")]), true),
        (Kind::Squashfs3, marks(&[(0, b"hsqs"), (28, &[3, 0])]), true),
        (Kind::Reiser4, marks(&[(65536, b"ReIsEr4\0"), (65556, &id), (65572, b"r4")]), true),
        (Kind::XfsLog, marks(&[(0, b"\xfe\xed\xba\xbe"), (8, &[0, 0, 0, 2]), (304, &id)]), false),
        (Kind::Ext4Dev, marks(&[(1080, b"\x53\xef"), (1116, &[4]), (1120, &[0x40, 2]), (1376, &[4])]), true),
        (Kind::Bcachefs, bcachefs(), false),
        (Kind::Hfs, marks(&[(1024, b"BD"), (1044, &[0, 0, 16, 0]), (1060, b"\x04Mac ")]), true),
        (Kind::HfsPlus, marks(&[(1024, b"H+\0\x04")]), false),
        (Kind::HfsPlus, marks(&[(1024, b"BD"), (1148, b"H+")]), false),
        (
            Kind::Ufs,
            marks(&[(65536 + 1372, &[0x19, 1, 0x54, 0x19]), (65680, &id[..8]), (66216, b"root")]),
            true,
        ),
        (Kind::Ufs, marks(&[(8192 + 1372, &[0, 1, 0x19, 0x54]), (8336, &id[..8])]), true),
        (
            Kind::Hpfs,
            marks(&[
                (8192, b"\x49\xe8\x95\xf9\xc5\xe9\x53\xfa"),
                (8704, b"\x49\x18\x91\xf9\xc5\x29\x5c\xfa"),
            ]),
            true,
        ),
        (Kind::Apfs, apfs(), true),
        (Kind::Befs, marks(&[(512, b"haiku"), (544, b"1SFB")]), false),
        (Kind::Vxfs, marks(&[(1024, b"\xf5\xfc\x01\xa5\x04\0\0\0")]), true),
        (Kind::Vmfs, marks(&[(2 << 20, b"\x5e\xf1\xab\x2f")]), true),
        (Kind::VmfsMember, marks(&[(1 << 20, b"\x0d\xd0\x01\xc0")]), true),
        (Kind::Zfs, zfs(), false),
        (
            Kind::DdfRaid,
            marks(&[(last, b"\xde\x11\xde\x11"), (last + 8, b"LSI     0123456789abcdef01.00.00")]),
            true,
        ),
        (Kind::IntelRaid, marks(&[(last - 512, b"Intel Raid ISM Cfg Sig. 1.0.00")]), true),
        (Kind::LsiRaid, marks(&[(last, b"$XIDE$")]), true),
        (Kind::NvidiaRaid, marks(&[(last - 512, b"NVIDIA")]), true),
        (Kind::PromiseRaid, marks(&[(SIZE - 63 * 512, b"Promise Technology, Inc.")]), true),
        (Kind::Highpoint37Raid, marks(&[(4640, b"\xf0\x16\x78\x5a")]), true),
        (Kind::Highpoint45Raid, marks(&[(SIZE - 11 * 512, b"\xf3\x16\x78\x5a")]), true),
        (Kind::AdaptecRaid, marks(&[(last, b"\x37\xfc\x4d\x1e")]), false),
        (Kind::ViaRaid, marks(&[(last, b"\x55\xaa\x01"), (last + 50, &[0])]), true),
        (Kind::SiliconRaid, marks(&[(last + 0x60, b"\0\0\0\x2f"), (last + 318, &[0, 0xd1])]), true),
        (Kind::JmicronRaid, marks(&[(last, b"JM\x01\x02"), (last + 4, &[0xb5, 0xb0])]), true),
    ]
}

/// A label in sector 1, with the checksum of its 492 bytes from 20 on.
fn lvm() -> Marks {
    let mut sector = vec![0; 512];
    sector[..9].copy_from_slice(b"LABELONE\x01");
    sector[20] = 0x20;
    sector[24..32].copy_from_slice(b"LVM2 001");
    sector[32..64].copy_from_slice(b"abcdefghijklmnopqrstuvwxyzABCDEF");
    let sum = lvm_crc(&sector[20..]);
    sector[16..20].copy_from_slice(&sum.to_le_bytes());
    vec![(512, sector)]
}

fn stratis() -> Marks {
    let mut sector = vec![0; 512];
    sector[4..20].copy_from_slice(b"!Stra0tis\x86\xff\x02^\x41rh");
    sector[20..28].copy_from_slice(&(SIZE as u64 / 512).to_le_bytes());
    sector[28] = 2;
    sector[32..64].copy_from_slice(b"0123456789abcdef0123456789abcdef");
    sector[64..96].copy_from_slice(b"aaaabbbbccccddddeeeeffff00001111");
    let sum = !sector[4..].iter().fold(!0_u32, |crc, byte| {
        let shift = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
        (0..8).fold(crc ^ u32::from(*byte), shift)
    });
    sector[..4].copy_from_slice(&sum.to_le_bytes());
    vec![(512, sector)]
}

fn apfs() -> Marks {
    let id: Vec<u8> = (1..=16).collect();
    marks(&[(8, &[1]), (24, &[1, 0, 0, 0x80]), (32, b"NXSB"), (36, &[0, 16, 0, 0]), (72, &id)])
}

fn bcachefs() -> Marks {
    let magic = b"\xc6\x85\x73\xf6\x66\xce\x90\xa9\xd9\x6a\x60\xcf\x80\x3d\xf7\xef";
    let id: Vec<u8> = (1..=16).collect();
    marks(&[(4096 + 24, magic), (4096 + 56, &id), (4096 + 72, b"label")])
}

/// The first label of a pool: names and values in XDR, and the ring of uberblocks.
fn zfs() -> Marks {
    let pair = |name: &str, kind: u32, value: &[u8]| {
        let mut body = (name.len() as u32).to_be_bytes().to_vec();
        body.extend(name.as_bytes());
        body.resize(body.len().next_multiple_of(4), 0);
        body.extend([kind.to_be_bytes(), 1_u32.to_be_bytes()].concat());
        body.extend(value);
        [&(body.len() as u32 + 8).to_be_bytes(), &[0; 4], &body[..]].concat()
    };
    let header = [1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    let list = [
        &header[..],
        &pair("version", 8, &5000_u64.to_be_bytes()),
        &pair("name", 9, b"\0\0\0\x04tank"),
        &pair("pool_guid", 8, &12_345_678_901_234_567_890_u64.to_be_bytes()),
        &[0; 8],
    ];
    let ring = (0..8).map(|number| ((128 << 10) + number * 1024, 0x00ba_b10c_u64.to_le_bytes().to_vec()));
    ring.chain([(16 << 10, list.concat())]).collect()
}

#[test]
fn volumes_written_by_hand() {
    let with_oracle = judge::need("blkid").is_some();
    let folder = tempfile::tempdir().unwrap();
    for (kind, marks, is_known) in by_hand() {
        let path = image(folder.path(), 0);
        let mut bytes = vec![0; SIZE];
        for (at, mark) in &marks {
            bytes[*at..*at + mark.len()].copy_from_slice(mark);
        }
        std::fs::write(&path, &bytes).unwrap();
        let found = ours(&path).unwrap_or_else(|| panic!("{kind}: nothing found"));
        assert_eq!(found.kind, kind);
        if with_oracle && is_known {
            assert_eq!(Some(found), blkid(&path), "{kind}");
        }
        // Cut off, it is something else or nothing, but no panic.
        for len in [0, 511, 513, 4096, 66_000, SIZE - 700] {
            signature(&Disk::new(Memory::new(bytes[..len].to_vec()))).unwrap();
        }
    }
}

/// Names that blkid of Debian 12 does not tell.
#[test]
fn names_of_pools() {
    let of = |marks: Marks| {
        let mut bytes = vec![0; SIZE];
        marks.iter().for_each(|(at, mark)| bytes[*at..*at + mark.len()].copy_from_slice(mark));
        let found = signature(&Disk::new(Memory::new(bytes))).unwrap().unwrap();
        (found.uuid.unwrap(), found.label.unwrap())
    };
    assert_eq!(of(zfs()), ("12345678901234567890".into(), "tank".into()));
    assert_eq!(of(bcachefs()), ("01020304-0506-0708-090a-0b0c0d0e0f10".into(), "label".into()));
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

/// A kernel without RAID cannot make them: super blocks written by hand, and `mdadm` and `blkid` asked what
/// they are.
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
        assert_eq!(Some(Signature { raid: None, ..found.clone() }), blkid(&path));
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
        let disk = Disk::new(Memory::new(bytes));
        let found = signature(&disk).unwrap().unwrap();
        assert_eq!(found.kind, SignatureKind::LinuxRaid);
        assert!(is_member(&disk).unwrap());
    }
    let mut at_the_start = vec![0; size];
    at_the_start[4096..4101].copy_from_slice(&[0xfc, 0x4e, 0x2b, 0xa9, 1]);
    for bytes in [at_the_start, vec![0; size], Vec::new()] {
        assert!(!is_member(&Disk::new(Memory::new(bytes))).unwrap());
    }
}

#[test]
fn nothing_is_found_where_nothing_is() {
    for size in [0, 1, 511, 4096, 70 << 10, 1 << 20] {
        assert_eq!(signature(&Disk::new(Memory::new(vec![0; size]))).unwrap(), None);
        assert_eq!(signature(&Disk::new(Memory::new(vec![0xff; size]))).unwrap(), None);
    }
}
