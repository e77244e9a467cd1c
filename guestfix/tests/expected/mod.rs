//! What each synthetic guest must be found to be, written by hand: a blessing of the golden files does not
//! touch it, so that no blessing hides a wrong verdict.

use Verdict::{ByHand, Fixable, Ready};

/// Whether it boots on Azure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// As it is.
    Ready,
    /// Once a plan is applied.
    Fixable,
    /// Not before somebody did something.
    ByHand,
}

/// A guest, its verdict, and all its blockers: the rule, "fix" or "by hand", and the file or volume that
/// shows it first.
pub(crate) type Row = (&'static str, Verdict, &'static [(&'static str, &'static str, &'static str)]);

pub(crate) const EXPECTED: &[Row] = &[
    ("alpine-already-fine", Ready, &[]),
    (
        "alpine",
        Fixable,
        &[
            ("linux.initramfs.hyperv", "fix", "/boot/initramfs-virt"),
            ("linux.grub.root-device", "fix", "/boot/extlinux.conf"),
            ("linux.fstab.device-names", "fix", "/etc/fstab"),
        ],
    ),
    (
        "amzn-2",
        Fixable,
        &[("linux.initramfs.hyperv", "fix", "/boot/initramfs-5.10.223-212.873.amzn2.x86_64.img")],
    ),
    (
        "amzn-2023",
        Fixable,
        &[
            ("linux.initramfs.hyperv", "fix", "/boot/initramfs-6.1.119-129.201.amzn2023.x86_64.img"),
            ("linux.network.mac-pinned", "fix", "/etc/systemd/network"),
        ],
    ),
    (
        "bare-ext4-pv",
        ByHand,
        &[
            ("target.paravirtual", "by hand", "disk"),
            ("linux.initramfs.hyperv", "fix", "/boot/initrd.img-6.1.0-50-amd64"),
            ("linux.grub.root-device", "fix", "/boot/grub/menu.lst"),
            ("linux.fstab.device-names", "fix", "/etc/fstab"),
            ("linux.network.mac-pinned", "fix", "/etc/network/interfaces"),
        ],
    ),
    ("bare-no-os", ByHand, &[("target.firmware", "by hand", "disk")]),
    ("debian-already-fine", Ready, &[]),
    (
        "debian-dirty-journal",
        Fixable,
        &[
            ("linux.initramfs.hyperv", "fix", "/boot/initrd.img-6.1.0-50-amd64"),
            ("linux.grub.root-device", "fix", "/boot/grub/grub.cfg"),
            ("linux.fstab.device-names", "fix", "/etc/fstab"),
            ("linux.network.mac-pinned", "fix", "/etc/network/interfaces"),
        ],
    ),
    (
        "debian-ext3-1k",
        Fixable,
        &[
            ("linux.initramfs.hyperv", "fix", "/boot/initrd.img-5.10.0-32-amd64"),
            ("linux.grub.root-device", "fix", "/boot/grub/grub.cfg"),
            ("linux.fstab.device-names", "fix", "/etc/fstab"),
            ("linux.fstab.absent-disks", "fix", "/etc/fstab"),
            ("linux.network.mac-pinned", "fix", "/etc/network/interfaces"),
        ],
    ),
    (
        "debian-gpt-efi",
        Fixable,
        &[
            ("linux.initramfs.hyperv", "fix", "/boot/initrd.img-6.12.107+deb13-amd64"),
            ("linux.esp.fallback-loader", "fix", "/boot/efi"),
            ("linux.grub.root-device", "fix", "/boot/grub/grub.cfg"),
            ("linux.fstab.device-names", "fix", "/etc/fstab"),
            ("linux.fstab.absent-disks", "fix", "/etc/fstab"),
            ("linux.network.mac-pinned", "fix", "/etc/systemd/network/20-ens5.network"),
        ],
    ),
    (
        "debian-lvm",
        Fixable,
        &[
            ("linux.initramfs.hyperv", "fix", "/boot/initrd.img-6.1.0-50-amd64"),
            ("linux.initramfs.lvm", "fix", "/boot/initrd.img-6.1.0-50-amd64"),
            ("linux.lvm.filters", "fix", "/etc/lvm/lvm.conf"),
            ("linux.fstab.device-names", "fix", "/etc/fstab"),
            ("linux.network.mac-pinned", "fix", "/etc/network/interfaces"),
        ],
    ),
    (
        "debian-mbr-ext4",
        Fixable,
        &[
            ("linux.initramfs.hyperv", "fix", "/boot/initrd.img-6.1.0-50-amd64"),
            ("linux.grub.root-device", "fix", "/boot/grub/grub.cfg"),
            ("linux.fstab.device-names", "fix", "/etc/fstab"),
            ("linux.network.mac-pinned", "fix", "/etc/network/interfaces"),
        ],
    ),
    (
        "debian-no-hyperv-kernel",
        ByHand,
        &[
            ("linux.kernel.hyperv", "by hand", "/usr/lib/modules/6.1.0-ec2"),
            ("linux.grub.root-device", "fix", "/boot/grub/grub.cfg"),
            ("linux.fstab.device-names", "fix", "/etc/fstab"),
            ("linux.network.mac-pinned", "fix", "/etc/network/interfaces"),
        ],
    ),
    ("debian-odd-size", Ready, &[]),
    (
        "debian-pv-partitioned",
        ByHand,
        &[
            ("target.paravirtual", "by hand", "p1"),
            ("linux.initramfs.hyperv", "fix", "/boot/initrd.img-6.1.0-50-amd64"),
            ("linux.grub.root-device", "fix", "/boot/grub/menu.lst"),
            ("linux.fstab.device-names", "fix", "/etc/fstab"),
            ("linux.network.mac-pinned", "fix", "/etc/network/interfaces"),
        ],
    ),
    (
        "debian-separate-boot",
        Fixable,
        &[
            ("linux.initramfs.hyperv", "fix", "/boot/initrd.img-6.1.0-50-amd64"),
            ("linux.grub.root-device", "fix", "/boot/grub/grub.cfg"),
            ("linux.fstab.device-names", "fix", "/etc/fstab"),
            ("linux.network.mac-pinned", "fix", "/etc/network/interfaces"),
        ],
    ),
    (
        "debian-systemd-boot",
        Fixable,
        &[
            (
                "linux.initramfs.hyperv",
                "fix",
                "/boot/efi/0123456789abcdef0123456789abcdef/6.12.48+deb13-amd64/initrd.img-6.12.48+deb13-amd64",
            ),
            ("linux.esp.fallback-loader", "fix", "/boot/efi"),
            (
                "linux.grub.root-device",
                "fix",
                "/boot/efi/loader/entries/0123456789abcdef0123456789abcdef-6.12.48+deb13-amd64.conf",
            ),
            ("linux.crypttab", "fix", "/etc/crypttab"),
            ("linux.fstab.device-names", "fix", "/etc/fstab"),
            ("linux.network.mac-pinned", "fix", "/etc/systemd/network/20-ens5.network"),
        ],
    ),
    (
        "fedora-43-uki",
        ByHand,
        &[(
            "linux.boot.unified-kernel",
            "by hand",
            "/boot/efi/EFI/Linux/0123456789abcdef0123456789abcdef-6.17.4-300.fc43.x86_64.efi",
        )],
    ),
    (
        "fedora-43",
        Fixable,
        &[("linux.network.mac-pinned", "fix", "/usr/lib/NetworkManager/conf.d/00-server.conf")],
    ),
    ("fedora-coreos", ByHand, &[("linux.immutable", "by hand", "/ostree/deploy")]),
    ("rhel-10-already-fine", Ready, &[]),
    (
        "rhel-6",
        Fixable,
        &[
            ("linux.initramfs.hyperv", "fix", "/boot/initramfs-2.6.32-431.el6.x86_64.img"),
            ("linux.grub.root-device", "fix", "/boot/grub/grub.conf"),
            ("linux.fstab.device-names", "fix", "/etc/fstab"),
            ("linux.network.mac-pinned", "fix", "/etc/sysconfig/network-scripts/ifcfg-eth0"),
        ],
    ),
    (
        "rhel-7",
        Fixable,
        &[
            ("linux.initramfs.hyperv", "fix", "/boot/initramfs-3.10.0-1160.el7.x86_64.img"),
            ("linux.network.mac-pinned", "fix", "/etc/sysconfig/network"),
        ],
    ),
    (
        "rhel-8",
        Fixable,
        &[
            ("linux.initramfs.hyperv", "fix", "/boot/initramfs-4.18.0-553.el8_10.x86_64.img"),
            ("linux.grub.root-device", "fix", "/boot/grub2/grubenv"),
            ("linux.lvm.filters", "fix", "/etc/lvm/lvm.conf"),
            ("linux.fstab.device-names", "fix", "/etc/fstab"),
        ],
    ),
    (
        "rhel-9-lvm",
        Fixable,
        &[
            ("linux.initramfs.hyperv", "fix", "/boot/initramfs-5.14.0-570.el9_6.x86_64.img"),
            ("linux.initramfs.lvm", "fix", "/boot/initramfs-5.14.0-570.el9_6.x86_64.img"),
        ],
    ),
    (
        "rhel-9",
        Fixable,
        &[
            ("linux.initramfs.hyperv", "fix", "/boot/initramfs-5.14.0-503.el9_5.x86_64.img"),
            (
                "linux.grub.root-device",
                "fix",
                "/boot/loader/entries/0123456789abcdef0123456789abcdef-5.14.0-503.el9_5.x86_64.conf",
            ),
            ("linux.fstab.device-names", "fix", "/etc/fstab"),
        ],
    ),
    (
        "rocky-9-two-kernels",
        Fixable,
        &[("linux.kernel.hyperv", "fix", "/usr/lib/modules/6.1.0-custom.el9.x86_64")],
    ),
    (
        "sles-12",
        Fixable,
        &[
            ("linux.initramfs.hyperv", "fix", "/boot/initrd-4.12.14-122.225-default"),
            ("linux.grub.root-device", "fix", "/boot/grub2/grub.cfg"),
            ("linux.fstab.device-names", "fix", "/etc/fstab"),
            ("linux.network.mac-pinned", "fix", "/etc/sysconfig/network/ifcfg-eth0"),
        ],
    ),
    ("sles-15", Ready, &[]),
    (
        "ubuntu-gpt-hybrid",
        Fixable,
        &[
            ("linux.initramfs.hyperv", "fix", "/boot/initrd.img-6.2.0-1018-aws"),
            ("linux.grub.initrdless", "fix", "/boot/grub/grub.cfg"),
            ("linux.network.mac-pinned", "fix", "/etc/netplan/50-cloud-init.yaml"),
        ],
    ),
];
