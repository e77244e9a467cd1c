//! Partition tables made and judged by sfdisk and sgdisk.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use block::{Disk, DiskMut, ErrorKind, FileDisk, Memory};
use testimages::judge;
use volume::gpt::{Moved, move_backup_to_end};
use volume::{Kind, PartitionTable, TableFault};

fn image(folder: &Path, size: u64) -> PathBuf {
    let path = folder.join("disk.img");
    std::fs::File::create(&path).unwrap().set_len(size).unwrap();
    path
}

fn sfdisk(path: &Path, script: &str) {
    use std::io::Write;
    let mut child = Command::new(judge::need("sfdisk").unwrap())
        .args(["--quiet", "--no-reread", "--no-tell-kernel"])
        .arg(path)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success(), "sfdisk refused {script}");
}

/// What sfdisk tells of the partitions: (number, first sector, sectors, uuid).
fn sfdisk_dump(path: &Path) -> Vec<(u32, u64, u64, String)> {
    let out = judge::run(Command::new(judge::need("sfdisk").unwrap()).arg("-d").arg(path));
    let text = String::from_utf8(out.stdout).unwrap();
    let label_id =
        text.lines().find_map(|line| line.strip_prefix("label-id: 0x")).unwrap_or_default().to_owned();
    let name = path.to_str().unwrap();
    let field = |line: &str, key: &str| {
        let rest = line.split_once(key)?.1;
        Some(rest.split(',').next()?.trim().to_owned())
    };
    text.lines()
        .filter_map(|line| {
            let (device, rest) = line.strip_prefix(name)?.split_once(" : ")?;
            let number: u32 = device.parse().ok()?;
            let uuid = field(rest, "uuid=").unwrap_or_else(|| format!("{label_id}-{number:02x}"));
            Some((number, field(rest, "start=")?.parse().ok()?, field(rest, "size=")?.parse().ok()?, uuid))
        })
        .collect()
}

fn ours(table: &PartitionTable) -> Vec<(u32, u64, u64, String)> {
    let row = |p: &volume::Partition| {
        (p.number, p.range.start / 512, (p.range.end - p.range.start) / 512, p.part_uuid.to_lowercase())
    };
    table.partitions.iter().map(row).collect()
}

fn agree(path: &Path) -> PartitionTable {
    let table = volume::read(&Disk::new(FileDisk::open(path).unwrap())).unwrap();
    let theirs: Vec<_> = sfdisk_dump(path)
        .into_iter()
        .map(|(n, start, size, uuid)| (n, start, size, uuid.to_lowercase()))
        .collect();
    assert_eq!(ours(&table), theirs);
    table
}

const CLOUD_GPT: &str = "label: gpt\n\
    1: start=227328, type=0FC63DAF-8483-4772-8E79-3D69D8477DE4, name=\"root é\"\n\
    14: start=2048, size=8192, type=21686148-6449-6E6F-744E-656564454649\n\
    15: start=10240, size=217088, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B, attrs=\"LegacyBIOSBootable\"\n";

#[test]
fn gpt_as_sfdisk_reads_it() {
    if !judge::need_all(&["sfdisk", "sgdisk"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = image(folder.path(), 300 << 20);
    sfdisk(&path, CLOUD_GPT);
    let table = agree(&path);
    assert!(matches!(
        table.kind,
        Kind::Gpt { primary_ok: true, backup_ok: true, backup_at_end: true, hybrid: false, .. }
    ));
    let root = table.partition(1).unwrap();
    assert_eq!(root.name, "root é");
    assert_eq!(root.partition_type.to_string(), "Linux filesystem");
    assert!(table.partition(15).unwrap().active && table.partition(15).unwrap().partition_type.is_esp());
    assert!(table.partition(14).unwrap().partition_type.is_bios_boot());

    let disk = Disk::new(FileDisk::open(&path).unwrap());
    let firmware = volume::boot::firmware(&disk, &table).unwrap();
    assert!(firmware.uefi.likely && !firmware.bios.likely, "{firmware:?}");
}

#[test]
fn mbr_with_logical_partitions_as_sfdisk_reads_it() {
    if !judge::need_all(&["sfdisk"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = image(folder.path(), 300 << 20);
    sfdisk(
        &path,
        "label: dos\nlabel-id: 0xdeadbeef\nstart=2048, size=20480, type=83, bootable\nstart=30720, type=5\n\
         start=32768, size=4096, type=83\nstart=40960, size=2048, type=82\nstart=45056, size=8192, type=8e\n",
    );
    let table = agree(&path);
    assert_eq!(table.kind, Kind::Mbr { disk_signature: 0xdead_beef });
    assert_eq!(table.partitions.iter().map(|p| p.number).collect::<Vec<_>>(), [1, 2, 5, 6, 7]);
    assert!(table.partition(1).unwrap().active);
    assert_eq!(table.partition(7).unwrap().partition_type.to_string(), "Linux LVM");
}

#[test]
fn hybrid_tables() {
    if !judge::need_all(&["sfdisk", "sgdisk"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = image(folder.path(), 300 << 20);
    sfdisk(&path, CLOUD_GPT);
    judge::run(Command::new(judge::need("sgdisk").unwrap()).arg("--hybrid=1").arg(&path));
    let table = volume::read(&Disk::new(FileDisk::open(&path).unwrap())).unwrap();
    assert!(matches!(table.kind, Kind::Gpt { hybrid: true, .. }));
}

/// A disk image with sectors of 4096 bytes, in a file that knows nothing of that.
#[test]
fn tables_of_4k_sectors() {
    let Some(fdisk) = judge::need("fdisk") else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = image(folder.path(), 300 << 20);
    let mut child = Command::new(fdisk)
        .args(["-b", "4096"])
        .arg(&path)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"g\nn\n1\n256\n1255\nw\n").unwrap();
    assert!(child.wait().unwrap().success());
    let table = volume::read(&Disk::new(FileDisk::open(&path).unwrap())).unwrap();
    assert_eq!(table.sector_size, 4096);
    assert_eq!(table.partition(1).unwrap().range, 256 * 4096..1256 * 4096);
    assert_eq!(table.faults(512), [TableFault::SectorSize { table: 4096, disk: 512 }]);
    assert_eq!(table.faults(4096), []);
    assert!(matches!(table.kind, Kind::Gpt { primary_ok: true, backup_ok: true, backup_at_end: true, .. }));
}

#[test]
fn firmware_by_boot_code_and_partitions() {
    if !judge::need_all(&["sfdisk"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let grub = b"\xeb\x63\x90 GRUB \0Geom\0Hard Disk\0Read\0 Error\r\n";
    let bios_only = "label: gpt\nsize=2048, type=21686148-6449-6E6F-744E-656564454649\nsize=8192\n";
    // Table, boot code, BIOS, UEFI.
    let cases: [(&str, &[u8], bool, bool); 8] = [
        (CLOUD_GPT, grub, true, true),
        (CLOUD_GPT, b"", false, true),
        (bios_only, grub, true, false),
        ("label: gpt\nsize=8192\n", grub, false, false),
        ("label: dos\nstart=2048, type=83\n", grub, true, false),
        ("label: dos\nstart=2048, type=83\n", b"\x33\xc0 other code", false, false),
        ("label: dos\nstart=2048, type=7, bootable\n", b"\x33\xc0 other code", true, false),
        ("label: dos\nstart=2048, type=ef\n", b"", false, true),
    ];
    for (script, code, bios, uefi) in cases {
        let path = image(folder.path(), 300 << 20);
        sfdisk(&path, script);
        let disk = DiskMut::new(FileDisk::open_mut(&path).unwrap());
        disk.write_at(code, 0).unwrap();
        let view = disk.disk();
        let firmware = volume::boot::firmware(&view, &volume::read(&view).unwrap()).unwrap();
        assert_eq!((firmware.bios.likely, firmware.uefi.likely), (bios, uefi), "{script} {firmware:?}");
        assert_eq!(firmware.is_hybrid(), bios && uefi);
    }
}

/// The crate gpt takes both headers for valid, and finds the same partitions.
fn a_second_reader_agrees(path: &Path, ours: &PartitionTable) {
    let theirs = gpt::GptConfig::new().writable(false).only_valid_headers(true).open(path).unwrap();
    let last = path.metadata().unwrap().len() / 512 - 1;
    assert_eq!(theirs.primary_header().unwrap().backup_lba, last);
    assert_eq!(theirs.backup_header().unwrap().current_lba, last);
    let theirs: Vec<_> = theirs
        .partitions()
        .iter()
        .map(|(number, partition)| (*number, partition.first_lba * 512..(partition.last_lba + 1) * 512))
        .collect();
    let ours: Vec<_> =
        ours.partitions.iter().map(|partition| (partition.number, partition.range.clone())).collect();
    assert_eq!(theirs, ours);
}

#[test]
fn a_grown_or_damaged_gpt_is_repaired_as_sgdisk_wants() {
    if !judge::need_all(&["sfdisk", "sgdisk"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    // Grown far, grown by less than the table itself, the same size; then each copy damaged.
    let cases: [(u64, &[u64]); 6] = [
        (1 << 30, &[]),
        ((300 << 20) + 4096, &[]),
        (300 << 20, &[]),
        (300 << 20, &[512]),
        (300 << 20, &[1025]),
        (300 << 20, &[(300 << 20) - 512]),
    ];
    for (size, damage) in cases {
        let path = image(folder.path(), 300 << 20);
        sfdisk(&path, CLOUD_GPT);
        let before = agree(&path);
        std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(size).unwrap();
        let disk = DiskMut::new(FileDisk::open_mut(&path).unwrap());
        for at in damage {
            let mut byte = [0];
            disk.read_at(&mut byte, *at).unwrap();
            disk.write_at(&[byte[0] ^ 0x55], *at).unwrap();
        }
        let moved = move_backup_to_end(&disk).unwrap();
        let nothing_to_do = size == 300 << 20 && damage.is_empty();
        assert_eq!(moved, if nothing_to_do { Moved::Already } else { Moved::To(size / 512 - 1) });
        judge::sgdisk_verify(&path);
        let after = agree(&path);
        assert_eq!(before.partitions, after.partitions);
        a_second_reader_agrees(&path, &after);
        assert!(matches!(
            after.kind,
            Kind::Gpt { primary_ok: true, backup_ok: true, backup_at_end: true, .. }
        ));
        assert_eq!(move_backup_to_end(&disk).unwrap(), Moved::Already, "a second repair has nothing to do");
    }
}

#[test]
fn padding_moves_the_backup_and_leaves_the_source_alone() {
    if !judge::need_all(&["sfdisk", "sgdisk"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = image(folder.path(), (300 << 20) + 512 * 77);
    sfdisk(&path, CLOUD_GPT);
    let source = judge::sha256(&path);
    let disk = Disk::new(FileDisk::open(&path).unwrap());
    let padded = volume::pad(disk.clone(), whole_mib).unwrap();
    assert_eq!(padded.size(), 301 << 20);
    let out = folder.path().join("padded.img");
    std::fs::write(&out, read_all(&padded)).unwrap();
    judge::sgdisk_verify(&out);
    assert_eq!(judge::sha256(&path), source);
    let again = volume::pad(disk, whole_mib).unwrap();
    assert_eq!(read_all(&again), read_all(&padded), "must be deterministic");
    assert_eq!(volume::pad(padded.clone(), whole_mib).unwrap().layer(), padded.layer(), "nothing left to do");
}

#[test]
fn a_disk_that_ends_with_its_last_partition_gets_room_for_the_backup() {
    if !judge::need_all(&["sfdisk", "sgdisk"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = image(folder.path(), 300 << 20);
    sfdisk(&path, "label: gpt\nstart=1MiB, size=298MiB\n");
    std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(299 << 20).unwrap();
    let padded = volume::pad(Disk::new(FileDisk::open(&path).unwrap()), whole_mib).unwrap();
    assert_eq!(padded.size(), 300 << 20);
    let out = folder.path().join("padded.img");
    std::fs::write(&out, read_all(&padded)).unwrap();
    judge::sgdisk_verify(&out);
}

fn read_all(disk: &Disk) -> Vec<u8> {
    let mut bytes = vec![0; disk.size() as usize];
    disk.read_at(&mut bytes, 0).unwrap();
    bytes
}

#[test]
fn bare_disks_have_no_table() {
    for size in [0, 1, 511, 512, 1 << 20] {
        let table = volume::read(&Disk::new(Memory::new(vec![0; size]))).unwrap();
        assert_eq!(table.kind, Kind::None);
    }
}

/// Its text may look like partitions that do not fit.
#[test]
fn the_boot_sector_of_a_file_system_is_no_table() {
    let mut bytes = vec![0; 1 << 20];
    bytes[3..11].copy_from_slice(b"NTFS    ");
    bytes[447..510].copy_from_slice(b"\0An operating system wasn't found. Try disconnecting any drives");
    for entry in 0..4 {
        bytes[446 + 16 * entry] = 0;
    }
    bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
    let table = volume::read(&Disk::new(Memory::new(bytes.clone()))).unwrap();
    assert_eq!(table.kind, Kind::None);
    bytes[3..11].fill(0);
    assert_eq!(volume::read(&Disk::new(Memory::new(bytes))).unwrap_err().kind(), ErrorKind::Corrupt);
}

#[test]
fn a_loop_of_logical_partitions_ends() {
    let mut bytes = vec![0; 1 << 20];
    let entry = |bytes: &mut [u8], at: usize, kind: u8, start: u32, len: u32| {
        bytes[at + 4] = kind;
        bytes[at + 8..at + 12].copy_from_slice(&start.to_le_bytes());
        bytes[at + 12..at + 16].copy_from_slice(&len.to_le_bytes());
    };
    entry(&mut bytes, 446, 5, 64, 1024);
    bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
    for (place, next) in [(64_usize, 128_u32), (192, 0)] {
        let at = place * 512;
        entry(&mut bytes, at + 446, 0x83, 1, 8);
        entry(&mut bytes, at + 462, 5, next, 8);
        bytes[at + 510..at + 512].copy_from_slice(&[0x55, 0xaa]);
    }
    let error = volume::read(&Disk::new(Memory::new(bytes))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains("loop"), "{error}");
}

fn whole_mib(size: u64) -> block::Result<u64> {
    Ok(size.next_multiple_of(1 << 20))
}
