//! Each rule of the pack finds its fault in one guest, and none in another that differs in that alone.

use libdisk::volume::TableFault;

use super::super::testing::{Bench, Change, disk, elf, judge_pairs, named, with_kernel};
use super::super::windows::testing::{windows_build, windows_client, windows_letters, windows_paging};
use super::*;
use crate::device::Device;
use crate::facts::{DataDisk, TableKind};
use crate::instance::Performance;
use crate::platform::assessment::{GIB, TIB};
use crate::platform::azure;
use crate::sizing;

fn release(id: &str, version: &str) -> String {
    format!("ID={id}\nVERSION_ID=\"{version}\"\nPRETTY_NAME=\"{id} {version}\"\n")
}

fn on(bench: Bench, kind: &str) -> Bench {
    bench.instance(sizing::instance(kind).unwrap())
}

fn os_release(bench: Bench, text: &str) -> Bench {
    bench.file("/etc/os-release", text)
}

const PAIRS: &[(&Rule, Change, Change)] = &[
    (&system::KNOWN, |it| os_release(it, "NAME=x\n"), |it| it),
    (&system::BITS, |it| it.program("/bin/sh", elf(0x03)), |it| it.program("/bin/sh", elf(0x3e))),
    (&system::ARM, |it| it.program("/bin/sh", elf(0xb7)), |it| it.program("/bin/sh", elf(0x3e))),
    (&system::BOOT_TYPE, |_| windows_build("7601"), |_| windows_build("20348")),
    (&system::BOOT_TYPE_KNOWN, |it| it.machine(|machine| machine.bios.clear()), |it| it),
    (&system::SERVER, |_| windows_build("19042"), |_| windows_build("17763")),
    (&system::CLIENT, |_| windows_client("19045"), |_| windows_build("17763")),
    (&system::WINDOWS_ENDED, |_| windows_build("9600"), |_| windows_build("20348")),
    (&system::DISTRIBUTION, |it| os_release(it, &release("void", "1")), |it| it),
    (&system::VERSION, |it| os_release(it, &release("debian", "9")), |it| it),
    (
        &system::ENDED,
        |it| os_release(it, &release("ubuntu", "16.04")),
        |it| os_release(it, &release("ubuntu", "24.04")),
    ),
    (&system::AMAZON, |it| os_release(it, &release("amzn", "2023")), |it| it),
    (&system::KERNEL, |it| with_kernel(it, "2.6.32-5-amd64"), |it| it),
    (
        &disks::COUNT,
        |it| it.machine(|machine| machine.data_disks = vec![disk(GIB); 65]),
        |it| it.machine(|machine| machine.data_disks = vec![disk(GIB); 64]),
    ),
    (
        &disks::SIZE,
        |it| it.machine(|machine| machine.data_disks = vec![disk(65 * TIB)]),
        |it| it.machine(|machine| machine.data_disks = vec![disk(64 * TIB)]),
    ),
    (
        &disks::OS_BIOS,
        |it| it.machine(|machine| machine.size = 2 * TIB + 512),
        |it| it.machine(|machine| machine.size = 2 * TIB),
    ),
    (
        &disks::OS_UEFI,
        |it| it.target(&azure::GEN2).machine(|machine| machine.size = 4 * TIB),
        |it| it.target(&azure::GEN2).machine(|machine| machine.size = 3 * TIB),
    ),
    (
        &disks::UPLOAD,
        |it| it.machine(|machine| machine.data_disks = vec![disk(33 * TIB)]),
        |it| it.machine(|machine| machine.data_disks = vec![disk(32 * TIB)]),
    ),
    (
        &disks::LEAST,
        |it| it.machine(|machine| machine.data_disks = vec![disk(19 << 20)]),
        |it| it.machine(|machine| machine.data_disks = vec![disk(20 << 20)]),
    ),
    (
        &disks::CLASSIC,
        |it| it.machine(|machine| machine.data_disks = vec![disk(32 * TIB)]),
        |it| it.machine(|machine| machine.data_disks = vec![disk(32_767 * GIB)]),
    ),
    (
        &disks::MBR,
        |it| {
            it.machine(|machine| {
                machine.data_disks = vec![DataDisk { table: TableKind::Mbr, ..disk(3 * TIB) }]
            })
        },
        |it| {
            it.machine(|machine| {
                machine.data_disks = vec![DataDisk { table: TableKind::Gpt, ..disk(3 * TIB) }]
            })
        },
    ),
    (
        &disks::SECTORS,
        |it| {
            it.machine(|machine| machine.table_faults.push(TableFault::SectorSize { table: 4096, disk: 512 }))
        },
        |it| it,
    ),
    (&disks::IOPS, |it| given(it, 30, 16_000, 0), |it| given(it, 30, 7500, 0)),
    (&disks::THROUGHPUT, |it| given(it, 30, 0, 500), |it| given(it, 30, 0, 250)),
    (&disks::PREMIUM, |it| more(it, 50_000), |it| more(it, 20_000)),
    (&disks::SWAP, |it| it, |it| it.machine(|machine| drop(machine.volumes.pop()))),
    (&disks::LVM, |it| it.machine(|machine| machine.volumes[0].device = Device::logical(1 << 30)), |it| it),
    (&disks::LETTER, |_| windows_letters("D:"), |_| windows_build("20348")),
    (&disks::PAGE_FILE, |_| windows_paging(r"E:\pagefile.sys"), |_| windows_paging(r"C:\pagefile.sys")),
    (&guest::NAME_LENGTH, |it| named(it, &"w".repeat(65)), |it| named(it, &"w".repeat(64))),
    (&guest::NAME_LETTERS, |it| named(it, "web_01"), |it| named(it, "web-01.example.org")),
    (&guest::NAME_RESERVED, |it| named(it, "login1"), |it| named(it, "web")),
    (&guest::UDF, |it| it, |it| with_modules(it, "fs/udf/udf")),
    (&guest::VFAT, |it| it, |it| with_modules(it, "fs/fat/vfat")),
    (&guest::NVME, |it| it, |it| with_modules(it, "drivers/nvme/host/nvme")),
    (&guest::AGENT, |it| it.without("/usr/sbin/waagent"), |it| it),
    (&guest::GENERATION, |it| it, |it| it.target(&azure::GEN2)),
    (&guest::CLUSTER, |it| it.file("/etc/corosync/corosync.conf", ""), |it| it),
    (&guest::FLOATING, |it| it.file("/etc/keepalived/keepalived.conf", ""), |it| it),
    (
        &guest::DHCP_SERVER,
        |it| it.file("/etc/dhcp/dhcpd.conf", ""),
        |it| it.file("/etc/dhcp/dhclient.conf", ""),
    ),
    (
        &guest::TUNNELS,
        |it| it.file("/etc/systemd/network/t.netdev", "[NetDev]\nName=t\nKind=gre\n"),
        |it| it.file("/etc/systemd/network/t.netdev", "[NetDev]\nName=t\nKind=vxlan\n"),
    ),
    (&guest::HYPERVISOR, |it| it.file("/usr/sbin/libvirtd", ""), |it| it),
    (&guest::SQL, |it| it.file("/opt/mssql/bin/sqlservr", ""), |it| it),
    (&size::CORES, |it| it.instance(larger(|it| it.vcpus = 5000)), |it| on(it, "m5.large")),
    (&size::MEMORY, |it| it.instance(larger(|it| it.memory_mib = 1 << 40)), |it| on(it, "m5.large")),
    (&size::CARDS, |it| on(it, "p5.48xlarge"), |it| on(it, "m5.large")),
    (&size::EXISTS, |it| it.instance(larger(|it| (it.vcpus, it.gpus) = (8, 99))), |it| on(it, "m5.large")),
    (&size::GPU, |it| on(it, "g4dn.xlarge"), |it| on(it, "m5.large")),
    (&size::LOCAL_DISKS, |it| on(it, "i3.large"), |it| on(it, "m5.large")),
    (&size::METAL, |it| on(it, "m5.metal"), |it| on(it, "m5.large")),
    (&size::DEFENDER, |it| on(it, "t2.nano"), |it| on(it, "m5.large")),
];

fn performance(iops: u32, mbps: u32) -> Option<Performance> {
    let known = |value: u32| Some(value).filter(|value| *value > 0);
    Some(Performance { kind: "gp3".into(), iops: known(iops), mbps: known(mbps) })
}

/// With a first disk of this size whose volume was given that.
fn given(bench: Bench, gib: u64, iops: u32, mbps: u32) -> Bench {
    bench.machine(|machine| machine.size = gib * GIB).given(vec![performance(iops, mbps)])
}

/// With a data disk whose volume was given so many requests.
fn more(bench: Bench, iops: u32) -> Bench {
    let bench = bench.machine(|machine| machine.data_disks = vec![disk(200 * GIB)]);
    bench.given(vec![None, performance(iops, 0)])
}

fn larger(change: impl FnOnce(&mut crate::instance::Instance)) -> crate::instance::Instance {
    let mut it = sizing::instance("m5.large").unwrap();
    change(&mut it);
    it
}

fn with_modules(bench: Bench, path: &str) -> Bench {
    let old = bench.text("/lib/modules/6.1.0-50-amd64/modules.dep");
    bench.file("/lib/modules/6.1.0-50-amd64/modules.dep", format!("{old}kernel/{path}.ko:\n"))
}

#[test]
fn every_rule_has_a_guest_that_trips_it_and_one_that_does_not() {
    judge_pairs(ALL, PAIRS);
}

/// What a document says of a list is asked at its edges.
#[test]
fn lists_end_where_their_documents_say() {
    let found = |rule: &Rule, bench: Bench| bench.findings(rule).join("; ");
    let kernel = |version: &str| found(&system::KERNEL, with_kernel(Bench::debian(), version));
    assert_eq!(kernel("2.6.32-358.el6.x86_64"), "");
    assert!(kernel("2.6.32-279.el6.x86_64").contains("older than 2.6.32-358"));
    let ended = |id, version| found(&system::ENDED, os_release(Bench::debian(), &release(id, version)));
    for (id, version, day) in [
        ("debian", "11", "on 2026-08-31"),
        ("debian", "5", "before 2016-02-29"),
        ("amzn", "2", "on 2026-06-30"),
        ("amzn", "2017.09", "before 2023-12-31"),
        ("rhel", "7.9", "on 2024-06-30"),
        ("sles", "15.4", "on 2023-12-31"),
        ("ubuntu", "25.10", "on 2026-07-01"),
    ] {
        assert!(
            ended(id, version).ends_with(&format!("ended {day}")),
            "{id} {version}: {}",
            ended(id, version)
        );
    }
    for (id, version) in [
        ("debian", "12"),
        ("amzn", "2023"),
        ("rhel", "8.10"),
        ("sles", "15.7"),
        ("ubuntu", "22.04"),
        ("void", "1"),
    ] {
        assert_eq!(ended(id, version), "", "{id} {version}");
    }
    for pair in assessment::ENDS.windows(2).filter(|pair| pair[0].0 == pair[1].0 && pair[0].0 != "amzn") {
        assert!(crate::inspect::compare_versions(pair[0].1, pair[1].1).is_lt(), "{pair:?}");
    }
    let reserved = |name| found(&guest::NAME_RESERVED, named(Bench::debian(), name));
    assert!(
        ["sharepoint", "OneDrive", "mywindowsbox"].iter().all(|name| reserved(name).contains("is reserved"))
    );
    assert_eq!(reserved("my-login"), "");
}

/// Large enough is not all: a size of generation 2 alone takes no machine that starts by BIOS.
#[test]
fn a_size_that_does_not_take_the_machine_is_none() {
    let only = |generation_1, data_disks| {
        let known = sizing::sizes().iter().find(|size| size.name == "Standard_D2s_v5").unwrap();
        let size =
            sizing::Size { generation_1: Some(generation_1), data_disks: Some(data_disks), ..known.clone() };
        on(Bench::debian(), "m5.large").sizes(vec![size])
    };
    assert_eq!(only(true, 4).findings(&size::EXISTS), [""; 0]);
    let found = only(false, 4).findings(&size::EXISTS).join("; ");
    assert!(found.contains("generation 1"), "{found}");
    let more = only(true, 0).machine(|machine| machine.data_disks = vec![disk(200 * GIB)]);
    let found = more.findings(&size::EXISTS).join("; ");
    assert!(found.contains("1 data disks"), "{found}");
}
