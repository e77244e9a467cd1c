//! The phony guests, one recipe each.

pub(super) mod lvm;
pub(super) mod pv;

use std::fs::{self, File};
use std::path::Path;

use anyhow::Result;

use super::disk::{Ext, MIB, make_gpt, make_mbr, make_vfat, place, place_phony_grub, run, tool};
use super::initrd::{Codec, Initrd};
use super::kernel::{EC2_INITRAMFS, HYPERV_INITRAMFS, Kernel};
use super::tree::Tree;
use super::{Generation, PhonyGuest, ec2, grub};

pub(super) static ALL: &[PhonyGuest] = &[
    PhonyGuest {
        name: "debian-mbr-ext4",
        description: "Debian 12 with every habit of EC2: devices by name, a pinned card, Amazon's agents and clock",
        generation: Generation::Gen1,
        build: |out| debian_12(&Debian12::on_ec2()).on_mbr(out, 64 * MIB, "ext4", 4096),
    },
    PhonyGuest {
        name: "ubuntu-gpt-hybrid",
        description: "Ubuntu 22.04 for AWS: GPT with BIOS boot and EFI partitions, booted without its initramfs",
        generation: Generation::Gen2,
        build: ubuntu_gpt_hybrid,
    },
    PhonyGuest {
        name: "debian-gpt-efi",
        description: "Debian 13 by UEFI alone: no fallback boot loader, modules and initramfs packed with xz, NVMe names",
        generation: Generation::Gen2,
        build: debian_gpt_efi,
    },
    PhonyGuest {
        name: "debian-ext3-1k",
        description: "Debian 11 on ext3 with 1 KiB blocks, once a paravirtual Xen guest",
        generation: Generation::Gen1,
        build: debian_ext3_1k,
    },
    PhonyGuest {
        name: "debian-separate-boot",
        description: "Debian 12 with /boot on an ext2 partition of its own, and an lz4 initramfs",
        generation: Generation::Gen1,
        build: debian_separate_boot,
    },
    PhonyGuest {
        name: "debian-already-fine",
        description: "Debian 12 that nothing stops from booting on Azure",
        generation: Generation::Gen1,
        build: |out| debian_12(&Debian12::fine()).on_mbr(out, 64 * MIB, "ext4", 4096),
    },
    PhonyGuest {
        name: "debian-no-hyperv-kernel",
        description: "Debian 12 whose only kernel was built without Hyper-V: it cannot be fixed offline",
        generation: Generation::Gen1,
        build: |out| {
            let kernel = Kernel { hyperv: false, release: "6.1.0-ec2", ..BOOKWORM };
            debian_12(&Debian12 { kernel, ..Debian12::on_ec2() }).on_mbr(out, 64 * MIB, "ext4", 4096)
        },
    },
    PhonyGuest {
        name: "debian-odd-size",
        description: "as debian-already-fine, on a disk that is no whole number of MiB",
        generation: Generation::Gen1,
        build: |out| {
            debian_12(&Debian12::fine()).on_mbr(out, 64 * MIB, "ext4", 4096)?;
            Ok(File::options().write(true).open(out)?.set_len(64 * MIB + 7 * 512)?)
        },
    },
    PhonyGuest {
        name: "debian-dirty-journal",
        description: "as debian-mbr-ext4, in a snapshot of the running machine: the journal has blocks to recover",
        generation: Generation::Gen1,
        build: debian_dirty_journal,
    },
    PhonyGuest {
        name: "bare-no-os",
        description: "a data disk: one ext4 partition with files, and no system",
        generation: Generation::Gen1,
        build: bare_no_os,
    },
    PhonyGuest {
        name: "bare-ext4-pv",
        description: "a paravirtual AMI: ext4 on the whole disk, no partition table, GRUB's old menu.lst",
        generation: Generation::Gen1,
        build: bare_ext4_pv,
    },
];

pub(super) static DEMO: PhonyGuest = PhonyGuest {
    name: "demo",
    description: "Debian 12 out of EC2, small enough to carry inside the program",
    generation: Generation::Gen1,
    build: |out| debian_12(&Debian12::on_ec2()).on_mbr(out, 32 * MIB, "ext4", 4096),
};

pub(super) const ROOT_UUID: &str = "5f1c1e0a-7d3b-4c55-9b6e-2f0a54ec2001";
pub(super) const BOOT_UUID: &str = "5f1c1e0a-7d3b-4c55-9b6e-2f0a54ec2002";
/// The identifier of the root's partition on GPT.
const ROOT_PARTUUID: &str = "b1d2c3a4-0001-4ec2-8abc-0123456789ab";
pub(super) const DISK_GUID: &str = "b1d2c3a4-0000-4ec2-8abc-0123456789ab";
/// The identifier of the disk on MBR.
pub(super) const DISK_ID: &str = "0x1ec2a517";

/// How the names of initramfs images begin and end.
const DEBIAN_INITRD: (&str, &str) = ("initrd.img-", "");

const CONSOLES: &str = "console=tty0 console=ttyS0,115200n8";
const EC2_ARGUMENTS: &str = "console=tty0 console=hvc0 net.ifnames=0 nvme_core.io_timeout=4294967295";

const BOOKWORM: Kernel<'_> = Kernel {
    release: "6.1.0-50-amd64",
    banner: "(debian-kernel@lists.debian.org) #1 SMP PREEMPT_DYNAMIC Debian 6.1.170-1 (2026-06-30)",
    hyperv: true,
    xz: false,
    lacks: &[],
};

const BOOKWORM_RELEASE: &str = "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nNAME=\"Debian GNU/Linux\"\nVERSION_ID=\"12\"\n\
                                VERSION=\"12 (bookworm)\"\nVERSION_CODENAME=bookworm\nID=debian\n";
const BOOKWORM_PACKAGES: &[(&str, &str)] = &[
    ("linux-image-6.1.0-50-amd64", "6.1.170-1"),
    ("initramfs-tools", "0.142"),
    ("grub-pc", "2.06-13+deb12u2"),
    ("cloud-init", "22.4.2-1"),
    ("chrony", "4.3-2"),
    ("openssh-server", "1:9.2p1-2"),
    ("systemd", "252.39-1"),
];

/// What distinguishes one Debian 12 from another.
struct Debian12<'a> {
    kernel: Kernel<'a>,
    /// Whether it is as an instance on EC2 is, or already as Azure wants it.
    ec2: bool,
    root: &'a str,
    codec: Codec,
    microcode: bool,
}

impl Debian12<'_> {
    fn on_ec2() -> Self {
        Self { kernel: BOOKWORM, ec2: true, root: "/dev/xvda1", codec: Codec::Zstd, microcode: true }
    }

    fn fine() -> Self {
        Self { ec2: false, root: "UUID=5f1c1e0a-7d3b-4c55-9b6e-2f0a54ec2001", ..Self::on_ec2() }
    }
}

/// A guest's tree, or why it could not be composed; ready to be put on a disk.
struct Guest(Result<Tree>);

impl Guest {
    /// One partition of all the disk but its first MiB.
    fn on_mbr(self, out: &Path, size: u64, kind: &str, block_size: u32) -> Result<()> {
        make_mbr(out, size, DISK_ID, "start=2048, type=83, bootable")?;
        place_phony_grub(out, 512)?;
        root(kind, block_size).put(out, MIB, size - MIB, &self.0?)
    }
}

pub(super) fn root(kind: &str, block_size: u32) -> Ext<'_> {
    Ext { kind, block_size, uuid: ROOT_UUID, label: "", features: "" }
}

impl Ext<'_> {
    /// Makes the file system in a file of its own and places it at `offset` of `disk`.
    pub(super) fn put(&self, disk: &Path, offset: u64, size: u64, tree: &Tree) -> Result<()> {
        let volume = tempfile::NamedTempFile::new()?;
        self.make(volume.path(), size, tree)?;
        place(volume.path(), disk, offset)
    }
}

fn debian_12(variant: &Debian12<'_>) -> Guest {
    Guest(compose_debian_12(variant))
}

fn compose_debian_12(variant: &Debian12<'_>) -> Result<Tree> {
    let Debian12 { kernel, ec2, root, codec, microcode } = *variant;
    let mut tree = ec2::system(BOOKWORM_RELEASE, BOOKWORM_PACKAGES);
    tree.merge(kernel.tree()?);
    let drivers = if ec2 { &[][..] } else { HYPERV_INITRAMFS };
    let modules = [EC2_INITRAMFS, drivers].concat();
    let initrd = Initrd { microcode, ..Initrd::tools(&kernel, modules, codec) }.make()?;
    tree.file(&format!("/boot/initrd.img-{}", kernel.release), initrd);
    tree.file("/etc/initramfs-tools/modules", "nvme\nxen-blkfront\nena\n");
    let arguments = if ec2 { EC2_ARGUMENTS } else { CONSOLES };
    grub_of_debian(&mut tree, kernel.release, root, arguments, "part_msdos");
    if ec2 {
        tree.file("/etc/initramfs-tools/initramfs.conf", "MODULES=list\nBUSYBOX=auto\nCOMPRESS=zstd\n");
        tree.file(
            "/etc/fstab",
            format!(
                "# device\tmount point\ttype\toptions\tdump\tpass\n{root}\t/\text4\tdefaults,discard\t0\t1\n\
                 /dev/xvdb\t/mnt\tauto\tdefaults,nofail,comment=cloudconfig\t0\t2\n\
                 fs-0123456789abcdef0:/\t/srv\tefs\t_netdev,tls\t0\t0\n\
                 fs-0fedcba9876543210.efs.eu-west-1.amazonaws.com:/\t/opt\tnfs4\tnfsvers=4.1,_netdev\t0\t0\n"
            ),
        );
        ec2::ifupdown_pinned(&mut tree);
        ec2::cloud_init(&mut tree);
        ec2::chrony(&mut tree);
        ec2::ssm_agent(&mut tree);
        ec2::instance_connect(&mut tree);
        ec2::module_blacklist(&mut tree);
        ec2::xen_leftovers(&mut tree);
        tree.file("/etc/apt/sources.list", "deb http://cdn-aws.deb.debian.org/debian bookworm main\n");
    } else {
        tree.file("/etc/initramfs-tools/initramfs.conf", "MODULES=most\nBUSYBOX=auto\nCOMPRESS=zstd\n");
        tree.file("/etc/initramfs-tools/modules", "hv_vmbus\nhv_storvsc\nhv_netvsc\n");
        tree.file("/etc/fstab", format!("{root}\t/\text4\tdefaults\t0\t1\n"));
        ec2::ifupdown_plain(&mut tree);
        tree.file(
            "/etc/chrony/chrony.conf",
            "refclock PHC /dev/ptp_hyperv poll 3 dpoll -2 offset 0 stratum 2\nmakestep 1.0 -1\n",
        );
        tree.file("/etc/apt/sources.list", "deb http://deb.debian.org/debian bookworm main\n");
        tree.file(
            "/var/lib/dpkg/status",
            "Package: systemd\nStatus: install ok installed\nArchitecture: amd64\nVersion: 252.39-1\n\n",
        );
    }
    Ok(tree)
}

fn grub_of_debian(tree: &mut Tree, release: &str, root: &str, arguments: &str, table: &str) {
    let grub = grub::Grub {
        name: "Debian GNU/Linux",
        releases: &[release],
        root,
        boot_uuid: ROOT_UUID,
        boot: "/boot",
        arguments,
        table,
        initrdless: None,
        initrd: DEBIAN_INITRD,
    };
    tree.file("/boot/grub/grub.cfg", grub.configuration());
    tree.file("/boot/grub/grubenv", grub::environment(&[]));
    tree.file(
        "/etc/default/grub",
        format!(
            "GRUB_DEFAULT=0\nGRUB_TIMEOUT=0\nGRUB_DISTRIBUTOR=`lsb_release -i -s 2> /dev/null || echo Debian`\n\
             GRUB_CMDLINE_LINUX_DEFAULT=\"\"\nGRUB_CMDLINE_LINUX=\"{arguments}\"\nGRUB_TERMINAL=\"console serial\"\n\
             GRUB_SERIAL_COMMAND=\"serial --speed=115200\"\n"
        ),
    );
}

fn ubuntu_gpt_hybrid(out: &Path) -> Result<()> {
    let kernel = Kernel {
        release: "6.2.0-1018-aws",
        banner: "(buildd@lcy02-amd64-001) #18~22.04.1-Ubuntu SMP",
        ..BOOKWORM
    };
    let older = Kernel { release: "6.2.0-1017-aws", ..kernel };
    let mut tree = ec2::system(
        "PRETTY_NAME=\"Ubuntu 22.04.4 LTS\"\nNAME=\"Ubuntu\"\nVERSION_ID=\"22.04\"\n\
         VERSION=\"22.04.4 LTS (Jammy Jellyfish)\"\nVERSION_CODENAME=jammy\nID=ubuntu\nID_LIKE=debian\nUBUNTU_CODENAME=jammy\n",
        &[
            ("linux-image-6.2.0-1018-aws", "6.2.0-1018.18~22.04.1"),
            ("grub-pc", "2.06-2ubuntu7.2"),
            ("grub-efi-amd64-signed", "1.187.6"),
            ("shim-signed", "1.51.3"),
            ("cloud-init", "23.4.4"),
            ("netplan.io", "0.106.1"),
            ("chrony", "4.2-2ubuntu2"),
        ],
    );
    for kernel in [kernel, older] {
        tree.merge(kernel.tree()?);
        let initrd = Initrd::tools(&kernel, EC2_INITRAMFS.to_vec(), Codec::Zstd);
        tree.file(&format!("/boot/initrd.img-{}", kernel.release), initrd.make()?);
        tree.remove(&format!("/boot/System.map-{}", kernel.release));
    }
    for (link, release) in [("", kernel.release), (".old", older.release)] {
        tree.link(&format!("/boot/vmlinuz{link}"), &format!("vmlinuz-{release}"));
        tree.link(&format!("/boot/initrd.img{link}"), &format!("initrd.img-{release}"));
    }
    let arguments = "console=tty1 console=ttyS0 nvme_core.io_timeout=4294967295";
    let grub = grub::Grub {
        name: "Ubuntu",
        releases: &[kernel.release, older.release],
        root: "PARTUUID=b1d2c3a4-0001-4ec2-8abc-0123456789ab",
        boot_uuid: ROOT_UUID,
        boot: "/boot",
        arguments,
        table: "part_gpt",
        initrdless: Some(ROOT_PARTUUID),
        initrd: DEBIAN_INITRD,
    };
    tree.file("/boot/grub/grub.cfg", grub.configuration());
    tree.file("/boot/grub/grubenv", grub::environment(&["initrdfail=2"]));
    tree.file("/etc/default/grub", "GRUB_DEFAULT=0\nGRUB_TIMEOUT_STYLE=hidden\nGRUB_TIMEOUT=0\nGRUB_CMDLINE_LINUX_DEFAULT=\"quiet splash\"\nGRUB_CMDLINE_LINUX=\"\"\n");
    tree.file(
        "/etc/default/grub.d/40-force-partuuid.cfg",
        format!("# Force boot by PARTUUID, without an initramfs\nGRUB_FORCE_PARTUUID={ROOT_PARTUUID}\n"),
    );
    tree.file(
        "/etc/default/grub.d/50-cloudimg-settings.cfg",
        format!("GRUB_RECORDFAIL_TIMEOUT=0\nGRUB_TIMEOUT=0\nGRUB_CMDLINE_LINUX_DEFAULT=\"{arguments}\"\nGRUB_TERMINAL=console\n"),
    );
    tree.file(
        "/etc/fstab",
        "LABEL=cloudimg-rootfs\t/\text4\tdiscard,errors=remount-ro\t0 1\nLABEL=UEFI\t/boot/efi\tvfat\tumask=0077\t0 1\n\
         /dev/nvme1n1\t/mnt\tauto\tdefaults,nofail,x-systemd.requires=cloud-init.service,comment=cloudconfig\t0\t2\n",
    );
    tree.directory("/boot/efi");
    ec2::netplan_pinned(&mut tree);
    ec2::cloud_init(&mut tree);
    ec2::chrony(&mut tree);
    ec2::ssm_snap(&mut tree);
    ec2::instance_connect(&mut tree);
    ec2::hibernation_agent(&mut tree);
    tree.file(
        "/etc/apt/sources.list",
        "deb http://eu-west-1.ec2.archive.ubuntu.com/ubuntu/ jammy main restricted universe\n",
    );

    let size = 96 * MIB;
    // As on Ubuntu's own images: the root is partition 1, and last on the disk.
    let partitions = [
        "--new=14:2048:4095",
        "--typecode=14:ef02",
        "--partition-guid=14:b1d2c3a4-000e-4ec2-8abc-0123456789ab",
        "--new=15:4096:36863",
        "--typecode=15:ef00",
        "--partition-guid=15:b1d2c3a4-000f-4ec2-8abc-0123456789ab",
        "--new=1:36864:194559",
        "--typecode=1:8300",
        "--partition-guid=1:b1d2c3a4-0001-4ec2-8abc-0123456789ab",
    ];
    make_gpt(out, size, DISK_GUID, &partitions)?;
    place_phony_grub(out, MIB)?;
    let stub = format!(
        "search.fs_uuid {ROOT_UUID} root\nset prefix=($root)'/boot/grub'\nconfigfile $prefix/grub.cfg\n"
    );
    let mut esp = Tree::default();
    for loader in ["/EFI/BOOT/BOOTX64.EFI", "/EFI/ubuntu/shimx64.efi", "/EFI/ubuntu/grubx64.efi"] {
        esp.file(loader, portable_executable());
    }
    esp.file("/EFI/ubuntu/grub.cfg", stub);
    put_vfat(out, 2 * MIB, 16 * MIB, "UEFI", &esp)?;
    Ext { label: "cloudimg-rootfs", ..root("ext4", 4096) }.put(out, 18 * MIB, 77 * MIB, &tree)
}

fn debian_gpt_efi(out: &Path) -> Result<()> {
    let kernel = Kernel {
        release: "6.12.107+deb13-amd64",
        banner: "(debian-kernel@lists.debian.org) #1 SMP PREEMPT_DYNAMIC Debian 6.12.107-1 (2026-10-12)",
        hyperv: true,
        xz: true,
        lacks: &[],
    };
    let mut tree = ec2::system(
        "PRETTY_NAME=\"Debian GNU/Linux 13 (trixie)\"\nNAME=\"Debian GNU/Linux\"\nVERSION_ID=\"13\"\n\
         VERSION=\"13 (trixie)\"\nVERSION_CODENAME=trixie\nID=debian\n",
        &[
            ("linux-image-6.12.107+deb13-amd64", "6.12.107-1"),
            ("grub-efi-amd64-signed", "1+2.12+9"),
            ("shim-signed", "1.47"),
            ("cloud-init", "25.1.4-1"),
            ("initramfs-tools", "0.148"),
        ],
    );
    tree.merge(kernel.tree()?);
    let initrd = Initrd::tools(&kernel, EC2_INITRAMFS.to_vec(), Codec::Xz);
    tree.file(&format!("/boot/initrd.img-{}", kernel.release), initrd.make()?);
    let arguments = "console=tty0 console=ttyS0,115200 nvme_core.io_timeout=4294967295 resume=/dev/nvme0n1p3 rootdelay=300";
    grub_of_debian(&mut tree, kernel.release, "/dev/nvme0n1p1", arguments, "part_gpt");
    tree.file(
        "/etc/fstab",
        "/dev/nvme0n1p1 / ext4 rw,discard,errors=remount-ro 0 1\n/dev/nvme0n1p15 /boot/efi vfat defaults 0 2\n\
         /dev/nvme1n1 /srv ext4 defaults 0 2\n",
    );
    tree.directory("/boot/efi");
    ec2::networkd_pinned(&mut tree);
    ec2::cloud_init(&mut tree);
    ec2::ssm_agent(&mut tree);
    tree.file("/etc/systemd/timesyncd.conf.d/ec2.conf", "[Time]\nNTP=169.254.169.123\n");

    let partitions = [
        "--new=15:2048:34815",
        "--typecode=15:ef00",
        "--partition-guid=15:b1d2c3a4-000f-4ec2-8abc-0123456789ab",
        "--new=1:34816:194559",
        "--typecode=1:8304",
        "--partition-guid=1:b1d2c3a4-0001-4ec2-8abc-0123456789ab",
    ];
    make_gpt(out, 96 * MIB, DISK_GUID, &partitions)?;
    let mut esp = Tree::default();
    for loader in ["shimx64.efi", "grubx64.efi", "mmx64.efi"] {
        esp.file(&format!("/EFI/debian/{loader}"), portable_executable());
    }
    esp.file(
        "/EFI/debian/grub.cfg",
        format!(
            "search.fs_uuid {ROOT_UUID} root\nset prefix=($root)'/boot/grub'\nconfigfile $prefix/grub.cfg\n"
        ),
    );
    esp.file("/EFI/debian/BOOTX64.CSV", "shimx64.efi,debian,,This is the boot entry for debian\n");
    put_vfat(out, MIB, 16 * MIB, "EFI", &esp)?;
    root("ext4", 4096).put(out, 17 * MIB, 78 * MIB, &tree)
}

fn debian_ext3_1k(out: &Path) -> Result<()> {
    let kernel = Kernel {
        release: "5.10.0-32-amd64",
        banner: "(debian-kernel@lists.debian.org) #1 SMP Debian 5.10.223-1 (2024-08-10)",
        ..BOOKWORM
    };
    let mut tree = ec2::system(
        "PRETTY_NAME=\"Debian GNU/Linux 11 (bullseye)\"\nNAME=\"Debian GNU/Linux\"\nVERSION_ID=\"11\"\n\
         VERSION=\"11 (bullseye)\"\nVERSION_CODENAME=bullseye\nID=debian\n",
        &[
            ("linux-image-5.10.0-32-amd64", "5.10.223-1"),
            ("grub-pc", "2.06-3~deb11u6"),
            ("ntp", "1:4.2.8p15"),
        ],
    );
    tree.merge(kernel.tree()?);
    let initrd = Initrd { microcode: true, ..Initrd::tools(&kernel, EC2_INITRAMFS.to_vec(), Codec::Gzip) };
    tree.file(&format!("/boot/initrd.img-{}", kernel.release), initrd.make()?);
    grub_of_debian(
        &mut tree,
        kernel.release,
        "/dev/xvda1",
        "console=hvc0 xencons=tty clocksource=xen",
        "part_msdos",
    );
    tree.file("/etc/fstab", "/dev/xvda1 / ext3 noatime 0 1\n/dev/xvda3 none swap sw 0 0\n/dev/xvdf /var/lib/data ext4 defaults 0 2\n");
    ec2::ifupdown_pinned(&mut tree);
    ec2::xen_leftovers(&mut tree);
    tree.file("/etc/ntp.conf", "driftfile /var/lib/ntp/ntp.drift\nserver 169.254.169.123 iburst\n");
    Guest(Ok(tree)).on_mbr(out, 64 * MIB, "ext3", 1024)
}

fn debian_separate_boot(out: &Path) -> Result<()> {
    let variant = Debian12 { root: "/dev/xvda2", codec: Codec::Lz4, microcode: false, ..Debian12::on_ec2() };
    let mut tree = compose_debian_12(&variant)?;
    tree.file("/etc/fstab", "/dev/xvda2 / ext4 defaults 0 1\n/dev/xvda1 /boot ext2 defaults 0 2\n");
    let mut boot = tree.split_off("/boot");
    let grub = grub::Grub {
        name: "Debian GNU/Linux",
        releases: &[variant.kernel.release],
        root: variant.root,
        boot_uuid: BOOT_UUID,
        boot: "",
        arguments: EC2_ARGUMENTS,
        table: "part_msdos",
        initrdless: None,
        initrd: DEBIAN_INITRD,
    };
    boot.file("/grub/grub.cfg", grub.configuration());
    make_mbr(out, 96 * MIB, DISK_ID, "start=2048, size=32768, type=83, bootable\nstart=34816, type=83")?;
    place_phony_grub(out, 512)?;
    Ext { uuid: BOOT_UUID, ..root("ext2", 1024) }.put(out, MIB, 16 * MIB, &boot)?;
    root("ext4", 4096).put(out, 17 * MIB, 79 * MIB, &tree)
}

/// The last word on `/etc/motd` is in the journal only: recovery changes what the file says.
fn debian_dirty_journal(out: &Path) -> Result<()> {
    let mut tree = compose_debian_12(&Debian12::on_ec2())?;
    tree.file("/etc/motd", padded("before recovery\n"));
    Guest(Ok(tree)).on_mbr(out, 64 * MIB, "ext4", 4096)?;
    let work = tempfile::tempdir()?;
    let block = work.path().join("block");
    fs::write(&block, padded("after recovery\n"))?;
    let volume = format!("{}?offset={MIB}", out.display());
    let where_is = run(tool("debugfs").args(["-R", "bmap /etc/motd 0", &volume]), &[])?;
    let script = work.path().join("commands");
    let number = String::from_utf8_lossy(&where_is).trim().to_owned();
    fs::write(&script, format!("jo\njw -b {number} {}\njc\n", block.display()))?;
    run(tool("debugfs").arg("-w").arg("-f").arg(&script).arg(&volume), &[]).map(drop)
}

/// Text that fills one block of 4 KiB.
fn padded(text: &str) -> Vec<u8> {
    let mut block = text.as_bytes().to_vec();
    block.resize(4096, b'\n');
    block
}

fn bare_no_os(out: &Path) -> Result<()> {
    let mut tree = Tree::default();
    tree.file("/orders/2026-11.csv", "order,amount\n1,10\n".repeat(1000));
    tree.file("/README", "The shop's data; the system is on another disk.\n");
    make_mbr(out, 16 * MIB, DISK_ID, "start=2048, type=83")?;
    root("ext4", 4096).put(out, MIB, 15 * MIB, &tree)
}

fn bare_ext4_pv(out: &Path) -> Result<()> {
    let mut tree = compose_debian_12(&Debian12 { root: "/dev/xvda", ..Debian12::on_ec2() })?;
    tree.remove("/boot/grub/grub.cfg");
    tree.file(
        "/boot/grub/menu.lst",
        "default 0\ntimeout 0\nhiddenmenu\n\ntitle Debian GNU/Linux, kernel 6.1.0-50-amd64\nroot (hd0)\n\
         kernel /boot/vmlinuz-6.1.0-50-amd64 root=/dev/xvda ro console=hvc0\ninitrd /boot/initrd.img-6.1.0-50-amd64\n",
    );
    root("ext4", 4096).make(out, 48 * MIB, &tree)
}

pub(super) fn put_vfat(disk: &Path, offset: u64, size: u64, label: &str, tree: &Tree) -> Result<()> {
    let volume = tempfile::NamedTempFile::new()?;
    make_vfat(volume.path(), size, label, tree)?;
    place(volume.path(), disk, offset)
}

/// The headers of an EFI application for x86-64, with no code.
pub(super) fn portable_executable() -> Vec<u8> {
    let mut file = vec![0_u8; 1024];
    file[..2].copy_from_slice(b"MZ");
    file[0x3c] = 0x80; // where the PE header is
    file[0x80..0x84].copy_from_slice(b"PE\0\0");
    file[0x84..0x86].copy_from_slice(&0x8664_u16.to_le_bytes());
    file[0x94] = 0xf0; // bytes of optional header
    file[0x96..0x98].copy_from_slice(&0x0206_u16.to_le_bytes());
    file[0x98..0x9a].copy_from_slice(&0x020b_u16.to_le_bytes()); // PE32+
    file[0xdc] = 10; // subsystem: EFI application
    file
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge;
    use crate::phony::{TOOLS, WRAPPINGS, demo};

    #[test]
    fn the_same_recipe_makes_the_same_bytes() {
        if !judge::need_all(TOOLS) {
            return;
        }
        let work = tempfile::tempdir().unwrap();
        for guest in [&ALL[0], &ALL[1]] {
            let digests = ["a", "b"].map(|name| {
                let out = work.path().join(name);
                (guest.build)(&out).unwrap();
                judge::sha256(&out)
            });
            assert_eq!(digests[0], digests[1], "{guest:?}");
        }
    }

    #[test]
    fn every_guest_is_whole_for_its_judges() {
        for guest in crate::phony::all() {
            let Some(path) = guest.path() else { return };
            let (esp, volumes): (_, &[u64]) = match guest.name {
                "bare-ext4-pv" => (None, &[0]),
                "debian-dirty-journal" => (None, &[]),
                "ubuntu-gpt-hybrid" => (Some(2..18), &[18]),
                "debian-gpt-efi" => (Some(1..17), &[17]),
                "debian-separate-boot" => (None, &[1, 17]),
                "rhel-8" => (None, &[1, 33]),
                // of XFS, with a test of its own
                "rhel-9-lvm" => (None, &[]),
                "amzn-2023" => (Some(1..9), &[]),
                _ if guest.generation == Generation::Gen2 => (Some(1..9), &[9]),
                _ => (None, &[1]),
            };
            if let Some(esp) = esp {
                judge::sgdisk_verify(&path);
                judge::fsck_vfat(&path, esp.start * MIB..esp.end * MIB);
            }
            for start in volumes {
                judge::e2fsck_clean(&path, start * MIB);
            }
        }
    }

    #[test]
    fn kmod_and_initramfs_tools_understand_the_phonies() {
        if !judge::need_all(&["modprobe", "modinfo", "lsinitramfs"]) || !judge::need_kernel_mounts() {
            return;
        }
        let Some(path) = ALL[0].path() else { return };
        let mount = judge::KernelMount::read_only(&path, MIB..64 * MIB);
        let modprobe = [
            "-d",
            &mount.path().to_string_lossy(),
            "-S",
            BOOKWORM.release,
            "--show-depends",
            "-C",
            "/dev/null",
        ]
        .map(str::to_owned);
        let modprobe =
            judge::run(tool("modprobe").args(&modprobe).arg("vmbus:d96361baa104294db60572e2ffb1dc7f"));
        let loads = String::from_utf8_lossy(&modprobe.stdout).into_owned();
        for module in
            ["hv_vmbus.ko", "scsi_common.ko", "scsi_mod.ko", "scsi_transport_fc.ko", "hv_storvsc.ko"]
        {
            assert!(loads.contains(module), "{module} in\n{loads}");
        }
        let initrd = mount.path().join("boot/initrd.img-6.1.0-50-amd64");
        let listed = judge::run(tool("lsinitramfs").arg(initrd));
        let names = String::from_utf8_lossy(&listed.stdout).into_owned();
        assert!(
            names.contains("kernel/drivers/nvme/host/nvme.ko") && names.contains("GenuineIntel.bin"),
            "{names}"
        );
        assert!(names.contains("modules.dep.bin") && !names.contains("hv_storvsc"), "{names}");
    }

    #[test]
    fn the_kernel_recovers_the_dirty_journal() {
        if !judge::need_kernel_mounts() {
            return;
        }
        let work = tempfile::tempdir().unwrap();
        let guest = crate::phony::named("debian-dirty-journal");
        let Some(copy) = guest.copy_into(work.path()) else { return };
        let motd = |mount: &judge::KernelMount| fs::read_to_string(mount.path().join("etc/motd")).unwrap();
        let before = motd(&judge::KernelMount::read_only(&copy, MIB..64 * MIB));
        let after = motd(&judge::KernelMount::read_write(&copy, MIB..64 * MIB));
        assert!(
            before.starts_with("before recovery") && after.starts_with("after recovery"),
            "{before:?} {after:?}"
        );
        judge::e2fsck_clean(&copy, MIB);
    }

    #[test]
    fn every_wrapping_holds_the_guest() {
        if !judge::need_all(&["qemu-img"]) {
            return;
        }
        for wrapping in WRAPPINGS {
            let Some(wrapped) = ALL[0].wrapped(wrapping) else { return };
            let Some(raw) = ALL[0].path() else { return };
            judge::qemu_img_compare((&raw, "raw"), (&wrapped, wrapping.format));
        }
    }

    #[test]
    fn the_demo_packs_to_less_than_4_mib() {
        let Some(path) = demo().path() else { return };
        let packed = run(tool("zstd").args(["-q", "-19", "-c"]).arg(path), &[]).unwrap();
        assert!(packed.len() < 4 << 20, "{} bytes", packed.len());
    }
}
