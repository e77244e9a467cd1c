//! Machines of which a part that the boot needs cannot be read: never "ready", and the volume and the reason
//! are told.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;

use testimages::judge;
use testimages::lvm::Devices;

use crate::program::{command, json};

const MIB: u64 = 1 << 20;
/// Where the volumes of the disks begin, each 64 MiB but the last.
const ESP: u64 = MIB;
const SECOND: u64 = 65 * MIB;
const THIRD: u64 = 129 * MIB;

const ROOT_UUID: &str = "11111111-2222-4333-8444-555555555555";
const BOOT_UUID: &str = "66666666-7777-4888-9999-aaaaaaaaaaaa";
const FSTAB: &str = "UUID=11111111-2222-4333-8444-555555555555 / ext4 defaults 0 1\n\
    UUID=66666666-7777-4888-9999-aaaaaaaaaaaa /boot ext4 defaults 0 2\n";

/// A disk for UEFI: an ESP with a loader, and two volumes more.
fn disk(at: &Path) -> Option<()> {
    judge::need_all(&["sfdisk", "mkfs.vfat", "mcopy", "mmd", "mke2fs", "debugfs"]).then_some(())?;
    let disk = at.join("disk.raw");
    File::create(&disk).unwrap().set_len(512 * MIB).unwrap();
    let script = at.join("script");
    let table = "label: gpt\nstart=2048, size=131072, type=uefi\nstart=133120, size=131072, type=linux\n\
        start=264192, size=782336, type=linux\n";
    fs::write(&script, table).unwrap();
    judge::run(judge::tool("sfdisk").arg("-q").arg(&disk).stdin(File::open(&script).unwrap()));
    let esp = at.join("esp");
    File::create(&esp).unwrap().set_len(64 * MIB).unwrap();
    judge::run(judge::tool("mkfs.vfat").arg(&esp));
    judge::run(judge::tool("mmd").arg("-i").arg(&esp).args(["::EFI", "::EFI/BOOT"]));
    judge::run(judge::tool("mcopy").arg("-i").arg(&esp).arg(&script).arg("::EFI/BOOT/BOOTX64.EFI"));
    put(at, "esp", ESP);
    Some(())
}

/// Puts a volume on the disk.
fn put(at: &Path, volume: &str, offset: u64) {
    let file = at.join(volume);
    let mut copy = judge::tool("dd");
    copy.arg(format!("if={}", file.display())).arg(format!("of={}", at.join("disk.raw").display()));
    judge::run(
        copy.args(["bs=1M", "conv=notrunc,sparse", "status=none"]).arg(format!("seek={}", offset / MIB)),
    );
}

fn patch(at: &Path, offset: u64, bytes: &[u8]) {
    File::options().write(true).open(at.join("disk.raw")).unwrap().write_all_at(bytes, offset).unwrap();
}

/// The files of a root, with this fstab.
fn tree(at: &Path, fstab: &str) {
    for folder in ["etc", "usr/bin", "bin", "boot", "lib/modules/6.1.0"] {
        fs::create_dir_all(at.join("tree").join(folder)).unwrap();
    }
    let release = "ID=debian\nVERSION_ID=12\nPRETTY_NAME=\"Debian GNU/Linux 12\"\n";
    for (path, text) in [("etc/os-release", release), ("etc/fstab", fstab)] {
        fs::write(at.join("tree").join(path), text).unwrap();
    }
}

/// An ext4 file system with these files, as a file.
fn ext4(at: &Path, volume: &str, uuid: &str, options: &[&str]) {
    File::create(at.join(volume)).unwrap().set_len(60 * MIB).unwrap();
    let mut make = judge::tool("mke2fs");
    make.args(["-q", "-F", "-t", "ext4", "-U", uuid, "-d"]).arg(at.join("tree")).args(options);
    judge::run(make.arg(at.join(volume)));
}

/// Checks that neither `check`, as text and as JSON, nor `plan` or `migrate` calls the machine anything but
/// unreadable, and that all name each of `words`.
#[track_caller]
fn told(at: &Path, words: &[&str]) {
    for target in ["azure-gen1", "azure-gen2"] {
        for line in ["check disk.raw", "plan disk.raw", "migrate disk.raw out.vhd"] {
            let output = command(at, &format!("{line} --for {target}")).output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr).replace("\n       ", " ");
            let out = String::from_utf8_lossy(&output.stdout);
            assert_eq!(output.status.code(), Some(2), "{line} {target}: {out}{said}");
            assert!(!out.contains("ready"), "{line} {target}: {out}");
            words.iter().for_each(|word| assert!(said.contains(word), "{line}: no {word:?} in {said}"));
        }
        assert!(!at.join("out.vhd").exists());
        let answer = json(at, &format!("check disk.raw --for {target}"), 2);
        assert!(answer.get("ready").is_none(), "{answer}");
        let said = format!("{} {}", answer["error"], answer["help"]);
        words.iter().for_each(|word| assert!(said.contains(word), "JSON: no {word:?} in {answer}"));
    }
}

/// Findings T4 and T5: a root that cannot be read, behind an ESP that can.
#[test]
fn a_root_that_cannot_be_read_is_not_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let Some(()) = disk(at) else { return };
    told(at, &["no operating system found", "p1 (vfat)"]);

    patch(at, SECOND, b"LUKS\xba\xbe\0\x02");
    told(at, &["p2 (crypto_LUKS: ", "refloat does not read", DECRYPT]);

    patch(at, SECOND, &[0; 512]);
    patch(at, SECOND + 4096, &raid_member(AT_THE_START));
    told(at, &["p2 (linux_raid_member: ", "refloat does not read", LEAVE_THE_ARRAY]);

    let mut random = fastrand::Rng::with_seed(4);
    let noise: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(4 << 20).collect();
    patch(at, SECOND, &noise);
    told(at, &["p2 (nothing that refloat knows)"]);
}

const DECRYPT: &str = "if the system is in it, decrypt p2 (cryptsetup reencrypt --decrypt)";
const LEAVE_THE_ARRAY: &str =
    "if the system is in it, move the system from the array of p2 to a plain partition";

/// The sectors of a volume of 64 MiB before the super block of RAID in it: 4 KiB from its start by version 1.2,
/// and at its end by version 1.0.
const AT_THE_START: u64 = 8;
const AT_THE_END: u64 = 131_056;

/// The super block of a member of a Linux RAID 1, for this sector.
fn raid_member(sector: u64) -> Vec<u8> {
    let mut raid = vec![0; 4096];
    for (offset, value) in [(0, 0xa92b_4efc_u32), (4, 1), (72, 1), (76, 0x100), (80, 0x1_f000)] {
        raid[offset..offset + 4].copy_from_slice(&value.to_le_bytes());
    }
    raid[144..152].copy_from_slice(&sector.to_le_bytes());
    raid
}

/// The same by BIOS, as installers make it: boot code, a /boot that is read with kernel and menu on it, and the
/// root behind it.
#[test]
fn a_root_by_bios_that_cannot_be_read_is_named_with_what_to_do() {
    if !judge::need_all(&["sfdisk", "mke2fs", "cryptsetup"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    File::create(at.join("disk.raw")).unwrap().set_len(512 * MIB).unwrap();
    let script = at.join("script");
    let table =
        "label: dos\nstart=2048, size=131072, type=83, bootable\nstart=133120, size=131072, type=83\n";
    fs::write(&script, table).unwrap();
    judge::run(judge::tool("sfdisk").arg("-q").arg(at.join("disk.raw")).stdin(File::open(&script).unwrap()));
    patch(at, 0, b"\xeb\x63\x90");
    patch(at, 0x180, b"GRUB \0");
    fs::create_dir_all(at.join("tree/grub")).unwrap();
    let menu =
        "menuentry 'Linux' {\nlinux /vmlinuz-6.1.0 root=/dev/mapper/root\ninitrd /initrd.img-6.1.0\n}\n";
    for (name, text) in [("grub/grub.cfg", menu), ("vmlinuz-6.1.0", "kernel"), ("initrd.img-6.1.0", "image")]
    {
        fs::write(at.join("tree").join(name), text).unwrap();
    }
    ext4(at, "boot", BOOT_UUID, &[]);
    put(at, "boot", MIB);
    for version in ["luks1", "luks2"] {
        let volume = at.join(version);
        File::create(&volume).unwrap().set_len(60 * MIB).unwrap();
        fs::write(at.join("key"), "passphrase").unwrap();
        let mut format = judge::tool("cryptsetup");
        format.args(["luksFormat", "-q", "--type", version, "--pbkdf", "pbkdf2"]);
        format.args(["--pbkdf-force-iterations", "1000", "--key-file"]).arg(at.join("key")).arg(&volume);
        judge::run(&mut format);
        put(at, version, SECOND);
        told(at, &["p1 (ext4)", "p2 (crypto_LUKS: ", "refloat does not read", DECRYPT]);
        patch(at, SECOND, &vec![0; 64 << 10]);
    }
    patch(at, SECOND + 4096, &raid_member(AT_THE_START));
    told(at, &["p1 (ext4)", "p2 (linux_raid_member: ", "refloat does not read", LEAVE_THE_ARRAY]);
    // Version 1.0 is at the end: a file system in the array begins where the volume does, and is none of its own.
    patch(at, SECOND + 4096, &[0; 4096]);
    tree(at, FSTAB);
    ext4(at, "root", ROOT_UUID, &[]);
    put(at, "root", SECOND);
    patch(at, SECOND + AT_THE_END * 512, &raid_member(AT_THE_END));
    told(at, &["p1 (ext4)", "p2 (linux_raid_member: ", LEAVE_THE_ARRAY]);
}

#[test]
fn an_ext4_root_that_cannot_be_read_is_named_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let Some(()) = disk(at) else { return };
    tree(at, "UUID=11111111-2222-4333-8444-555555555555 / ext4 defaults 0 1\n");
    let root = |options: &[&str]| {
        ext4(at, "root", ROOT_UUID, options);
        put(at, "root", SECOND);
    };
    root(&[]);
    let sound = command(at, "check disk.raw --for azure-gen2").output().unwrap();
    assert_eq!(sound.status.code(), Some(1), "the root is read before it is damaged: {sound:?}");

    patch(at, SECOND + 1024, &[0; 1024]);
    told(at, &["p2 (nothing that refloat knows)"]);
    // The root folder's inode, the second of the table.
    root(&["-O", "^metadata_csum,^64bit", "-I", "256", "-b", "4096"]);
    let mut place = judge::tool("debugfs");
    let shown = judge::run(place.args(["-R", "imap <2>"]).arg(at.join("root")));
    let shown = String::from_utf8(shown.stdout).unwrap();
    let block = shown.split("located at block ").nth(1).unwrap().split(',').next().unwrap().trim();
    patch(at, SECOND + block.parse::<u64>().unwrap() * 4096 + 256, &[0xff; 128]);
    told(at, &["p2"]);
    root(&["-O", "bigalloc,^has_journal", "-C", "16384"]);
    if command(at, "inspect disk.raw").output().unwrap().stdout.windows(8).any(|word| word == b"bigalloc") {
        told(at, &["p2 (ext4: ", "bigalloc"]);
    }
    root(&["-O", "^metadata_csum"]);
    patch(at, SECOND + 1024 + 0x63, &[0x80]);
    told(at, &["p2 (ext4: ", "feature"]);
}

#[test]
fn xfs_and_btrfs_roots_that_cannot_be_read_are_named_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    if !judge::need_all(&["mkfs.xfs", "mkfs.btrfs"]) {
        return;
    }
    let Some(()) = disk(at) else { return };
    let volume = at.join("root");
    File::create(&volume).unwrap().set_len(320 * MIB).unwrap();
    judge::run(judge::tool("mkfs.xfs").arg("-q").arg("-f").arg(&volume));
    put(at, "root", THIRD);
    // Finding T12: one with nothing in it is no system, of which rules could say anything.
    told(at, &["no operating system found", "p3 (xfs)"]);
    // sb_features_incompat, a bit that nobody has given a meaning; and the checksum.
    let mut sector = vec![0; 512];
    File::open(&volume).unwrap().read_exact_at(&mut sector, 0).unwrap();
    sector[216] = 0x80;
    sector[224..228].fill(0);
    let sum = crc32c::crc32c(&sector);
    sector[224..228].copy_from_slice(&sum.to_le_bytes());
    patch(at, THIRD, &sector);
    told(at, &["p3 (xfs: ", "feature"]);

    judge::run(judge::tool("mkfs.btrfs").arg("-q").arg("-f").arg(&volume));
    let mut bytes = vec![0; 4096];
    File::open(&volume).unwrap().read_exact_at(&mut bytes, 64 << 10).unwrap();
    // log_root, as a machine leaves it that was not shut down; and the checksum of the superblock.
    bytes[96..104].copy_from_slice(&(30_u64 << 20).to_le_bytes());
    let sum = crc32c::crc32c(&bytes[32..]);
    bytes[..4].copy_from_slice(&sum.to_le_bytes());
    File::options().write(true).open(&volume).unwrap().write_all_at(&bytes, 64 << 10).unwrap();
    patch(at, THIRD, &vec![0; 1 << 20]);
    put(at, "root", THIRD);
    told(at, &["p3 (btrfs: ", "log"]);
}

/// A root that is read does not make up for a boot volume that is not.
#[test]
fn a_boot_volume_that_cannot_be_read_is_named_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let Some(()) = disk(at) else { return };
    tree(at, FSTAB);
    ext4(at, "boot", BOOT_UUID, &["-O", "^metadata_csum"]);
    ext4(at, "root", ROOT_UUID, &[]);
    put(at, "boot", SECOND);
    put(at, "root", THIRD);
    let sound = command(at, "check disk.raw --for azure-gen2").output().unwrap();
    assert_eq!(sound.status.code(), Some(1), "both are read before one is damaged: {sound:?}");

    patch(at, SECOND + 1024 + 0x63, &[0x80]);
    told(at, &["/boot cannot be read", "p2 (ext4)", "feature"]);
    let listed = command(at, "fs ls disk.raw#/boot").output().unwrap();
    assert_eq!(listed.status.code(), Some(2), "an unread folder is not an empty one: {listed:?}");
    let of_the_root = command(at, "fs ls disk.raw#p3:/boot").output().unwrap();
    assert_eq!(
        of_the_root.status.code(),
        Some(0),
        "the volume by itself has a folder there: {of_the_root:?}"
    );

    patch(at, SECOND + 1024, &[0; 1024]);
    told(at, &["/boot cannot be read", BOOT_UUID]);

    // The ESP of a disk that starts by UEFI: a FAT whose sectors are of no size.
    put(at, "boot", SECOND);
    patch(at, ESP + 11, &[0, 0]);
    let output = command(at, "check disk.raw --for azure-gen2").output().unwrap();
    assert!(matches!(output.status.code(), Some(1 | 2)), "{output:?}");
}

#[test]
fn a_volume_group_that_cannot_be_read_is_named_with_the_reason() {
    if !testimages::lvm::need() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let Some(()) = disk(at) else { return };
    let disk = at.join("disk.raw");
    {
        let devices = Devices::over(&[(&disk, THIRD..THIRD + 320 * MIB)]);
        devices.lvm("pvcreate", &["-q", devices.path(0)]);
        devices.lvm("vgcreate", &["-q", "vg0", devices.path(0)]);
        devices.lvm("lvcreate", &["-q", "-an", "-Zn", "-Wn", "-L", "64M", "-n", "root", "vg0"]);
    }
    // The metadata's header, which says where its text is.
    patch(at, THIRD + 4096, &[0; 512]);
    told(at, &["p3 (LVM2_member", "LVM: "]);
}
