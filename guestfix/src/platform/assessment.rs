//! What Microsoft says of machines that are to move to Azure, as data: two documents that disagree, and each is
//! told by itself. Numbers and lists have the date on which they were published or read.

use crate::rule::Source;

/// What Azure Migrate's assessment asks.
pub(crate) const ASSESSMENT: Source =
    Source::new("Microsoft Learn", "Azure VM assessments in Azure Migrate", "2024-06-24");
/// What the tool that moves machines by an agent asks.
pub(crate) const AGENT: Source = Source::new(
    "Microsoft Learn",
    "Support matrix for migration of physical servers, AWS VMs, and GCP VMs",
    "2023-10-16",
);
/// What the replication below that tool asks.
pub(crate) const REPLICATION: Source =
    Source::new("Microsoft Learn", "Support matrix for VMware/physical disaster recovery", "2023-09-28");
/// How disks get into Azure.
pub(crate) const UPLOAD: Source = Source::new("Microsoft Learn", "Upload a VHD to Azure", "2026-02-09");
/// What kinds of disks there are.
pub(crate) const DISKS: Source = Source::new("Microsoft Learn", "Azure managed disk types", "2026-08-11");
/// How fast a Premium SSD may be for its size.
pub(crate) const TIERS: Source =
    Source::new("Microsoft Learn", "Performance tiers for managed disks", "2024-03-04");
/// How large the disk of the system may be.
pub(crate) const OS_DISK: Source =
    Source::new("Microsoft Learn", "Introduction to Azure managed disks", "2025-04-01");
/// What a machine that starts by UEFI can have.
pub(crate) const GENERATION_2: Source =
    Source::new("Microsoft Learn", "Support for Generation 2 VMs on Azure", "2024-03-04");
/// What a Linux wants.
pub(crate) const LINUX: Source =
    Source::new("Microsoft Learn", "Prepare Linux for imaging in Azure", "2022-12-14");
/// Which Linux distributions Microsoft endorses.
pub(crate) const ENDORSED: Source =
    Source::new("Microsoft Learn", "Endorsed Linux distributions on Azure", "2024-11-14");
/// What networks of Azure carry.
pub(crate) const NETWORK: Source = Source::new("Microsoft Learn", "Azure Virtual Network FAQ", "2020-06-26");
/// Names that Azure does not give.
pub(crate) const NAMES: Source =
    Source::new("Microsoft Learn", "Resolve errors for reserved resource names", "2023-04-05");
/// How long names may be, and of what.
pub(crate) const NAMING: Source =
    Source::new("Microsoft Learn", "Naming rules and restrictions for Azure resources", "2026-11-30");
/// How remote disks are attached by NVMe.
pub(crate) const NVME: Source = Source::new(
    "Microsoft Learn",
    "Converting Virtual Machines Running Linux from SCSI to NVMe",
    "2024-07-31",
);
/// What the temporary disk of a Windows machine is.
pub(crate) const TEMPORARY: Source =
    Source::new("Microsoft Learn", "Use the D: drive as a data drive on a Windows VM", "2018-01-02");
/// What it is where the disks are NVMe.
pub(crate) const TEMPORARY_NVME: Source =
    Source::new("Microsoft Learn", "FAQ for Temp NVMe disks", "2025-05-08");
/// Which systems Microsoft's tools move where they start by UEFI.
pub(crate) const UEFI_SYSTEMS: Source =
    Source::new("Microsoft Learn", "Migration and modernization: Common questions", "2025-02-07");
/// Which machines Microsoft's tools find.
pub(crate) const DISCOVERY: Source = Source::new(
    "Microsoft Learn",
    "Support matrix for physical server discovery and assessment",
    "2025-04-04",
);
/// When vendors end their support.
pub(crate) const LIFE_CYCLES: Source = Source::new(
    "endoflife.date",
    "centos, debian, fedora, opensuse, oracle-linux, rhel, sles, ubuntu, windows-server",
    "2026-11-30",
);

/// Bytes of a tebibyte.
pub(crate) const TIB: u64 = 1 << 40;
/// Bytes of a gibibyte.
pub(crate) const GIB: u64 = 1 << 30;

/// The most disks that a machine may have, that of the system included.
pub(crate) const DISK_COUNT: usize = 65;
/// The largest disk that the assessment finds a place for: Ultra Disks.
pub(crate) const DISK_SIZE: u64 = 64 * TIB;
/// The largest disk of Standard HDD, Standard SSD and Premium SSD.
pub(crate) const CLASSIC_DISK: u64 = 32_767 * GIB;
/// The largest disk that can be uploaded.
pub(crate) const UPLOAD_SIZE: u64 = 32 * TIB;
/// The smallest one.
pub(crate) const UPLOAD_LEAST: u64 = 20 << 20;
/// The largest disk to start from by BIOS.
pub(crate) const OS_DISK_BIOS: u64 = 2 * TIB;
/// The same by UEFI.
pub(crate) const OS_DISK_UEFI: u64 = 4095 * GIB;
/// The most network cards.
pub(crate) const CARDS: u32 = 32;
/// The first builds of Windows Servers that the assessment calls ready (2008 to 2022); it is older than 2025.
pub(crate) const SERVERS: [u32; 10] = [6001, 6002, 6003, 7600, 7601, 9200, 9600, 14_393, 17_763, 20_348];
/// Builds that are newer than the assessment, and supported ("Windows Server supported by Azure", 2026-11).
pub(crate) const NEWER_SERVERS: [u32; 1] = [26_100];
/// Builds of Windows Server 2008 and 2008 R2, which do not start by UEFI there.
pub(crate) const NO_UEFI: [u32; 5] = [6001, 6002, 6003, 7600, 7601];
/// The oldest kernel that is advised, and the one of Red Hat's that has its drivers.
pub(crate) const KERNEL: &str = "3.8";
/// That one: of RHEL 6.4.
pub(crate) const KERNEL_OF_RED_HAT: &str = "2.6.32-358";

/// When vendors ended the support of a release that nobody pays more for: `ID`, the start of `VERSION_ID`, the day
/// ([`LIFE_CYCLES`]; where a vendor names a month, its last day). Amazon Linux 2: "Amazon Linux 2 FAQ", AWS, 2026.
/// Releases of a distribution stand in their order, and what is older than the first has ended, too.
pub(crate) const ENDS: [(&str, &str, &str); 56] = [
    ("amzn", "2018", "2023-12-31"),
    ("amzn", "2", "2026-06-30"),
    ("centos", "5", "2017-03-31"),
    ("centos", "6", "2020-11-30"),
    ("centos", "7", "2024-06-30"),
    ("centos", "8", "2021-12-31"),
    ("debian", "6", "2016-02-29"),
    ("debian", "7", "2018-05-31"),
    ("debian", "8", "2020-06-30"),
    ("debian", "9", "2022-07-01"),
    ("debian", "10", "2024-06-30"),
    ("debian", "11", "2026-08-31"),
    ("fedora", "36", "2023-05-16"),
    ("fedora", "37", "2023-12-05"),
    ("fedora", "38", "2024-05-21"),
    ("fedora", "39", "2024-11-26"),
    ("fedora", "40", "2025-05-13"),
    ("fedora", "41", "2025-12-15"),
    ("fedora", "42", "2026-05-13"),
    ("ol", "5", "2017-06-30"),
    ("ol", "6", "2021-03-31"),
    ("ol", "7", "2024-12-31"),
    ("opensuse-leap", "15.0", "2019-12-03"),
    ("opensuse-leap", "15.1", "2021-02-02"),
    ("opensuse-leap", "15.2", "2022-01-04"),
    ("opensuse-leap", "15.3", "2022-12-31"),
    ("opensuse-leap", "15.4", "2023-12-07"),
    ("opensuse-leap", "15.5", "2024-12-31"),
    ("opensuse-leap", "15.6", "2026-04-30"),
    ("rhel", "5", "2017-03-31"),
    ("rhel", "6", "2020-11-30"),
    ("rhel", "7", "2024-06-30"),
    ("sles", "11", "2019-03-31"),
    ("sles", "12", "2024-10-31"),
    ("sles", "15.1", "2021-01-31"),
    ("sles", "15.2", "2021-12-31"),
    ("sles", "15.3", "2022-12-31"),
    ("sles", "15.4", "2023-12-31"),
    ("sles", "15.5", "2024-12-31"),
    ("ubuntu", "12.04", "2017-04-28"),
    ("ubuntu", "14.04", "2019-04-30"),
    ("ubuntu", "16.04", "2021-04-30"),
    ("ubuntu", "18.04", "2023-05-31"),
    ("ubuntu", "18.10", "2019-07-18"),
    ("ubuntu", "19.04", "2020-01-23"),
    ("ubuntu", "19.10", "2020-07-06"),
    ("ubuntu", "20.04", "2025-05-31"),
    ("ubuntu", "20.10", "2021-07-22"),
    ("ubuntu", "21.04", "2022-01-20"),
    ("ubuntu", "21.10", "2022-07-14"),
    ("ubuntu", "22.10", "2023-07-20"),
    ("ubuntu", "23.04", "2024-01-20"),
    ("ubuntu", "23.10", "2024-07-12"),
    ("ubuntu", "24.10", "2025-07-10"),
    ("ubuntu", "25.04", "2026-01-17"),
    ("ubuntu", "25.10", "2026-07-01"),
];

/// What no resource of Azure may be called, and what may be in no name of one.
pub(crate) const RESERVED: [&str; 38] = [
    "access",
    "app_code",
    "app_themes",
    "app_data",
    "app_globalresources",
    "app_localresources",
    "app_webreferences",
    "app_browsers",
    "azure",
    "bing",
    "bizspark",
    "biztalk",
    "cortana",
    "directx",
    "dotnet",
    "dynamics",
    "excel",
    "exchange",
    "forefront",
    "groove",
    "hololens",
    "hyperv",
    "kinect",
    "lync",
    "msdn",
    "o365",
    "office",
    "office365",
    "onedrive",
    "onenote",
    "outlook",
    "powerpoint",
    "sharepoint",
    "skype",
    "visio",
    "visualstudio",
    "web.config",
    "xbox",
];
/// The latter.
pub(crate) const RESERVED_PARTS: [&str; 2] = ["microsoft", "windows"];
/// What none may begin with.
pub(crate) const RESERVED_STARTS: [&str; 1] = ["login"];

/// What the tool that moves machines by an agent takes.
pub(crate) mod agent {
    use super::{GIB, TIB};

    /// The most data disks.
    pub(crate) const DATA_DISKS: usize = 63;
    /// The largest data disk.
    pub(crate) const DATA_DISK: u64 = 32_767 * GIB;
    /// The smallest disk is larger than this.
    pub(crate) const LEAST: u64 = GIB;
    /// The largest disk to start from by BIOS, and by UEFI.
    pub(crate) const OS_DISK: [u64; 2] = [2 * TIB, 4095 * GIB];
    /// The most partitions of a disk that starts by UEFI.
    pub(crate) const PARTITIONS: usize = 4;
    /// What has to be free on the root, and where it is installed.
    pub(crate) const FREE: [u64; 2] = [2 * GIB, 250 << 20];
    /// The longest name of a machine.
    pub(crate) const NAME: usize = 63;
    /// Windows by their builds: Server 2008 SP2 to 2022, and 7 SP1 to 10.
    pub(crate) const WINDOWS: [u32; 8] = [6003, 7601, 9200, 9600, 14_393, 17_763, 20_348, 19_045];
    /// Windows that it moves where they start by UEFI: from these builds on, Server 2012 to 2025, and 10 and 11.
    pub(crate) const UEFI_SERVER: u32 = 9200;
    /// The latter.
    pub(crate) const UEFI_CLIENT: u32 = 10_240;
    /// Linux distributions by `ID`, and the versions from and to which it takes them.
    pub(crate) const LINUX: [(&str, &[(&str, &str)]); 6] = [
        ("rhel", &[("5.2", "5.11"), ("6.1", "6.10"), ("7.0", "7.9"), ("8.0", "8.8"), ("9.0", "9.1")]),
        ("centos", &[("5.2", "5.11"), ("6.1", "6.10"), ("7", "7.9"), ("8", "8.7")]),
        (
            "ubuntu",
            &[
                ("14.04", "14.04"),
                ("16.04", "16.04"),
                ("18.04", "18.04"),
                ("20.04", "20.04"),
                ("22.04", "22.04"),
            ],
        ),
        ("debian", &[("7", "8.99"), ("9", "11.99")]),
        ("sles", &[("11.3", "11.4"), ("12.1", "12.5"), ("15", "15.4")]),
        ("ol", &[("6.4", "6.10"), ("7.0", "7.9"), ("8.0", "8.7")]),
    ];
    /// The same where they start by UEFI.
    pub(crate) const UEFI_LINUX: [(&str, &[(&str, &str)]); 5] = [
        ("sles", &[("12.4", "12.4"), ("15.1", "15.6")]),
        ("ubuntu", &[("16.04", "16.04"), ("18.04", "18.04"), ("20.04", "20.04"), ("22.04", "22.04")]),
        ("rhel", &[("6.0", "6.99"), ("7.0", "7.0"), ("7.4", "7.8"), ("8.0", "8.1"), ("9.0", "9.99")]),
        ("centos", &[("8", "10.99")]),
        ("ol", &[("6", "6.99"), ("7.7", "7.7"), ("8", "8.99"), ("9", "9.99")]),
    ];
    /// File systems that it knows on a Linux.
    pub(crate) const FILE_SYSTEMS: [&str; 5] = ["ext3", "ext4", "xfs", "btrfs", "vfat"];
}
