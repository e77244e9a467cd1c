//! Debian, with all that may be wrong with one.

use std::fs;
use std::path::Path;

use anyhow::Result;

use super::super::disk::{Ext, MIB, make_gpt, make_mbr, place_synthetic_grub, run, tool};
use super::super::initrd::{Codec, Initrd};
use super::super::kernel::{EC2_INITRAMFS, HYPERV_INITRAMFS, Kernel};
use super::super::tree::Tree;
use super::super::{ec2, grub, loaders};
use super::{BOOT_UUID, DISK_GUID, DISK_ID, Guest, ROOT_UUID, put_vfat, root};

/// How the names of initramfs images begin and end.
pub(super) const DEBIAN_INITRD: (&str, &str) = ("initrd.img-", "");

const CONSOLES: &str = "console=tty0 console=ttyS0,115200n8";
pub(super) const EC2_ARGUMENTS: &str =
    "console=tty0 console=hvc0 net.ifnames=0 nvme_core.io_timeout=4294967295";

pub(super) const BOOKWORM: Kernel<'_> = Kernel {
    release: "6.1.0-50-amd64",
    banner: "(debian-kernel@lists.debian.org) #1 SMP PREEMPT_DYNAMIC Debian 6.1.170-1 (2026-06-30)",
    hyperv: true,
    xz: false,
    lacks: &["mana"],
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
pub(super) struct Debian12<'a> {
    pub(super) kernel: Kernel<'a>,
    /// Whether it is as an instance on EC2 is, or already as Azure wants it.
    pub(super) ec2: bool,
    pub(super) root: &'a str,
    pub(super) codec: Codec,
    pub(super) microcode: bool,
}

impl Debian12<'_> {
    pub(super) fn on_ec2() -> Self {
        Self { kernel: BOOKWORM, ec2: true, root: "/dev/xvda1", codec: Codec::Zstd, microcode: true }
    }

    pub(super) fn fine() -> Self {
        Self { ec2: false, root: "UUID=5f1c1e0a-7d3b-4c55-9b6e-2f0a54ec2001", ..Self::on_ec2() }
    }
}

pub(super) fn debian_12(variant: &Debian12<'_>) -> Guest {
    Guest(compose_debian_12(variant))
}

pub(super) fn compose_debian_12(variant: &Debian12<'_>) -> Result<Tree> {
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
    loaders::grub_modules(tree, "/boot/grub/i386-pc");
    tree.file(
        "/etc/default/grub",
        format!(
            "GRUB_DEFAULT=0\nGRUB_TIMEOUT=0\nGRUB_DISTRIBUTOR=`lsb_release -i -s 2> /dev/null || echo Debian`\n\
             GRUB_CMDLINE_LINUX_DEFAULT=\"\"\nGRUB_CMDLINE_LINUX=\"{arguments}\"\nGRUB_TERMINAL=\"console serial\"\n\
             GRUB_SERIAL_COMMAND=\"serial --speed=115200\"\n"
        ),
    );
}

pub(super) fn gpt_efi(out: &Path) -> Result<()> {
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
    esp.file("/EFI/debian/shimx64.efi", loaders::shim());
    esp.file("/EFI/debian/mmx64.efi", loaders::shim());
    esp.file("/EFI/debian/grubx64.efi", loaders::grub_efi("/EFI/debian", &[]));
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

pub(super) fn ext3_1k(out: &Path) -> Result<()> {
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

pub(super) fn separate_boot(out: &Path) -> Result<()> {
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
    place_synthetic_grub(out, 512, "(,msdos1)/grub")?;
    Ext { uuid: BOOT_UUID, ..root("ext2", 1024) }.put(out, MIB, 16 * MIB, &boot)?;
    root("ext4", 4096).put(out, 17 * MIB, 79 * MIB, &tree)
}

/// The last word on `/etc/motd` is in the journal only: recovery changes what the file says.
pub(super) fn dirty_journal(out: &Path) -> Result<()> {
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

pub(super) fn bare_ext4_pv(out: &Path) -> Result<()> {
    let mut tree = compose_debian_12(&Debian12 { root: "/dev/xvda", ..Debian12::on_ec2() })?;
    tree.remove("/boot/grub/grub.cfg");
    tree.file(
        "/boot/grub/menu.lst",
        "default 0\ntimeout 0\nhiddenmenu\n\ntitle Debian GNU/Linux, kernel 6.1.0-50-amd64\nroot (hd0)\n\
         kernel /boot/vmlinuz-6.1.0-50-amd64 root=/dev/xvda ro console=hvc0\ninitrd /boot/initrd.img-6.1.0-50-amd64\n",
    );
    root("ext4", 4096).make(out, 48 * MIB, &tree)
}
