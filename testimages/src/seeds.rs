//! What fuzzing starts from: small images and files of each kind, made by the programs that make real ones.

use std::fs;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use block::{Disk, Memory, Overlay};

use crate::ntfs::interrupt;
use crate::{judge, synthetic};

/// How `benches/fuzz` takes a device: the number of its sectors, then each page that is not zero with its
/// number before it.
const PAGE: usize = 4096;
const SECTOR: usize = 512;

/// A shell script that makes the file `seed`, in a folder of its own that has the folder `tree` with some
/// files in it.
struct Recipe {
    target: &'static str,
    name: &'static str,
    script: &'static str,
}

const fn recipe(target: &'static str, name: &'static str, script: &'static str) -> Recipe {
    Recipe { target, name, script }
}

/// Targets whose input is a device and not the bytes of a file.
const DEVICES: &[&str] = &[
    "probe",
    "qcow2",
    "vhd",
    "vhdx",
    "vdi",
    "vmdk",
    "gpt",
    "mbr",
    "lvm2",
    "signature",
    "ext4",
    "jbd2",
    "xfs",
    "xfs_log",
    "btrfs",
    "fat",
    "ntfs",
    "ntfs_log",
];

const TREE: &str = "mkdir -p tree/etc tree/boot/grub && echo 'UUID=1 / ext4 defaults 0 1' > tree/etc/fstab && \
    seq 5000 > tree/boot/large && ln -s large tree/boot/link && ln tree/boot/large tree/boot/hard && \
    truncate -s 100000 tree/boot/hole";

const EXT4: &str =
    "mke2fs -q -F -t ext4 -b 1024 -N 64 -O ^metadata_csum,^has_journal,^resize_inode -d tree seed 1M";
const EXT4_INLINE: &str = "mke2fs -q -F -t ext4 -b 1024 -N 64 -O inline_data,^metadata_csum,^has_journal,^resize_inode -d tree seed 1M";
const EXT2: &str = "mke2fs -q -F -t ext2 -b 1024 -N 64 -d tree seed 1M";
/// A journal with two transactions that were not written to their places, the second of which revokes.
const JOURNAL: &str = "mke2fs -q -F -t ext4 -b 1024 -N 64 -O ^metadata_csum,^resize_inode -J size=1 -d tree seed 3M && \
    head -c 2048 /dev/urandom > two && printf 'jo\\njw -b 2500,2501 two\\njw -r 2500\\njc\\n' > commands && \
    debugfs -w -f commands seed > /dev/null";
const XFS: &str = "truncate -s 40M seed && TEST_DIR=x TEST_DEV=x QA_CHECK_FS=x \
    mkfs.xfs -q -f -m crc=0 -d agcount=2 -l size=12m -p protofile seed > /dev/null 2>&1";
const PROTO: &str = "printf 'x\\n0 0\\nd--755 0 0\\nfile ---644 0 0 tree/boot/large\\nlink l--777 0 0 file\\n\
    dir d--755 0 0\\nsmall ---644 0 0 tree/etc/fstab\\n$\\n$\\n' > protofile && ";
const BTRFS: &str =
    "truncate -s 32M seed && mkfs.btrfs -q --mixed -n 4096 -s 4096 -m single -d single --rootdir tree seed";
const FAT: &str = "truncate -s 512K seed && mkfs.vfat seed > /dev/null && mmd -i seed ::/EFI && \
    mcopy -i seed tree/boot/large '::/EFI/A long name.efi'";
const FAT32: &str =
    "truncate -s 34M seed && mkfs.vfat -F 32 -s 1 seed > /dev/null && mcopy -i seed tree/boot/large ::/BOOT";
const NTFS: &str = "truncate -s 2M seed && mkntfs -F -q -Q -c 4096 seed > /dev/null 2>&1 && \
    ntfscp -q seed tree/boot/large large && ntfscp -q seed tree/etc/fstab fstab";
const GPT: &str =
    "truncate -s 4M seed && printf 'label: gpt\\nsize=1M, type=U, name=esp\\nsize=1M\\n' | sfdisk -q seed";
const MBR: &str = "truncate -s 8M seed && printf 'label: dos\\nsize=1M, type=83, bootable\\nsize=4M, type=5\\nsize=1M\\nsize=1M\\n' | sfdisk -q seed";
const QCOW2: &str = "truncate -s 256K raw && cp tree/boot/large head && dd if=head of=raw conv=notrunc status=none && \
    qemu-img convert -q -f raw -O qcow2 -o cluster_size=4k raw seed";
const QCOW2_PACKED: &str = "truncate -s 256K raw && dd if=tree/boot/large of=raw conv=notrunc status=none && \
    qemu-img convert -q -c -f raw -O qcow2 -o cluster_size=4k raw seed";
const VHD: &str = "truncate -s 1M raw && dd if=tree/boot/large of=raw conv=notrunc status=none && \
    qemu-img convert -q -f raw -O vpc -o subformat=fixed,force_size raw seed";
const VHD_DYNAMIC: &str = "truncate -s 3M raw && dd if=tree/boot/large of=raw conv=notrunc status=none && \
    qemu-img convert -q -f raw -O vpc -o subformat=dynamic,force_size raw seed";
const VHDX: &str = "truncate -s 3M raw && dd if=tree/boot/large of=raw conv=notrunc status=none && \
    qemu-img convert -q -f raw -O vhdx -o block_size=1M raw seed";
const VDI: &str = "truncate -s 3M raw && dd if=tree/boot/large of=raw conv=notrunc status=none && \
    qemu-img convert -q -f raw -O vdi raw seed";
const VMDK: &str = "truncate -s 3M raw && dd if=tree/boot/large of=raw conv=notrunc status=none && \
    qemu-img convert -q -f raw -O vmdk raw seed";
const VMDK_STREAM: &str = "truncate -s 3M raw && dd if=tree/boot/large of=raw conv=notrunc status=none && \
    qemu-img convert -q -f raw -O vmdk -o subformat=streamOptimized raw seed";
/// As root, for a loop device.
const LVM2: &str = r#"truncate -s 8M seed; loop=$(losetup --find --show seed); trap "losetup -d $loop" EXIT
    config='devices { hints="none" obtain_device_list_from_udev=0 } backup { backup=0 archive=0 }'
    lvm() { verb=$1; shift; command lvm $verb -q --driverloaded n --devices $loop --config "$config" "$@" > /dev/null; }
    lvm vgcreate -s 1M vg0 $loop && lvm lvcreate -an -Zn -Wn -l 3 -n root vg0 && lvm lvcreate -an -Zn -Wn -l 2 -n swap vg0"#;
const SWAP: &str = "truncate -s 1M seed && mkswap seed > /dev/null 2>&1";
const CPIO: &str = "(cd tree && find . | LC_ALL=C sort | cpio -o -H newc --quiet) > seed";
const DEP: &str = "printf 'kernel/a.ko: kernel/b.ko kernel/c.ko\\nkernel/b.ko: kernel/c.ko\\nkernel/c.ko:\\nkernel/abc.ko:\\n' > seed";
const INDEX: &str = "mkdir -p lib/modules/1.0/kernel && touch lib/modules/1.0/modules.order lib/modules/1.0/modules.builtin && \
    depmod -b . 1.0 && cp lib/modules/1.0/modules.builtin.bin seed";
const FSTAB: &str = "printf '# fstab\\nUUID=2f7c / ext4 rw,discard 0 1\\n/dev/xvdb\\t/mnt auto defaults,nofail,comment=x 0 2\\r\\n' > seed";
const GRUB_CFG: &str = "printf 'set default=\"1>a\"\\nmenuentry \"one\" --id a {\\n\\tlinux /vmlinuz root=/dev/xvda1 ro \\\\\\n quiet\\n\\tinitrd /i\\n}\\n' > seed";
const UNIT: &str = "printf '[Unit]\\nA=b\\n\\n[Mount]\\nWhat = /dev/xvdb\\nOptions=a,\\\\\\n  b\\n' > seed";
const YAML: &str = "printf 'network:\\n  ethernets:\\n    eth0: {dhcp4: true}\\n    ens5:\\n      addresses:\\n        - 10.0.0.4/24\\n' > seed";
const PLAN: &str = "printf '{\"schema\":\"refloat.plan/1\",\"image\":{\"path\":\"a\",\"size\":1,\"digest\":\"00\"},\"goal\":{\"target\":\"azure-gen1\"},\"items\":[],\"steps\":[]}' > seed";

const RECIPES: &[Recipe] = &[
    recipe("probe", "qcow2", QCOW2),
    recipe("probe", "vhd", VHD),
    recipe("probe", "vdi", VDI),
    recipe("qcow2", "plain", QCOW2),
    recipe("qcow2", "packed", QCOW2_PACKED),
    recipe("vhd", "fixed", VHD),
    recipe("vhd", "dynamic", VHD_DYNAMIC),
    recipe("vhdx", "dynamic", VHDX),
    recipe("vdi", "dynamic", VDI),
    recipe("vmdk", "sparse", VMDK),
    recipe("vmdk", "stream", VMDK_STREAM),
    recipe("gpt", "two", GPT),
    recipe("mbr", "logical", MBR),
    recipe("lvm2", "two", LVM2),
    recipe("signature", "swap", SWAP),
    recipe("signature", "ext4", EXT4),
    recipe("signature", "fat", FAT),
    recipe("ext4", "plain", EXT4),
    recipe("ext4", "inline", EXT4_INLINE),
    recipe("ext4", "ext2", EXT2),
    recipe("jbd2", "dirty", JOURNAL),
    recipe("xfs", "v4", XFS),
    recipe("xfs_log", "v4", XFS),
    recipe("btrfs", "mixed", BTRFS),
    recipe("fat", "fat12", FAT),
    recipe("fat", "fat32", FAT32),
    recipe("ntfs", "two", NTFS),
    recipe("cpio", "newc", CPIO),
    recipe("modules", "dep", DEP),
    recipe("modules", "index", INDEX),
    recipe("text", "fstab", FSTAB),
    recipe("text", "grub", GRUB_CFG),
    recipe("text", "unit", UNIT),
    recipe("text", "yaml", YAML),
    recipe("plan", "empty", PLAN),
];

/// The programs that compress an initramfs.
const PACKERS: &[&str] = &["gzip", "bzip2", "xz", "lzma", "lz4 -l", "zstd"];

/// One input.
pub struct Seed {
    /// Its name among those of its target.
    pub name: &'static str,
    /// `None` if the program that makes it is missing here, or refuses.
    pub content: Option<Vec<u8>>,
}

/// The seeds of a target.
///
/// # Errors
/// If there is no shell, or no room for temporary files.
pub fn seeds(target: &str) -> Result<Vec<Seed>> {
    let mut seeds = Vec::new();
    for recipe in RECIPES.iter().filter(|recipe| recipe.target == target) {
        seeds.push(Seed { name: recipe.name, content: grow(target, recipe.script)? });
    }
    match target {
        "ntfs_log" => {
            let image = made(NTFS)?.map(cut_off);
            seeds.push(Seed { name: "pending", content: image.map(|image| pages(&image)).transpose()? });
        }
        "hive" | "hive_log" => {
            let store = judge::need("hivexregedit").map(|_| synthetic::windows_store()).transpose()?;
            let log = |store: Vec<u8>| if target == "hive" { store } else { half_written(store) };
            seeds.push(Seed { name: "store", content: store.map(log) });
        }
        _ => {}
    }
    if target == "codecs" {
        for packer in PACKERS {
            let name = packer.split(' ').next().unwrap_or(packer);
            let script = format!("{CPIO} && {packer} -c < seed > s && mv s seed");
            seeds.push(Seed { name, content: grow(target, &script)? });
        }
    }
    Ok(seeds)
}

/// The input that a script makes; `None` if it fails.
fn grow(target: &str, script: &str) -> Result<Option<Vec<u8>>> {
    let made = made(script)?;
    if DEVICES.contains(&target) { made.map(|image| pages(&image)).transpose() } else { Ok(made) }
}

/// The file that a script makes; `None` if it fails.
fn made(script: &str) -> Result<Option<Vec<u8>>> {
    let folder = tempfile::tempdir()?;
    let before = if script == XFS { PROTO } else { "" };
    let mut shell = Command::new("sh");
    shell.args(["-ec", &format!("{TREE} && {before}{script}")]).current_dir(folder.path());
    shell.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    shell.stdout(Stdio::null()).stderr(Stdio::null());
    if !shell.status().context("sh cannot be started")?.success() {
        return Ok(None);
    }
    Ok(Some(fs::read(folder.path().join("seed"))?))
}

/// An image as the targets take it.
fn pages(image: &[u8]) -> Result<Vec<u8>> {
    let sectors = image.len().div_ceil(SECTOR);
    let mut input = u32::try_from(sectors)?.to_le_bytes().to_vec();
    for (number, bytes) in image.chunks(PAGE).enumerate() {
        if bytes.iter().any(|byte| *byte != 0) {
            let mut page = [0; PAGE];
            page[..bytes.len()].copy_from_slice(bytes);
            input.extend(u32::try_from(number)?.to_le_bytes());
            input.extend(page);
        }
    }
    Ok(input)
}

/// A volume of NTFS whose power was cut.
fn cut_off(image: Vec<u8>) -> Vec<u8> {
    let size = image.len();
    let volume = Overlay::new(Disk::new(Memory::new(image))).expect("an overlay");
    interrupt(&volume.writer());
    volume.disk().read_vec(0, size).expect("a read")
}

/// A hive whose last write is in its log alone, as Windows 7 has it: its length, the hive, the log (*Windows
/// registry file format specification*, M. Suhanov, "Old format").
fn half_written(mut hive: Vec<u8>) -> Vec<u8> {
    let number = u32::from_le_bytes(hive[4..8].try_into().expect("four bytes")) + 1;
    let seal = |block: &mut [u8]| {
        let words =
            block[..508].chunks(4).map(|word| u32::from_le_bytes(word.try_into().expect("four bytes")));
        let sum = words.fold(0, |sum, word| sum ^ word);
        block[508..512].copy_from_slice(&sum.to_le_bytes());
    };
    let mut log = hive[..SECTOR].to_vec();
    for at in [4, 8] {
        log[at..at + 4].copy_from_slice(&number.to_le_bytes());
    }
    log[0x1c] = 1;
    seal(&mut log);
    log.extend(b"DIRT");
    let bins = &hive[4096..];
    log.resize(log.len() + (bins.len() / SECTOR).div_ceil(8), 0xff);
    log.resize(log.len().next_multiple_of(SECTOR), 0);
    log.extend(bins);
    hive[4..8].copy_from_slice(&number.to_le_bytes());
    seal(&mut hive);
    [&u32::try_from(hive.len()).expect("a small hive").to_le_bytes()[..], &hive, &log].concat()
}
