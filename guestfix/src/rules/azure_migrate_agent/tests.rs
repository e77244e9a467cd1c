//! Each rule of the pack finds its fault in one guest, and none in another that differs in that alone.

use libdisk::volume::TableFault;

use super::super::linux;
use super::super::testing::{
    Bench, Change, disk, elf, judge_pairs, named, of_kind, with_kernel, with_volume,
};
use super::super::windows::testing::{
    disks_offline, refusing_rdp, windows_build, windows_client, windows_driver,
};
use super::*;
use crate::facts::SignatureKind;
use crate::platform::assessment::{GIB, TIB};
use crate::platform::azure;

fn release(bench: Bench, id: &str, version: &str) -> Bench {
    bench.file(
        "/etc/os-release",
        format!("ID={id}\nVERSION_ID=\"{version}\"\nPRETTY_NAME=\"{id} {version}\"\n"),
    )
}

fn by_uefi(bench: Bench) -> Bench {
    bench.target(&azure::GEN2)
}

fn fstab(bench: Bench, line: &str) -> Bench {
    let old = bench.text("/etc/fstab");
    bench.file("/etc/fstab", format!("{old}{line}\n"))
}

fn boot_on(bench: Bench, disk: usize) -> Bench {
    with_volume(bench, "boot", disk, SignatureKind::Ext4, Some("/boot"))
}

fn root_free(bench: Bench, free: u64) -> Bench {
    bench.machine(|machine| machine.volumes[0].free = Some(free))
}

const PAIRS: &[(&Rule, Change, Change)] = &[
    (&system::WINDOWS, |_| windows_build("26100"), |_| windows_build("20348")),
    (&system::SERVICE_PACK, |_| windows_build("7600"), |_| windows_build("7601")),
    (&system::BITS, |it| it.program("/bin/sh", elf(0x03)), |it| it.program("/bin/sh", elf(0x3e))),
    (&system::ARM, |it| it.program("/bin/sh", elf(0xb7)), |it| it.program("/bin/sh", elf(0x3e))),
    (&system::DISTRIBUTION, |it| release(it, "amzn", "2"), |it| release(it, "debian", "11")),
    (&system::VERSION, |it| release(it, "debian", "12"), |it| release(it, "debian", "11")),
    (&system::UEFI_2008, |_| windows_build("7601"), |_| windows_build("9600")),
    (
        &system::UEFI_SYSTEM,
        |it| by_uefi(release(it, "debian", "11")),
        |it| by_uefi(release(it, "sles", "15.4")),
    ),
    (
        &system::CLOUD_KERNEL,
        |it| with_kernel(it, "5.15.0-1051-aws"),
        |it| with_kernel(it, "5.15.0-101-generic"),
    ),
    (&system::FOREIGN_KERNEL, |it| with_kernel(it, "6.9.1-1.el8.elrepo.x86_64"), |it| it),
    (
        &system::PARAVIRTUAL,
        |it| {
            it.without("/boot/grub/grub.cfg")
                .file("/boot/grub/menu.lst", "title x\nkernel /boot/vmlinuz-6.1.0-50-amd64 ro\n")
                .machine(|machine| {
                    machine.table = crate::facts::TableKind::None;
                    machine.bios.clear();
                })
        },
        |it| it,
    ),
    (&system::XEN_DRIVERS, |_| windows_driver("xenvbd"), |_| windows_build("20348")),
    (&disks::OS_BIOS, |it| it.machine(|it| it.size = 2 * TIB + 512), |it| it),
    (&disks::OS_UEFI, |it| by_uefi(it).machine(|it| it.size = 4 * TIB), |it| by_uefi(it)),
    (
        &disks::DATA,
        |it| it.machine(|it| it.data_disks = vec![disk(32 * TIB)]),
        |it| it.machine(|it| it.data_disks = vec![disk(31 * TIB)]),
    ),
    (&disks::LEAST, |it| it.machine(|it| it.data_disks = vec![disk(GIB)]), |it| it),
    (
        &disks::COUNT,
        |it| it.machine(|it| it.data_disks = vec![disk(2 * GIB); 64]),
        |it| it.machine(|it| it.data_disks = vec![disk(2 * GIB); 63]),
    ),
    (
        &disks::SECTORS,
        |it| it.machine(|it| it.table_faults.push(TableFault::SectorSize { table: 4096, disk: 512 })),
        |it| it,
    ),
    (
        &disks::PARTITIONS,
        |it| {
            let all = ["a", "b", "c"];
            all.iter().fold(by_uefi(it), |it, name| with_volume(it, name, 0, SignatureKind::Ext4, None))
        },
        |it| by_uefi(it),
    ),
    (
        &disks::NTFS,
        |it| by_uefi(it),
        |it| {
            by_uefi(it).machine(|it| it.volumes.iter_mut().for_each(|it| it.kind = Some(SignatureKind::Ntfs)))
        },
    ),
    (&disks::LUKS, |it| of_kind(it, SignatureKind::Luks), |it| it),
    (&disks::BITLOCKER, |it| of_kind(it, SignatureKind::BitLocker), |it| it),
    (&disks::BOOT, |it| boot_on(it, 1), |it| boot_on(it, 0)),
    (
        &disks::FOLDERS,
        |it| with_volume(it, "var", 1, SignatureKind::Ext4, Some("/var")),
        |it| with_volume(it, "srv", 1, SignatureKind::Ext4, Some("/srv")),
    ),
    (
        &disks::ROOT,
        |it| it.machine(|it| it.volumes[0].kind = Some(SignatureKind::Ext2)),
        |it| it.machine(|it| it.volumes[0].kind = Some(SignatureKind::Xfs)),
    ),
    (&disks::KINDS, |it| of_kind(it, SignatureKind::Reiserfs), |it| of_kind(it, SignatureKind::Xfs)),
    (
        &disks::BTRFS,
        |it| of_kind(of_kind(it, SignatureKind::Btrfs), SignatureKind::Btrfs),
        |it| of_kind(it, SignatureKind::Btrfs),
    ),
    (&disks::DYNAMIC, |it| of_kind(it, SignatureKind::DynamicDisk), |it| it),
    (&disks::SPACES, |it| of_kind(it, SignatureKind::StorageSpaces), |it| it),
    (
        &disks::THIN,
        |it| it.machine(|it| it.volumes[1].unreadable = Some("LVM's thin is not read".into())),
        |it| it,
    ),
    (
        &disks::NAMES,
        |it| {
            let it = with_volume(it, "vg0/Data", 0, SignatureKind::Ext4, None);
            with_volume(it, "vg0/data", 0, SignatureKind::Ext4, None)
        },
        |it| with_volume(it, "vg0/data", 0, SignatureKind::Ext4, None),
    ),
    (&disks::SHARED, |it| of_kind(it, SignatureKind::Gfs2), |it| it),
    (&disks::FREE, |it| root_free(it, 2 * GIB - 1), |it| root_free(it, 2 * GIB)),
    (&disks::FREE_FOLDER, |it| root_free(it, 1 << 20), |it| root_free(it, 250 << 20)),
    (&guest::NFS, |it| fstab(it, "files:/x /srv nfs defaults 0 0"), |it| it),
    (&guest::SMB, |it| fstab(it, "//files/x /srv cifs guest 0 0"), |it| it),
    (&guest::ISCSI, |it| it.file("/etc/iscsi/nodes/iqn.2026-01.org:x/y", ""), |it| it),
    (&guest::MULTIPATH, |it| it.file("/etc/multipath.conf", ""), |it| it),
    (
        &guest::TEAMS,
        |it| it.file("/etc/netplan/1.yaml", "network:\n  bonds:\n    bond0: {}\n"),
        |it| it.file("/etc/netplan/1.yaml", "network:\n  # bonds:\n  version: 2\n"),
    ),
    (&guest::IPV6, |it| it.file("/etc/network/interfaces", "auto eth0\niface eth0 inet6 static\n"), |it| it),
    (&guest::NAME_LENGTH, |it| named(it, &"w".repeat(64)), |it| named(it, &"w".repeat(63))),
    (&guest::NAME_LETTERS, |it| named(it, "web_01"), |it| named(it, "web-01")),
    (&guest::NAME_RESERVED, |it| named(it, "azure"), |it| named(it, "azur")),
    (&guest::SSHD, |it| it.file("/etc/ssh/sshd_config", ""), |it| it),
    (&guest::RDP, |_| refusing_rdp(), |_| windows_build("20348")),
    (&guest::SAN, |_| disks_offline(), |_| windows_build("20348")),
];

#[test]
fn every_rule_has_a_guest_that_trips_it_and_one_that_does_not() {
    judge_pairs(ALL, PAIRS);
    // What is asked by a rule of the boot pack is asked in its words.
    assert!(std::ptr::fn_addr_eq(guest::SSHD.detect, linux::network::sshd::RULE.detect));
}

#[test]
fn systems_that_start_by_uefi_are_those_of_the_table() {
    let found = |bench: Bench| bench.findings(&system::UEFI_SYSTEM).join("; ");
    let linux = |id, version| found(by_uefi(release(Bench::debian(), id, version)));
    for (id, version) in [("rhel", "7.0"), ("rhel", "7.4"), ("rhel", "9.6"), ("sles", "12.4"), ("ol", "7.7")]
    {
        assert_eq!(linux(id, version), "", "{id} {version}");
    }
    for (id, version) in
        [("rhel", "7.2"), ("rhel", "8.2"), ("sles", "12.5"), ("ol", "7.9"), ("ubuntu", "24.04")]
    {
        assert!(linux(id, version).contains("is not moved by UEFI"), "{id} {version}");
    }
    // Server 2012 R2 and Windows 8.1 are one build.
    assert_eq!(found(by_uefi(windows_build("9600"))), "");
    assert!(found(by_uefi(windows_client("9600"))).contains("is not moved by UEFI"));
    assert_eq!(found(by_uefi(windows_client("19045"))), "");
}
