//! Synthetic kernels: a boot image with a real header, and modules that are real relocatable ELF files,
//! compiled from a few lines of C, with the names, aliases and dependencies of the true ones. `depmod` makes
//! the indexes.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::Result;

use super::disk::{run, tool};
use super::tree::Tree;

/// One module: its path below `kernel/`, what it needs, its aliases.
type Module = (&'static str, &'static [&'static str], &'static [&'static str]);

/// Modules for Hyper-V; what a guest of Azure needs.
pub(super) const HYPERV: &[Module] = &[
    ("drivers/hv/hv_vmbus", &[], &["acpi*:VMBUS:*", "acpi*:VMBus:*"]),
    (
        "drivers/hv/hv_utils",
        &["hv_vmbus"],
        &["vmbus:31600b0e13523449818b38d90ced39db", "vmbus:30e62795aed07b49adcee80ab0175caf"],
    ),
    ("drivers/hv/hv_balloon", &["hv_vmbus"], &["vmbus:dc7450aab8b95d4cb3f2e9a4d6a0b7e5"]),
    ("drivers/hid/hid-hyperv", &["hid", "hv_vmbus"], &["vmbus:9eb6a8cf4a5bc04cb98b8ba1a1f3f95a"]),
    ("drivers/input/serio/hyperv-keyboard", &["hv_vmbus"], &["vmbus:6dad12f9172bea48bd65f927a61c7684"]),
    ("drivers/pci/controller/pci-hyperv-intf", &[], &[]),
    (
        "drivers/pci/controller/pci-hyperv",
        &["pci-hyperv-intf", "hv_vmbus"],
        &["vmbus:1df6c444444400449d52802e27ede19f"],
    ),
    (
        "drivers/scsi/hv_storvsc",
        &["scsi_transport_fc", "scsi_mod", "scsi_common", "hv_vmbus"],
        &[
            "vmbus:d96361baa104294db60572e2ffb1dc7f",
            "vmbus:32264132cb86a2449b5c50d1417354f5",
            "vmbus:4acc9b2f6900f34ab76b6fd0be528cda",
        ],
    ),
    (
        "drivers/net/ethernet/microsoft/mana/mana",
        &["pci-hyperv-intf"],
        &["pci:v00001414d000000BAsv*sd*bc*sc*i*"],
    ),
    ("drivers/net/hyperv/hv_netvsc", &["hv_vmbus"], &["vmbus:635161f83edfc546913ff2d2f965ed0e"]),
];

/// Modules for EC2, and those every machine has.
pub(super) const GENERIC: &[Module] = &[
    ("arch/x86/crypto/crc32c-intel", &[], &["crc32c", "cpu:type:x86,ven*fam*mod*:feature:*0094*"]),
    ("block/t10-pi", &["crc64", "crc-t10dif"], &[]),
    ("crypto/crc32c_generic", &[], &["crc32c", "crypto-crc32c-generic"]),
    ("drivers/ata/ata_generic", &["libata"], &["pci:v*d*sv*sd*bc01sc01i*"]),
    ("drivers/ata/ata_piix", &["libata"], &["pci:v00008086d00007111sv*sd*bc*sc*i*"]),
    ("drivers/ata/libata", &["scsi_mod", "scsi_common"], &[]),
    ("drivers/block/xen-blkfront", &[], &["xen:vbd", "xenblk"]),
    ("drivers/cdrom/cdrom", &[], &[]),
    ("drivers/hid/hid", &[], &[]),
    ("drivers/net/ethernet/amazon/ena/ena", &[], &["pci:v00001D0Fd0000EC20sv*sd*bc*sc*i*"]),
    ("drivers/net/ethernet/mellanox/mlx4/mlx4_core", &[], &["pci:v000015B3d00001004sv*sd*bc*sc*i*"]),
    ("drivers/net/ethernet/mellanox/mlx5/core/mlx5_core", &[], &["pci:v000015B3d00001016sv*sd*bc*sc*i*"]),
    ("drivers/net/xen-netfront", &[], &["xen:vif", "xennet"]),
    ("drivers/nvme/host/nvme", &["nvme-core"], &["pci:v*d*sv*sd*bc01sc08i02*"]),
    ("drivers/nvme/host/nvme-core", &["t10-pi"], &[]),
    ("drivers/scsi/scsi_common", &[], &[]),
    ("drivers/scsi/scsi_mod", &["scsi_common"], &[]),
    ("drivers/scsi/scsi_transport_fc", &["scsi_mod", "scsi_common"], &["scsi-netlink:fc"]),
    (
        "drivers/scsi/sd_mod",
        &["t10-pi", "crc64", "crc-t10dif", "scsi_mod"],
        &["block-major-8-*", "scsi:t-0x00*"],
    ),
    ("drivers/scsi/sr_mod", &["cdrom", "scsi_mod"], &["block-major-11-*", "scsi:t-0x05*"]),
    ("fs/ext4/ext4", &["jbd2", "mbcache", "crc16"], &["fs-ext4", "ext3", "fs-ext3", "ext2", "fs-ext2"]),
    ("fs/fat/fat", &[], &[]),
    ("fs/fat/vfat", &["fat"], &["fs-vfat"]),
    ("fs/isofs/isofs", &["cdrom"], &["iso9660", "fs-iso9660"]),
    ("fs/jbd2/jbd2", &[], &[]),
    ("fs/mbcache", &[], &[]),
    ("fs/udf/udf", &["cdrom", "crc-itu-t"], &["fs-udf"]),
    ("lib/crc-itu-t", &[], &[]),
    ("lib/crc-t10dif", &[], &[]),
    ("lib/crc16", &[], &[]),
    ("lib/crc64", &[], &[]),
];

/// What the initramfs of an EC2 guest loads: its disks, its network cards and the root's file system.
pub(super) const EC2_INITRAMFS: &[&str] = &[
    "nvme",
    "nvme-core",
    "t10-pi",
    "crc64",
    "crc-t10dif",
    "xen-blkfront",
    "xen-netfront",
    "ena",
    "ext4",
    "jbd2",
    "mbcache",
    "crc16",
    "crc32c_generic",
    "crc32c-intel",
];

/// What an initramfs needs besides, to find its root on Hyper-V.
pub(super) const HYPERV_INITRAMFS: &[&str] = &[
    "hv_vmbus",
    "hv_storvsc",
    "hv_netvsc",
    "hv_utils",
    "scsi_transport_fc",
    "scsi_mod",
    "scsi_common",
    "sd_mod",
];

/// A kernel to be made.
#[derive(Clone, Copy)]
pub(super) struct Kernel<'a> {
    /// What `uname -r` would say.
    pub(super) release: &'a str,
    /// What follows the release in the boot image's version.
    pub(super) banner: &'a str,
    /// Whether it has drivers for Hyper-V.
    pub(super) hyperv: bool,
    /// Whether its modules are compressed with xz (`.ko.xz`).
    pub(super) xz: bool,
    /// Names of modules that it was built without.
    pub(super) lacks: &'a [&'a str],
}

impl Kernel<'_> {
    /// The boot image, configuration and modules, where Debian's packages put them.
    pub(super) fn tree(&self) -> Result<Tree> {
        let release = self.release;
        let mut tree = Tree::default();
        tree.file(&format!("/boot/vmlinuz-{release}"), self.boot_image());
        tree.file(
            &format!("/boot/System.map-{release}"),
            "ffffffffffffffff B The real System.map is in the debug package\n",
        );
        let hv = if self.hyperv { "m" } else { "n" };
        let config = [
            ("X86_64", "y"),
            ("HYPERV", hv),
            ("HYPERV_STORAGE", hv),
            ("HYPERV_NET", hv),
            ("HYPERV_UTILS", hv),
            ("HYPERV_KEYBOARD", hv),
            ("HID_HYPERV_MOUSE", hv),
            ("PCI_HYPERV", if self.lacks.contains(&"pci-hyperv") { "n" } else { hv }),
            ("BLK_DEV_SD", "m"),
            ("BLK_DEV_NVME", "m"),
            ("EXT4_FS", "m"),
            ("XEN", "y"),
            ("XEN_BLKDEV_FRONTEND", "m"),
            ("ENA_ETHERNET", "m"),
            ("EFI", "y"),
            ("EFI_STUB", "y"),
            ("RD_ZSTD", "y"),
            ("RD_XZ", "y"),
            ("RD_GZIP", "y"),
            ("RD_LZ4", "y"),
            ("MODULE_COMPRESS_XZ", if self.xz { "y" } else { "n" }),
        ];
        let mut text = format!(
            "#\n# Linux/x86 {} Kernel Configuration\n#\n",
            release.split('-').next().unwrap_or(release)
        );
        for (name, value) in config {
            match value {
                "n" => writeln!(text, "# CONFIG_{name} is not set")?,
                _ => writeln!(text, "CONFIG_{name}={value}")?,
            }
        }
        tree.file(&format!("/boot/config-{release}"), text);
        let modules = self.modules(&|_| true)?;
        tree.merge(modules);
        Ok(tree)
    }

    /// The modules whose name `wanted` takes, below `/usr/lib/modules`, with the indexes `depmod` makes for
    /// them.
    pub(super) fn modules(&self, wanted: &dyn Fn(&str) -> bool) -> Result<Tree> {
        let chosen = GENERIC.iter().chain(HYPERV.iter().filter(|_| self.hyperv));
        let chosen: Vec<&Module> = chosen
            .filter(|module| wanted(name_of(module.0)) && !self.lacks.contains(&name_of(module.0)))
            .collect();
        let work = tempfile::tempdir()?;
        let directory = work.path().join("lib/modules").join(self.release);
        let mut order = String::new();
        let mut gcc = tool("gcc");
        gcc.args([
            "-c",
            "-O1",
            "-ffreestanding",
            "-fno-pic",
            "-fno-asynchronous-unwind-tables",
            "-fno-ident",
        ]);
        for (path, depends, aliases) in &chosen {
            let name = name_of(path);
            fs::write(work.path().join(format!("{name}.c")), self.source(name, depends, aliases))?;
            gcc.arg(format!("{name}.c"));
            writeln!(order, "kernel/{path}.ko")?;
        }
        run(gcc.current_dir(work.path()), &[])?;
        for (path, ..) in &chosen {
            let module = directory.join("kernel").join(format!("{path}.ko"));
            fs::create_dir_all(module.parent().unwrap_or(Path::new("/")))?;
            fs::rename(work.path().join(format!("{}.o", name_of(path))), &module)?;
            if self.xz {
                run(tool("xz").args(["--check=crc32", "--threads=1"]).arg(&module), &[])?;
            }
        }
        fs::write(directory.join("modules.order"), order)?;
        fs::write(
            directory.join("modules.builtin"),
            "kernel/fs/binfmt_script.ko\nkernel/fs/xfs/xfs.ko\nkernel/drivers/md/dm-mod.ko\nkernel/drivers/tty/serial/8250/8250.ko\n",
        )?;
        fs::write(directory.join("modules.builtin.modinfo"), b"8250.alias=platform:serial8250\0")?;
        run(tool("depmod").arg("-b").arg(work.path()).arg(self.release), &[])?;
        let mut tree = Tree::default();
        tree.read_below(&directory, &format!("/usr/lib/modules/{}", self.release))?;
        Ok(tree)
    }

    /// C that compiles to a module of this name: its `.modinfo` strings, one exported symbol, and a use of
    /// one symbol of each module it depends on, which is how `depmod` finds dependencies.
    fn source(&self, name: &str, depends: &[&str], aliases: &[&str]) -> String {
        let mut infos = vec![
            "license=GPL".to_owned(),
            format!("description=synthetic {name} for tests"),
            format!("depends={}", depends.join(",")),
            "retpoline=Y".to_owned(),
            "intree=Y".to_owned(),
            format!("name={}", symbol(name)),
            format!("vermagic={} SMP preempt mod_unload modversions ", self.release),
        ];
        infos.extend(aliases.iter().map(|alias| format!("alias={alias}")));
        if name == "ext4" {
            infos.push("softdep=pre: crc32c".to_owned());
        }
        let mut source = String::new();
        for (number, info) in infos.iter().enumerate() {
            source += &format!(
                "static const char info{number}[] __attribute__((section(\".modinfo\"), used, aligned(1))) = \"{info}\";\n"
            );
        }
        let own = symbol(name);
        source += &format!(
            "static const char exported[] __attribute__((section(\"__ksymtab_strings\"), used, aligned(1))) = \"{own}_synthetic\";\n\
             int {own}_synthetic(void) {{ return 0; }}\n"
        );
        let calls: String =
            depends.iter().map(|depend| format!(" + {}_synthetic()", symbol(depend))).collect();
        for depend in depends {
            source += &format!("extern int {}_synthetic(void);\n", symbol(depend));
        }
        source + &format!("int init_module(void) {{ return 0{calls}; }}\n")
    }

    /// A boot image: the header of the x86 boot protocol with the version string, and in the place of the
    /// compressed kernel a few bytes that look like one.
    pub(super) fn boot_image(&self) -> Vec<u8> {
        const SETUP: usize = 5 * 512;
        const PAYLOAD: u32 = 0x200;
        let mut image = vec![0_u8; 32 << 10];
        let size = (image.len() - SETUP) as u32;
        image[..2].copy_from_slice(b"MZ"); // UEFI can start it, too
        image[0x3c] = 0x40;
        image[0x40..0x48].copy_from_slice(b"PE\0\0\x64\x86\x01\0");
        image[0x54] = 0xf0; // bytes of the optional header
        image[0x58..0x5a].copy_from_slice(&[0x0b, 0x02]);
        image[0x148..0x14d].copy_from_slice(b".text");
        image[0x150..0x154].copy_from_slice(&size.to_le_bytes());
        image[0x158..0x15c].copy_from_slice(&size.to_le_bytes());
        image[0x15c..0x160].copy_from_slice(&(SETUP as u32).to_le_bytes());
        image[0x1f1] = 4; // four sectors of set-up code
        image[0x1f4..0x1f8].copy_from_slice(&(size / 16).to_le_bytes());
        image[0x1fe..0x200].copy_from_slice(&[0x55, 0xaa]);
        image[0x200..0x202].copy_from_slice(&[0xeb, 0x66]);
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x206..0x208].copy_from_slice(&0x020f_u16.to_le_bytes());
        image[0x211] = 1; // loaded high
        image[0x236] = 1; // a kernel of 64 bits
        image[0x248..0x24c].copy_from_slice(&PAYLOAD.to_le_bytes());
        image[0x24c..0x250].copy_from_slice(&(size - PAYLOAD).to_le_bytes());
        image[SETUP + PAYLOAD as usize..][..4].copy_from_slice(&[0x28, 0xb5, 0x2f, 0xfd]);
        let version = format!("{} {}\0", self.release, self.banner);
        image[0x20e..0x210].copy_from_slice(&0x400_u16.to_le_bytes());
        image[0x600..0x600 + version.len()].copy_from_slice(version.as_bytes());
        // The checksum of the build, which goes without the last inversion.
        let end = image.len() - 4;
        let sum = !crc32fast::hash(&image[..end]);
        image[end..].copy_from_slice(&sum.to_le_bytes());
        image
    }
}

fn name_of(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn symbol(name: &str) -> String {
    name.replace('-', "_")
}
